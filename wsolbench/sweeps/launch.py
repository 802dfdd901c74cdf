"""A job in a process of its own, which ends when nobody waits for it any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from wsolbench.cache.place import VARIABLE
from wsolbench.config import RunConfig
from wsolbench.sweeps.command import run_command
from wsolbench.sweeps.folder import Plan, SweepFolder
from wsolbench.sweeps.jobs import Job

__all__ = ["Request", "Start", "ended_by", "start", "start_of"]

GRACE_SECONDS = 20.0
"""So long a process that is asked to stop may take to clean up."""


class Request(BaseModel):
    """What the process of a job is asked to do; it reads it from its standard input.

    Args:
        config: The run, with its folder.
        command: The command that stands for it, for its records.
        state: The file of its state.
        log: The file of its log, which is locked as long as it runs.
        attempt: How often it was started, with this time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: RunConfig
    command: str
    state: Path
    log: Path
    attempt: int


@dataclass(frozen=True)
class Start:
    """How the process is started.

    Args:
        request: What it is asked.
        folder: Its working folder.
        plugins: The files of plugins that it loads.
        variables: What it finds in its environment beside what is there.
    """

    request: Request
    folder: Path
    plugins: tuple[str, ...]
    variables: Mapping[str, str]


def start_of(job: Job, attempt: int, folder: SweepFolder, plan: Plan) -> Start:
    """Return how a job of a sweep is started.

    Paths in its run stay as the user wrote them, relative to the working folder of the plan.
    """
    place = folder.path
    if Path.cwd() != plan.folder and not place.is_absolute():  # resumed from elsewhere
        place = place.resolve()
    seen = SweepFolder(place)
    config = job.into(seen.run(job))
    absolute = SweepFolder(folder.path.absolute())
    request = Request(
        config=config,
        command=run_command(config, plan.plugins),
        state=absolute.state_file(job),
        log=absolute.log(job),
        attempt=attempt,
    )
    variables = {} if plan.cpus is None else {"OMP_NUM_THREADS": str(plan.cpus)}
    if VARIABLE in os.environ:  # other machines have an environment of their own
        variables[VARIABLE] = os.environ[VARIABLE]
    return Start(request, plan.folder, plan.plugins, variables)


@contextmanager
def start(how: Start) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process of a job, in a session of its own; at the end of the block it is stopped if it still runs.

    Its standard input stays open: when it closes, also because this process was killed, the job stops.

    Raises:
        OSError: It cannot be started.
    """
    options = [part for path in how.plugins for part in ("--plugin", path)]
    options += ["--strict"] * how.request.config.strict
    with how.request.log.open("ab", buffering=0) as log:
        log.write(f"# attempt {how.request.attempt}: {how.request.command}\n".encode())
        process = subprocess.Popen(
            [sys.executable, "-m", "wsolbench", "sweep", "job", *options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=how.folder,
            env={**os.environ, **how.variables},
            start_new_session=True,
        )
    assert process.stdin is not None
    try:
        with suppress(OSError):  # it ended at once; how is told by its exit code
            process.stdin.write(how.request.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        yield process
    finally:
        with suppress(OSError):
            process.stdin.close()
        if process.poll() is None:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to stop, and end it where it does not."""
    process.terminate()
    try:
        process.wait(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ended_by(code: int) -> str:
    """Say in words how a process ended that said nothing itself."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        memory = "; perhaps the memory did not suffice" if name == "SIGKILL" else ""
        return f"ended by {name}{memory}"
    return f"ended with exit code {code}"
