"""What is wrong with predicted boxes: kinds of errors that exclude each other and add up to all of them.

A predicted box is compared with the true box that it fits best. Its area as a share of the true one bounds their IoU:
with less than δ, or with more than 1 / δ, the box would be wrong wherever it is. Where the area would do, the box is
moved until its centre is the true one: if it is right there, the place was the error; otherwise the shape is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol.boxes import NO_BOX, best_matches, box_areas, box_centres
from wsolbench.protocol.per_image import BoxLists

__all__ = ["KINDS", "BoxErrors", "compare_boxes"]

KINDS: Final = (
    "right",
    "no box",
    "elsewhere",
    "several objects",
    "too small",
    "too large",
    "off-centre",
    "wrong shape",
)
"""Of predicted boxes; each is of the first kind whose condition it meets.

- right: its IoU with a true box is at least δ.
- no box: no box is predicted, or the map has no pixel above τ.
- elsewhere: it shares no pixel with any true box.
- several objects: there are several true boxes, and its IoU with the box around all of them is at least δ.
- too small: its area is less than δ times that of the true box that it fits best.
- too large: its area is more than 1 / δ times that area.
- off-centre: with its centre on that of the true box, its IoU would be at least δ.
- wrong shape: it would not.
"""

_NO_CONTOUR: Final = (0, 0, 0, 0)
"""The box of a map without a pixel above τ; that of a pixel in the corner ends one pixel later."""


@dataclass(frozen=True, eq=False)
class BoxErrors:
    """How predicted boxes compare with the true box that each fits best.

    Attributes:
        kinds: (N,) places in `KINDS`.
        ious: (N,) in [0, 1].
        ratios: (N,) predicted area / true area; NaN for "no box".
        distances: (N,) between the centres, as a share of half the diagonal of the true box: 0 is its centre, 1 the
            distance of its corners; NaN for "no box".
    """

    kinds: NDArray[np.intp]
    ious: NDArray[np.float64]
    ratios: NDArray[np.float64]
    distances: NDArray[np.float64]


def compare_boxes(
    predicted: NDArray[np.int64], true: Sequence[NDArray[np.int64]], iou_threshold: float = 0.5
) -> BoxErrors:
    """Compare predicted boxes with the true ones.

    Args:
        predicted: (N, 4) in pixels, a box an image, perhaps `NO_BOX`.
        true: For each image its true boxes, (n, 4) in the same pixels, n >= 1.
        iou_threshold: δ.
    """
    lists = BoxLists.of(true)
    matches, first = best_matches(predicted, lists), lists.counts.cumsum() - lists.counts
    missing = (predicted == NO_BOX).all(axis=1) | (predicted == _NO_CONTOUR).all(axis=1)
    given, best = predicted.astype(np.float64), matches.boxes
    ratios = box_areas(predicted) / box_areas(best)
    gaps = np.linalg.norm(box_centres(predicted) - box_centres(best), axis=1)
    lowest, highest = (extreme.reduceat(lists.corners, first) for extreme in (np.minimum, np.maximum))
    around = BoxLists(np.hstack([lowest[:, :2], highest[:, 2:]]), np.ones(len(lists), dtype=np.int64))
    together = best_matches(predicted, around).ious
    centred = _centred_ious(_sides(given), _sides(best))
    conditions = [
        matches.ious >= iou_threshold,
        missing,
        matches.ious == 0,
        (lists.counts > 1) & (together >= iou_threshold),
        ratios < iou_threshold,
        ratios > 1 / iou_threshold,
        centred >= iou_threshold,
    ]
    kinds = np.select(conditions, range(len(conditions)), default=KINDS.index("wrong shape")).astype(np.intp)
    has_none = kinds == KINDS.index("no box")
    ratios[has_none] = gaps[has_none] = np.nan
    return BoxErrors(kinds, matches.ious, ratios, gaps / (np.linalg.norm(_sides(best), axis=1) / 2))


def _sides(boxes: NDArray[np.floating | np.integer]) -> NDArray[np.float64]:
    """Return width and height of boxes (N, 4), in pixels: (N, 2)."""
    return (boxes[:, 2:] - boxes[:, :2] + 1).astype(np.float64)


def _centred_ious(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU that boxes of some widths and heights, (N, 2) each, have where they share their centre: (N,)."""
    shared = np.minimum(one, other).prod(axis=1)
    ious: NDArray[np.float64] = shared / (one.prod(axis=1) + other.prod(axis=1) - shared)
    return ious
