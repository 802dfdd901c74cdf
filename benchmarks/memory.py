"""Peak memory of a whole ``wsolbench run`` of a method as the number of images grows, as a Markdown table; on Linux.

    python benchmarks/memory.py METHOD

Every count is that of the test split and runs in a process of its own; train-fullsup and train-weaksup hold 200 images
each. Memory is the peak resident set that the system reports for the process. Libraries are part of it, some of them
until the very end, and hide what grows below them: so the peak of the anonymous part is given too, which is mapped from
no file, as seen ten times a second. Images are 32×32 and synthetic; the network is resnet_nano with random weights; τ
grid 0.001, two threads, batches of 32.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conditions import conditions
from image_folder import write_image_folder
from tabulate import tabulate

COUNTS = (2_000, 20_000)
OTHERS = {"train": 200, "val": 200}


@dataclass(frozen=True)
class Measured:
    """Peaks in MiB and wall-clock seconds of a run."""

    resident: float
    anonymous: float
    seconds: float


def measure(method: str, count: int) -> Measured:
    """Return what a run over so many images takes."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_image_folder(root, {**OTHERS, "test": count})
        command = [sys.executable, "-m", "wsolbench", "run", "--method", method, "--out", str(root / "out")]
        command += ["--backbone", "resnet_nano", "--weights", "random", "--device", "cpu", "--dataset", "folder"]
        command += ["--data-root", str(root / "images"), "--metadata-root", str(root / "metadata")]
        return watch(subprocess.Popen(command, stdout=subprocess.DEVNULL))


def watch(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> Measured:
    """Return what a process takes until it ends."""
    started, anonymous, ended = time.perf_counter(), 0, 0
    while not ended:
        anonymous = max(anonymous, anonymous_kib(process.pid))
        time.sleep(0.1)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    assert status == 0, f"{process.args} failed"
    return Measured(usage.ru_maxrss / 1024, anonymous / 1024, time.perf_counter() - started)


def anonymous_kib(pid: int) -> int:
    """Return the resident memory of a process that is mapped from no file; 0 when it is about to end."""
    with suppress(OSError):
        found = re.search(r"RssAnon:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) if found else 0
    return 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", help="As after 'wsolbench run --method'.")
    method = parser.parse_args().method
    runs = {count: measure(method, count) for count in COUNTS}
    few = runs[COUNTS[0]]
    rows = [
        [
            *(method, f"{count:,}"),
            *(f"{run.resident:.0f}", f"{100 * (run.resident / few.resident - 1):+.1f} %"),
            *(f"{run.anonymous:.0f}", f"{100 * (run.anonymous / few.anonymous - 1):+.1f} %"),
            f"{1000 * run.seconds / count:.1f}",
        ]
        for count, run in runs.items()
    ]
    headings = ["method", "images", "peak memory, MiB", "growth", "anonymous, MiB", "growth", "ms an image"]
    print(tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=["left", *["right"] * 6]))
    print("\n" + conditions("torch", "numpy"))


if __name__ == "__main__":
    main()
