"""Images in folders named by their class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from wsolbench.contract import Finding, Severity
from wsolbench.contract.datasets import ignore_finding, raise_fault
from wsolbench.data.file_kinds import COMPANIONS, IMAGE_SUFFIXES, is_image_name
from wsolbench.data.ids import is_text, shown_name
from wsolbench.errors import DataError
from wsolbench.texts import first_names

__all__ = ["list_class_folders"]

_OF_FILE_MANAGERS = ("thumbs.db", "desktop.ini")
_NAMED = 3


def list_class_folders(
    root: Path,
    on_fault: Callable[[DataError], None] = raise_fault,
    on_finding: Callable[[Finding], None] = ignore_finding,
) -> dict[str, tuple[str, ...]]:
    """Return folder name -> names of its image files, both in the order of their names; no file is opened.

    Hidden files are ignored. Files whose names are not those of images that can be read, folders inside the class
    folders and images beside them are left out, which is reported.

    Args:
        root: Holds the class folders.
        on_fault: Called with the error about a folder or a name, which is left out where it returns.
        on_finding: Called with what is left out.

    Raises:
        DataError: The folder is not there; or it holds no class folder, or one without images, where `on_fault` raises
            that.
    """
    found: dict[str, tuple[str, ...]] = {}
    others: list[str] = []
    try:
        classes, beside = _entries(root)
        for name in _texts(classes, root, on_fault):
            folders, files = _entries(root / name)
            found[name] = tuple(_texts(filter(is_image_name, files), root / name, on_fault))
            others += (f"{name}/{other}" for other in files if not is_image_name(other))
            others += (f"{name}/{folder}/" for folder in folders)
    except OSError as error:
        raise DataError(f"{root} cannot be read as a folder of class folders: {error.strerror}") from error
    others += filter(is_image_name, beside)
    for finding in _findings_of_others(root, others):
        on_finding(finding)
    if not found:
        on_fault(DataError(f"{root} holds no class folder"))
    for name in (name for name, images in found.items() if not images):
        suffixes = ", ".join(IMAGE_SUFFIXES)
        on_fault(DataError(f"class folder {root / name} holds no image ({suffixes}); remove or fill it"))
    return found


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder, without hidden ones. Raises ``OSError``."""
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name.lower() not in _OF_FILE_MANAGERS:
                (folders if entry.is_dir() else files).append(entry.name)
    return sorted(folders), sorted(files)


def _findings_of_others(root: Path, others: Sequence[str]) -> Iterator[Finding]:
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


def _texts(names: Iterable[str], folder: Path, on_fault: Callable[[DataError], None]) -> list[str]:
    """Return the names that are text; lists and records cannot hold others."""
    every = list(names)
    odd = [name for name in every if not is_text(name)]
    if odd:
        shown = shown_name(str(folder / odd[0]))
        more = f", and so are {len(odd) - 1} others beside it" if len(odd) > 1 else ""
        on_fault(DataError(f"{shown}: the name is not UTF-8{more}; rename it"))
    return [name for name in every if is_text(name)]
