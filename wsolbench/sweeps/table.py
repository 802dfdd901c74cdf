"""Where the jobs of a sweep are: a live table on a terminal, lines elsewhere, and a table of text."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wsolbench.escaping import visible
from wsolbench.progress import Reporter
from wsolbench.sweeps.conduct import Show
from wsolbench.sweeps.state import JobState, Stage

__all__ = ["as_text", "following", "in_total"]

STAGES: Final = ("running", "failed", "waiting", "done")
"""The order of the table: what changes comes first."""
STYLES: Final = {"running": "cyan", "failed": "bold red", "waiting": "dim", "done": "green"}
LINE_SECONDS: Final = 30.0
REFRESHES: Final = 4
"""Of the live table, in a second."""


@contextmanager
def following(reporter: Reporter, *, quiet: bool) -> Iterator[Show]:
    """Yield what shows the states of jobs on stderr as they change.

    Args:
        reporter: Prints lines, where there is no terminal.
        quiet: Whether nothing is shown.
    """
    console = Console(stderr=True)
    if quiet:
        yield lambda _states: None
    elif console.is_terminal:
        with Live(console=console, refresh_per_second=REFRESHES, transient=True, redirect_stdout=False) as live:
            yield lambda states: live.update(_table(states, max(console.height - 4, 4)))
    else:
        yield _Lines(reporter)


class _Lines:
    """Says a line whenever a job changes its stage or fails, and one every 30 s."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._known: dict[str, tuple[Stage, int, str]] | None = None
        self._said = time.monotonic()

    def __call__(self, states: Mapping[str, JobState]) -> None:
        now = {name: (state.stage, state.attempt, state.line) for name, state in states.items()}
        if self._known is None:
            self._reporter.say(f"[sweep] {in_total(states)}")
            self._known = {name: stage for name, stage in now.items() if states[name].stage == "done"}
        for name, state in states.items():
            if self._known.get(name) != now[name] and (state.stage != "waiting" or state.line):
                self._reporter.say(f"[{name}] {_in_words(state)}")
        self._known = now
        if time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            self._reporter.say(f"[sweep] {in_total(states)}")


def _in_words(state: JobState) -> str:
    """Return what there is to say of a job."""
    if state.stage == "waiting" and state.line:
        return f"failed, to be tried again: {state.line}"
    return f"{state.stage}: {_beside(state)}" if _beside(state) else state.stage


def _beside(state: JobState) -> str:
    """Return what stands beside the stage of a job."""
    if state.stage != "running":
        return state.line or (f"{state.rate:.1f} images/s" if state.rate else "")
    amount = f"{state.done:,} of {state.total:,}" if state.total else ""
    rate = f"{state.rate:.1f} images/s" if state.rate else ""
    host = f"on {state.host}" if state.host else ""
    return ", ".join(filter(None, [" ".join(filter(None, [state.phase, amount])), rate, host]))


def in_total(states: Mapping[str, JobState]) -> str:
    """Return how many jobs are where, and how fast those are that run."""
    counts = Counter(state.stage for state in states.values())
    parts = [f"{counts[stage]} {stage}" for stage in ("done", "running", "waiting", "failed") if counts[stage]]
    rate = sum(state.rate or 0 for state in states.values() if state.stage == "running")
    return f"{len(states)} jobs: {', '.join(parts)}" + (f"; {rate:.1f} images/s" if rate else "")


def _table(states: Mapping[str, JobState], most: int) -> Group:
    """Return a table of at most so many jobs: those that run or failed come first."""
    ordered = sorted(states.items(), key=lambda item: STAGES.index(item[1].stage))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name, state in ordered[:most]:
        table.add_row(visible(name), Text(state.stage, STYLES[state.stage]), Text(visible(_beside(state))))
    rest = [Text(f"... and {len(ordered) - most} more", "dim")] if len(ordered) > most else []
    return Group(table, *rest, Text(in_total(states), "bold"))


def as_text(states: Mapping[str, JobState]) -> str:
    """Return a line for each job, and the total."""
    width = max(map(len, states), default=0)
    lines = [f"{name:{width}}  {state.stage:7}  {_beside(state)}".rstrip() for name, state in states.items()]
    return "\n".join([*lines, in_total(states)])
