"""What a command costs: the time that passes, and that of the processor."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def measure(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> tuple[float, float]:
    """Return the seconds that pass while a module of Python runs, and those of all its processes on processors.

    Args:
        command: The module, and its arguments.
        environment: What is in its environment beside what is in ours.
        folder: Where it runs; None for here.
    """
    before, started = os.times(), time.perf_counter()
    whole = [sys.executable, "-m", *command]
    done = subprocess.run(whole, env={**os.environ, **environment}, cwd=folder, capture_output=True, check=False)
    passed, after = time.perf_counter() - started, os.times()
    assert done.returncode == 0, done.stderr.decode()
    return passed, after.children_user + after.children_system - before.children_user - before.children_system
