"""Where the reference evaluator (Choe et al., CVPR 2020) publishes its lists: one commit of its repository."""

from __future__ import annotations

from collections.abc import Iterable

from wsolbench.contract import Download, Split
from wsolbench.data.reference import IDS, LABELS, LOCALIZATION, SIZES

__all__ = ["published_lists"]

_ROOT = "https://raw.githubusercontent.com/clovaai/wsolevaluation"
_COMMIT = "b5c1e8a99868d5b2e869aa7f3f5ad8c310b16ca3"
_MAPPING_COMMIT = "e9972606b18064ea886f098f2b5b29b9ade75f09"
"""The commit that added the new names of ImageNetV2's files."""


def published_lists(name: str, splits: Iterable[Split], place: str) -> tuple[Download, ...]:
    """Return the lists of a data set to be fetched.

    Nobody publishes their checksums; a commit of a repository does not change.

    Args:
        name: ``CUB``, ``ILSVRC`` or ``OpenImages``.
        splits: Which lists.
        place: The folder below the data set's where the split folders belong.
    """
    files = {split: [IDS, LABELS, LOCALIZATION, SIZES] for split in splits}
    if name == "OpenImages":  # scored by masks, which need no sizes
        files = {split: [IDS, LABELS] + [LOCALIZATION] * (split is not Split.TRAIN_WEAKSUP) for split in splits}
    lists = [f"{split.value}/{file}" for split, names in files.items() for file in names]
    downloads = [Download(f"{place}/{path}", f"{_ROOT}/{_COMMIT}/metadata/{name}/{path}") for path in lists]
    if name == "ILSVRC" and Split.TRAIN_FULLSUP in files:
        path = f"{Split.TRAIN_FULLSUP.value}/mapping.txt"
        downloads.append(Download(f"{place}/{path}", f"{_ROOT}/{_MAPPING_COMMIT}/metadata/{name}/{path}"))
    return tuple(downloads)
