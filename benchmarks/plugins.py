"""How much longer commands take where thirty plugins are installed than where none is.

    python benchmarks/plugins.py [--turns 9] [COMMAND...]

The plugins are those of `wsolbench new`, of all kinds by turns, each a distribution of its own in a temporary folder
that is on PYTHONPATH or is not. The commands, by default `wsolbench --help` and `wsolbench list`, run with and without
it by turns. What is shown are medians over the turns, of seconds of the processor and of seconds that pass; ratios are
medians of the ratio within a turn.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from commands import measure
from conditions import conditions

from wsolbench.scaffold import Kind, Names, project_files

KINDS: tuple[Kind, ...] = ("backbone", "method", "dataset", "recipe", "system")
COUNT = 30


def install(folder: Path) -> None:
    """Write the plugins as pip would have installed them."""
    for number, kind in zip(range(COUNT), itertools.cycle(KINDS), strict=False):
        names = Names.of(f"trial-{kind}-{number}")
        for path, content in project_files(kind, names).items():
            if path.startswith("src/"):
                place = folder / path.removeprefix("src/")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        info = folder / f"{names.package}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {names.distribution}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[wsolbench]\n{names.package} = {names.package}\n")


def seconds(command: list[str], path: str) -> tuple[float, float]:
    """Return the seconds that pass while a command runs with that PYTHONPATH, and those of the processor."""
    return measure(command, {"PYTHONPATH": path})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("commands", nargs="*", default=["wsolbench --help", "wsolbench list"])
    given = parser.parse_args()
    without = os.environ.get("PYTHONPATH", "")
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        with_them = os.pathsep.join(filter(None, [folder, without]))
        listed = subprocess.run(
            [sys.executable, "-m", "wsolbench", "plugins"],
            env={**os.environ, "PYTHONPATH": with_them},
            capture_output=True,
            text=True,
            check=True,
        )
        assert sum(line.startswith("trial-") for line in listed.stdout.splitlines()) == COUNT, listed.stdout
        print(f"| command | what | none, s | {COUNT}, s | ratio |\n|---|---|---:|---:|---:|")
        for command in map(shlex.split, given.commands):
            seconds(command, without), seconds(command, with_them)  # compiles and caches
            turns = [(seconds(command, without), seconds(command, with_them)) for _ in range(given.turns)]
            for index, what in ((1, "of the processor"), (0, "that pass")):
                none, thirty = ([turn[side][index] for turn in turns] for side in (0, 1))
                ratio = median(more / less for less, more in zip(none, thirty, strict=True))
                name = shlex.join(command)
                print(f"| `{name}` | {what} | {median(none):.2f} | {median(thirty):.2f} | {ratio:.2f} |", flush=True)
    print("\n" + conditions("typer"))


if __name__ == "__main__":
    main()
