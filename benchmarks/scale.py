"""A run over 50,000 images against one over 500: memory, cost per image, the start, and what the cache saves.

    python benchmarks/scale.py [IMAGES] [--network resnet_nano] [--input-size PIXELS]

Images are 32×32 and synthetic, as many as IMAGES in the test split (50,000 by default), 200 in the other splits; the
network has random weights; τ grid 0.001, two threads, batches of 32. For both numbers of images: the
run, the same command again (finished: nothing is left to do), the run into another folder (all maps from the cache),
and ``rescore``. "Start" is the time until the first image of the test split is taken up; the cost of an image is that
of this split, as the record has it, without the start and what follows the last image.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO

from conditions import conditions
from image_folder import write_image_folder
from memory import watch
from tabulate import tabulate

FEW = 500
OTHERS = {"train": 200, "val": 200}


@dataclass(frozen=True)
class Measured:
    """Of one command: seconds in all, until the test split is taken up and in it, the peaks of its memory in MiB."""

    name: str
    images: int
    seconds: float
    start: float
    split: float
    resident: float
    anonymous: float


def measure(name: str, images: int, command: list[str], environment: dict[str, str]) -> Measured:
    """Return what a command takes, whose last argument is the folder of its record."""
    is_made = not Path(command[-1]).exists()
    started, starts = time.perf_counter(), list[float]()
    process = subprocess.Popen(
        [sys.executable, "-m", "wsolbench", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )

    def listen(stream: IO[str]) -> None:
        for line in stream:
            if line.startswith("[test] ") and not starts:
                starts.append(time.perf_counter() - started)

    assert process.stderr is not None
    listener = Thread(target=listen, args=(process.stderr,))
    listener.start()
    taken = watch(process)
    listener.join()
    record = json.loads((Path(command[-1]) / "record-pc1.json").read_text(encoding="utf-8"))
    split = record["seconds"]["test"] if is_made else 0.0
    start = min(starts, default=taken.seconds)
    return Measured(name, images, taken.seconds, start, split, taken.resident, taken.anonymous)


def measure_all(root: Path, images: int, network: Sequence[str]) -> list[Measured]:
    """Return what the commands take with so many images, the first of them with an empty cache."""
    folder = root / str(images)
    write_image_folder(folder, {**OTHERS, "test": images})
    environment = {**os.environ, "WSOLBENCH_CACHE": str(folder / "cache")}
    data = ["--dataset", "folder", "--data-root", str(folder / "images"), "--metadata-root", str(folder / "metadata")]
    run = [
        "run",
        *network,
        "--weights",
        "random",
        "--method",
        "pc1",
        "--device",
        "cpu",
        "--no-gallery",
        *data,
        "--out",
    ]
    rescore = ["rescore", str(folder / "first" / "record-pc1.json"), "--interval", "0.01", "--out"]
    commands = {
        "run": [*run, str(folder / "first")],
        "the same again": [*run, str(folder / "first")],
        "run, all from the cache": [*run, str(folder / "second")],
        "rescore": [*rescore, str(folder / "third")],
    }
    return [measure(name, images, command, environment) for name, command in commands.items()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=int, nargs="?", default=50_000)
    parser.add_argument("--network", default="resnet_nano")
    parser.add_argument("--input-size", help="in pixels; that of the network by default")
    given = parser.parse_args()
    network = ["--backbone", given.network, *(["--input-size", given.input_size] if given.input_size else [])]
    with tempfile.TemporaryDirectory() as folder:
        few_runs, runs = (measure_all(Path(folder), images, network) for images in (FEW, given.images))
    rows = []
    for pair in zip(few_runs, runs, strict=True):
        few = pair[0]
        rows += [
            [
                *(run.name, f"{run.images:,}", f"{run.seconds:.1f}", f"{run.start:.1f}"),
                f"{1000 * run.split / run.images:.2f}",
                *(f"{run.resident:.0f}", f"{100 * (run.resident / few.resident - 1):+.1f} %"),
                *(f"{run.anonymous:.0f}", f"{100 * (run.anonymous / few.anonymous - 1):+.1f} %"),
            ]
            for run in pair
        ]
    headings = ["command", "images", "s", "start, s", "ms an image", "peak, MiB", "growth", "anonymous, MiB", "growth"]
    print(tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=["left", *["right"] * 8]))
    times = {run.name: run.seconds for run in runs}
    print(f"\nrescore is {times['run'] / times['rescore']:.1f} times as fast as the run of {given.images:,} images.")
    print("\n" + conditions("torch", "numpy"))


if __name__ == "__main__":
    main()
