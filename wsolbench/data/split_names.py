"""What people call a split, as the name of a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from wsolbench.contract import Split

__all__ = ["split_named", "split_of_list"]

_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trainval"), Split.TRAIN_WEAKSUP),
    **dict.fromkeys(("val", "valid", "validation", "dev", "devel", "valset"), Split.TRAIN_FULLSUP),
    **dict.fromkeys(("test", "testing", "tests", "testset"), Split.TEST),
}
"""What people call a split -> which one it is."""
_BESIDE = frozenset({"set", "split", "data", "img", "imgs", "image", "images", "photo", "photos", "pictures", "jpegs"})
"""Words that say nothing beside the name of a split, as in ``train_images``."""
_OF_LISTS = frozenset(
    {
        *("annotation", "annotations", "anno", "ann", "box", "boxes", "bbox", "bboxes", "label", "labels", "list"),
        *("instances", "objects", "localization", "gt", "csv", "coco", "json", "df", "meta", "metadata"),
    }
)
"""Words that say nothing in the name of a file of boxes, as in ``instances_val2017``."""


@cache
def split_named(folder: str) -> Split | None:
    """Return the split that a folder is named after, as ``valid`` and ``train2017`` are; None where it is another name.

    Letter case, numbers and signs do not count.
    """
    return _split_of(re.findall("[a-z]+", folder.lower()))


def split_of_list(path: str) -> Split | None:
    """Return the split that a file of boxes is named after, else the nearest of its folders; None without any."""
    *folders, name = path.split("/")
    words = [word for word in re.findall("[a-z]+", name.partition(".")[0].lower()) if word not in _OF_LISTS]
    said = (_split_of(words), *(split_named(folder) for folder in reversed(folders)))
    return next((split for split in said if split is not None), None)


def _split_of(words: Sequence[str]) -> Split | None:
    label = next((split for split in Split if split.label == "-".join(words)), None)
    meant = {_WORDS[word] for word in words if word in _WORDS}
    says_more = any(word not in _WORDS and word not in _BESIDE for word in words)
    return label or (meant.pop() if len(meant) == 1 and not says_more else None)
