"""From a scoremap to the best IoU at every threshold: one binarisation per level that differs, traced by OpenCV.

The quantised map has at most 256 levels, so however fine the grid, at most 256 binarisations differ; those between two
values that occur in the map are equal and are traced once. Source: protocol, "Boxes from a scoremap, at one τ".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol.boxes import box_iou

__all__ = ["IouCurves", "best_iou_curves", "boxes_at"]

_NO_CONTOUR = np.zeros((1, 4), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class IouCurves:
    """The best IoU of one image at every threshold, over predicted and true boxes.

    Attributes:
        single: (T,) float64 in [0, 1], predicting the box of the largest contour.
        multi: (T,) float64 in [0, 1], predicting the boxes of all contours.
    """

    single: NDArray[np.float64]
    multi: NDArray[np.float64]


def best_iou_curves(
    scoremap: NDArray[np.floating[Any]], boxes: NDArray[np.integer[Any]], thresholds: NDArray[np.float64]
) -> IouCurves:
    """Return the best IoU at every threshold, in single- and multi-contour mode.

    Args:
        scoremap: (H, W) floats, finite, in [0, 1] (see `check_scoremap`).
        boxes: (n, 4) integers, true boxes in pixels of the scoremap, n >= 1.
        thresholds: (T,) τ, fractions of the map's maximum, not negative.

    Returns:
        Two (T,) curves.
    """
    quantised = _quantise(scoremap)
    present = np.flatnonzero(np.bincount(quantised.ravel(), minlength=256))
    # Foreground at a level is what reaches the next present value; this index is equal for equal binarisations.
    steps = np.searchsorted(present, _levels(quantised, thresholds), side="right")
    distinct, of_threshold = np.unique(steps, return_inverse=True)
    cuts = present[distinct[distinct < present.size]]
    single = np.full(distinct.size, box_iou(_NO_CONTOUR, boxes).max())
    multi = single.copy()
    if cuts.size:
        first: list[int] = []
        largest: list[int] = []
        rectangles: list[Sequence[int]] = []
        for cut in cuts.tolist():  # Python integers: a NumPy one would widen the whole map in every comparison
            of_cut, found = _trace(quantised, cut)
            first.append(len(rectangles))
            largest.append(len(rectangles) + of_cut)
            rectangles += found
        ious = box_iou(_to_boxes(rectangles, quantised.shape), boxes).max(axis=1)
        single[: cuts.size] = ious[largest]
        multi[: cuts.size] = np.maximum.reduceat(ious, first)
    return IouCurves(single[of_threshold], multi[of_threshold])


def boxes_at(scoremap: NDArray[np.floating[Any]], threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the boxes that a scoremap predicts at one threshold.

    Args:
        scoremap: (H, W) floats, finite, in [0, 1].
        threshold: τ, a fraction of the map's maximum, not negative.

    Returns:
        The box of the largest contour (4,), and those of all contours (n, 4), int64 in pixels of the scoremap; without
        a contour, the box [0, 0, 0, 0] and that box alone.
    """
    quantised = _quantise(scoremap)
    level = int(_levels(quantised, np.array([threshold], dtype=np.float64))[0])
    if level >= int(quantised.max()):
        return _NO_CONTOUR[0].copy(), _NO_CONTOUR.copy()
    largest, rectangles = _trace(quantised, level + 1)
    boxes = _to_boxes(rectangles, quantised.shape)
    return boxes[largest], boxes


def _quantise(scoremap: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Truncate to bytes; raised to float64 first, since 255 · s in a narrow type may round up to the next level."""
    return (scoremap.astype(np.float64) * 255).astype(np.uint8, order="C")


def _levels(quantised: NDArray[np.uint8], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    return (thresholds * int(quantised.max())).astype(np.int64)


def _trace(quantised: NDArray[np.uint8], cut: int) -> tuple[int, list[Sequence[int]]]:
    """Trace the foreground `quantised >= cut`, which is not empty.

    Returns:
        The place of the contour of largest area, the first of equals, and every contour's rectangle (x, y, w, h).
    """
    foreground = (quantised >= cut).view(np.uint8)
    contours = cv2.findContours(foreground, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    areas = list(map(cv2.contourArea, contours)) if len(contours) > 1 else [0.0]
    return areas.index(max(areas)), list(map(cv2.boundingRect, contours))


def _to_boxes(rectangles: list[Sequence[int]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return (n, 4) boxes `(x, y, min(x + w, W - 1), min(y + h, H - 1))`: one pixel past the contour, as published."""
    boxes = np.array(rectangles, dtype=np.int64)
    height, width = shape
    boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], [width - 1, height - 1])
    return boxes
