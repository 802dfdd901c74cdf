"""What an image id may be: a relative path that stays inside whatever folder it is looked for in."""

from __future__ import annotations

import re

from wsolbench.contract import ImageSplit
from wsolbench.errors import DataError

__all__ = ["check_ids", "path_problem"]


def path_problem(path: str) -> str | None:
    """Say what a relative path should have been, on this or another system, or None where it is one."""
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "expected a path without control characters"
    if not path or path.startswith("/") or "\\" in path or re.match("[A-Za-z]:", path) or ".." in path.split("/"):
        return "expected a relative path with forward slashes that stays inside its folder"
    return None


def check_ids(images: ImageSplit, where: str) -> None:
    """Check the ids and labels that a data set gives, whoever wrote it.

    Raises:
        DataError: There is no image, an id is no relative path or not unique, or a label is missing or negative.
    """
    if not images.ids:
        raise DataError(f"{where} has no images")
    if len(images.labels) != len(images.ids):
        raise DataError(f"{where} has {len(images.ids)} images but {len(images.labels)} labels")
    seen: set[str] = set()
    for image_id, label in zip(images.ids, images.labels.tolist(), strict=True):
        problem = path_problem(image_id)
        if problem is not None:
            raise DataError(f"{where}, image id {image_id!r}: {problem}")
        if image_id in seen:
            raise DataError(f"{where} holds the image '{image_id}' twice")
        if label < 0:
            raise DataError(f"{where}, image '{image_id}': expected a label of 0 or more, got {label}")
        seen.add(image_id)
