"""Images in folders named by their class."""

from __future__ import annotations

import os
from pathlib import Path

from wsolbench.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "list_class_folders"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp")


def list_class_folders(root: Path) -> dict[str, tuple[str, ...]]:
    """Return folder name -> names of its image files, both in the order of their names; no file is opened.

    Hidden files, files that are no images by their name, and files beside the folders are left alone.

    Raises:
        DataError: The folder is not there, holds no class folder, or a class folder holds no image.
    """
    try:
        with os.scandir(root) as entries:
            classes = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        found = {name: _image_names(root / name) for name in classes}
    except OSError as error:
        raise DataError(f"{root} cannot be read as a folder of class folders: {error.strerror}") from error
    if not found:
        raise DataError(f"{root} holds no class folder")
    empty = [name for name, images in found.items() if not images]
    if empty:
        raise DataError(
            f"class folder {root / empty[0]} holds no image ({', '.join(IMAGE_SUFFIXES)}); remove or fill it"
        )
    return found


def _image_names(folder: Path) -> tuple[str, ...]:
    names = [name for name in os.listdir(folder) if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")]  # noqa: PTH208
    return tuple(sorted(names))
