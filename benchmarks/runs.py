"""What the cache of maps costs a first run, and what a second process gains, as Markdown tables.

    python benchmarks/runs.py [--turns 5]

Two ways of one run take turns, each run in a process of its own, with an empty cache where it has one. The run with the
cache is README's first command, without the gallery; the other way is `--no-cache`. The run of several processes is of
resnet50 with random weights at 224 px, one thread in each process: `--devices 2` against one process. Ratios are
medians of the ratio within a turn.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

from conditions import conditions
from tabulate import tabulate

RUN = ["run", "--method", "pc1", "--no-gallery"]
CACHED = [*RUN, "--backbone", "replknet"]
SHARED = [
    *RUN,
    "--backbone",
    "resnet50",
    "--weights",
    "random",
    "--input-size",
    "224",
    "--limit",
    "150",
    "--workers",
    "1",
]
PAIRS = {
    "README's first command: cache off, on": ([*CACHED, "--no-cache"], CACHED),
    "resnet50, 300 images: one process, two": (SHARED, [*SHARED, "--devices", "2"]),
}


def measure(command: list[str]) -> tuple[float, float]:
    """Return the seconds that pass while a command runs, and those of all its processes on processors."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "WSOLBENCH_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
        before, started = os.times(), time.perf_counter()
        whole = [sys.executable, "-m", "wsolbench", *command, "--out", f"{folder}/out"]
        subprocess.run(whole, env=environment, cwd=folder, check=True, capture_output=True)
        passed, after = time.perf_counter() - started, os.times()
    return passed, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns, rows = parser.parse_args().turns, []
    for name, (first, second) in PAIRS.items():
        measure(first)  # compiles what is not compiled yet
        pairs = [(measure(first), measure(second)) for _ in range(turns)]
        for which, what in enumerate(("that pass", "of the processor")):
            one, other = ([way[which] for way in pair] for pair in zip(*pairs, strict=True))
            ratio = median(new / old for old, new in zip(one, other, strict=True))
            rows.append([name, what, f"{median(one):.2f}", f"{median(other):.2f}", f"{ratio:.3f}"])
    headings = ["run", "seconds", "first way", "second way", "ratio"]
    print(tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=["left", "left", *["right"] * 3]))
    print("\n" + conditions("torch", "numba"))


if __name__ == "__main__":
    main()
