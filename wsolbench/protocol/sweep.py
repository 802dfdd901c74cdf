"""From a scoremap to the best IoU at every threshold, exactly as if each were cut and traced on its own.

The quantised map has at most 256 levels, so however fine the grid, at most 256 cuts differ. What they hold is read off
component trees in compiled code, which is loaded when it is first needed. Source: protocol, "Boxes from a scoremap, at
one τ".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

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
    levels = np.minimum(_levels(quantised, thresholds), int(quantised.max()))
    single, multi = _level_ious()(quantised, np.array(boxes, dtype=np.int64, order="C"))
    return IouCurves(single[levels], multi[levels])


def boxes_at(scoremap: NDArray[np.floating[Any]], threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the boxes that a scoremap predicts at one threshold, traced by OpenCV: for drawing, and in its order.

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


@cache
def _level_ious() -> Any:
    """Return the compiled sweep; where it has to be compiled and nobody has said so, standard error does."""
    from wsolbench.protocol.compilation import load_sweep  # not sooner: numba is slow to import

    load_sweep()
    from wsolbench.protocol.component_tree import level_ious

    return level_ious


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
