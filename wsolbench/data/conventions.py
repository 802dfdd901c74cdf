"""Conventions of a data set that were set, and those that it has a use for."""

from __future__ import annotations

from typing import Literal, TypeAlias

from wsolbench.contract import Conventions
from wsolbench.errors import UsageError

__all__ = ["refuse_unused"]

Convention: TypeAlias = Literal["boxes", "first_pixel"]


def refuse_unused(name: str, conventions: Conventions, *used: Convention) -> None:
    """Refuse a convention that was set and that a data set has no use for: it would be ignored silently.

    ``unannotated`` and the rows of a class map are the core's, and serve every data set.

    Args:
        name: The data set.
        conventions: What was set.
        used: The conventions that the data set's lists are read by.

    Raises:
        UsageError: Another one was set.
    """
    usual = Conventions()
    options: dict[Convention, str] = {"boxes": "--boxes", "first_pixel": "--first-pixel"}
    unused = [
        option
        for field, option in options.items()
        if field not in used and getattr(conventions, field) != getattr(usual, field)
    ]
    if unused:
        raise UsageError(f"'{name}' has no use for {' and '.join(unused)}; omit it")
