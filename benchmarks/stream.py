"""Memory and time of ``wsolbench evaluate`` as the number of stored maps grows, as a Markdown table.

    python benchmarks/stream.py

Every count runs in a process of its own; memory is the peak resident set that the system reports for it. Maps are
12×12, float16, and are upsampled while they are scored; τ grid 0.001, two threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from map_folder import read_all, write_map_folder
from tabulate import tabulate

COUNTS = (2_000, 10_000, 50_000)


def measure(root: Path) -> tuple[float, float]:
    """Return seconds and peak MiB of an evaluation in a process of its own."""
    command = [sys.executable, "-m", "wsolbench", "evaluate", "--json"]
    command += ["--metadata-root", str(root / "metadata"), "--scoremaps", str(root / "maps")]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    rows = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_map_folder(root, count)
            started = time.perf_counter()
            read_all(root)
            reading = time.perf_counter() - started
            seconds, peak = measure(root)
        rows.append([f"{count:,}", f"{peak:.0f}", f"{1000 * seconds / count:.2f}", f"{1000 * reading / count:.2f}"])
    headings = ["maps", "peak memory, MiB", "evaluate, ms a map", "reading alone, ms a map"]
    print(tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=["right"] * 4))


if __name__ == "__main__":
    main()
