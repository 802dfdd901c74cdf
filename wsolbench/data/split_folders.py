"""Folders named by their split, and those beside them that seem to be one and are not."""

from __future__ import annotations

from collections.abc import Callable

from wsolbench.contract import DatasetRoots, Finding, Severity, Split
from wsolbench.data.split_names import split_named
from wsolbench.data.storage import Storage, visible_entries
from wsolbench.errors import DataError
from wsolbench.texts import first_names

__all__ = ["find_split_folders"]


def find_split_folders(
    storage: Storage, roots: DatasetRoots, is_split: Callable[[str], bool], below: str = ""
) -> dict[Split, str]:
    """Return the folders of the splits below a folder, and report what is beside them and left out.

    Args:
        storage: The files.
        roots: Gets the fault of a folder whose name is nearly that of a split, such as ``valid``, where the split
            itself is missing, and the findings about what is left out.
        is_split: Says of a folder in the storage whether it has the content of a split.
        below: The folder in the storage.

    Raises:
        DataError: The folder cannot be read, or has such a fault.
    """
    front = f"{below}/" if below else ""
    folders, _ = visible_entries(storage, below)
    found = {split: f"{front}{split.value}" for split in Split if split.value in folders}
    left_out = []
    for name in (name for name in folders if front + name not in found.values() and is_split(front + name)):
        meant = split_named(name)
        if meant is not None and meant not in found:
            fault = f"{storage.place(front + name)} is the folder of no split and would be left out"
            advice = f"rename it to '{meant.value}', which is {meant.label}, or move it away"
            roots.on_fault(DataError(f"{fault}; {advice}"))
        elif meant is not None or found:
            left_out.append(name)
    if left_out:
        place = storage.place(below)
        text = f"{place}: left out, as only train, val and test are splits: {first_names(left_out, 5)}"
        roots.on_finding(Finding(Severity.WARNING, text))
    return found
