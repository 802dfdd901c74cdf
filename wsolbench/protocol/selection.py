"""τ that is not the evaluated split's own best, and scores at it: chosen on other images, fixed, or Otsu's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import UsageError
from wsolbench.protocol.evaluators import BoxResult, OtsuResult
from wsolbench.protocol.grid import IOU_THRESHOLDS

__all__ = [
    "SelectedScores",
    "ThresholdSelection",
    "fix_threshold",
    "score_at_otsu",
    "select_on_fullsup",
    "select_threshold",
    "top_k_loc",
]

_ROUNDING = 1e-9
"""τ of the grid are multiples of its step, rounded."""


@dataclass(frozen=True)
class SelectedScores:
    """Box accuracies at τ that is not the evaluated split's own best, in percent.

    Attributes:
        box_acc: Largest contour, δ = 0.5 (GT-known Loc at the τ of train-fullsup); the counterpart of MaxBoxAcc.
        box_acc_by_iou: All contours, for each δ.
        box_acc_v2: The mean of these; the counterpart of MaxBoxAccV2.
    """

    box_acc: float
    box_acc_by_iou: dict[float, float]
    box_acc_v2: float


@dataclass(frozen=True, eq=False)
class ThresholdSelection:
    """The τ of the grid at which another split is scored: chosen on train-fullsup or on pseudo boxes, or fixed.

    Attributes:
        thresholds: (T,) the grid of τ.
        single_index: Index in the grid of the τ for the largest contour, δ = 0.5.
        multi_index: For each δ, the index of the τ for all contours.
    """

    thresholds: NDArray[np.float64]
    single_index: int
    multi_index: dict[float, int]

    @property
    def single_threshold(self) -> float:
        """The τ for the largest contour, δ = 0.5."""
        return float(self.thresholds[self.single_index])

    @property
    def multi_threshold(self) -> dict[float, float]:
        """For each δ the τ for all contours."""
        return {iou_threshold: float(self.thresholds[index]) for iou_threshold, index in self.multi_index.items()}

    def apply(self, test: BoxResult) -> SelectedScores:
        """Return the accuracies of another split at the chosen τ.

        Raises:
            UsageError: If that split was evaluated on another grid.
        """
        self._check_grid(test)
        by_iou = {iou: float(test.box_acc("multi", iou)[index]) for iou, index in self.multi_index.items()}
        return SelectedScores(
            box_acc=float(test.box_acc("single", 0.5)[self.single_index]),
            box_acc_by_iou=by_iou,
            box_acc_v2=float(np.mean(list(by_iou.values()))),
        )

    def is_localized(self, test: BoxResult) -> NDArray[np.bool_]:
        """Return, in the order of the result's images, whether the largest contour's box is correct: (N,) bool.

        Raises:
            UsageError: If that split was evaluated on another grid.
        """
        self._check_grid(test)
        return test.is_correct("single", 0.5, self.single_index)

    def _check_grid(self, test: BoxResult) -> None:
        if not np.array_equal(self.thresholds, test.thresholds):
            sizes = f"{len(self.thresholds)} and {len(test.thresholds)} thresholds"
            raise UsageError(f"train-fullsup and test must be evaluated with the same interval, got {sizes}")


def fix_threshold(
    thresholds: NDArray[np.float64], threshold: float, iou_thresholds: Sequence[float] = IOU_THRESHOLDS
) -> ThresholdSelection:
    """Return one τ for the largest contour and for every δ.

    Args:
        thresholds: (T,) the grid of τ.
        threshold: The τ, which has to be in the grid.
        iou_thresholds: The δ.

    Raises:
        UsageError: It is not in the grid.
    """
    index = int(np.abs(thresholds - threshold).argmin())
    if abs(thresholds[index] - threshold) > _ROUNDING:
        raise UsageError(f"τ {threshold:g} is not in the grid of {len(thresholds)} thresholds from 0 to below 1")
    return ThresholdSelection(thresholds, index, dict.fromkeys(iou_thresholds, index))


def score_at_otsu(otsu: OtsuResult, iou_thresholds: Sequence[float] = IOU_THRESHOLDS) -> SelectedScores:
    """Return the accuracies where every map is cut at the τ of Otsu's method."""
    by_iou = {iou: float(otsu.is_correct("multi", iou).mean() * 100) for iou in iou_thresholds}
    return SelectedScores(
        box_acc=float(otsu.is_correct("single", 0.5).mean() * 100),
        box_acc_by_iou=by_iou,
        box_acc_v2=float(np.mean(list(by_iou.values()))),
    )


def select_threshold(box_acc: NDArray[np.float64]) -> int:
    """Return the index of the best threshold; on a tie, the smallest.

    Args:
        box_acc: (T,) accuracy at each τ, any unit, T >= 1.

    Raises:
        UsageError: If it is not a non-empty 1-D array without NaN.
    """
    box_acc = np.asarray(box_acc)
    if box_acc.ndim != 1 or box_acc.size == 0 or np.isnan(box_acc).any():
        raise UsageError(f"box_acc: expected a non-empty 1-D array without NaN, got shape {box_acc.shape}")
    return int(np.argmax(box_acc))


def select_on_fullsup(fullsup: BoxResult) -> ThresholdSelection:
    """Choose every τ on train-fullsup, and on nothing else.

    Args:
        fullsup: The result of the train-fullsup split; or of images with pseudo boxes that take its place.

    Source: protocol, "IoU and counting"; Choe et al., section 4, on the use of train-fullsup.
    """
    return ThresholdSelection(
        thresholds=fullsup.thresholds,
        single_index=select_threshold(fullsup.box_acc("single", 0.5)),
        multi_index={iou: select_threshold(fullsup.box_acc("multi", iou)) for iou in fullsup.iou_thresholds},
    )


def top_k_loc(correct: NDArray[np.bool_], hit: NDArray[np.bool_]) -> float:
    """Return Top-k Loc in percent: the images with a correct box and the true class among the top k predictions.

    Args:
        correct: (N,) bool, whether the box is correct (see `ThresholdSelection.is_localized`), N >= 1.
        hit: (N,) bool, whether the true class is among the top k, images in the same order.

    Raises:
        UsageError: If the two are not bool arrays of one shape (N,).
    """
    correct, hit = np.asarray(correct), np.asarray(hit)
    if correct.dtype != np.bool_ or hit.dtype != np.bool_:
        raise UsageError(f"Top-k Loc: expected two bool arrays, got {correct.dtype} and {hit.dtype}")
    if correct.ndim != 1 or correct.shape != hit.shape or correct.size == 0:
        raise UsageError(f"Top-k Loc: expected two arrays of one shape (N,), got {correct.shape} and {hit.shape}")
    return float(np.count_nonzero(correct & hit) * 100.0 / correct.size)
