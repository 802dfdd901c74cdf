"""Jobs on a cluster of Ray: each is one task, whose process writes into the folder that all machines share."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wsolbench.errors import UsageError
from wsolbench.sweeps.engines import Ended, Engine
from wsolbench.sweeps.launch import Start, ended_by, start
from wsolbench.texts import one_line

try:
    import ray
except ImportError as missing:
    raise UsageError("--on ray: Ray is not installed; type: pip install 'wsolbench[ray]'") from missing

__all__ = ["OnRay"]


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
        with _own_signals():
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
            except Exception as error:  # of any of the libraries that Ray connects with
                raise UsageError(f"--address {address or 'auto'}: no cluster of Ray ({one_line(error)})") from error
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_carry_out)
        self._running: dict[Any, str] = {}
        try:
            self._check_room(cpus, gpus)
        except UsageError:
            ray.shutdown()
            raise

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
        ready, _ = ray.wait([*self._running], num_returns=len(self._running), timeout=0) if self._running else ([], [])
        for reference in ready:
            name = self._running.pop(reference)
            try:
                yield Ended(name, ray.get(reference))
            except ray.exceptions.RayTaskError as error:
                yield Ended(name, one_line(error.cause if isinstance(error.cause, Exception) else error))
            except ray.exceptions.RayError as error:
                yield Ended(name, f"the machine or its worker was lost ({type(error).__name__})", is_lost=True)

    def stop(self) -> None:
        """Cancel all tasks: their processes notice it and stop."""
        for reference in self._running:
            ray.cancel(reference, force=True)
        self._running.clear()
        ray.shutdown()


def _carry_out(how: Start) -> str:
    """Carry a job out on a machine of the cluster; return how it ended, where not well."""
    with start(how) as process:
        code = process.wait()
    return ended_by(code) if code else ""


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals that this process has."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
