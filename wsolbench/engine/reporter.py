"""How work in progress tells its user: phases that advance, and warnings. The engine never prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Advance", "Reporter"]

Advance = Callable[[int], None]


class Reporter:
    """A silent reporter, and the base of those that speak."""

    @contextmanager
    def phase(self, name: str, total: int | None, unit: str = "images") -> Iterator[Advance]:  # noqa: ARG002
        """Open a phase of `total` units of work, if anybody knows; what it yields says that so many more are done."""
        yield lambda _done: None

    def say(self, message: str) -> None:
        """Tell something worth knowing."""

    def warn(self, message: str) -> None:
        """Tell something that the user may have to act on."""
