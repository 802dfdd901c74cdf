"""The best IoU of a scoremap at every threshold, exactly as if it were cut and traced at each threshold on its own.

The quantised map has at most 256 levels, so at most 256 cuts differ, however fine the grid. Compiled code computes all
of them from the hills of the map; it is loaded when it is first needed.

Source: protocol, "Boxes from a scoremap, at one τ".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol.boxes import pack_boxes

__all__ = ["AtOtsu", "IouCurves", "best_iou_curves", "boxes_at"]

_NO_CONTOUR = np.zeros((1, 4), dtype=np.int64)


@dataclass(frozen=True)
class AtOtsu:
    """The best IoU of one image where its map is cut by Otsu's method.

    Attributes:
        threshold: τ, the level of Otsu's method as a fraction of the quantised map's maximum; 0 for a map of zeros.
        single: In [0, 1], where the box of the largest contour is predicted.
        multi: In [0, 1], where the boxes of all contours are predicted.
    """

    threshold: float
    single: float
    multi: float


@dataclass(frozen=True, eq=False)
class IouCurves:
    """The best IoU of one image at every threshold, over all pairs of a predicted and a true box.

    Attributes:
        single: (T,) float64 in [0, 1], where the box of the largest contour is predicted.
        multi: (T,) float64 in [0, 1], where the boxes of all contours are predicted.
        boxes: (T,) the box of the largest contour, packed (see `wsolbench.protocol.boxes.pack_boxes`); None where no
            box is predicted.
        otsu: The same at the τ of Otsu's method, where it was asked for.
    """

    single: NDArray[np.float64]
    multi: NDArray[np.float64]
    boxes: NDArray[np.uint64] | None = None
    otsu: AtOtsu | None = None


def best_iou_curves(
    scoremap: NDArray[np.floating[Any]],
    boxes: NDArray[np.integer[Any]],
    thresholds: NDArray[np.float64],
    *,
    otsu: bool = False,
) -> IouCurves:
    """Return the best IoU at every threshold, in single- and multi-contour mode.

    Args:
        scoremap: (H, W) floats, finite, in [0, 1] (see `check_scoremap`).
        boxes: (n, 4) integers, true boxes in pixels of the scoremap, n >= 1.
        thresholds: (T,) τ, fractions of the map's maximum, not negative.
        otsu: Whether the map is also cut by Otsu's method.

    Returns:
        Two (T,) curves.
    """
    quantised = _quantise(scoremap)
    highest = int(quantised.max())
    # At the map's maximum and above there is no foreground: all these levels share one entry of the curve.
    levels = np.minimum(_levels(quantised, thresholds), highest)
    (single, multi), largest = _level_ious()(quantised, np.array(boxes, dtype=np.int64, order="C"))
    at_otsu = None
    if otsu:
        level = otsu_level(quantised)
        at_otsu = AtOtsu(level / max(highest, 1), float(single[level]), float(multi[level]))
    return IouCurves(single[levels], multi[levels], pack_boxes(largest)[levels], at_otsu)


def otsu_level(quantised: NDArray[np.uint8]) -> int:
    """Return the level of Otsu's method, as OpenCV finds it with 256 bins; the object is what exceeds it.

    Source: Otsu, "A Threshold Selection Method from Gray-Level Histograms", 1979.
    """
    level, _ = cv2.threshold(quantised, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return int(level)


def boxes_at(scoremap: NDArray[np.floating[Any]], threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the boxes that a scoremap predicts at one threshold, traced by OpenCV, in its order; used for drawing.

    Args:
        scoremap: (H, W) floats, finite, in [0, 1].
        threshold: τ, a fraction of the map's maximum, not negative.

    Returns:
        The box of the largest contour (4,), and those of all contours (n, 4), int64 in pixels of the scoremap; without
        a contour, the box [0, 0, 0, 0] and that box alone.
    """
    quantised = _quantise(scoremap)
    level = int(_levels(quantised, np.array([threshold], dtype=np.float64))[0])
    if level >= int(quantised.max()):  # no pixel exceeds the level
        return _NO_CONTOUR[0].copy(), _NO_CONTOUR.copy()
    largest, rectangles = _trace(quantised, level + 1)
    boxes = _to_boxes(rectangles, quantised.shape)
    return boxes[largest], boxes


@cache
def _level_ious() -> Any:
    """Return the compiled sweep; if it has to be compiled first, a line on standard error says so."""
    from wsolbench.protocol.compilation import load_sweep  # not at the top: importing numba takes long

    load_sweep()
    from wsolbench.protocol.level_ious import level_ious

    return level_ious


def _quantise(scoremap: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Truncate 255 · s to bytes, computed in float64: in a narrower type the product may round up to the next level."""
    return (scoremap.astype(np.float64) * 255).astype(np.uint8, order="C")


def _levels(quantised: NDArray[np.uint8], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    # Truncated, as published: the foreground at τ is what exceeds int(τ * maximum).
    return (thresholds * int(quantised.max())).astype(np.int64)


def _trace(quantised: NDArray[np.uint8], cut: int) -> tuple[int, list[Sequence[int]]]:
    """Trace the foreground `quantised >= cut`, which is not empty.

    Returns:
        The index of the contour with the largest area, the first of equals, and every contour's rectangle (x, y, w, h).
    """
    foreground = (quantised >= cut).view(np.uint8)
    contours = cv2.findContours(foreground, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    areas = list(map(cv2.contourArea, contours)) if len(contours) > 1 else [0.0]
    return areas.index(max(areas)), list(map(cv2.boundingRect, contours))


def _to_boxes(rectangles: list[Sequence[int]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return (n, 4) boxes `(x, y, min(x + w, W - 1), min(y + h, H - 1))`; as published, they end past the contour."""
    boxes = np.array(rectangles, dtype=np.int64)
    height, width = shape
    boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], [width - 1, height - 1])
    return boxes
