"""The uncertainty of scores: the bootstrap over images, with τ chosen anew in every resample.

A resample is given by how often it contains each image. The thresholds at which an image is correct are stored as runs
of threshold indices, so the counts of a resample at every τ follow from two histograms and one running sum.

Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 (percentile) and 14 (bias-corrected);
Davison & Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2.1 (basic).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import NormalDist
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError
from wsolbench.protocol.boxes import size_classes
from wsolbench.protocol.grid import IOU_THRESHOLDS, OBJECT_SIZES, Mode
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
    "score",
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
"""Numbers in the largest array of a chunk of resamples, which bounds the memory."""


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
    once = [None if part is None else np.ones((1, part.num_images)) for part in parts]
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
    drawn = draw_resamples(scored, fullsup, rules.pseudo, resamples=resamples, seed=seed)
    chunks = [_score_resamples(scored, fullsup, rules, weights) for weights in drawn]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


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
    parts = (scored, *others)
    generators = np.random.default_rng(seed).spawn(len(parts))
    sizes = [part.num_images for part in parts if part is not None]
    grids = [runs.num_thresholds for runs in (scored.correct or {}).get("single", {}).values()]
    rows = max(1, _CHUNK // max(sizes + grids))
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        yield [
            None if part is None else draw_images(random, count, part.num_images)
            for part, random in zip(parts, generators, strict=True)
        ]


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
    """Return the bootstrap interval of a number, in its unit.

    Args:
        estimate: The number itself.
        resampled: (B,) the same of every resample; NaN where it is not defined, as without an image of some size.
        kind: With q the quantiles of the resamples, ``percentile`` is from q(α) to q(1 - α); ``basic`` reflects this in
            the estimate; ``bias-corrected`` is from q(Φ(2z + Φ⁻¹(α))) to q(Φ(2z + Φ⁻¹(1 - α))), where Φ(z) is the share
            of resamples below the estimate plus half of the share equal to it.
        level: 1 - 2α.
    """
    resampled = resampled[~np.isnan(resampled)]
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if kind == "bias-corrected":
        # Scores are fractions of whole numbers: rounding must not decide what is a tie, differently on each machine.
        gaps = np.round(resampled - estimate, 9)
        below = np.mean(gaps < 0) + np.mean(gaps == 0) / 2
        # If all resamples were on one side, the shift would be infinite and the interval a single point.
        below = np.clip(below, 0.5 / len(resampled), 1 - 0.5 / len(resampled))
        shift = 2 * _NORMAL.inv_cdf(float(below))
        tails = np.array([_NORMAL.cdf(shift + _NORMAL.inv_cdf(float(tail))) for tail in tails])
    low, high = np.quantile(resampled, tails)
    ends = (2 * estimate - high, 2 * estimate - low) if kind == "basic" else (low, high)
    return float(ends[0]), float(ends[1])


def _score_resamples(
    scored: ImageOutcomes, fullsup: ImageOutcomes | None, rules: Rules, drawn: Sequence[Weights | None]
) -> dict[str, NDArray[np.float64]]:
    """Return (B,) percent for each metric, from how often each image was drawn.

    Args:
        scored: The evaluated split.
        fullsup: The train-fullsup split.
        rules: At which other τ the split is scored.
        drawn: (B, N) of the evaluated split, of train-fullsup and of the images with pseudo boxes.
    """
    weights, fullsup_weights, pseudo_weights = drawn
    assert weights is not None
    scores = {f"top{k}_acc": weights @ hit * 100.0 / scored.num_images for k, hit in scored.hits.items()}
    if scored.shares:
        sums = weights @ np.stack([shares.parts for shares in scored.shares.values()], axis=1).astype(np.float64)
        wholes = np.array([shares.whole for shares in scored.shares.values()]) * scored.num_images
        scores |= dict(zip(scored.shares, (sums * 100.0 / wholes).T, strict=True))
    if scored.correct is None:
        return scores
    single, multi = _curves(scored.correct, weights)
    scores |= _box_scores("max_", single.max(axis=1), {iou: curve.max(axis=1) for iou, curve in multi.items()})
    places: dict[tuple[str, str], _Places] = {}  # what stands before the names of boxes' scores, and of Top-k Loc
    if fullsup is not None and fullsup.correct is not None and fullsup_weights is not None:
        places[FULLSUP, ""] = _best_places(fullsup.correct, fullsup_weights)
    if rules.pseudo is not None and rules.pseudo.correct is not None and pseudo_weights is not None:
        places[_prefixes(PSEUDO_BOXES)] = _best_places(rules.pseudo.correct, pseudo_weights)
    for rule, index in rules.fixed.items():
        place = np.full(len(weights), index)
        places[_prefixes(rule)] = place, dict.fromkeys(IOU_THRESHOLDS, place)
    runs, hits = scored.correct["single"][0.5], np.stack(list(scored.hits.values()), axis=1) if scored.hits else None
    for (prefix, front), (place, by_iou) in places.items():
        scores |= _box_scores(prefix, _at(single, place), {iou: _at(multi[iou], by_iou[iou]) for iou in multi})
        if hits is not None:
            localized = _count_localized(runs, weights, place, hits) * 100.0 / scored.num_images
            scores |= {f"{front}top{k}_loc": shares for k, shares in zip(scored.hits, localized.T, strict=True)}
    if scored.sizes is not None:
        chosen = {"max_": single.argmax(axis=1), **{name: of[0] for (name, _), of in places.items() if name == FULLSUP}}
        for prefix, place in chosen.items():
            scores |= _scores_by_size(prefix, runs, scored.sizes, weights, place)
    if rules.otsu and scored.otsu is not None:
        scores |= _otsu_scores(scored.otsu, scored.hits, weights)
    return scores


_Places: TypeAlias = tuple[NDArray[np.intp], Mapping[float, NDArray[np.intp]]]
"""Places in the grid of the τ of every resample, (B,): for the largest contour, and for all contours at every δ."""


def _best_places(correct: Mapping[Mode, Mapping[float, CorrectRuns]], weights: Weights) -> _Places:
    single, multi = _curves(correct, weights)
    return single.argmax(axis=1), {iou: curve.argmax(axis=1) for iou, curve in multi.items()}


def _otsu_scores(
    correct: Mapping[Mode, Mapping[float, NDArray[np.bool_]]], hits: Mapping[int, NDArray[np.bool_]], weights: Weights
) -> dict[str, NDArray[np.float64]]:
    def share(of_images: NDArray[np.bool_]) -> NDArray[np.float64]:
        return weights @ of_images * 100.0 / len(of_images)

    single, (prefix, front) = correct["single"][0.5], _prefixes(OTSU)
    scores = _box_scores(prefix, share(single), {iou: share(correct["multi"][iou]) for iou in IOU_THRESHOLDS})
    return scores | {f"{front}top{k}_loc": share(single & hit) for k, hit in hits.items()}


def _prefixes(rule: str) -> tuple[str, str]:
    return f"{rule}.", f"{rule}."


def _scores_by_size(
    prefix: str, runs: CorrectRuns, sizes: NDArray[np.float64], weights: Weights, chosen: NDArray[np.intp]
) -> dict[str, NDArray[np.float64]]:
    """Return the percentage of images that are correct among those of every size that the split has: (B,).

    In a resample without an image of some size, it is NaN.
    """
    groups = size_classes(sizes)[:, None] == np.arange(len(OBJECT_SIZES))
    with np.errstate(invalid="ignore"):
        shares = _count_localized(runs, weights, chosen, groups) * 100.0 / (weights @ groups.astype(np.float64))
    found = zip(OBJECT_SIZES, shares.T, groups.T, strict=True)
    return {f"{prefix}box_acc_by_size.{size}": values for size, values, images in found if images.any()}


def _count_localized(
    runs: CorrectRuns, weights: Weights, chosen: NDArray[np.intp], groups: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how many images of each group are correct in every resample at its own τ: (B, G).

    Args:
        runs: At which τ each image is correct.
        weights: (B, N) how often each image is drawn.
        chosen: (B,) the index of the τ of every resample; few differ.
        groups: (N, G) which images are of each group.
    """
    counts = np.empty((len(weights), groups.shape[1]))
    for index in np.unique(chosen):
        resamples = chosen == index
        counts[resamples] = weights[resamples] @ (groups & runs.at(index)[:, None]).astype(np.float64)
    return counts


def _curves(
    correct: Mapping[Mode, Mapping[float, CorrectRuns]], weights: Weights
) -> tuple[NDArray[np.float64], dict[float, NDArray[np.float64]]]:
    """Return the (B, T) curves behind the metrics: largest contour at δ = 0.5, and all contours at every δ."""
    multi = {iou: correct["multi"][iou].box_acc(weights) for iou in IOU_THRESHOLDS}
    return correct["single"][0.5].box_acc(weights), multi


def _box_scores(
    prefix: str, single: NDArray[np.float64], multi: Mapping[float, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    by_iou = {f"{prefix}box_acc_by_iou.{iou}": values for iou, values in multi.items()}
    return {f"{prefix}box_acc": single, f"{prefix}box_acc_v2": np.mean(list(multi.values()), axis=0), **by_iou}


def _at(curves: NDArray[np.float64], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the value of every resample at its own τ: (B,)."""
    return curves[np.arange(len(curves)), chosen]
