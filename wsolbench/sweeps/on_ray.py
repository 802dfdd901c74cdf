"""Jobs on a cluster of Ray: each is one task, whose process writes into the folder that all machines share."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from wsolbench.errors import UsageError
from wsolbench.sweeps.engines import Ended, Engine
from wsolbench.sweeps.launch import GRACE_SECONDS, Start, ended_by, start
from wsolbench.texts import one_line

try:
    import ray
except ImportError as missing:
    raise UsageError("--on ray: Ray is not installed; type: pip install 'wsolbench[ray]'") from missing

__all__ = ["OnRay"]

CONNECT_SECONDS = 10.0


class OnRay(Engine):
    """A cluster of Ray.

    Args:
        address: Where it is; None for the one of this machine, or a new one.
        cpus: Processors that a job takes.
        gpus: GPUs that a job takes.

    Raises:
        UsageError: The cluster cannot be reached, or has no machine for such a job.
    """

    def __init__(self, address: str | None, cpus: int, gpus: float) -> None:
        self._running: dict[Any, str] = {}
        _check_address(address)
        with ExitStack() as stack:
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))  # Ray tells of a lost machine there, in fifty lines
            stack.callback(ray.shutdown)
            with _own_signals():
                try:
                    ray.init(address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
                except Exception as error:  # of any of the libraries that Ray connects with
                    raise UsageError(f"--address {address or 'auto'}: no cluster of Ray ({one_line(error)})") from error
            self._check_room(cpus, gpus)
            self._connected = stack.pop_all()
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_carry_out)

    def _check_room(self, cpus: int, gpus: float) -> None:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(each.get("CPU", 0) >= cpus and each.get("GPU", 0) >= gpus for each in machines):
            raise UsageError(
                f"--on ray: no machine of the cluster has the {cpus} CPUs and {gpus:g} GPUs that a job takes; change "
                "cpus: and gpus: of the sweep"
            )

    @property
    def has_room(self) -> bool:
        """Always: the cluster keeps jobs until there is room."""
        return True

    def start(self, name: str, how: Start) -> None:
        """Hand a job to the cluster."""
        self._running[self._task.remote(how)] = name

    def ended(self) -> Iterator[Ended]:
        """Yield the jobs whose tasks have ended, and those whose machine is gone."""
        for reference in self._ready():
            name = self._running.pop(reference)
            try:
                yield Ended(name, ray.get(reference))
            except ray.exceptions.RayTaskError as error:
                yield Ended(name, one_line(error.cause if isinstance(error.cause, Exception) else error))
            except ray.exceptions.RayError as error:
                yield Ended(name, f"the machine or its worker was lost ({type(error).__name__})", is_lost=True)

    def _ready(self) -> list[Any]:
        if not self._running:
            return []
        try:
            ready: list[Any] = ray.wait([*self._running], num_returns=len(self._running), timeout=0)[0]
        except Exception as error:  # of any of the libraries that Ray connects with
            raise UsageError(f"the cluster of Ray is gone ({one_line(error)}); the same command continues") from error
        return ready

    def stop(self) -> None:
        """Cancel all tasks, and wait until their processes have stopped; where the cluster is gone, they notice it."""
        references = [*self._running]
        self._running.clear()
        with suppress(Exception):
            for reference in references:
                ray.cancel(reference)
            if references:
                ray.wait(references, num_returns=len(references), timeout=GRACE_SECONDS)
        self._connected.close()


def _carry_out(how: Start) -> str:
    """Carry a job out on a machine of the cluster; return how it ended, where not well."""
    missing = next((each for each in (how.folder, how.request.log.parent) if not each.is_dir()), None)
    if missing is not None:
        return f"{socket.gethostname()} has no folder {missing}: all machines of a cluster need the one of the sweep"
    with start(how) as process:
        code = process.wait()
    return ended_by(code) if code else ""


def _check_address(address: str | None) -> None:
    """Refuse an address where nobody answers, for which Ray would wait minutes.

    Raises:
        UsageError: Nobody answers, or it is no address.
    """
    if address in (None, "auto", "local"):
        return
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--address {address}: expected HOST:PORT, as 'ray start --head' shows it, or auto")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"--address {address}: no cluster of Ray answers there ({one_line(error)})") from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals that this process has."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
