"""The GPUs of this machine, dealt to the jobs that run at once."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Sequence

from wsolbench.errors import UsageError

__all__ = ["VARIABLE", "Gpus", "gpus_of_machine"]

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that says which GPUs a process sees."""


class Gpus:
    """GPUs that jobs take and give back.

    Args:
        names: As `VARIABLE` has them.
        of_a_job: How many a job takes; of a part, as 0.5, several jobs share one GPU.

    Raises:
        UsageError: There are fewer than a job takes.
    """

    def __init__(self, names: Sequence[str], of_a_job: float) -> None:
        self._count = math.ceil(of_a_job)
        if len(names) < self._count:
            raise UsageError(
                f"--on local: a job takes {of_a_job:g} GPUs, and there are {len(names)} here; change gpus: of the sweep"
            )
        sharing = int(1 / of_a_job + 1e-9) if 0 < of_a_job < 1 else 1
        self._free = deque(list(names) * sharing)

    @property
    def has_room(self) -> bool:
        """Whether there are enough for one more job."""
        return len(self._free) >= self._count

    def take(self) -> list[str]:
        """Return the GPUs of a job, which it has for itself, or shares with as many as was said."""
        return [self._free.popleft() for _ in range(self._count)]

    def give_back(self, names: Sequence[str]) -> None:
        """Take back the GPUs of a job that has ended."""
        self._free.extend(names)


def gpus_of_machine() -> list[str]:
    """Return the GPUs that this process may use."""
    if VARIABLE in os.environ:
        return [name for name in os.environ[VARIABLE].split(",") if name]
    from torch import cuda  # only where jobs take GPUs

    return [str(number) for number in range(cuda.device_count())]
