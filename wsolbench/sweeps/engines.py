"""What carries jobs out: the interface, and processes of this machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from subprocess import Popen
from types import TracebackType
from typing import Self

from wsolbench.sweeps.gpus import VARIABLE, Gpus
from wsolbench.sweeps.launch import Start, ended_by, start

__all__ = ["Ended", "Engine", "Local"]


@dataclass(frozen=True)
class Ended:
    """A job whose process ended.

    Args:
        name: The job.
        line: How it ended, for one that said nothing itself; empty where it ended well.
        is_lost: Whether the machine was lost, which is not the fault of the job.
    """

    name: str
    line: str = ""
    is_lost: bool = False


class Engine(ABC):
    """Starts jobs and says which have ended; at the end of its block, those that still run are stopped."""

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether one more job can be started."""

    @abstractmethod
    def start(self, name: str, how: Start) -> None:
        """Start a job. Raises ``OSError`` or ``WsolbenchError``."""

    @abstractmethod
    def ended(self) -> Iterable[Ended]:
        """Return the jobs that have ended since it was last asked."""

    @abstractmethod
    def stop(self) -> None:
        """Stop all jobs that still run, and wait for their end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class Local(Engine):
    """Processes of this machine.

    Args:
        jobs: So many run at once, or fewer where the GPUs are all taken.
        gpus: Those that jobs take; None where they take none, and see all.
    """

    def __init__(self, jobs: int, gpus: Gpus | None = None) -> None:
        self._jobs = jobs
        self._gpus = gpus
        self._running: dict[str, tuple[Popen[bytes], ExitStack]] = {}

    @property
    def has_room(self) -> bool:
        """Whether fewer run than may, and there is a GPU for one more."""
        return len(self._running) < self._jobs and (self._gpus is None or self._gpus.has_room)

    def start(self, name: str, how: Start) -> None:
        """Start a process."""
        with ExitStack() as stack:
            if self._gpus is not None:
                taken = self._gpus.take()
                stack.callback(self._gpus.give_back, taken)
                how = replace(how, variables={**how.variables, VARIABLE: ",".join(taken)})
            process = stack.enter_context(start(how))
            self._running[name] = process, stack.pop_all()

    def ended(self) -> list[Ended]:
        """Return the jobs whose processes have ended."""
        codes = {name: process.poll() for name, (process, _) in self._running.items()}
        ended = {name: code for name, code in codes.items() if code is not None}
        for name in ended:
            self._running.pop(name)[1].close()
        return [Ended(name, ended_by(code) if code else "") for name, code in ended.items()]

    def stop(self) -> None:
        """Ask all processes to stop, then wait for each."""
        for process, _ in self._running.values():
            if process.poll() is None:
                process.terminate()
        with ExitStack() as all_of_them:
            for _, stack in self._running.values():
                all_of_them.push(stack)
        self._running.clear()
