"""The uncertainty of scores: the bootstrap over images, with τ chosen anew in every resample.

A resample is given by how often it contains each image. The thresholds at which an image is correct are stored as runs
of threshold indices, so the counts of a resample at every τ follow from two histograms and one running sum.

Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 (percentile) and 14 (bias-corrected);
Davison & Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2.1 (basic).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from statistics import NormalDist
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError
from wsolbench.protocol.boxes import size_classes
from wsolbench.protocol.grid import OBJECT_SIZES, Mode
from wsolbench.protocol.resampled_curves import Drawn, best_of, counts_where, groups_where, largest_of
from wsolbench.protocol.rules import OTSU, PSEUDO_BOXES

__all__ = [
    "KIND",
    "LEVEL",
    "NO_RULES",
    "RESAMPLES",
    "SEED",
    "CorrectRuns",
    "ImageOutcomes",
    "IntervalKind",
    "Rules",
    "Shares",
    "bootstrap",
    "draw_images",
    "draw_resamples",
    "interval",
    "intervals",
    "score",
    "score_and_bootstrap",
]

IntervalKind: TypeAlias = Literal["percentile", "basic", "bias-corrected"]
Weights: TypeAlias = NDArray[np.float64]

LEVEL: Final = 0.95
"""How often an interval should contain the truth."""

RESAMPLES: Final = 1000

SEED: Final = 0

KIND: Final[IntervalKind] = "bias-corrected"
"""The kind with the best coverage in the study of docs/uncertainty.md."""

_NORMAL: Final = NormalDist()

_CHUNK: Final = 2**17
"""Numbers in the largest array that is made of a chunk of resamples, which bounds the memory."""

_KEPT: Final = 2**22
"""Numbers in all resamples of a split that are drawn at once and kept for other scores of as many images."""

_DRAWN: Final = 2**19
"""Numbers in a chunk of more resamples than that, so that many images take no more memory than a few hundred."""


@dataclass(frozen=True, eq=False)
class CorrectRuns:
    """At which τ each image of a split is correct, for one mode and δ.

    Attributes:
        image: (R,) the image of each run.
        start: (R,) the index of the first τ of the run.
        stop: (R,) the index after its last, at most T.
        num_images: N.
        num_thresholds: T.
    """

    image: NDArray[np.intp]
    start: NDArray[np.intp]
    stop: NDArray[np.intp]
    num_images: int
    num_thresholds: int

    @classmethod
    def from_flat(cls, flat: Sequence[Sequence[int]], num_thresholds: int) -> CorrectRuns:
        """Read the form that records store.

        Args:
            flat: For each of N images, start, stop, start, stop ... of its runs, ascending.
            num_thresholds: T.

        Raises:
            DataError: An image's runs are not ascending pairs of indices from 0 to T.
        """
        lengths = np.fromiter(map(len, flat), np.intp, len(flat))
        edges = np.fromiter(chain.from_iterable(flat), np.intp, int(lengths.sum()))
        of_image = np.repeat(np.arange(len(flat), dtype=np.intp), lengths)
        ascending = (np.diff(edges) > 0) | (np.diff(of_image) > 0)
        if (lengths % 2).any() or not ascending.all() or ((edges < 0) | (edges > num_thresholds)).any():
            raise DataError(
                f"runs of correct thresholds: expected ascending pairs of indices from 0 to {num_thresholds}"
            )
        return cls(of_image[::2].copy(), edges[::2].copy(), edges[1::2].copy(), len(flat), num_thresholds)

    def box_acc(self, weights: Weights) -> NDArray[np.float64]:
        """Return BoxAcc at every τ, in percent, for every resample: (B, T).

        Args:
            weights: (B, N) how often each image is drawn; rows of whole numbers that sum to N.
        """
        width = self.num_thresholds + 1
        row = np.arange(len(weights))[:, None] * width
        drawn = weights[:, self.image].ravel()
        steps = np.bincount((row + self.start).ravel(), drawn, len(weights) * width)
        steps -= np.bincount((row + self.stop).ravel(), drawn, len(weights) * width)
        counts = steps.reshape(-1, width).cumsum(axis=1)[:, :-1]
        return counts * 100.0 / self.num_images

    def at(self, index: int) -> NDArray[np.bool_]:
        """Return whether each image is correct at one τ: (N,) bool."""
        correct = np.zeros(self.num_images, dtype=np.bool_)
        correct[self.image[(self.start <= index) & (index < self.stop)]] = True
        return correct


@dataclass(frozen=True, eq=False)
class Shares:
    """A number in [0, 1] for every image, in whole parts, so that a sum does not depend on the order of images.

    Attributes:
        parts: (N,) whole numbers from 0 to `whole`.
        whole: What they are parts of.
    """

    parts: NDArray[np.intp]
    whole: int


@dataclass(frozen=True, eq=False)
class ImageOutcomes:
    """The outcomes of every image of a split.

    Attributes:
        num_images: N, at least 1.
        correct: `correct[mode][δ]`; None without boxes.
        hits: `hits[k]` is (N,) bool, whether the true class is among the top k; empty if there was no classifier.
        otsu: `otsu[mode][δ]` is (N,) bool, whether an image is correct where its map is cut by Otsu's method; None
            where that was not asked for.
        shares: `shares[metric]` has a number in [0, 1] for every image, and the metric is the mean of these.
        sizes: (N,) the sizes of the objects, see `object_sizes`; None without boxes, and where they were not recorded.
    """

    num_images: int
    correct: Mapping[Mode, Mapping[float, CorrectRuns]] | None
    hits: Mapping[int, NDArray[np.bool_]]
    otsu: Mapping[Mode, Mapping[float, NDArray[np.bool_]]] | None = None
    shares: Mapping[str, Shares] = field(default_factory=dict)
    sizes: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Rules:
    """At which τ the evaluated split is scored beside the oracle's and train-fullsup's; see `wsolbench.protocol.rules`.

    Attributes:
        fixed: Name of the rule -> the place in the grid of the τ of all images.
        pseudo: Images with pseudo boxes, on which τ is chosen as on train-fullsup; None without this rule.
        otsu: Whether every map is cut by Otsu's method.
    """

    fixed: Mapping[str, int] = field(default_factory=dict)
    pseudo: ImageOutcomes | None = None
    otsu: bool = False


NO_RULES: Final = Rules()

FULLSUP: Final = "fullsup_"
"""What stands before the names of scores at the τ of train-fullsup."""


def score(scored: ImageOutcomes, fullsup: ImageOutcomes | None = None, rules: Rules = NO_RULES) -> dict[str, float]:
    """Return every metric that follows from per-image outcomes, which is all except PxAP.

    Args:
        scored: The evaluated split.
        fullsup: The train-fullsup split; None if no τ is chosen on it.
        rules: At which other τ the split is scored.

    Returns:
        Name of the metric in records, with δ after a dot, -> percent; those of a rule are behind its name and a dot.
    """
    parts = (scored, fullsup, rules.pseudo)
    once = [None if part is None else Drawn.of(np.ones((1, part.num_images))) for part in parts]
    return {name: float(values[0]) for name, values in _score_resamples(scored, fullsup, rules, once).items()}


def bootstrap(
    scored: ImageOutcomes,
    fullsup: ImageOutcomes | None = None,
    rules: Rules = NO_RULES,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, NDArray[np.float64]]:
    """Return `score` for resamples of the images; each split is drawn on its own, with replacement.

    An oracle τ is the best τ of the resample, a fullsup τ the best τ of the resample of train-fullsup, and that of
    pseudo boxes the best τ of the resample of their images. The draws depend on the numbers of images and the seed
    only. So two methods on the same images have the same resamples, and the differences between their scores are
    paired.

    Returns:
        (resamples,) percent for each metric.
    """
    return score_and_bootstrap(scored, fullsup, rules, resamples=resamples, seed=seed)[1]


def score_and_bootstrap(
    scored: ImageOutcomes,
    fullsup: ImageOutcomes | None = None,
    rules: Rules = NO_RULES,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """Return `score` and `bootstrap`, in little more time than the latter takes: every image once is a resample too."""
    sizes = tuple(None if part is None else part.num_images for part in (scored, fullsup, rules.pseudo))
    chunks = [_score_resamples(scored, fullsup, rules, drawn) for drawn in _drawn(sizes, resamples, seed)]
    found = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return {name: float(values[0]) for name, values in found.items()}, {name: of[1:] for name, of in found.items()}


def draw_resamples(
    scored: ImageOutcomes, *others: ImageOutcomes | None, resamples: int = RESAMPLES, seed: int = SEED
) -> Iterator[list[Weights | None]]:
    """Yield chunks of resamples: of every split, how often each of its images is in each resample, (rows, N).

    Args:
        scored: The evaluated split, which comes first.
        others: Splits that choose τ; None for one that is not there.
        resamples: How many there are in all chunks together.
        seed: Of all draws.
    """
    sizes = [None if part is None else part.num_images for part in (scored, *others)]
    grids = [runs.num_thresholds for runs in (scored.correct or {}).get("single", {}).values()]
    yield from _draw(sizes, resamples, seed, _CHUNK // max([*filter(None, sizes), *grids]))


def _draw(sizes: Sequence[int | None], resamples: int, seed: int, rows: int) -> Iterator[list[Weights | None]]:
    """Yield chunks of resamples: of splits of some sizes, how often each image is in each resample, (rows, N).

    Args:
        sizes: Images of every split; None for one that is not there.
        resamples: How many there are in all chunks together.
        seed: Of all draws.
        rows: Resamples in a chunk; 0 counts as one.
    """
    generators = np.random.default_rng(seed).spawn(len(sizes))
    for first in range(0, resamples, max(1, rows)):
        count = min(max(1, rows), resamples - first)
        yield [
            None if size is None else draw_images(random, count, size)
            for size, random in zip(sizes, generators, strict=True)
        ]


def _drawn(sizes: tuple[int | None, ...], resamples: int, seed: int) -> Iterable[list[Drawn | None]]:
    """Return every image once and then resamples, as scores need them; the last draws are kept if one chunk has all."""
    largest = max(filter(None, sizes))
    if resamples * largest <= _KEPT:
        return [_kept_draw(sizes, resamples, seed)]
    return _chunks(sizes, resamples, seed, _DRAWN // largest)


@lru_cache(maxsize=2)
def _kept_draw(sizes: tuple[int | None, ...], resamples: int, seed: int) -> list[Drawn | None]:
    (drawn,) = _chunks(sizes, resamples, seed, resamples)
    return drawn


def _chunks(sizes: Sequence[int | None], resamples: int, seed: int, rows: int) -> Iterator[list[Drawn | None]]:
    once = 1  # in the first chunk
    for chunk in _draw(sizes, resamples, seed, rows):
        padded = (None if each is None else np.pad(each, ((once, 0), (0, 0)), constant_values=1.0) for each in chunk)
        yield [None if each is None else Drawn.of(each) for each in padded]
        once = 0


def draw_images(random: np.random.Generator, count: int, size: int) -> Weights:
    """Return how often each image is in each resample, (count, size) whole numbers; a row sums to `size`.

    Args:
        random: What draws.
        count: How many resamples.
        size: How many images they are drawn from, with replacement.
    """
    drawn = random.integers(size, size=(count, size)) + np.arange(count)[:, None] * size
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(np.float64)


def interval(
    estimate: float, resampled: NDArray[np.float64], kind: IntervalKind = KIND, level: float = LEVEL
) -> tuple[float, float]:
    """Return the bootstrap interval of a number, in its unit; see `intervals`."""
    ((low, high),) = intervals(np.array([estimate]), resampled[None], kind, level).tolist()
    return low, high


def intervals(
    estimates: NDArray[np.float64], resampled: NDArray[np.float64], kind: IntervalKind = KIND, level: float = LEVEL
) -> NDArray[np.float64]:
    """Return the bootstrap intervals of numbers, in their units: (M, 2).

    Args:
        estimates: (M,) the numbers themselves.
        resampled: (M, B) the same of every resample; NaN where it is not defined, as without an image of some size.
        kind: With q the quantiles of the resamples, ``percentile`` is from q(α) to q(1 - α); ``basic`` reflects this in
            the estimate; ``bias-corrected`` is from q(Φ(2z + Φ⁻¹(α))) to q(Φ(2z + Φ⁻¹(1 - α))), where Φ(z) is the share
            of resamples below the estimate plus half of the share equal to it.
        level: 1 - 2α.
    """
    defined = (~np.isnan(resampled)).sum(axis=1)
    tails = np.tile([(1 - level) / 2, (1 + level) / 2], (len(estimates), 1))
    if kind == "bias-corrected":
        # Scores are fractions of whole numbers: rounding must not decide what is a tie, differently on each machine.
        gaps = np.round(resampled - estimates[:, None], 9)
        below = ((gaps < 0).sum(axis=1) + (gaps == 0).sum(axis=1) / 2) / defined
        # If all resamples were on one side, the shift would be infinite and the interval a single point.
        below = np.clip(below, 0.5 / defined, 1 - 0.5 / defined)
        shifts = [2 * _NORMAL.inv_cdf(share) for share in below.tolist()]
        usual = [_NORMAL.inv_cdf(tail) for tail in tails[0].tolist()]
        tails = np.array([[_NORMAL.cdf(shift + tail) for tail in usual] for shift in shifts])
    ends = _quantiles(np.sort(resampled, axis=1), defined, tails)
    return 2 * estimates[:, None] - ends[:, ::-1] if kind == "basic" else ends


def _quantiles(ascending: NDArray[np.float64], defined: NDArray[np.intp], shares: NDArray[np.float64]) -> Weights:
    """Return quantiles, linear between neighbours: (M, Q).

    Args:
        ascending: (M, B) numbers, NaN last.
        defined: (M,) how many are not NaN.
        shares: (M, Q) which quantiles.
    """
    places = shares * (defined - 1)[:, None]
    lower = np.floor(places).astype(np.intp)
    upper = np.minimum(lower + 1, (defined - 1)[:, None])
    low, high = np.take_along_axis(ascending, lower, axis=1), np.take_along_axis(ascending, upper, axis=1)
    return low + (high - low) * (places - lower)


def _score_resamples(
    scored: ImageOutcomes, fullsup: ImageOutcomes | None, rules: Rules, resamples: Sequence[Drawn | None]
) -> dict[str, NDArray[np.float64]]:
    """Return (B,) percent for each metric, from how often each image was drawn.

    Args:
        scored: The evaluated split.
        fullsup: The train-fullsup split.
        rules: At which other τ the split is scored.
        resamples: Of the evaluated split, of train-fullsup and of the images with pseudo boxes.
    """
    drawn, of_fullsup, of_pseudo = resamples
    assert drawn is not None
    count = scored.num_images
    hits = {k: (hit.astype(np.float32) @ drawn.brief).astype(np.float64) for k, hit in scored.hits.items()}
    scores = {f"top{k}_acc": counts * 100.0 / count for k, counts in hits.items()}
    if scored.shares:
        sums = np.stack([shares.parts for shares in scored.shares.values()]).astype(np.float64) @ drawn.counts
        wholes = [shares.whole * count for shares in scored.shares.values()]
        scores |= {name: each * 100.0 / whole for name, each, whole in zip(scored.shares, sums, wholes, strict=True)}
    if scored.correct is None:
        return scores
    single, multi = _curves(scored.correct)
    best, oracle = best_of(single, drawn)
    by_iou = {iou: largest_of(runs, drawn) for iou, runs in multi.items()}
    scores |= _box_scores("max_", count, best, by_iou)
    places: dict[tuple[str, str], _Places] = {}  # what stands before the names of boxes' scores, and of Top-k Loc
    if fullsup is not None and fullsup.correct is not None and of_fullsup is not None:
        places[FULLSUP, ""] = _best_places(fullsup.correct, of_fullsup)
    if rules.pseudo is not None and rules.pseudo.correct is not None and of_pseudo is not None:
        places[_prefixes(PSEUDO_BOXES)] = _best_places(rules.pseudo.correct, of_pseudo)
    for rule, index in rules.fixed.items():
        place = np.full(len(oracle), index)
        places[_prefixes(rule)] = place, dict.fromkeys(multi, place)
    sizes = None if scored.sizes is None else size_classes(scored.sizes)[:, None] == np.arange(len(OBJECT_SIZES))
    if sizes is not None:
        scores |= _scores_by_size("max_", groups_where(single, oracle, drawn, sizes), sizes, drawn)
    for (prefix, front), (place, of_multi) in places.items():
        by_iou = {iou: counts_where(runs, of_multi[iou], drawn) for iou, runs in multi.items()}
        with_sizes = sizes if prefix == FULLSUP and sizes is not None else np.empty((count, 0), dtype=np.bool_)
        groups = np.column_stack([np.ones(count, dtype=np.bool_), *scored.hits.values(), with_sizes])
        localized, *others = groups_where(single, place, drawn, groups).T
        scores |= _box_scores(prefix, count, localized, by_iou)
        scores |= {f"{front}top{k}_loc": each * 100.0 / count for k, each in zip(scored.hits, others, strict=False)}
        if prefix == FULLSUP and sizes is not None:
            scores |= _scores_by_size(prefix, np.stack(others[len(scored.hits) :], axis=1), sizes, drawn)
    if rules.otsu and scored.otsu is not None:
        scores |= _otsu_scores(scored.otsu, scored.hits, drawn)
    return scores


_Places: TypeAlias = tuple[NDArray[np.intp], Mapping[float, NDArray[np.intp]]]
"""Places in the grid of the τ of every resample, (B,): for the largest contour, and for all contours at every δ."""


def _best_places(correct: Mapping[Mode, Mapping[float, CorrectRuns]], drawn: Drawn) -> _Places:
    single, multi = _curves(correct)
    return best_of(single, drawn)[1], {iou: best_of(runs, drawn)[1] for iou, runs in multi.items()}


def _otsu_scores(
    correct: Mapping[Mode, Mapping[float, NDArray[np.bool_]]], hits: Mapping[int, NDArray[np.bool_]], drawn: Drawn
) -> dict[str, NDArray[np.float64]]:
    def count(of_images: NDArray[np.bool_]) -> NDArray[np.float64]:
        counts: NDArray[np.float64] = of_images.astype(np.float64) @ drawn.counts
        return counts

    single, (prefix, front), images = correct["single"][0.5], _prefixes(OTSU), len(drawn.counts)
    scores = _box_scores(prefix, images, count(single), {iou: count(of) for iou, of in correct["multi"].items()})
    return scores | {f"{front}top{k}_loc": count(single & hit) * 100.0 / images for k, hit in hits.items()}


def _prefixes(rule: str) -> tuple[str, str]:
    return f"{rule}.", f"{rule}."


def _scores_by_size(
    prefix: str, localized: NDArray[np.float64], sizes: NDArray[np.bool_], drawn: Drawn
) -> dict[str, NDArray[np.float64]]:
    """Return the percentage of images that are correct among those of every size that the split has: (B,).

    In a resample without an image of some size, it is NaN.

    Args:
        prefix: What stands before the name of the score.
        localized: (B, S) how many images of each size are correct.
        sizes: (N, S) which images are of each size.
        drawn: The resamples.
    """
    with np.errstate(invalid="ignore"):
        shares = localized * 100.0 / (drawn.brief.T @ sizes.astype(np.float32)).astype(np.float64)
    found = zip(OBJECT_SIZES, shares.T, sizes.T, strict=True)
    return {f"{prefix}box_acc_by_size.{size}": values for size, values, images in found if images.any()}


def _curves(correct: Mapping[Mode, Mapping[float, CorrectRuns]]) -> tuple[CorrectRuns, Mapping[float, CorrectRuns]]:
    """Return what the metrics are about: the largest contour at δ = 0.5, and all contours at every δ."""
    return correct["single"][0.5], correct["multi"]


def _box_scores(
    prefix: str, images: int, single: NDArray[np.float64], multi: Mapping[float, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Return the scores of boxes from how many images are correct in every resample, (B,)."""
    shares = {iou: counts * 100.0 / images for iou, counts in multi.items()}
    by_iou = {f"{prefix}box_acc_by_iou.{iou}": values for iou, values in shares.items()}
    mean: NDArray[np.float64] = np.mean(list(shares.values()), axis=0)
    return {f"{prefix}box_acc": single * 100.0 / images, f"{prefix}box_acc_v2": mean, **by_iou}
