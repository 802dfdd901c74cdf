"""What is known of a job besides its folder: whether it runs, how fast, and why it failed; a small file a job."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from wsolbench.files import atomic_write, read_regular

__all__ = ["JobState", "Stage", "read_state", "write_state"]

Stage: TypeAlias = Literal["waiting", "running", "done", "failed"]
_LARGEST = 1 << 16


class JobState(BaseModel):
    """Where a job is.

    Args:
        stage: What it is doing.
        attempt: How often it was started.
        phase: What is being done.
        done: Images of the phase that are done.
        total: Images of the phase; None where nobody knows.
        rate: Images in a second, in the phase.
        line: Why it failed, or what else there is to say, in one line.
        host: The machine.
        warnings: How many warnings are in its log, of this attempt.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    stage: Stage = "waiting"
    attempt: int = 0
    phase: str = ""
    done: int = 0
    total: int | None = None
    rate: float | None = None
    line: str = ""
    host: str = ""
    warnings: int = 0


def read_state(path: Path) -> JobState:
    """Return the state in a file; that of a job that waits where there is none, or no whole one."""
    with suppress(OSError, ValidationError):
        return JobState.model_validate_json(read_regular(path, _LARGEST))
    return JobState()


def write_state(path: Path, state: JobState) -> None:
    """Write a state, whole; where the place cannot be written, the job goes on without."""
    with suppress(OSError):
        atomic_write(path, state.model_dump_json().encode())
