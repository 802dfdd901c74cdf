"""Lists of the reference evaluator (Choe et al., CVPR 2020), fetched from one commit of its repository."""

from __future__ import annotations

from collections.abc import Iterable

from wsolbench.contract import Download, Split
from wsolbench.data.reference import IDS, LABELS, LOCALIZATION, SIZES

__all__ = ["published_lists"]

_REPOSITORY = "https://raw.githubusercontent.com/clovaai/wsolevaluation"
_COMMIT = "b5c1e8a99868d5b2e869aa7f3f5ad8c310b16ca3"


def published_lists(
    name: str,
    splits: Iterable[Split],
    place: str,
    *,
    files: Iterable[str] = (IDS, LABELS, LOCALIZATION, SIZES),
    commit: str = _COMMIT,
) -> tuple[Download, ...]:
    """Return the published lists of some splits of a data set, as files to fetch.

    Nobody publishes checksums of them; the files of a commit do not change.

    Args:
        name: The folder of the data set in the repository's ``metadata``.
        splits: The splits.
        place: The folder below the data set's own that the folders of the splits belong in.
        files: The files of each split; by default those of a data set with boxes.
        commit: The commit of the repository that has them.
    """
    names = tuple(files)
    paths = [f"{split.value}/{file}" for split in splits for file in names]
    return tuple(Download(f"{place}/{path}", f"{_REPOSITORY}/{commit}/metadata/{name}/{path}") for path in paths)
