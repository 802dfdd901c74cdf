"""Images in folders named by their class."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from wsolbench.contract.datasets import raise_fault
from wsolbench.data.file_kinds import IMAGE_SUFFIXES, is_image_name
from wsolbench.data.ids import is_text, shown_name
from wsolbench.errors import DataError

__all__ = ["list_class_folders"]


def list_class_folders(root: Path, on_fault: Callable[[DataError], None] = raise_fault) -> dict[str, tuple[str, ...]]:
    """Return folder name -> names of its image files, both in the order of their names; no file is opened.

    Hidden files, files whose names are not those of images, and files beside the folders are ignored.

    Raises:
        DataError: The folder is not there; or it holds no class folder, or one without images, where `on_fault` raises
            that.
    """
    try:
        with os.scandir(root) as entries:
            classes = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        found = {name: _image_names(root / name) for name in _texts(classes, root, on_fault)}
    except OSError as error:
        raise DataError(f"{root} cannot be read as a folder of class folders: {error.strerror}") from error
    if not found:
        on_fault(DataError(f"{root} holds no class folder"))
    found = {name: tuple(_texts(images, root / name, on_fault)) for name, images in found.items()}
    for name in (name for name, images in found.items() if not images):
        suffixes = ", ".join(IMAGE_SUFFIXES)
        on_fault(DataError(f"class folder {root / name} holds no image ({suffixes}); remove or fill it"))
    return found


def _texts(names: Iterable[str], folder: Path, on_fault: Callable[[DataError], None]) -> list[str]:
    """Return the names that are text; lists and records cannot hold others."""
    every = list(names)
    odd = [name for name in every if not is_text(name)]
    if odd:
        shown = shown_name(str(folder / odd[0]))
        more = f", and so are {len(odd) - 1} others beside it" if len(odd) > 1 else ""
        on_fault(DataError(f"{shown}: the name is not UTF-8{more}; rename it"))
    return [name for name in every if is_text(name)]


def _image_names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(filter(is_image_name, os.listdir(folder))))  # noqa: PTH208
