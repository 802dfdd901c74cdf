"""Boxes that a method returns in place of maps: checked, then in pixels of the original images, as files have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Boxes
from wsolbench.data.boxes import BoxRule, format_quad

__all__ = ["FractionBoxes", "ImageBoxes", "boxes_in_pixels", "sorted_boxes"]

MOST = 2**16
"""Boxes of an image; more are no prediction."""
_FARTHEST = 2.0
"""A corner beyond twice the image is no fraction of it."""
_RULE = BoxRule(normalised=True)


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """The boxes that are predicted for one image, the best first.

    Attributes:
        corners: (n, 4) inclusive corners in original pixels, inside the image; n may be 0.
        scores: (n,) descending, or None where the order alone says which is the best.
        cut: How many boxes are partly or wholly outside the image: they were cut at its border, or left out.
    """

    corners: NDArray[np.int64]
    scores: NDArray[np.float64] | None = None
    cut: int = 0


@dataclass(frozen=True, eq=False)
class FractionBoxes:
    """The boxes of one image as a method returned them, the best first, without those that are not there.

    Attributes:
        corners: (n, 4) in fractions of the image, float64.
        scores: (n,) descending, or None.
    """

    corners: NDArray[np.float64]
    scores: NDArray[np.float64] | None


def sorted_boxes(made: Boxes, ids: Sequence[str]) -> list[FractionBoxes]:
    """Return the boxes of every image of a batch.

    Args:
        made: What a method returned.
        ids: The images.

    Raises:
        ValueError: It is of another form; the message says what came instead, and what is expected.
    """
    count, of_batch = len(ids), f"for the images from '{ids[0]}' on"
    corners = _array(made.boxes, f"boxes {of_batch}")
    if corners.ndim not in (2, 3) or len(corners) != count or corners.shape[-1] != 4:
        raise ValueError(f"boxes {corners.shape} {of_batch}; expected ({count}, 4) or ({count}, n, 4)")
    scores = None if made.scores is None else _array(made.scores, f"scores of boxes {of_batch}")
    if scores is not None and scores.shape != corners.shape[:-1]:
        raise ValueError(f"scores of boxes {scores.shape} {of_batch}; expected one for each box, {corners.shape[:-1]}")
    corners = corners.reshape(count, -1, 4)
    if corners.shape[1] > MOST:
        raise ValueError(f"{corners.shape[1]} boxes an image {of_batch}; expected at most {MOST}")
    of_images = [None] * count if scores is None else list(scores.reshape(count, -1))
    return [_sorted(*each) for each in zip(corners, of_images, ids, strict=True)]


def _array(values: object, what: str) -> NDArray[np.float64]:
    from torch import Tensor, float64, strided  # not at the top: stored maps and boxes are scored without torch

    if not isinstance(values, Tensor) or values.is_complex() or values.layout is not strided:
        raise ValueError(f"{type(values).__name__} as {what}; expected a tensor of real numbers")
    array: NDArray[np.float64] = values.detach().to("cpu", float64, copy=True).numpy()
    return array


def _sorted(corners: NDArray[np.float64], scores: NDArray[np.float64] | None, image_id: str) -> FractionBoxes:
    """Return the boxes of an image that are there, those with the highest score first."""
    there = ~np.isnan(corners).all(axis=1)
    corners = corners[there]
    for quad in corners[~_is_possible(corners)]:
        raise ValueError(f"the box {format_quad(quad)} for the image '{image_id}'; expected {_expected(quad)}")
    if scores is None:
        return FractionBoxes(corners, None)
    scores = scores[there]
    if not np.isfinite(scores).all():
        raise ValueError(f"a score that is not finite for a box of the image '{image_id}'; expected a finite number")
    order = np.argsort(-scores, kind="stable")
    return FractionBoxes(corners[order], scores[order])


def _is_possible(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which boxes (n, 4) are some."""
    near = np.abs(corners - 0.5) <= _FARTHEST - 0.5  # False of NaN
    in_order = corners[:, :2] <= corners[:, 2:]
    possible: NDArray[np.bool_] = np.concatenate([near, in_order], axis=1).min(axis=1)
    return possible


def _expected(quad: NDArray[np.float64]) -> str:
    """Return what a box should be that is none."""
    if np.isfinite(quad).all() and np.abs(quad - 0.5).max() <= _FARTHEST - 0.5:
        return "corners with x0 <= x1 and y0 <= y1"
    return "corners in fractions of the image, from 0 to 1, or four NaN for no box"


def boxes_in_pixels(boxes: FractionBoxes, size: tuple[int, int]) -> ImageBoxes:
    """Return boxes in fractions of an image in pixels of it, by the rule of listed boxes in fractions; see `Boxes`.

    Args:
        boxes: The boxes of an image.
        size: Its width and height in pixels.
    """
    placed = [_inside(tuple(quad), size) for quad in boxes.corners.tolist()]
    there = np.array([corners is not None for corners, _ in placed], dtype=np.bool_)
    return ImageBoxes(
        np.array([corners for corners, _ in placed if corners is not None], dtype=np.int64).reshape(-1, 4),
        None if boxes.scores is None else boxes.scores[there],
        sum(is_cut for _, is_cut in placed),
    )


def _inside(quad: tuple[Any, ...], size: tuple[int, int]) -> tuple[tuple[int, int, int, int] | None, bool]:
    """Return the corners of a box inside its image, None where it is outside, and whether any of it is outside."""
    width, height = size
    reaches = (quad[0] * width, quad[1] * height, (1 - quad[2]) * width, (1 - quad[3]) * height)
    is_cut = min(reaches) < -0.005  # hundredths of a pixel are rounding
    x0, y0, x1, y1 = _RULE((quad[0], quad[1], quad[2], quad[3]), size)
    if x0 >= width or y0 >= height or quad[2] < 0 or quad[3] < 0:
        return None, True
    return (max(x0, 0), max(y0, 0), x1, y1), is_cut
