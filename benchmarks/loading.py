"""How fast photos become a network's input, against a plain loop with Pillow, as a Markdown table.

    python benchmarks/loading.py [FOLDER]

Photos are the JPEG files below a folder or, without one, 300 that are made: smooth noise of 500×375 pixels, a size that
is usual on ImageNet. The plain loop opens, converts, resizes and normalises one image after the other and stacks the
batch; ours is the stream of `wsolbench run` and `wsolbench train`, which besides checks every file. Images a second are
those of wall-clock time, and of processor time, which is a core's. The batches are compared, and are equal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from conditions import conditions
from PIL import Image
from tabulate import tabulate
from torch import Tensor

from wsolbench.contract import InputConfig
from wsolbench.data.image_files import ImageFiles
from wsolbench.data.storage import open_storage
from wsolbench.engine.stream import stream_batches

CONFIG = InputConfig(224)
BATCH = 32
ROUNDS = 5


def write_photos(folder: Path, count: int = 300) -> None:
    """Write smooth noise as JPEG files."""
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        pixels += random.integers(-12, 13, pixels.shape, dtype=np.int16)
        assert cv2.imwrite(str(folder / f"{index:04d}.jpg"), pixels.clip(0, 255).astype(np.uint8))


def plain(folder: Path, ids: tuple[str, ...]) -> Iterator[Tensor]:
    """Yield the batches of a plain loop, (B, 3, 224, 224)."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (CONFIG.mean, CONFIG.std))
    for start in range(0, len(ids), BATCH):
        inputs = []
        for name in ids[start : start + BATCH]:
            image = Image.open(folder / name).convert("RGB")
            image = image.resize((CONFIG.size, CONFIG.size), Image.Resampling.BILINEAR)
            inputs.append((torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 - mean) / std)
        yield torch.stack(inputs)


def ours(folder: Path, ids: tuple[str, ...], workers: int) -> Iterator[Tensor]:
    """Yield the batches of the project's stream."""
    split = ImageFiles(open_storage(folder), ids).split(np.zeros(len(ids), np.int64))
    for batch in stream_batches(split, CONFIG, batch_size=BATCH, workers=workers, device=torch.device("cpu")):
        yield batch.images


def timed(batches: Callable[[], Iterator[Tensor]]) -> tuple[float, float]:
    """Return seconds of wall-clock and of processor time of going through batches."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in batches():
        pass
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="Whose JPEG files to read.")
    given = parser.parse_args().folder
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = given or Path(made)
        if given is None:
            write_photos(folder)
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        ids = tuple(path.relative_to(folder).as_posix() for path in found)
        for expected, actual in zip(plain(folder, ids), ours(folder, ids, 2), strict=True):
            torch.testing.assert_close(actual, expected)
        ways: dict[str, Callable[[], Iterator[Tensor]]] = {
            "plain loop": lambda: plain(folder, ids),
            "wsolbench, 1 thread": lambda: ours(folder, ids, 1),
            "wsolbench, 2 threads": lambda: ours(folder, ids, 2),
        }
        rounds = [{name: timed(batches) for name, batches in ways.items()} for _ in range(ROUNDS)]
    rows = []
    for name in ways:
        wall, processor = (median(each[name][kind] for each in rounds) for kind in (0, 1))
        ratio = median(each["plain loop"][1] / each[name][1] for each in rounds)
        rows.append([name, f"{len(ids) / wall:.0f}", f"{len(ids) / processor:.0f}", f"{ratio:.2f}"])
    headings = ["", "images a second", "images a second of a core", "relative to the plain loop, per core"]
    print(tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=["left", *["right"] * 3]))
    print(f"\n{len(ids)} photos; " + conditions("torch", "pillow", "numpy"))


if __name__ == "__main__":
    main()
