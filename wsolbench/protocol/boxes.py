"""Boxes `(x0, y0, x1, y1)` in pixels, both corners inclusive: checks, scaling to the frame, and IoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError
from wsolbench.protocol.grid import OBJECT_SIZES
from wsolbench.protocol.per_image import BoxLists

__all__ = [
    "LARGEST_SIDE",
    "NO_BOX",
    "Matches",
    "best_matches",
    "box_areas",
    "box_centres",
    "box_iou",
    "check_boxes",
    "largest_boxes",
    "object_sizes",
    "pack_boxes",
    "scale_boxes",
    "size_classes",
    "unpack_boxes",
]

LARGEST_SIDE = 2**15 - 1
"""Of a map and a frame, in pixels: twice the area of a larger one may overflow, and packed boxes hold no larger one."""

NO_BOX = (0, 0, -1, -1)
"""What stands for the box of an image for which none is predicted: it covers no pixel."""


def check_boxes(boxes: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Return the ground-truth boxes of one image as integers if they are well formed.

    Args:
        boxes: Expected to be (n, 4) of an integer dtype, n >= 1, with x0 <= x1 and y0 <= y1.
        name: The name of the image in messages.

    Returns:
        (n, 4) int64, a copy.

    Raises:
        DataError: If dtype or shape differ, there is no box, or the corners of a box are swapped.
    """
    boxes = np.asarray(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) == 0:
        raise DataError(f"boxes of '{name}': expected shape (n, 4) with n >= 1, got {boxes.shape}")
    if not np.issubdtype(boxes.dtype, np.integer):
        raise DataError(f"boxes of '{name}': expected integer pixels, got {boxes.dtype}")
    checked = boxes.astype(np.int64)
    inverted = np.flatnonzero((checked[:, :2] > checked[:, 2:]).any(axis=1))
    if inverted.size:
        corners = tuple(checked[inverted[0]].tolist())
        raise DataError(f"boxes of '{name}': expected (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1, got {corners}")
    return checked


def scale_boxes(
    boxes: NDArray[np.integer[Any]], image_size: tuple[int, int], frame: tuple[int, int]
) -> NDArray[np.int64]:
    """Scale boxes from the image to the frame: `int(x * frame / size)`, multiplied first, truncated, never clipped.

    Args:
        boxes: (n, 4) integers, original pixels.
        image_size: Width and height of the original image in pixels.
        frame: Width and height of the frame in pixels.

    Returns:
        (n, 4) int64, pixels of the frame.

    Raises:
        DataError: If the image is empty.

    Source: protocol, "Ground-truth boxes".
    """
    if min(image_size) < 1:
        raise DataError(f"image size: expected at least 1×1 pixel, got {image_size[0]}×{image_size[1]}")
    corners = np.asarray(boxes, dtype=np.float64)
    scaled = corners * np.array(frame * 2, dtype=np.float64) / np.array(image_size * 2, dtype=np.float64)
    return scaled.astype(np.int64)


def box_iou(boxes_a: NDArray[np.integer[Any]], boxes_b: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the intersection over union of every pair of boxes; a box of equal corners covers one pixel.

    Args:
        boxes_a: (N, 4) integers with x0 <= x1, y0 <= y1.
        boxes_b: (M, 4) likewise.

    Returns:
        (N, M) float64 in [0, 1]; 0 where two boxes share no pixel.

    Source: protocol, "IoU and counting".
    """
    a = np.asarray(boxes_a, dtype=np.int64)[:, None, :]
    b = np.asarray(boxes_b, dtype=np.int64)[None, :, :]
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]) + 1
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]) + 1
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    iou: NDArray[np.float64] = intersection / (box_areas(a) + box_areas(b) - intersection)
    return iou


@dataclass(frozen=True, eq=False)
class Matches:
    """The true box that each predicted box fits best.

    Attributes:
        boxes: (N, 4) the true boxes: that of the best IoU; of equals, the one with the nearest centre; then the first.
        ious: (N,) in [0, 1].
    """

    boxes: NDArray[np.int64]
    ious: NDArray[np.float64]


def best_matches(predicted: NDArray[np.integer[Any]], true: Sequence[NDArray[np.integer[Any]]]) -> Matches:
    """Return which true box of its image each predicted box fits best.

    Args:
        predicted: (N, 4) integers, a box an image, perhaps `NO_BOX`.
        true: For each image its true boxes, (n, 4) integers in the same pixels, n >= 1.
    """
    lists = BoxLists.of(true)
    boxes, counts = lists.corners.astype(np.int64), lists.counts
    image = np.repeat(np.arange(len(lists)), counts)
    given = predicted.astype(np.int64)[image]
    shared = np.minimum(given[:, 2:], boxes[:, 2:]) - np.maximum(given[:, :2], boxes[:, :2]) + 1
    intersection = np.maximum(shared, 0).prod(axis=1)
    ious = intersection / (box_areas(given) + box_areas(boxes) - intersection)
    distances = np.square(box_centres(given) - box_centres(boxes)).sum(axis=1)
    order = np.lexsort((distances, -ious, image))
    best = order[np.cumsum(counts) - counts]  # the first of each image
    return Matches(boxes[best], ious[best])


def object_sizes(
    boxes: Sequence[NDArray[np.integer[Any]]], frames: Sequence[tuple[int, int]] | NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sizes of objects: the share of its frame that the largest box of each image covers, in [0, 1].

    Args:
        boxes: For each of N images its boxes, (n, 4) integers in pixels of its frame, n >= 1.
        frames: For each image the width and height of its frame in pixels.

    Returns:
        (N,) float64.
    """
    lists = BoxLists.of(boxes)
    areas = box_areas(lists.corners.astype(np.int64))
    largest = np.maximum.reduceat(areas, lists.counts.cumsum() - lists.counts)
    sizes: NDArray[np.float64] = np.minimum(largest / np.prod(np.asarray(frames, dtype=np.int64), axis=1), 1.0)
    return sizes


def largest_boxes(boxes: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.int64]:
    """Return the largest box of each image, the first of equals: (N, 4).

    Args:
        boxes: For each of N images its boxes, (n, 4) integers, n >= 1.
    """
    return np.array([of_image[box_areas(of_image).argmax()] for of_image in boxes], dtype=np.int64)


def size_classes(sizes: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the places in `OBJECT_SIZES` of the classes of some sizes in [0, 1]; a lower edge belongs to its class."""
    return np.digitize(sizes, list(OBJECT_SIZES.values())[1:])


def box_areas(boxes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return how many pixels boxes (..., 4) cover."""
    area: NDArray[np.int64] = (boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1)
    return area


def box_centres(boxes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the centres (..., 2) of boxes (..., 4), in pixels."""
    centres: NDArray[np.float64] = (boxes[..., :2] + boxes[..., 2:]) / 2
    return centres


def pack_boxes(boxes: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """Return boxes (n, 4) as one number each, (n,), which is quick to gather and to compare.

    Args:
        boxes: Corners from 0 to `LARGEST_SIDE`.
    """
    packed: NDArray[np.uint64] = boxes.astype(np.uint16).view(np.uint64)[:, 0]
    return packed


def unpack_boxes(packed: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Return the boxes (n, 4) that `pack_boxes` packed."""
    return np.ascontiguousarray(packed).view(np.uint16).reshape(-1, 4)
