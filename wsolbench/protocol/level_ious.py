"""The best IoU at every level of a quantised map, from the boxes of its components and holes.

The foreground at a level is the set of pixels whose value exceeds it. When the level falls from 255 to 0, pixels only
ever join the foreground: components appear, grow and merge. The background behaves in the same way when the level
rises, that is, on the inverted map. OpenCV traces the contours of components and of holes, and all of them count in
multi-contour mode; in single-contour mode only the component of the largest area counts, with its holes filled.

Every function that numba compiles calls only functions of its own file: a cached function is compiled again only when
its file changes. They are few and call each other at most two deep, because numba optimises a function anew in each
that calls it.

Source: protocol, "Boxes from a scoremap, at one τ"; component trees as in Najman and Couprie, "Building the component
tree in quasi-linear time", IEEE Transactions on Image Processing 15(11), 2006.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from wsolbench.protocol.areas import find_largest, number_components
from wsolbench.protocol.compiler import compiled
from wsolbench.protocol.growth import HIGH, LOW, X0, X1, Y0, Y1, grow
from wsolbench.protocol.hills import find_hills, find_leaves
from wsolbench.protocol.holes import fill_holes

__all__ = ["level_ious"]

Table: TypeAlias = NDArray[np.int32]
Boxes: TypeAlias = NDArray[np.int64]
Curves: TypeAlias = NDArray[np.float64]
Extent: TypeAlias = tuple[int, int, int, int]

_LEVELS: Final = 256
_NONE: Final = np.empty((0, 3), dtype=np.int32)
_NO_RECORDS: Final = np.empty((0, 8), dtype=np.int32)


def level_ious(quantised: NDArray[np.uint8], boxes: Boxes) -> tuple[Curves, Table]:
    """Return the best IoU at every level, for the largest contour and for all contours, and the box of the largest.

    Args:
        quantised: (H, W) uint8, C-contiguous, H and W at least 1.
        boxes: (n, 4) int64, C-contiguous, true boxes in pixels of the map.

    Returns:
        (2, 256) float64 in [0, 1]: single- and multi-contour mode; and (256, 4), the box of the largest contour. At the
        map's maximum and above there is no foreground, and the box is [0, 0, 0, 0].
    """
    hills, rows = find_hills(quantised)
    leaf_of, leaves, saddles = find_leaves(quantised, hills, rows, 1, False)
    records, merges = grow(quantised, hills, rows, leaf_of, leaves, saddles)
    number, home, size = number_components(hills, leaf_of, leaves, merges)

    inverted = ~quantised
    basins, basin_rows = find_hills(inverted)
    basin_leaf, basin_leaves, saddles = find_leaves(inverted, basins, basin_rows, 0, True)
    holes, enclosed, filled = _NO_RECORDS, _NONE, quantised
    if len(basin_leaves) > 1:  # not everything is outside
        holes, hole_merges = grow(inverted, basins, basin_rows, basin_leaf, basin_leaves, saddles)
        if len(holes):
            filled = quantised.copy()
            enclosed = fill_holes(filled, hills, rows, home, inverted, basins, basin_rows, basin_leaf, hole_merges)
    largest = find_largest(filled, hills, rows, home, records, merges, number, size, enclosed)
    scored: tuple[Curves, Table] = _score(records, holes, largest, boxes, *quantised.shape)
    return scored


@njit(nogil=True, inline="always")
def _extent(records: Table, index: int, margin: int, height: int, width: int) -> Extent:
    """Return the box of a contour; as published, it ends one pixel past it, or at the last pixel of the map.

    Contours consist of foreground: that of a component is at its own outermost pixels (margin 0), that of a hole at the
    pixels around it (margin 1).
    """
    left, top = records[index, X0] - margin, records[index, Y0] - margin
    right, bottom = records[index, X1] + margin + 1, records[index, Y1] + margin + 1
    return left, top, min(right, width - 1), min(bottom, height - 1)


@njit(nogil=True, error_model="numpy")
def _best_iou(box: Extent, boxes: Boxes) -> float:
    """Return the best intersection over union of a box with the true boxes."""
    # Boxes include their last row and column, hence the + 1. No area is 0, which lets the error model skip its test.
    left, top, right, bottom = box
    best = 0.0
    for index in range(len(boxes)):
        x0, y0, x1, y1 = boxes[index, 0], boxes[index, 1], boxes[index, 2], boxes[index, 3]
        width = min(right, x1) - max(left, x0) + 1
        height = min(bottom, y1) - max(top, y0) + 1
        if width > 0 and height > 0:
            shared = width * height
            union = (right - left + 1) * (bottom - top + 1) + (x1 - x0 + 1) * (y1 - y0 + 1) - shared
            best = max(best, shared / union)
    return best


@compiled(
    "Tuple((float64[:, ::1], int32[:, ::1]))(int32[:, ::1], int32[:, ::1], int32[::1], int64[:, ::1], int64, int64)"
)
def _score(records: Table, holes: Table, largest: Table, boxes: Boxes, height: int, width: int) -> tuple[Curves, Table]:
    """Return what `level_ious` does, from the records of components and holes and the numbers of the largest."""
    curves = np.zeros((2, _LEVELS))
    single, multi = curves
    ious = np.empty(len(records))
    for index in range(len(records)):
        iou = ious[index] = _best_iou(_extent(records, index, 0, height, width), boxes)
        for level in range(records[index, LOW], records[index, HIGH]):
            multi[level] = max(multi[level], iou)
    for index in range(len(holes)):
        iou = _best_iou(_extent(holes, index, 1, height, width), boxes)
        # A pixel is above a level of the inverted map if it is at most 254 minus that level.
        for level in range(_LEVELS - 1 - holes[index, HIGH], _LEVELS - 1 - holes[index, LOW]):
            multi[level] = max(multi[level], iou)
    winners = np.zeros((_LEVELS, 4), dtype=np.int32)
    nothing = _best_iou((0, 0, 0, 0), boxes)
    for level in range(_LEVELS):
        index = largest[level]
        if index < 0:  # at the map's maximum and above
            single[level] = multi[level] = nothing
        else:
            single[level] = ious[index]
            x0, y0, x1, y1 = _extent(records, index, 0, height, width)
            winners[level, 0], winners[level, 1], winners[level, 2], winners[level, 3] = x0, y0, x1, y1
    return curves, winners
