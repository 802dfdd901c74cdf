"""A map over threads, each but one with a process of its own, for functions that are mostly Python.

The processes are new ones, which import what the function needs and nothing else. So a script that starts them needs no
guard around its main part, and threads or libraries of this process cannot be in their way. Where a process cannot be
started or ends early, its work is done here.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

from wsolbench.threads import ordered_map

__all__ = ["Helper", "ordered_map_beside", "spare_processors"]

A = TypeVar("A")
B = TypeVar("B")

_PROGRAM = """
import gc, pickle, signal, sys
gc.disable()
signal.signal(signal.SIGINT, signal.SIG_IGN)
given, returned = sys.stdin.buffer, sys.stdout.buffer
sys.stdout = sys.stderr
sys.path[:] = pickle.load(given)
function = pickle.load(given)
while given.peek(1):
    pickle.dump(function(pickle.load(given)), returned, pickle.HIGHEST_PROTOCOL)
    returned.flush()
"""
"""It ends when nothing more is sent, also because the process that started it has ended. It keeps no result."""


def spare_processors() -> int:
    """Return how many processors this process may use besides one."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (usable or 1) - 1


class Helper(Generic[A, B]):
    """A process that applies a function; what it prints is dropped, and an error of the function ends it."""

    def __init__(self, function: Callable[[A], B]) -> None:
        """Start the process.

        Args:
            function: One of a module, or a partial of one; its arguments and results can be pickled.

        Raises:
            OSError: It cannot be started.
        """
        self._function = function
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._is_there = self._send(sys.path) and self._send(function)

    def __call__(self, item: A) -> B:
        """Return the function of an item, computed here where the process is no longer there."""
        if self._is_there and self._send(item):
            try:
                assert self._process.stdout is not None
                found: B = pickle.load(self._process.stdout)  # of our own program
                return found
            except (OSError, EOFError, pickle.UnpicklingError):
                self._is_there = False
        return self._function(item)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _send(self, value: object) -> bool:
        assert self._process.stdin is not None
        try:
            pickle.dump(value, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except OSError:
            self._is_there = False
            return False
        return True


def ordered_map_beside(function: Callable[[A], B], items: Iterable[A], *, helpers: int) -> Generator[B, None, None]:
    """Map a function over items, in this process and in others, and yield the results in order.

    Close the generator if you may leave it early, as that of `ordered_map`.

    Args:
        function: What a `Helper` takes.
        items: The items; each should take much longer than it takes to send it and its result.
        helpers: Number of other processes.

    Yields:
        The results, in the order of the items.
    """
    with ExitStack() as stack:
        free: SimpleQueue[Callable[[A], B]] = SimpleQueue()
        free.put(function)
        for _ in range(helpers):
            try:
                free.put(stack.enter_context(Helper(function)))
            except OSError:
                break
        workers = free.qsize()

        def apply(item: A) -> B:
            worker = free.get()
            try:
                return worker(item)
            finally:
                free.put(worker)

        with closing(ordered_map(apply, items, workers=workers, ahead=2 * workers)) as results:
            yield from results
