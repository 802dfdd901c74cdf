"""Where ILSVRC's parts lie below a folder: as ImageNet unpacks them, or as the reference evaluator wants them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from wsolbench.api import DataError

TEST_PREFIX, FULLSUP_PREFIX, TRAIN_PREFIX = "val/", "val2/", "train/"
"""How the published ids of the splits begin."""

_BELOW = ("", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
_V2 = ("val2", "imagenetv2-threshold0.7", "imagenetv2-threshold0.7-format-val")


def find_folder(root: Path, *names: str) -> Path | None:
    """Return the first folder of any of these names in the usual places below a root, or None."""
    candidates = (root / place / name for place in _BELOW for name in names)
    return next((folder for folder in candidates if folder.is_dir()), None)


def find_v2(root: Path) -> Path | None:
    """Return the folder of ImageNetV2 below a root, or None."""
    return find_folder(root, *_V2)


def find_xml(roots: Iterable[Path]) -> Path | None:
    """Return the first folder that holds the official XML files of the validation set, or None."""
    places = ("", "val", "ILSVRC/Annotations/CLS-LOC/val", "Annotations/CLS-LOC/val")
    candidates = (root / place for root in roots for place in places)
    return next((folder for folder in candidates if any(folder.glob("ILSVRC2012_val_*.xml"))), None)


def locate_by_name(folder: Path, ids: Iterable[str]) -> tuple[str, ...]:
    """Return the paths below `folder` of published test ids, whose files lie in it or in class folders of it.

    Raises:
        DataError: The folder cannot be read.
    """
    names = [image_id.removeprefix(TEST_PREFIX) for image_id in ids]
    if not names or (folder / names[0]).exists():
        return tuple(names)
    try:
        found = {
            name: f"{entry.name}/{name}"
            for entry in sorted(folder.iterdir())
            if entry.is_dir()
            for name in os.listdir(entry)  # noqa: PTH208
        }
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    return tuple(found.get(name, name) for name in names)
