"""Several processes that carry out one run: who makes which maps, and how their parts come together.

``torchrun`` starts the processes and tells each its number. Images are dealt in whole batches, so that every map is
made beside the same images as in one process. What is exchanged are objects in main memory (gloo), whatever computes.
The first process prints, reports errors of all, and writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from wsolbench.errors import EndedTogetherError, UsageError, WsolbenchError

__all__ = ["ALONE", "Ranks", "is_started_by_torchrun", "joined_ranks"]

T = TypeVar("T")
_PATIENCE = timedelta(days=7)
"""How long a process waits for the others; one that has died is noticed at once."""
_LOST = re.compile("connect|socket|pipe|endpoint|remote process|time(d )?out|abort", re.IGNORECASE)
"""What the errors of gloo and nccl say when another process is gone: they are of the same class as all others."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, as one of them sees them.

    Args:
        number: Of this process.
        count: Of the processes.
        place: Of this process among those of its machine, which says which GPU it uses.
    """

    number: int = 0
    count: int = 1
    place: int | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes."""
        return self.number == 0

    def share(self, images: int, batch_size: int) -> list[int]:
        """Return the positions of the images of this process: every `count`-th batch, whole."""
        starts = range(self.number * batch_size, images, self.count * batch_size)
        return [index for start in starts for index in range(start, min(start + batch_size, images))]

    def together(self, work: Callable[[], T]) -> T:
        """Return what this process makes of work that all do, when all have done it.

        Raises:
            WsolbenchError: It fails in some process: its error in the first process.
            EndedTogetherError: The same in the others.
        """
        return self._tried(work)

    def gathered(self, work: Callable[[], T]) -> list[T]:
        """Return what every process makes of its work, in their order, in the first process; nothing in the others.

        Raises:
            WsolbenchError: As for `together`.
        """
        made = self._tried(work)
        if self.count == 1:
            return [made]
        from torch import distributed  # not at the top: stored maps are scored without torch

        parts: list[Any] | None = [None] * self.count if self.is_first else None
        with self.noticing_deaths():
            distributed.gather_object(made, parts, dst=0)
        return parts or []

    def gathered_everywhere(self, work: Callable[[], T]) -> list[T]:
        """Return what every process makes of its work, in their order, in all of them.

        Raises:
            WsolbenchError: As for `together`.
        """
        made = self._tried(work)
        return [made] if self.count == 1 else self._exchanged(made)

    def from_first(self, work: Callable[[], T]) -> T:
        """Return what the first process makes of some work, in all of them.

        Raises:
            WsolbenchError: As for `together`.
        """
        made = self._tried(lambda: [work()] if self.is_first else [])
        parts: list[list[T]] = [made] if self.count == 1 else self._exchanged(made)
        return parts[0][0]

    def _tried(self, work: Callable[[], T]) -> T:
        """Do some work; where it fails in any process, all raise."""
        if self.count == 1:
            return work()
        made: list[T] = []
        error: tuple[type[WsolbenchError], str] | None = None
        try:
            made.append(work())
        except WsolbenchError as raised:
            error = type(raised), str(raised)
        errors = [each for each in self._exchanged(error) if each is not None]
        if not errors:
            return made[0]
        if not self.is_first:
            raise EndedTogetherError("another process of the run tells why it ended")
        kind, message = errors[0]
        raise kind(message)

    def _exchanged(self, made: Any) -> list[Any]:
        from torch import distributed

        parts: list[Any] = [None] * self.count
        with self.noticing_deaths():
            distributed.all_gather_object(parts, made)
        return parts

    @contextmanager
    def noticing_deaths(self) -> Iterator[None]:
        """End without a word where another process has ended; it, or the program that started both, tells why.

        Any other error is this process's own, and nobody else could tell it.

        Raises:
            EndedTogetherError: One has.
        """
        try:
            yield
        except RuntimeError as error:
            if not _LOST.search(str(error)):
                raise
            raise EndedTogetherError("another process of the run has ended") from error


ALONE = Ranks()
"""The one process of a run that no other helps."""


def is_started_by_torchrun() -> bool:
    """Return whether ``torchrun`` has started this process."""
    return {"RANK", "WORLD_SIZE"} <= os.environ.keys()


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started; without it, the process is alone.

    Raises:
        UsageError: They do not find each other.
    """
    count = int(os.environ["WORLD_SIZE"]) if is_started_by_torchrun() else 1
    if count == 1:
        yield ALONE
        return
    from torch import distributed

    try:
        distributed.init_process_group("gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"the {count} processes of torchrun do not find each other ({reason})") from error
    yield Ranks(distributed.get_rank(), count, int(os.environ.get("LOCAL_RANK", 0)))
    # Not after an error: the others would end, and this process with them, perhaps before it has said what went wrong.
    distributed.destroy_process_group()
