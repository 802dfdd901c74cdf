"""Peak memory of a whole ``wsolbench run`` of a method as the number of images grows, as a Markdown table.

    python benchmarks/memory.py METHOD

Every count is that of the test split and runs in a process of its own; train-fullsup and train-weaksup hold 200 images
each. Memory is the peak resident set that the system reports for the process. Images are 32×32 and synthetic; the
network is resnet_nano with random weights; τ grid 0.001, two threads, batches of 32.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conditions import conditions
from image_folder import write_image_folder
from tabulate import tabulate

COUNTS = (2_000, 20_000)
OTHERS = {"train": 200, "val": 200}


def measure(method: str, count: int) -> tuple[float, float]:
    """Return seconds and peak MiB of a run over so many images."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_image_folder(root, {**OTHERS, "test": count})
        command = [sys.executable, "-m", "wsolbench", "run", "--method", method, "--out", str(root / "out")]
        command += ["--backbone", "resnet_nano", "--weights", "random", "--device", "cpu", "--dataset", "folder"]
        command += ["--data-root", str(root / "images"), "--metadata-root", str(root / "metadata")]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, f"{command} failed"
        return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", help="As after 'wsolbench run --method'.")
    method = parser.parse_args().method
    rows, base = [], 0.0
    for count in COUNTS:
        seconds, peak = measure(method, count)
        base = base or peak
        growth = f"{100 * (peak / base - 1):+.1f} %"
        rows.append([method, f"{count:,}", f"{peak:.0f}", growth, f"{1000 * seconds / count:.1f}"])
    headings = ["method", "images", "peak memory, MiB", "growth", "ms an image"]
    print(tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=["left", *["right"] * 4]))
    print("\n" + conditions("torch", "numpy"))


if __name__ == "__main__":
    main()
