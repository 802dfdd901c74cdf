"""A small data set in files: drawn discs and squares in class folders, with a file of their boxes."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

__all__ = ["sample_files"]

_SIDE = 64
_IMAGES = {"train": 20, "val": 5, "test": 10}
"""Images of each class in a split."""
_CLASSES = ("disc", "square")


def sample_files() -> dict[str, bytes]:
    """Return path -> content: PNG images ``SPLIT/CLASS/NUMBER.png``, and ``boxes.csv`` for those of val and test."""
    draw = np.random.default_rng(0)
    files: dict[str, bytes] = {}
    boxes = ["image,x0,y0,x1,y1"]
    for split, count in _IMAGES.items():
        for name in _CLASSES:
            for number in range(count):
                path = f"{split}/{name}/{number:02}.png"
                image, corners = _image(name, draw)
                files[path] = _png(image)
                boxes += [] if split == "train" else [",".join([path, *map(str, corners)])]
    return {**files, "boxes.csv": ("\n".join(boxes) + "\n").encode()}


def _image(name: str, draw: np.random.Generator) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """Return an image, RGB (64, 64, 3), and the inclusive corners of the object in it."""
    side = int(draw.integers(16, 37))
    x, y = (int(place) for place in draw.integers(0, _SIDE - side + 1, 2))
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    inside = (rows >= y) & (rows < y + side) & (columns >= x) & (columns < x + side)
    if name == "disc":
        middle = (side - 1) / 2
        inside &= (rows - y - middle) ** 2 + (columns - x - middle) ** 2 <= (side / 2) ** 2
    slopes = draw.uniform(-0.8, 0.8, (2, 3))
    image = 90 + slopes[0] * (rows - 32)[..., None] + slopes[1] * (columns - 32)[..., None]
    image[inside] = draw.integers(160, 256, 3)
    return image.astype(np.uint8), (x, y, x + side - 1, y + side - 1)


def _png(image: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", optimize=True)
    return content.getvalue()
