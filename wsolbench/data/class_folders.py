"""Images in folders named by their class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from wsolbench.contract import Finding, Severity, Split
from wsolbench.contract.datasets import ignore_finding, raise_fault
from wsolbench.data.class_map import plain_name
from wsolbench.data.file_kinds import COMPANIONS, IMAGE_SUFFIXES, is_image_name
from wsolbench.data.ids import is_text, shown_name
from wsolbench.data.split_names import split_named
from wsolbench.data.storage import Storage, find_deeper, visible_entries
from wsolbench.errors import DataError
from wsolbench.texts import first_names

__all__ = ["check_class_names", "list_class_folders"]

_NAMED = 3
_LOOKED_AT = 100
"""The most folders that are looked into for a hint."""


def list_class_folders(
    storage: Storage,
    below: str = "",
    on_fault: Callable[[DataError], None] = raise_fault,
    on_finding: Callable[[Finding], None] = ignore_finding,
) -> dict[str, tuple[str, ...]]:
    """Return folder name -> names of its image files, both in the order of their names; no file is opened.

    Hidden files are ignored. Files whose names are not those of images that can be read, folders inside the class
    folders and images beside them are left out, which is reported.

    Args:
        storage: The files.
        below: The folder in it that holds the class folders.
        on_fault: Called with the error about a folder or a name, which is left out where it returns.
        on_finding: Called with what is left out.

    Raises:
        DataError: The folder is not there; or it holds no class folder, or one without images, where `on_fault` raises
            that.
    """
    root = storage.place(below)
    front = f"{below}/" if below else ""
    found: dict[str, tuple[str, ...]] = {}
    others: list[str] = []
    try:
        classes, beside = visible_entries(storage, below)
        for name in _texts(classes, root, on_fault):
            folders, files = visible_entries(storage, f"{front}{name}")
            found[name] = tuple(_texts(filter(is_image_name, files), storage.place(f"{front}{name}"), on_fault))
            others += (f"{name}/{other}" for other in files if not is_image_name(other))
            others += (f"{name}/{folder}/" for folder in folders)
    except DataError as error:
        raise DataError(f"expected a folder of class folders: {error}") from error
    others += filter(is_image_name, beside)
    if not any(found.values()):
        meant = find_deeper(storage, below, lambda folder: _holds_classes(storage, folder))
        if meant is not None:
            raise DataError(f"{root} holds no photo in a class folder; did you mean {storage.place(meant)}?")
    for finding in _findings_of_others(root, others):
        on_finding(finding)
    if not found:
        on_fault(DataError(f"{root} holds no class folder"))
    for name in (name for name, images in found.items() if not images):
        suffixes = ", ".join(IMAGE_SUFFIXES)
        place = storage.place(f"{front}{name}")
        on_fault(DataError(f"class folder {place} holds no image ({suffixes}); remove or fill it"))
    return found


def check_class_names(of_split: Mapping[Split, Iterable[str]], on_fault: Callable[[DataError], None]) -> None:
    """Refuse names of one class that differ between splits in letter case, accents, spaces or signs alone.

    Two such names that are in one split are two classes.

    Args:
        of_split: Split -> the names of its class folders.
        on_fault: Called with the error.
    """
    splits_of: dict[str, dict[str, list[Split]]] = {}
    for split, names in of_split.items():
        for name in names:
            splits_of.setdefault(plain_name(name), {}).setdefault(name, []).append(split)
    for same in (same for same in splits_of.values() if len(same) > 1):
        every = [split for splits in same.values() for split in splits]
        if len(set(every)) == len(every):
            named = " and ".join(
                f"{name!r} in {', '.join(split.value for split in splits)}" for name, splits in same.items()
            )
            message = f"the class folders {named} would be two classes: their names differ in letter case, accents"
            on_fault(DataError(f"{message}, spaces or signs alone; rename one"))


def _holds_classes(storage: Storage, folder: str) -> bool:
    """Whether a folder holds class folders with images, or folders named by their split that do."""
    folders, _ = visible_entries(storage, folder)
    for name in folders[:_LOOKED_AT]:
        inside, files = visible_entries(storage, f"{folder}/{name}")
        if any(map(is_image_name, files)) or (split_named(name) is not None and inside):
            return True
    return False


def _findings_of_others(root: str, others: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding about what is left out below a folder of class folders, counted by ending."""
    kinds = Counter(_kind(path) for path in others)
    if not kinds:
        return
    counted = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    named = first_names(others, _NAMED, shown_name)
    harmless = all(kind in COMPANIONS for kind in kinds)
    advice = "" if harmless else "; save photos as JPEG or PNG, directly in their class folder"
    severity = Severity.NOTE if harmless else Severity.WARNING
    yield Finding(severity, f"{root}: left out: {counted} ({named}){advice}")


def _kind(path: str) -> str:
    """Return the kind of a file that is left out: its ending, or what else it is."""
    if path.endswith("/"):
        return "in folders inside a class folder"
    if "/" not in path:
        return "beside the class folders"
    return os.path.splitext(path)[1].lower() or "without ending"  # noqa: PTH122


def _texts(names: Iterable[str], folder: str, on_fault: Callable[[DataError], None]) -> list[str]:
    """Return the names that are text; lists and records cannot hold others."""
    every = list(names)
    odd = [name for name in every if not is_text(name)]
    if odd:
        shown = shown_name(f"{folder}/{odd[0]}")
        more = f", and so are {len(odd) - 1} others beside it" if len(odd) > 1 else ""
        on_fault(DataError(f"{shown}: the name is not UTF-8{more}; rename it"))
    return [name for name in every if is_text(name)]
