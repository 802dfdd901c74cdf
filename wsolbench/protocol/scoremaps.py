"""Conversion of a raw map to the scoremap that is scored and saved, and the check of a stored scoremap."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsolbench.errors import ScoremapError, UsageError
from wsolbench.protocol.boxes import LARGEST_SIDE
from wsolbench.protocol.grid import FRAME

__all__ = [
    "RawMapKind",
    "check_scoremap",
    "classified_scoremap",
    "classify_raw_map",
    "scoremap_in_frame",
    "to_scoremap",
]

RawMapKind: TypeAlias = Literal["ok", "nan", "constant"]


def to_scoremap(raw_map: ArrayLike, frame: tuple[int, int] = (FRAME, FRAME)) -> NDArray[np.float32]:
    """Resize a raw map to the frame and stretch it to [0, 1].

    Bicubic resizing and `(s - min) / (max - min)` are computed in float64, and the result is rounded to float32. This
    rounded map is both scored and saved, so a saved map has the same score as the map in memory. A raw map that
    `classify_raw_map` does not classify as "ok" becomes all zeros.

    Args:
        raw_map: (h, w) real numbers of any range.
        frame: Width and height of the scoremap in pixels.

    Returns:
        (height, width) float32 in [0, 1].

    Raises:
        ScoremapError: If the raw map is not a non-empty 2-D array of real numbers.
        UsageError: If the frame is empty.

    Source: protocol, "From a network to a scoremap".
    """
    return classified_scoremap(raw_map, frame)[1]


def classified_scoremap(
    raw_map: ArrayLike, frame: tuple[int, int] = (FRAME, FRAME)
) -> tuple[RawMapKind, NDArray[np.float32]]:
    """Return the results of `classify_raw_map` and `to_scoremap` for a raw map, which is resized only once.

    Raises:
        ScoremapError: If the raw map is not a non-empty 2-D array of real numbers.
        UsageError: If the frame is empty.
    """
    kind, resized = _resize(raw_map, frame)
    if kind != "ok":
        return kind, np.zeros(resized.shape, dtype=np.float32)
    low, high = resized.min(), resized.max()
    resized -= low
    resized /= high - low
    return kind, resized.astype(np.float32)


def scoremap_in_frame(
    values: ArrayLike, name: str, frame: tuple[int, int] = (FRAME, FRAME)
) -> tuple[RawMapKind, NDArray[np.floating[Any]]]:
    """Return a map as it is scored, and its kind: a map of the frame's size as it is, any other one as a raw map.

    Args:
        values: A scoremap (height, width) in [0, 1] of the frame's size, or a raw map of another size and any range.
        name: Its name in messages: an image id or a file.
        frame: Width and height of the frame in pixels.

    Raises:
        ScoremapError: A scoremap cannot be scored (see `check_scoremap`), or a raw map is not a non-empty 2-D array of
            real numbers.
    """
    array = np.asarray(values)
    if array.shape == frame[::-1]:
        scoremap = check_scoremap(array, name)
        return ("constant" if scoremap.min() == scoremap.max() else "ok"), scoremap
    try:
        return classified_scoremap(array, frame)
    except ScoremapError as error:
        raise ScoremapError(f"the map of '{name}': {error}") from error


def classify_raw_map(raw_map: ArrayLike, frame: tuple[int, int] = (FRAME, FRAME)) -> RawMapKind:
    """Return whether a raw map holds a score ("ok"), or why its scoremap is all zeros.

    Args:
        raw_map: (h, w) real numbers of any range.
        frame: Width and height of the scoremap in pixels.

    Returns:
        "nan" if a value is not finite, before or after resizing (normalisation turns infinities into NaN);
        "constant" if all values are equal, before or after resizing; otherwise "ok".

    Raises:
        ScoremapError: If the raw map is not a non-empty 2-D array of real numbers.
        UsageError: If the frame is empty.
    """
    return _resize(raw_map, frame)[0]


def check_scoremap(scoremap: NDArray[Any], name: str) -> NDArray[np.floating[Any]]:
    """Return the scoremap if it can be scored.

    Args:
        scoremap: Expected to be (H, W) of a floating dtype, finite, in [0, 1].
        name: Its name in messages: an image id or a file.

    Raises:
        ScoremapError: If the dtype is not floating, the array is not 2-D, empty or too large, or a value is not finite
            or lies outside [0, 1].
    """
    scoremap, what = np.asarray(scoremap), f"scoremap of '{name}'"
    if not np.issubdtype(scoremap.dtype, np.floating):
        told = f"{what}: expected floating-point values, got {scoremap.dtype}"
        raise ScoremapError(f"{told}; make it float32 in [0, 1] first (bytes: divide by 255)")
    if scoremap.ndim != 2 or scoremap.size == 0:
        told = f"{what}: expected a non-empty 2-D array, got shape {scoremap.shape}"
        raise ScoremapError(f"{told}; give one map (H, W) an image")
    if max(scoremap.shape) > LARGEST_SIDE:
        raise ScoremapError(f"{what}: expected sides of at most {LARGEST_SIDE} pixels, got shape {scoremap.shape}")
    low, high = scoremap.min(), scoremap.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        count = scoremap.size - np.count_nonzero(np.isfinite(scoremap))
        told = f"{what}: expected finite values, got {count} of {scoremap.size} not finite"
        raise ScoremapError(f"{told}; put numbers in their place, or give a map of zeros")
    if low < 0 or high > 1:
        raise ScoremapError(f"{what}: expected values in [0, 1], got {low!s} to {high!s}; min-max it to [0, 1] first")
    return scoremap


def _resize(raw_map: ArrayLike, frame: tuple[int, int]) -> tuple[RawMapKind, NDArray[np.float64]]:
    """Resize to the frame in float64 and classify; only the shape is defined for a map that is not "ok"."""
    raw = np.asarray(raw_map)
    if raw.dtype.kind not in "biuf" or raw.ndim != 2 or raw.size == 0:
        raise ScoremapError(f"raw map: expected a non-empty 2-D array of numbers, got {raw.dtype} {raw.shape}")
    width, height = frame
    if width < 1 or height < 1:
        raise UsageError(f"the evaluation frame must be at least 1×1 pixel, got {width}×{height}")
    raw = np.ascontiguousarray(raw, dtype=np.float64)
    empty = np.zeros((height, width), dtype=np.float64)
    if not np.isfinite(raw).all():
        return "nan", empty
    if raw.min() == raw.max():  # test before resizing: bicubic weights sum to 1 only up to rounding
        return "constant", empty
    resized = np.asarray(cv2.resize(raw, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        span = resized.max() - resized.min()
    if not np.isfinite(span):
        return "nan", empty
    return ("ok" if span > 0 else "constant"), resized
