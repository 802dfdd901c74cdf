"""Rank correlations of what belongs to images, with the intervals that records have: the bootstrap over images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsolbench.protocol.uncertainty import RESAMPLES, SEED, draw_images, interval

__all__ = ["UNDEFINED", "Estimate", "estimate", "image_draws", "rank_correlations"]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where it is not defined, and where one image gives no interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it as it stands in pictures."""
        if np.isnan(self.value):
            return "not defined"
        return f"{self.value:.2f}" + ("" if np.isnan(self.low) else f" [{self.low:.2f}, {self.high:.2f}]")


UNDEFINED = Estimate(np.nan, np.nan, np.nan)
"""Of what is not defined."""


def image_draws(images: int, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.float64]:
    """Return how often each image is in each resample: (resamples, images), rows that sum to `images`."""
    return draw_images(np.random.default_rng(seed), resamples, images)


def estimate(value: float, resampled: NDArray[np.float64], images: int) -> Estimate:
    """Return a number with the interval of its resamples; one image has none.

    Args:
        value: The number itself.
        resampled: (B,) the same of every resample; NaN where it is not defined.
        images: The number of images that were drawn from.
    """
    if images == 1 or np.isnan(value) or np.isnan(resampled).all():
        return Estimate(value, np.nan, np.nan)
    return Estimate(value, *interval(value, resampled))


def rank_correlations(
    x: NDArray[np.floating], of: Mapping[str, NDArray[np.floating]], draws: NDArray[np.float64]
) -> dict[str, Estimate]:
    """Return Spearman's rank correlation of a quantity with others, over all pairs of an image and a map.

    In a resample all pairs of an image count as often as the image was drawn, and are ranked anew. Ties have their mean
    rank.

    Args:
        x: (N, K) of N images.
        of: Name -> the other quantity (N, K).
        draws: (B, N) how often each image is in each resample.

    Returns:
        Name -> the correlation; it is not defined where a quantity is constant.
    """
    images, maps = x.shape
    of_image = np.repeat(np.arange(images), maps)
    ranked = {"": _Ranked(x), **{name: _Ranked(values) for name, values in of.items()}}

    def once(counts: NDArray[np.float64]) -> list[float]:
        pairs = counts[of_image]
        centred = {name: each.centred_ranks(pairs) for name, each in ranked.items()}
        ours = centred.pop("")
        spread = _sum(pairs, ours, ours)
        return [
            _ratio(_sum(pairs, ours, theirs), np.sqrt(spread * _sum(pairs, theirs, theirs)))
            for theirs in centred.values()
        ]

    values = once(np.ones(images))
    resampled = np.array([once(counts) for counts in draws]) if images > 1 else np.full((1, len(of)), np.nan)
    return {name: estimate(value, column, images) for name, value, column in zip(of, values, resampled.T, strict=True)}


class _Ranked:
    """A quantity whose ranks are computed again and again, with other weights."""

    def __init__(self, values: ArrayLike) -> None:
        self._groups = np.unique(np.ravel(values), return_inverse=True)[1]

    def centred_ranks(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rank of every value minus the mean rank, (n,), where each occurs as often as its weight says."""
        sizes = np.bincount(self._groups, weights)
        middle = np.cumsum(sizes) - sizes / 2 - sizes.sum() / 2
        ranks: NDArray[np.float64] = middle[self._groups]
        return ranks


def _sum(weights: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the weighted sum of products, without large arrays in between."""
    return float(np.einsum("i,i,i->", weights, one, other))


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("nan")
