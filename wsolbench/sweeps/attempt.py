"""One job, carried out in this process: it says how far it is, and its results are there once or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsolbench.console import ConsoleReporter
from wsolbench.drafts import ElsewhereError
from wsolbench.errors import WsolbenchError
from wsolbench.host.registry import Registry
from wsolbench.locks import lock
from wsolbench.progress import Advance
from wsolbench.sweeps.folder import records_of
from wsolbench.sweeps.launch import GRACE_SECONDS, Request
from wsolbench.sweeps.state import JobState, write_state
from wsolbench.texts import one_line

__all__ = ["carry_out", "read_request"]

STATE_SECONDS = 1.0
"""How often a job says how far it is."""


def read_request(descriptor: int) -> Request:
    """Read what is asked; from then on, this process stops when the pipe ends, as it does when its sender ends.

    Args:
        descriptor: Of the pipe; it is read without a buffer, which the end of the interpreter would wait for.
    """
    line = b""
    while not line.endswith(b"\n") and (more := os.read(descriptor, 1 << 16)):
        line += more
    request = Request.model_validate_json(line)

    def watch() -> None:
        with suppress(OSError):
            while os.read(descriptor, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    return request


def carry_out(request: Request, load_plugins: Callable[[], Registry]) -> None:
    """Carry a job out, and let its state say why it failed.

    A job that another process is still at, or has just finished, is not done twice.

    Args:
        request: The job.
        load_plugins: Returns what the plugins offer.

    Raises:
        WsolbenchError: Whatever the user can mend.
    """
    config, state = request.config, JobState(stage="running", attempt=request.attempt, host=socket.gethostname())
    write_state(request.state, state)
    try:
        with _alone(request.log):
            if not records_of(config):
                from wsolbench.engine.run import run

                run(config, load_plugins(), _JobReporter(request.state, state), command=request.command)
    except ElsewhereError:
        if config.out is None or not records_of(config):
            raise
        _remove_copies(config.out, request)
    except WsolbenchError as error:
        write_state(request.state, state.model_copy(update={"stage": "failed", "line": str(error).partition("\n")[0]}))
        raise
    except Exception as error:  # a bug: its traceback is in the log
        line = f"{type(error).__name__}: {one_line(error)}"
        write_state(request.state, state.model_copy(update={"stage": "failed", "line": line}))
        raise


def _remove_copies(place: Path, request: Request) -> None:
    """Remove what this process made under another name, as somebody finished the same job meanwhile."""
    for copy in place.parent.glob(f"{place.name}-[0-9]*"):
        if records_of(request.config.model_copy(update={"out": copy})):
            shutil.rmtree(copy, ignore_errors=True)


@contextmanager
def _alone(log: Path) -> Iterator[None]:
    """Wait until no other process is at the job, as one may be whose sweep was killed just now."""
    with log.open("ab") as file:
        with suppress(OSError):  # a file system without locks
            lock(file.fileno(), wait=True)
        yield


class _JobReporter(ConsoleReporter):
    """Writes to the log, and keeps the state up to date."""

    def __init__(self, path: Path, state: JobState) -> None:
        super().__init__()
        self._path, self._state = path, state

    def warn(self, message: str) -> None:
        """Print a warning, and count it."""
        super().warn(message)
        self._state = self._state.model_copy(update={"warnings": self._state.warnings + 1})
        write_state(self._path, self._state)

    @contextmanager
    def show(self, name: str, total: int | None, unit: str, beside: str) -> Iterator[Advance]:
        """Show a phase until it ends."""
        started = told = time.monotonic()
        done, is_of_images = 0, unit == "images"
        of_phase = self._state.model_copy(update={"phase": name, "total": total})
        write_state(self._path, of_phase)
        with super().show(name, total, unit, beside) as advance:

            def advance_and_tell(more: int) -> None:
                nonlocal done, told
                advance(more)
                done, now = done + more, time.monotonic()
                if now - told >= STATE_SECONDS:
                    told = now
                    rate = {"rate": done / (now - started)} if is_of_images else {}
                    write_state(self._path, of_phase.model_copy(update={"done": done, **rate}))

            yield advance_and_tell
        if is_of_images and done:
            self._state = self._state.model_copy(update={"rate": done / (time.monotonic() - started)})
            write_state(self._path, self._state)
