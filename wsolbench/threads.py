"""A map over threads that keeps the order and works a bounded number of items ahead."""

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
    """Map a function over items in threads and yield the results in order.

    The threads end when the iteration ends. Close the generator if you may leave it early: otherwise the threads run on
    for as long as an exception keeps the generator alive. Write ``with closing(ordered_map(...)) as results``.

    Args:
        function: Called in the threads, once per item.
        items: The items; they are drawn one at a time.
        workers: Number of threads.
        ahead: How many items may be in work or finished before their result is yielded.

    Yields:
        The results, in the order of the items.
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
