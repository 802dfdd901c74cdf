"""The pointing games: does a scoremap's maximum lie on the object, and how much of its energy does.

Source: Zhang et al., "Top-Down Neural Attention by Excitation Backprop", International Journal of Computer Vision 126,
2018, section 4.1, for the point and its tolerance of 15 pixels; Wang et al., "Score-CAM: Score-Weighted Visual
Explanations for Convolutional Neural Networks", CVPR Workshops 2020, section 4.3, for the energy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol.grid import POINTING_TOLERANCE

__all__ = ["Pointing", "point_at_boxes", "point_at_mask"]

Scoremap = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Pointing:
    """How a scoremap does in the pointing games.

    Attributes:
        exact: Whether its maximum lies on the object.
        near: Whether its maximum lies at most `POINTING_TOLERANCE` pixels from the object, along a straight line.
        energy: The share of the sum of all pixels that lies on the object, in [0, 1]; 0 for a map of zeros.
    """

    exact: bool
    near: bool
    energy: float


def point_at_boxes(scoremap: Scoremap, boxes: NDArray[np.integer[Any]]) -> Pointing:
    """Return how a scoremap does in the pointing games where the object is what true boxes cover.

    The maximum is the first pixel with the highest score, row by row. A map of one value has none and misses.

    Args:
        scoremap: (H, W) floats, finite, in [0, 1].
        boxes: (n, 4) integers in pixels of the map, corners inclusive, n >= 1.
    """
    corners = [[max(corner, 0) for corner in box] for box in boxes.tolist()]
    energy = _share(scoremap, _energy_in(scoremap, corners))
    point = _maximum(scoremap)
    if point is None:
        return Pointing(False, False, energy)
    squared = min(_squared_distance(point, box) for box in corners)
    return Pointing(squared == 0, squared <= POINTING_TOLERANCE**2, energy)


def point_at_mask(
    scoremap: Scoremap, foreground: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None
) -> Pointing:
    """Return the same where the object is the foreground of a mask.

    Args:
        scoremap: (H, W) floats, finite, in [0, 1].
        foreground: (H, W) bool.
        ignore: (H, W) bool: pixels that do not count in the energy, unless they are foreground.
    """
    counted = scoremap if ignore is None else np.where(ignore & ~foreground, 0, scoremap)
    energy = _share(counted, float(counted.sum(where=foreground, dtype=np.float64)))
    point = _maximum(scoremap)
    if point is None:
        return Pointing(False, False, energy)
    x, y = point
    left, top = max(x - POINTING_TOLERANCE, 0), max(y - POINTING_TOLERANCE, 0)
    rows, columns = np.nonzero(foreground[top : y + POINTING_TOLERANCE + 1, left : x + POINTING_TOLERANCE + 1])
    squared = (rows + top - y) ** 2 + (columns + left - x) ** 2
    return Pointing(bool(foreground[y, x]), bool((squared <= POINTING_TOLERANCE**2).any()), energy)


def _maximum(scoremap: Scoremap) -> tuple[int, int] | None:
    """Return (x, y) of the first pixel with the highest score; None of a map of one value."""
    place = int(scoremap.argmax())
    if place == 0 and scoremap.flat[0] == scoremap.min():
        return None
    y, x = divmod(place, scoremap.shape[1])
    return x, y


def _squared_distance(point: tuple[int, int], box: list[int]) -> int:
    """Return the squared distance of a pixel from the nearest pixel of a box."""
    (x, y), (x0, y0, x1, y1) = point, box
    return max(x0 - x, x - x1, 0) ** 2 + max(y0 - y, y - y1, 0) ** 2


def _energy_in(scoremap: Scoremap, boxes: list[list[int]]) -> float:
    """Return the sum of the pixels that at least one box covers."""
    if len(boxes) == 1:
        ((x0, y0, x1, y1),) = boxes
        return _sum(scoremap[y0 : y1 + 1, x0 : x1 + 1])
    covered = np.zeros(scoremap.shape, dtype=np.bool_)
    for x0, y0, x1, y1 in boxes:
        covered[y0 : y1 + 1, x0 : x1 + 1] = True
    return _sum(scoremap * covered)


def _share(scoremap: Scoremap, inside: float) -> float:
    total = _sum(scoremap)
    return min(inside / total, 1.0) if total > 0 else 0.0


def _sum(scoremap: Scoremap) -> float:
    """Return the sum of all pixels, added in float64: OpenCV takes a sixth of NumPy's time."""
    if scoremap.dtype.char not in "fd":
        scoremap = scoremap.astype(np.float64)
    return float(cv2.sumElems(scoremap)[0]) if scoremap.size else 0.0
