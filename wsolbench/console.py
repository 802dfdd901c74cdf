"""Output on stderr: progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from wsolbench.escaping import message_text, visible
from wsolbench.progress import Advance, Reporter
from wsolbench.texts import counted, singular

LINE_SECONDS = 30.0
"""How often a line says how far a phase is, where there is no terminal."""


class ConsoleReporter(Reporter):
    """Shows phases with rate and remaining time: as progress bars on a terminal, and as lines elsewhere.

    Args:
        quiet: Whether it shows warnings alone.
        verbose: Whether it also says how long each phase took.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__()
        self._quiet, self._verbose = quiet, verbose
        self._console = Console(stderr=True)

    @contextmanager
    def show(self, name: str, total: int | None, unit: str, beside: str) -> Iterator[Advance]:
        """Show a phase until it ends; `total` is None where nobody knows how long it is."""
        started = time.monotonic()
        shown = self._bar(name, total, unit) if self._console.is_terminal else self._lines(name, total, unit, beside)
        with nullcontext(_uncounted) if self._quiet else shown as advance:
            yield advance
        if self._verbose:
            self.say(f"[{name}] took {time.monotonic() - started:.1f} s")

    @contextmanager
    def _bar(self, name: str, total: int | None, unit: str) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(unit),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(escape(visible(name)), total=total)
            yield lambda done: bars.advance(task, done)

    @contextmanager
    def _lines(self, name: str, total: int | None, unit: str, beside: str) -> Iterator[Advance]:
        """Print a line at the start, and one every 30 s, even while nothing advances."""
        started, ended, done = time.monotonic(), threading.Event(), 0

        def advance(more: int) -> None:
            nonlocal done
            done += more

        def report() -> None:
            while not ended.wait(LINE_SECONDS):
                self._print(f"[{name}] {_so_far(done, total, unit, time.monotonic() - started)}")

        work = filter(None, ["" if total is None else counted(total, unit), beside])
        self._print(f"[{name}] {', '.join(work)}".rstrip())
        reports = threading.Thread(target=report, daemon=True)
        reports.start()
        try:
            yield advance
        finally:
            ended.set()
            reports.join()

    def say(self, message: str) -> None:
        """Print a line."""
        if not self._quiet:
            self._print(message)

    def warn(self, message: str) -> None:
        """Print a line that begins with ``warning:``."""
        self._print(f"warning: {message}")

    def _print(self, line: str) -> None:
        with suppress(OSError):  # a stderr that cannot be written ends no work
            self._console.print(message_text(line), markup=False, emoji=False, highlight=False, soft_wrap=True)


def _uncounted(done: int) -> None:
    """Show nothing of what is done."""


def _so_far(done: int, total: int | None, unit: str, seconds: float) -> str:
    """Say how much of a phase is done after some seconds, and how long the rest takes at the same rate."""
    if total is None and not done:
        return f"not finished after {_duration(seconds)}"
    parts = [f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}", f"after {_duration(seconds)}"]
    if done:
        parts.append(_rate(done / seconds, unit))
    if done and total is not None:
        parts.append(f"{_duration((total - done) * seconds / done)} left")
    return ", ".join(parts)


def _rate(speed: float, unit: str) -> str:
    """Return units of work per second; where they are few, the time of one."""
    return f"{speed:.1f} {unit}/s" if speed >= 1 or speed == 0 else f"{1 / speed:.1f} s a {singular(unit)}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


class _Rate(ProgressColumn):
    """A column with units of work per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate, or an empty text before it is known."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else _rate(speed, self._unit))
