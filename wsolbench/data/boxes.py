"""Boxes whose corners depend on the size of their image, which may have to be read from its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError

__all__ = ["Quad", "SizedBoxes", "whole_corners", "xywh_to_xyxy"]

Quad: TypeAlias = tuple[float, float, float, float]
"""The four numbers of a box in pixels, perhaps with fractions: corners, or x, y, width and height."""
Corners: TypeAlias = tuple[int, int, int, int]


def xywh_to_xyxy(extent: Quad, size: tuple[int, int]) -> Corners:
    """Return the corners (x, y, min(x + w, W - 1), min(y + h, H - 1)) of a box x, y, w, h, truncated to whole pixels.

    x + w has no - 1: the published lists of CUB and predicted boxes are computed this way (Choe et al., CVPR 2020).
    Fractions are truncated, not rounded: our reading, as no published box with one was available for comparison.
    """
    (x, y, width, height), (image_width, image_height) = extent, size
    return int(x), int(y), int(min(x + width, image_width - 1)), int(min(y + height, image_height - 1))


def whole_corners(corners: Quad, size: tuple[int, int]) -> Corners:  # noqa: ARG001
    """Return inclusive corners x0, y0, x1, y1, truncated to whole pixels."""
    x0, y0, x1, y1 = corners
    return int(x0), int(y0), int(x1), int(y1)


@dataclass(frozen=True, eq=False)
class SizedBoxes(Mapping[str, NDArray[np.int64]]):
    """Image id -> boxes (n, 4) in original pixels, inclusive corners, computed when they are looked up.

    Args:
        quads: Image id -> the four numbers of each box.
        sizes: Image id -> (width, height).
        source: The file that lists the boxes, for messages.
        corners: Four numbers and a size -> corners.
    """

    quads: Mapping[str, Sequence[Quad]]
    sizes: Mapping[str, tuple[int, int]]
    source: str
    corners: Callable[[Quad, tuple[int, int]], Corners] = xywh_to_xyxy

    def __getitem__(self, image_id: str) -> NDArray[np.int64]:
        """Return the boxes of an image. Raises ``DataError`` where one is not inside it."""
        quads, (width, height) = self.quads[image_id], self.sizes[image_id]
        boxes = [self.corners(quad, (width, height)) for quad in quads]
        for quad, (x0, y0, x1, y1) in zip(quads, boxes, strict=True):
            if not (0 <= x0 <= x1 < width and 0 <= y0 <= y1 < height):
                numbers = " ".join(f"{value:g}" for value in quad)
                raise DataError(
                    f"{self.source}: the box {numbers} of {image_id!r} is not inside its {width}x{height} image"
                )
        return np.array(boxes, dtype=np.int64)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.quads

    def __iter__(self) -> Iterator[str]:
        return iter(self.quads)

    def __len__(self) -> int:
        return len(self.quads)
