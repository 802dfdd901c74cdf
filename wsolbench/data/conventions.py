"""Conventions of a data set that were set, and those that it has a use for."""

from __future__ import annotations

from typing import Literal, TypeAlias

from wsolbench.contract import Conventions, DatasetRoots, Finding, Severity
from wsolbench.data.class_map import read_class_map
from wsolbench.errors import UsageError

__all__ = ["refuse_unused"]

Convention: TypeAlias = Literal["boxes", "first_pixel", "categories"]
"""``categories`` are those of a class map."""


def refuse_unused(name: str, roots: DatasetRoots, *used: Convention) -> None:
    """Refuse a convention that was set and that a data set has no use for: it would be ignored silently.

    ``unannotated`` and the rows of a class map are the core's, and serve every data set. A class map serves a data set
    and the lists that are cut off it: categories without use are reported.

    Args:
        name: The data set.
        roots: The conventions that were set, and who gets the findings.
        used: The conventions that the data set's lists are read by.

    Raises:
        UsageError: Another one was set.
        DataError: The class map cannot be read.
    """
    conventions, usual = roots.conventions, Conventions()
    changed: dict[Convention, bool] = {
        "boxes": conventions.boxes != usual.boxes,
        "first_pixel": conventions.first_pixel != usual.first_pixel,
    }
    unused = [f"--{name.replace('_', '-')}" for name, is_set in changed.items() if is_set and name not in used]
    if unused:
        raise UsageError(f"'{name}' has no use for {' and '.join(unused)}; omit it")
    class_map = conventions.class_map
    if class_map is not None and "categories" not in used and read_class_map(class_map).categories:
        text = f"{class_map}: its categories are not used, as '{name}' has no categories of boxes"
        roots.on_finding(Finding(Severity.NOTE, text))
