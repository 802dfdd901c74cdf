"""What the cache of maps costs a first run, and what a second process gains, as Markdown tables.

    python benchmarks/runs.py [--turns 5]

Two ways of one run take turns, each run in a process of its own, with an empty cache where it has one. The run with the
cache is README's first command, without the gallery; the other way is `--no-cache`. The run of several processes is of
resnet50 with random weights at 224 px, one thread in each process: `--devices 2` against one process. Ratios are
medians of the ratio within a turn.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from commands import measure
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


def seconds(command: list[str]) -> tuple[float, float]:
    """Return the seconds of a run with an empty cache: those that pass, and those of processors."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"WSOLBENCH_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
        return measure(["wsolbench", *command, "--out", f"{folder}/out"], environment, Path(folder))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns, rows = parser.parse_args().turns, []
    for name, (first, second) in PAIRS.items():
        seconds(first)  # compiles what is not compiled yet
        pairs = [(seconds(first), seconds(second)) for _ in range(turns)]
        for which, what in enumerate(("that pass", "of the processor")):
            one, other = ([way[which] for way in pair] for pair in zip(*pairs, strict=True))
            ratio = median(new / old for old, new in zip(one, other, strict=True))
            rows.append([name, what, f"{median(one):.2f}", f"{median(other):.2f}", f"{ratio:.3f}"])
    headings = ["run", "seconds", "first way", "second way", "ratio"]
    print(tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=["left", "left", *["right"] * 3]))
    print("\n" + conditions("torch", "numba"))


if __name__ == "__main__":
    main()
