"""What an image id may be: a relative path that stays inside whatever folder it is looked for in."""

from __future__ import annotations

import re

from wsolbench.contract import ImageSplit
from wsolbench.data.names import tidy_path
from wsolbench.errors import DataError
from wsolbench.texts import LONGEST, text_problem

__all__ = ["check_ids", "is_text", "path_problem", "shown_name"]


def path_problem(path: str) -> str | None:
    """Say what a relative path should have been, on this or another system, or None where it is one."""
    if not is_text(path):
        return "the name is not UTF-8; rename it"
    if len(path) > LONGEST:
        return f"expected a path of at most {LONGEST:,} characters"
    if not path.isprintable() and text_problem(path) is not None:
        return "expected a path without control characters"
    if not path or path.startswith("/") or "\\" in path or re.match("[A-Za-z]:", path) or ".." in path.split("/"):
        return "expected a relative path with forward slashes that stays inside its folder"
    return None


def is_text(name: str) -> bool:
    """Return whether a name is text that files can hold; bytes on disk that are not UTF-8 are none."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_name(name: str) -> str:
    """Return a name for a message; bytes that are not UTF-8 are escaped."""
    return name.encode(errors="backslashreplace").decode()


def check_ids(images: ImageSplit, where: str) -> None:
    """Check the ids and labels that a data set gives, whoever wrote it.

    Raises:
        DataError: There is no image, an id is no relative path or not unique, or a label is missing or negative.
    """
    if not images.ids:
        raise DataError(f"{where} has no images")
    if len(images.labels) != len(images.ids):
        raise DataError(f"{where} has {len(images.ids)} images but {len(images.labels)} labels")
    seen: dict[str, str] = {}
    for image_id, label in zip(images.ids, images.labels.tolist(), strict=True):
        problem = path_problem(image_id)
        if problem is not None:
            raise DataError(f"{where}, image id {image_id!r}: {problem}")
        path = tidy_path(image_id)
        if path in seen:
            other = seen[path]
            twice = f"the image '{image_id}' twice" if other == image_id else f"one image as '{other}' and '{image_id}'"
            raise DataError(f"{where} holds {twice}")
        if label < 0:
            raise DataError(f"{where}, image '{image_id}': expected a label of 0 or more, got {label}")
        seen[path] = image_id
