"""The settings of the protocol: evaluation frame, IoU thresholds and the grid of scoremap thresholds.

Source: Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020, sections 3 and 4, and
its extended version, which adds MaxBoxAccV2 with its three IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import UsageError

__all__ = [
    "DEFAULT_INTERVAL",
    "FRAME",
    "IOU_THRESHOLDS",
    "LARGEST_FRAME",
    "MODES",
    "OBJECT_SIZES",
    "POINTING_TOLERANCE",
    "SMALLEST_FRAME",
    "Mode",
    "Scoring",
    "SizeKey",
    "cam_threshold_grid",
    "check_iou_thresholds",
]

Mode: TypeAlias = Literal["single", "multi"]
SizeKey: TypeAlias = Literal["0-0.1", "0.1-0.3", "0.3-0.5", "0.5-1"]

FRAME: Final = 224
"""Side of the evaluation frame of the protocol in pixels: boxes and maps are both warped to FRAME × FRAME."""

SMALLEST_FRAME: Final = 16
"""Side of the smallest frame that records are of; in a smaller one, few boxes differ."""

LARGEST_FRAME: Final = 1024
"""Side of the largest; a larger one would only fill the memory."""

IOU_THRESHOLDS: Final = (0.3, 0.5, 0.7)
"""The δ of MaxBoxAccV2 in the protocol; MaxBoxAcc uses 0.5 alone."""

DEFAULT_INTERVAL: Final = 0.001
"""Step of the grid of scoremap thresholds τ."""

MODES: Final[tuple[Mode, ...]] = ("single", "multi")
"""Which boxes a map predicts: that of its largest contour (MaxBoxAcc), or of every contour (MaxBoxAccV2)."""

OBJECT_SIZES: Final[Mapping[SizeKey, float]] = {"0-0.1": 0.0, "0.1-0.3": 0.1, "0.3-0.5": 0.3, "0.5-1": 0.5}
"""Classes of object sizes and their lower edges, which belong to the class; see `object_sizes`.

They are shares of the frame. The classes of COCO are pixels of the original, which a warped frame does not keep."""

POINTING_TOLERANCE: Final = 15
"""How far from an object, in pixels of the frame, a point still counts in the pointing game."""


@dataclass(frozen=True)
class Scoring:
    """How maps are scored; the defaults are the protocol's.

    Args:
        threshold_step: Step of the grid of τ.
        frame: Side of the evaluation frame in pixels.
        iou_thresholds: The δ of which V2 is the mean; see `check_iou_thresholds`.

    Raises:
        UsageError: The frame is smaller or larger than records have it, or the δ are not what records have.
    """

    threshold_step: float = DEFAULT_INTERVAL
    frame: int = FRAME
    iou_thresholds: tuple[float, ...] = IOU_THRESHOLDS

    def __post_init__(self) -> None:
        """Check the settings."""
        if not SMALLEST_FRAME <= self.frame <= LARGEST_FRAME:
            raise UsageError(
                f"frame: expected a side of {SMALLEST_FRAME} to {LARGEST_FRAME} pixels, as in --frame {FRAME}, "
                f"got {self.frame}"
            )
        check_iou_thresholds(self.iou_thresholds)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame in pixels."""
        return self.frame, self.frame


def check_iou_thresholds(iou_thresholds: Iterable[float]) -> tuple[float, ...]:
    """Return IoU thresholds δ if records can have them.

    Args:
        iou_thresholds: Expected to be ascending multiples of 0.01 above 0 and below 1, among them 0.5, at which
            MaxBoxAcc, Top-k Loc and accuracies by object size are.

    Raises:
        UsageError: They are something else.
    """
    given = tuple(iou_thresholds)
    are_possible = all(0 < each < 1 and round(each, 2) == each for each in given)
    if not given or not are_possible or list(given) != sorted(set(given)):
        raise UsageError(
            "IoU thresholds: expected ascending multiples of 0.01 above 0 and below 1, as in --iou 0.5 --iou 0.75, got "
            f"{', '.join(map(_as_text, given)) or 'none'}"
        )
    if 0.5 not in given:
        raise UsageError(
            f"IoU thresholds: expected 0.5 among them, at which MaxBoxAcc and Top-k Loc are, got "
            f"{', '.join(map(_as_text, given))}"
        )
    return given


def _as_text(number: float) -> str:
    """Return a number as short as it can be without another value: 50, but 0.6000000000000001."""
    short = f"{number:g}"
    return short if float(short) == number else str(float(number))


def cam_threshold_grid(interval: float = DEFAULT_INTERVAL) -> NDArray[np.float64]:
    """Return the grid of scoremap thresholds τ, `np.arange(0, 1, interval)` to the last bit.

    Args:
        interval: Step between neighbours, a fraction of the map's maximum, 0 < interval <= 1.

    Returns:
        (T,) float64, ascending, from 0 to below 1.

    Raises:
        UsageError: If the interval is not above 0 and at most 1.
    """
    if not 0 < interval <= 1:
        raise UsageError(f"the threshold interval must be above 0 and at most 1, got {interval}")
    return np.arange(0, 1, interval, dtype=np.float64)
