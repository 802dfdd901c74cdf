"""Folders named by their split, and those beside them that seem to be one and are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wsolbench.contract import DatasetRoots, Finding, Severity, Split
from wsolbench.errors import DataError
from wsolbench.texts import first_names

__all__ = ["find_split_folders"]

_OTHER_NAMES = {
    **{split.value: split for split in Split},
    **{split.label: split for split in Split},
    **dict.fromkeys(("training", "trainset", "train_set"), Split.TRAIN_WEAKSUP),
    **dict.fromkeys(("valid", "validation", "dev", "devel", "valset", "val_set"), Split.TRAIN_FULLSUP),
    **dict.fromkeys(("testing", "tests", "testset", "test_set"), Split.TEST),
}
"""What people call a split -> which one it is; letter case does not count."""


def find_split_folders(root: Path, roots: DatasetRoots, is_split: Callable[[Path], bool]) -> dict[Split, Path]:
    """Return the folders of the splits below a folder, and report what is beside them and left out.

    Args:
        root: The folder.
        roots: Gets the fault of a folder whose name is nearly that of a split, such as ``valid``, where the split
            itself is missing, and the findings about what is left out.
        is_split: Says of a folder whether it has the content of a split.

    Raises:
        DataError: The folder cannot be read, or has such a fault.
    """
    found = {split: root / split.value for split in Split if (root / split.value).is_dir()}
    try:
        others = [path for path in sorted(root.iterdir()) if path.is_dir() and path not in found.values()]
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror}") from error
    left_out = []
    for path in (path for path in others if not path.name.startswith(".") and is_split(path)):
        meant = _OTHER_NAMES.get(path.name.lower())
        if meant is not None and meant not in found:
            fault = f"{path} is the folder of no split and would be left out; rename it to '{meant.value}'"
            roots.on_fault(DataError(f"{fault}, which is {meant.label}, or move it away"))
        elif meant is not None or found:
            left_out.append(path.name)
    if left_out:
        text = f"{root}: left out, as only train, val and test are splits: {first_names(left_out, 5)}"
        roots.on_finding(Finding(Severity.WARNING, text))
    return found
