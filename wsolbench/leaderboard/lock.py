"""One command at a time changes a leaderboard: records that two add at once are both there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsolbench.errors import OutputError
from wsolbench.locks import lock
from wsolbench.progress import Reporter

__all__ = ["locked"]


@contextmanager
def locked(folder: Path, reporter: Reporter, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a leaderboard; wait for another command that holds it.

    The folder itself is locked, so no lock file is left over. The operating system releases the lock of a process that
    was killed. Where the file system has no locks, a warning says so.

    Args:
        folder: The leaderboard, which exists.
        reporter: Is told about waiting.
        shared: Whether it is only read; readers do not wait for each other.

    Raises:
        OutputError: The folder cannot be opened.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be opened ({error.strerror})") from error
    try:
        _lock(descriptor, folder, reporter, shared=shared)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, reporter: Reporter, *, shared: bool) -> None:
    try:
        if not lock(descriptor, shared=shared):
            reporter.say(f"waiting for another 'wsolbench leaderboard' of {folder}")
            lock(descriptor, shared=shared, wait=True)
    except OSError as error:
        reporter.warn(
            f"{folder} cannot be locked here: let one command at a time change this leaderboard ({error.strerror})"
        )
