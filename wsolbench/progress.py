"""Work in progress: phases that are timed and shown, messages, and warnings. Only the command line prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["Advance", "NamedReporter", "Reporter"]

Advance = Callable[[int], None]


class Reporter:
    """Times phases, and is silent otherwise; the base of those that show what is going on.

    Attributes:
        seconds: Phase -> wall-clock seconds, of every phase that has ended.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, total: int | None = None, unit: str = "images", beside: str = "") -> Iterator[Advance]:
        """Open a phase of work, timed and shown.

        Args:
            name: What is being done.
            total: How many units of work there are, where that is known.
            unit: What they are.
            beside: What else to say of the work when it begins.

        Yields:
            A function that says that so many more units are done.
        """
        started = time.perf_counter()
        with self.show(name, total, unit, beside) as advance:
            yield advance
        self.seconds[name] = round(time.perf_counter() - started, 3)

    def show(
        self,
        name: str,  # noqa: ARG002
        total: int | None,  # noqa: ARG002
        unit: str,  # noqa: ARG002
        beside: str,  # noqa: ARG002
    ) -> AbstractContextManager[Advance]:
        """Show a phase while it lasts; nothing here."""
        return nullcontext(lambda _done: None)

    def say(self, message: str) -> None:
        """Report something worth knowing."""

    def remark(self, message: str) -> None:
        """Report something worth knowing about data or weights, which holds wherever they are used."""
        self.say(message)

    def warn(self, message: str) -> None:
        """Report something that the user may have to act on."""


class NamedReporter(Reporter):
    """Shows the work on one thing among several under its name.

    Args:
        name: What stands before every phase and message.
        reporter: Shows them.
    """

    def __init__(self, name: str, reporter: Reporter) -> None:
        super().__init__()
        self._name, self._reporter = name, reporter

    def show(self, name: str, total: int | None, unit: str, beside: str) -> AbstractContextManager[Advance]:
        """Show a phase while it lasts."""
        return self._reporter.show(f"{self._name}: {name}", total, unit, beside)

    def say(self, message: str) -> None:
        """Report something worth knowing."""
        self._reporter.say(f"{self._name}: {message}")

    def remark(self, message: str) -> None:
        """Report something worth knowing about data or weights, which holds for the other things too."""
        self._reporter.remark(message)

    def warn(self, message: str) -> None:
        """Report something that the user may have to act on."""
        self._reporter.warn(f"{self._name}: {message}")
