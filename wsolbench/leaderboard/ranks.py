"""Rank ranges: the best and the worst place of every score of a table that its differences to the others allow.

Two scores are tied while the paired 95 % interval of their difference contains 0. A table of n scores makes
n (n - 1) / 2 such comparisons, so Holm's procedure decides which of them are sure: the probability that any of the
differences that are called sure is none is at most 5 %.

Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979;
Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 14 and 15, for p-values from intervals.
"""

from __future__ import annotations

from math import erfc, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol.uncertainty import LEVEL

__all__ = ["EXPLAINED", "holm", "p_values", "rank_ranges"]

EXPLAINED: Final = (
    "Rows share a rank while the paired 95 % interval of their difference contains 0, with Holm's correction for all "
    "pairs of a table."
)

_NORMAL: Final = NormalDist()
_TIE: Final = 5e-10
"""Percent: scores are fractions of whole numbers, and rounding must not decide what is a tie."""
_FAR: Final = 8.0
"""Standard deviations; no share of resamples says anything of a difference that is so large."""


def rank_ranges(estimates: NDArray[np.float64], resampled: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the best and the worst rank of every score; 1 is the highest score.

    A score has as many surely better ones above it as its best rank says, and as many surely worse ones below it.

    Args:
        estimates: (n,) the scores.
        resampled: (n, B) the same of every resample, which has the same images for all scores.
    """
    count = len(estimates)
    first, second = np.triu_indices(count, 1)
    sure = holm(p_values(estimates, resampled)[first, second])
    higher = estimates[first] > estimates[second]
    better, worse = np.where(higher, first, second)[sure], np.where(higher, second, first)[sure]
    above, below = np.bincount(worse, minlength=count), np.bincount(better, minlength=count)
    return list(zip((1 + above).tolist(), (count - below).tolist(), strict=True))


def holm(p_values: NDArray[np.float64], level: float = LEVEL) -> NDArray[np.bool_]:
    """Return which null hypotheses Holm's procedure rejects.

    Args:
        p_values: (m,) one of every hypothesis.
        level: 1 less the probability that any is rejected that is true.
    """
    order, count = np.argsort(p_values, kind="stable"), len(p_values)
    passes = p_values[order] <= (1 - level) / np.arange(count, 0, -1)
    rejected = np.zeros(count, dtype=np.bool_)
    rejected[order] = np.logical_and.accumulate(passes)
    return rejected


def p_values(estimates: NDArray[np.float64], resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two-sided p-value of the difference of every two scores, (n, n), symmetric.

    It is the smallest 1 - level for which the bias-corrected interval of the difference does not contain 0. Where no
    resample is on the other side of 0, resamples give an upper bound only: a normal distribution with their standard
    deviation says how far below it is.

    Args:
        estimates: (n,) the scores.
        resampled: (n, B) the same of every resample.
    """
    differences, deviations = estimates - estimates[:, None], _deviations(resampled)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(np.abs(differences) <= _TIE, 0.0, np.abs(differences) / deviations)
    found: NDArray[np.float64] = np.vectorize(_two_sided, otypes=[float])(far)
    for row in range(len(estimates)):
        others = row + 1 + np.flatnonzero((far[row, row + 1 :] > 0) & (far[row, row + 1 :] <= _FAR))
        resamples = resampled[others] - resampled[row]
        counted = _from_shares(differences[row, others], resamples, found[row, others])
        found[row, others] = found[others, row] = counted
    return found


def _two_sided(deviations: float) -> float:
    """Return how probable it is that a normal variable is so many standard deviations or more from its mean."""
    return erfc(deviations / sqrt(2))


def _deviations(resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of the difference of every two scores over resamples, (n, n)."""
    centred = resampled - resampled.mean(axis=1, keepdims=True)
    products = centred @ centred.T / resampled.shape[1]
    own = np.diagonal(products)
    variances = own + own[:, None] - 2 * products
    return np.sqrt(np.where(variances < _TIE**2, 0.0, variances))


def _from_shares(
    differences: NDArray[np.float64], resampled: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return p-values from the shares of resamples beyond 0.

    Args:
        differences: (k,) none of them 0.
        resampled: (k, B) the same of every resample.
        normal: (k,) what they are where no resample is beyond 0, if that is less.
    """
    signs, count = np.sign(differences), resampled.shape[1]
    towards, sizes = resampled * signs[:, None], np.abs(differences)[:, None]
    below = ((towards < sizes - _TIE).sum(axis=1) + (towards <= sizes + _TIE).sum(axis=1)) / (2 * count)
    beyond = (towards <= _TIE).sum(axis=1) / count
    found = []
    for share_below, share_beyond, bound in zip(below.tolist(), beyond.tolist(), normal.tolist(), strict=True):
        shift = 2 * _inverse(share_below, count)
        p_value = min(1.0, 2 * _NORMAL.cdf(_inverse(share_beyond, count) - shift))
        found.append(p_value if share_beyond > 0 else min(p_value, bound))
    return np.array(found, dtype=np.float64)


def _inverse(share: float, count: int) -> float:
    """Return the normal quantile of a share of resamples; of none and of all of them, that of half a resample."""
    return _NORMAL.inv_cdf(min(max(share, 0.5 / count), 1 - 0.5 / count))
