"""One command as several processes of this machine, which ``torchrun``'s own launcher starts."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
from collections.abc import Sequence

from wsolbench.cli.output import tell
from wsolbench.errors import UsageError

__all__ = ["start_processes"]

_MOST = 1024


def start_processes(arguments: Sequence[str], devices: str, *, again: str = "the same command") -> int:
    """Carry a command out in several processes, and return the exit code; the first of them prints.

    Args:
        arguments: Of the command.
        devices: How many, or ``auto`` for one on each GPU.
        again: What continues the work where a process was killed.

    Raises:
        UsageError: It is no number, or there is no GPU.
    """
    count = _count(devices)
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # errors are told in one line
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=secrets.token_hex(8),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "wsolbench", *arguments)
    except ChildFailedError as error:
        return _say_failed({rank: failure.exitcode for rank, failure in error.failures.items()}, count, again)
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    return 0


def _count(devices: str) -> int:
    if devices == "auto":
        from torch import cuda

        if not cuda.is_available():
            raise UsageError("--devices auto: this machine has no GPU; name a number of processes, such as --devices 2")
        return cuda.device_count()
    if not devices.isascii() or not devices.isdigit() or not 1 <= int(devices) <= _MOST:
        raise UsageError(f"--devices {devices}: expected a number from 1 on, or auto")
    return int(devices)


def _say_failed(codes: dict[int, int], count: int, again: str) -> int:
    """Say why the processes ended, where none of them could say it; return the exit code."""
    # The launcher ends the others with SIGTERM when one has failed, so this signal is a reason only where all have it.
    killed = [(rank, code) for rank, code in codes.items() if code < 0 and code != -signal.SIGTERM]
    told = [(rank, code) for rank, code in codes.items() if code > 0]
    rank, code = min(killed or told or codes.items())
    if code < 0:
        name = signal.Signals(-code).name
        tell(f"error: process {rank} of {count} was ended by {name}, and the run with it; {again} goes on")
        return 2
    return code
