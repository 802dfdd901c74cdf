"""How long the main job of README takes with the code of a revision and with this one, by turns, once installed.

    python benchmarks/first_command.py REVISION [--turns 5]

The job is ``wsolbench run --backbone replknet --method pc1``: 300 images of train-fullsup and 1,000 of test, drawn,
scored and written with record and gallery. Every run has an empty cache of maps; what is compiled once for each
installation is compiled before. Ratios are medians of the ratio within a turn.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from commands import measure
from conditions import conditions
from revisions import ROOT, checkout, python_path

JOB = ["run", "--backbone", "replknet", "--method", "pc1"]


def seconds(root: Path) -> tuple[float, float]:
    """Return the seconds that pass and those of the processor while the job runs with the code below a folder."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PYTHONPATH": python_path(root), "WSOLBENCH_CACHE": f"{folder}/cache"}
        return measure(["wsolbench", *JOB, "--out", f"{folder}/out"], environment, Path(folder))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, checkout(given.revision, Path(scratch) / "before") as old:
        for root in (old, ROOT):
            seconds(root)  # compiles what is not compiled yet
        turns = [(seconds(old), seconds(ROOT)) for _ in range(given.turns)]
    print(f"| | {given.revision}, s | now, s | ratio |\n|---|---:|---:|---:|")
    for which, name in enumerate(("that pass", "of the processor")):
        before, now = ([turn[code][which] for turn in turns] for code in (0, 1))
        ratio = median(new / old for old, new in zip(before, now, strict=True))
        print(f"| {name} | {median(before):.2f} | {median(now):.2f} | {ratio:.2f} |")
    print("\n" + conditions("torch", "numba"))


if __name__ == "__main__":
    main()
