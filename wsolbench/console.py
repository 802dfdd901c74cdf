"""Output on stderr: progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from wsolbench.escaping import message_text, visible
from wsolbench.progress import Advance, Reporter


class ConsoleReporter(Reporter):
    """Shows phases as progress bars with rate and remaining time on a terminal, and not at all elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True)

    @contextmanager
    def show(self, name: str, total: int | None, unit: str) -> Iterator[Advance]:
        """Show a bar from 0 to `total` until the phase ends; if `total` is None, a bar without end."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(unit),
            TimeRemainingColumn(),
        )
        bars = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        with bars:
            task = bars.add_task(escape(visible(name)), total=total)
            yield lambda done: bars.advance(task, done)

    def say(self, message: str) -> None:
        """Print a line."""
        self._print(message)

    def warn(self, message: str) -> None:
        """Print a line that begins with ``warning:``."""
        self._print(f"warning: {message}")

    def _print(self, line: str) -> None:
        self._console.print(message_text(line), markup=False, emoji=False, highlight=False, soft_wrap=True)


class _Rate(ProgressColumn):
    """A column with units of work per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate, or an empty text before it is known."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self._unit}/s")
