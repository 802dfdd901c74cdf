"""BoxAcc of groups of images, shares of images, and how much τ matters: each once, and in resamples of the images.

The resamples are those of `wsolbench.protocol.uncertainty.bootstrap`, so that all images together have the interval of
the record, and differences between records of the same images are paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol.uncertainty import (
    CorrectRuns,
    ImageOutcomes,
    Weights,
    draw_resamples,
    interval,
)

__all__ = ["Resampled", "ThresholdRange", "resample_groups", "resample_shares", "resample_threshold_range"]

_ROUNDING: Final = 1e-9
"""Percent; scores are fractions of whole numbers."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """Numbers, and the same of resamples of the images, which are those of `bootstrap`.

    Attributes:
        value: (G,) the numbers.
        resamples: (B, G) NaN where one is not defined, as in a resample without an image of the group.
    """

    value: NDArray[np.float64]
    resamples: NDArray[np.float64]

    def intervals(self) -> NDArray[np.float64]:
        """Return the lower and upper end of the interval of each number, NaN where it is not defined: (G, 2)."""
        return np.array(
            [
                (np.nan, np.nan) if np.isnan(value) else interval(value, resampled)
                for value, resampled in zip(self.value.tolist(), self.resamples.T, strict=True)
            ]
        ).reshape(-1, 2)

    def minus(self, other: Resampled) -> Resampled:
        """Return the differences from other numbers, paired: both are of the same images in the same order."""
        return Resampled(self.value - other.value, self.resamples - other.resamples)


def resample_groups(
    scored: ImageOutcomes, fullsup: ImageOutcomes | None, groups: NDArray[np.intp], count: int
) -> Resampled:
    """Return BoxAcc of groups of images, in percent: largest contour, δ 0.5, at the τ of train-fullsup or the oracle's.

    Args:
        scored: The evaluated split, with boxes.
        fullsup: The split that τ is chosen on, in every resample anew; None for the evaluated split itself.
        groups: (N,) the group of each image, from 0 to `count` - 1.
        count: G.
    """
    runs = _single(scored)

    def measure(weights: Weights, fullsup_weights: Weights | None) -> NDArray[np.float64]:
        curve = runs.box_acc(weights) if fullsup_weights is None else _single(fullsup).box_acc(fullsup_weights)
        correct, chosen = np.empty(weights.shape), curve.argmax(axis=1)
        for index in np.unique(chosen):  # few differ
            correct[chosen == index] = runs.at(index)
        with np.errstate(invalid="ignore"):
            return _sums(weights * correct, groups, count) * 100.0 / _sums(weights, groups, count)

    return _resampled(scored, fullsup, measure)


def resample_shares(scored: ImageOutcomes, groups: NDArray[np.intp], count: int) -> Resampled:
    """Return which percentage of the images is of each group; see `resample_groups`."""
    return _resampled(scored, None, lambda weights, _: _sums(weights, groups, count) * 100.0 / scored.num_images)


@dataclass(frozen=True, eq=False)
class ThresholdRange:
    """The τ at which BoxAcc is nearly as good as at the best one: largest contour, δ 0.5.

    Attributes:
        within: (T,) bool, which τ of the grid they are.
        best: Place of the best τ, the first of several.
        width: How many τ they are, in percent of the grid.
    """

    within: NDArray[np.bool_]
    best: int
    width: Resampled


def resample_threshold_range(scored: ImageOutcomes, points: float) -> ThresholdRange:
    """Return the τ within some points of the best BoxAcc, which is the oracle's.

    Args:
        scored: The evaluated split, with boxes.
        points: How many percentage points below the best a τ may be.
    """
    runs = _single(scored)

    def within(weights: Weights) -> NDArray[np.bool_]:
        curves = runs.box_acc(weights)
        near: NDArray[np.bool_] = curves >= curves.max(axis=1, keepdims=True) - points - _ROUNDING
        return near

    def measure(weights: Weights, unused: Weights | None) -> NDArray[np.float64]:  # noqa: ARG001
        widths: NDArray[np.float64] = within(weights).mean(axis=1, keepdims=True) * 100.0
        return widths

    once = np.ones((1, scored.num_images))
    best = int(runs.box_acc(once)[0].argmax())
    return ThresholdRange(within(once)[0], best, _resampled(scored, None, measure))


def _single(outcomes: ImageOutcomes | None) -> CorrectRuns:
    assert outcomes is not None
    assert outcomes.correct is not None
    return outcomes.correct["single"][0.5]


def _sums(weights: Weights, groups: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Return the sum of weights (B, N) over each group of images: (B, count)."""
    cells = np.arange(len(weights))[:, None] * count + groups
    sums: NDArray[np.float64] = np.bincount(cells.ravel(), weights.ravel(), len(weights) * count).astype(np.float64)
    return sums.reshape(-1, count)


def _resampled(
    scored: ImageOutcomes,
    fullsup: ImageOutcomes | None,
    measure: Callable[[Weights, Weights | None], NDArray[np.float64]],
) -> Resampled:
    """Return what is measured (B, G) of how often each image is there: once, and as in resamples."""
    once = [None if part is None else np.ones((1, part.num_images)) for part in (scored, fullsup)]
    drawn = [once, *draw_resamples(scored, fullsup)]
    value, *chunks = [measure(weights, of_fullsup) for weights, of_fullsup in drawn if weights is not None]
    return Resampled(value[0], np.concatenate(chunks))
