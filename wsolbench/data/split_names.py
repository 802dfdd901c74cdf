"""What people call a split, as the name of a folder."""

from __future__ import annotations

import re
from functools import cache

from wsolbench.contract import Split

__all__ = ["split_named"]

_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trainval"), Split.TRAIN_WEAKSUP),
    **dict.fromkeys(("val", "valid", "validation", "dev", "devel", "valset"), Split.TRAIN_FULLSUP),
    **dict.fromkeys(("test", "testing", "tests", "testset"), Split.TEST),
}
"""What people call a split -> which one it is."""
_BESIDE = frozenset({"set", "split", "data", "img", "imgs", "image", "images", "photo", "photos", "pictures", "jpegs"})
"""Words that say nothing beside the name of a split, as in ``train_images``."""


@cache
def split_named(folder: str) -> Split | None:
    """Return the split that a folder is named after, as ``valid`` and ``train2017`` are; None where it is another name.

    Letter case, numbers and signs do not count.
    """
    words = re.findall("[a-z]+", folder.lower())
    label = next((split for split in Split if split.label == "-".join(words)), None)
    meant = {_WORDS[word] for word in words if word in _WORDS}
    says_more = any(word not in _WORDS and word not in _BESIDE for word in words)
    return label or (meant.pop() if len(meant) == 1 and not says_more else None)
