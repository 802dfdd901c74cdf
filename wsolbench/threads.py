"""Work in threads, in order, a bounded number of items ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ordered_map(
    function: Callable[[A], B], items: Iterable[A], *, workers: int, ahead: int
) -> Generator[B, None, None]:
    """Map a function over items in threads, yield the results in order, and work at most `ahead` items in advance.

    The threads end with the iteration. Who may leave it early closes it, or they go on for as long as the error that
    ended it is remembered: ``with closing(ordered_map(...)) as results``.
    """
    pending: deque[Future[B]] = deque()
    source = iter(items)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            for item in source:
                pending.append(pool.submit(function, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
