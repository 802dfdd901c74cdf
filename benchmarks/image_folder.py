"""A data set in the reference layout with small images: a bright rectangle in noise, boxed; its colour is the class."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 32
COLOURS = ((220, 40, 40), (40, 200, 60))


def write_image_folder(root: Path, counts: dict[str, int]) -> None:
    """Write ``root/images`` and ``root/metadata`` with so many images for each published split folder."""
    for number, (split, count) in enumerate(counts.items()):
        random = np.random.default_rng(number)
        ids = [f"{split}/{index // 1000:03d}/{index:06d}.png" for index in range(count)]
        starts = random.integers(0, SIDE // 2, (count, 2))
        boxes = np.hstack([starts, starts + random.integers(SIDE // 4, SIDE // 2, (count, 2))])
        write_lists(root / "metadata" / split, ids, (SIDE, SIDE), boxes)
        for index, (image_id, (x0, y0, x1, y1)) in enumerate(zip(ids, boxes, strict=True)):
            pixels = random.integers(60, 140, (SIDE, SIDE, 3), dtype=np.uint8)
            pixels[y0 : y1 + 1, x0 : x1 + 1] = COLOURS[index % 2]
            path = root / "images" / image_id
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), pixels)


def write_lists(folder: Path, ids: list[str], size: tuple[int, int], boxes: NDArray[np.int64]) -> None:
    """Write the lists of a split, of images of one size with a box each; every second image is of the other class."""
    folder.mkdir(parents=True)
    lines = {
        "image_ids.txt": ids,
        "class_labels.txt": [f"{image_id},{index % 2}" for index, image_id in enumerate(ids)],
        "image_sizes.txt": [f"{image_id},{size[0]},{size[1]}" for image_id in ids],
        "localization.txt": [
            f"{image_id},{x0},{y0},{x1},{y1}" for image_id, (x0, y0, x1, y1) in zip(ids, boxes, strict=True)
        ],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n", encoding="utf-8")
