"""What the published evaluator does with one map, told in our words: the yardstick of the benchmarks.

Every threshold is cut, traced and boxed on its own, and the evaluator runs once for each mode.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol import box_iou


def _boxes(image: NDArray[np.uint8], threshold: float, *, multi: bool) -> list[tuple[int, int, int, int]]:
    height, width = image.shape
    _, cut = cv2.threshold(image, int(threshold * int(image.max())), 255, cv2.THRESH_BINARY)
    contours = cv2.findContours(cut, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not contours:
        return [(0, 0, 0, 0)]
    if not multi:
        contours = [max(contours, key=cv2.contourArea)]
    boxes = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        boxes.append((x, y, min(x + w, width - 1), min(y + h, height - 1)))
    return boxes


def best_ious(
    scoremap: NDArray[np.floating[Any]],
    true_boxes: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    *,
    multi: bool,
    vectorised: bool,
) -> NDArray[np.float64]:
    """Return the best IoU at every threshold.

    Args:
        scoremap: (H, W) floats in [0, 1].
        true_boxes: (n, 4) in pixels of the map.
        thresholds: (T,) τ.
        multi: Box every contour, not the largest alone.
        vectorised: Reduce the IoU table of all boxes once. As published it is reduced over the true boxes anew for
            every threshold, of which Python's `max` then takes the few rows that belong to it.
    """
    image = (scoremap.astype(np.float64) * 255).astype(np.uint8)
    by_threshold = [_boxes(image, threshold, multi=multi) for threshold in thresholds]
    counts = [len(boxes) for boxes in by_threshold]
    table = box_iou(np.array([box for boxes in by_threshold for box in boxes]), true_boxes)
    starts = np.cumsum([0, *counts[:-1]])
    if vectorised:
        return np.maximum.reduceat(table.max(axis=1), starts)
    return np.array(
        [max(table.max(axis=1)[start : start + count]) for start, count in zip(starts, counts, strict=True)]
    )
