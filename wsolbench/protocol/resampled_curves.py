"""How many images of resamples are correct, computed at those τ alone at which the result can be used.

An oracle or fullsup τ is the best one of each resample. At most τ of the grid BoxAcc is so much lower than at the best
one of all images that no resample changes it, and between two edges of runs it does not change at all. What remains is
a matrix product of images × τ, a hundredth of all of them.

Source: Chernoff, "A measure of asymptotic efficiency for tests of a hypothesis", 1952, for the bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wsolbench.protocol.uncertainty import CorrectRuns

__all__ = ["Drawn", "best_of", "contenders", "counts_where", "groups_where", "largest_of"]

_SURE: Final = 45.0
"""Minus the logarithm of the probability that a τ which is left out is the best of a resample: one in 10**19."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Resamples of the images of a split.

    Attributes:
        counts: (N, B) how often each image is in each resample; whole numbers that sum to N.
        brief: The same with half of the bits, in which whole numbers up to 2**24 are exact.
    """

    counts: NDArray[np.float64]
    brief: NDArray[np.float32]

    @classmethod
    def of(cls, weights: NDArray[np.float64]) -> Drawn:
        """Return resamples from how often each image is in each, (B, N)."""
        counts = np.ascontiguousarray(weights.T)
        return cls(counts, counts.astype(np.float32))


def contenders(runs: CorrectRuns) -> NDArray[np.intp]:
    """Return the places in the grid that can have the most correct images in a resample, ascending.

    Of neighbours with the same correct images it is the first, which is the one that is chosen. A place with w images
    that the best one has not, and without l of its images, has at least as many in a resample with a probability of at
    most exp(-(√l - √w)²) where l > w: a resample is multinomial, and its moment generating function is below that of
    independent Poisson counts.
    """
    size = runs.num_thresholds + 1
    edges = np.bincount(runs.start, minlength=size), np.bincount(runs.stop, minlength=size)
    counts = (edges[0] - edges[1]).cumsum()[:-1]
    best = int(counts.argmax())
    also = runs.at(best)[runs.image]
    shared = (np.bincount(runs.start[also], minlength=size) - np.bincount(runs.stop[also], minlength=size)).cumsum()
    won, lost = counts - shared[:-1], counts[best] - shared[:-1]
    possible = (won >= lost) | ((np.sqrt(lost) - np.sqrt(won)) ** 2 < _SURE)
    changes = (edges[0] + edges[1])[:-1] > 0
    changes[0] = True
    return np.flatnonzero(possible & changes)


def largest_of(runs: CorrectRuns, drawn: Drawn) -> NDArray[np.float64]:
    """Return how many images are correct at the best τ of every resample, (B,), whichever it is.

    A place all of whose images are correct at the next or the last one too has no more of them in any resample.
    """
    places = contenders(runs)
    gains, loses = _gains_and_loses(runs, places)
    images, correct = _correct(runs, places[gains & loses])
    largest: NDArray[np.float64] = (correct.T @ drawn.brief[images]).max(axis=0).astype(np.float64)
    return largest


def best_of(runs: CorrectRuns, drawn: Drawn) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return how many images are correct at the best τ of every resample, (B,), and its place, the first of several.

    A place all of whose images are correct at the last one too is never the first of the best ones.
    """
    places = contenders(runs)
    gains, _ = _gains_and_loses(runs, places)
    places = places[gains]
    counts = _counts(runs, places, drawn)
    best = counts.argmax(axis=1)
    return counts[np.arange(len(counts)), best].astype(np.float64), places[best]


def counts_where(runs: CorrectRuns, chosen: NDArray[np.intp], drawn: Drawn) -> NDArray[np.float64]:
    """Return how many images are correct in every resample at its own τ, (B,).

    Args:
        runs: At which τ each image is correct.
        chosen: (B,) the place of the τ of every resample.
        drawn: The resamples.
    """
    places, which = _distinct(chosen, runs.num_thresholds)
    counts = _counts(runs, places, drawn)
    return counts[np.arange(len(counts)), which].astype(np.float64)


def groups_where(
    runs: CorrectRuns, chosen: NDArray[np.intp], drawn: Drawn, groups: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the same for each group of images, (B, G).

    Args:
        runs: At which τ each image is correct.
        chosen: (B,) the place of the τ of every resample.
        drawn: The resamples.
        groups: (N, G) which images are of each group.
    """
    places, which = _distinct(chosen, runs.num_thresholds)
    images, correct = _correct(runs, places)
    localized = correct[:, which] * drawn.brief[images]
    return (localized.T @ groups[images].astype(np.float32)).astype(np.float64)


def _counts(runs: CorrectRuns, places: NDArray[np.intp], drawn: Drawn) -> NDArray[np.float32]:
    """Return how many images are correct in every resample at some places, (B, K)."""
    images, correct = _correct(runs, places)
    counts: NDArray[np.float32] = drawn.brief[images].T @ correct
    return counts


def _correct(runs: CorrectRuns, places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the images of the runs that hold any of some ascending places, and which each holds, (n, K) of 0 and 1.

    An image with several such runs is there for each of them. At most one of them holds a place, so sums are right.
    """
    first, last = np.searchsorted(places, runs.start), np.searchsorted(places, runs.stop)
    kept, numbers = first < last, np.arange(len(places))
    correct = (first[kept, None] <= numbers) & (numbers < last[kept, None])
    return runs.image[kept], correct.astype(np.float32)


def _gains_and_loses(runs: CorrectRuns, places: NDArray[np.intp]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return at which of some ascending places a run is held that does not hold the last one, or not the next one."""
    begun, ended = (
        np.bincount(edges, minlength=runs.num_thresholds + 1).cumsum()[places] for edges in (runs.start, runs.stop)
    )
    gains, loses = np.ones((2, len(places)), dtype=np.bool_)
    gains[1:], loses[:-1] = begun[1:] > begun[:-1], ended[1:] > ended[:-1]
    return gains, loses


def _distinct(numbers: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct numbers from 0 to below a count, ascending, and the place of each number among them."""
    there = np.zeros(count, dtype=np.bool_)
    there[numbers] = True
    return np.flatnonzero(there), (there.cumsum() - 1)[numbers]
