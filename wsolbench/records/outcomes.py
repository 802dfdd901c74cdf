"""What happened to every image of a split, as arrays; and what follows: scores, those of resamples, intervals."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError, UsageError
from wsolbench.protocol import (
    FRAME,
    NO_BOX,
    Mode,
    ScoreHistograms,
    cam_threshold_grid,
    fix_threshold,
    object_sizes,
    select_threshold,
)
from wsolbench.protocol.per_image import BoxLists
from wsolbench.protocol.rules import OTSU, PSEUDO_BOXES, fixed_threshold
from wsolbench.protocol.uncertainty import (
    KIND,
    LEVEL,
    NO_RULES,
    RESAMPLES,
    SEED,
    CorrectRuns,
    ImageOutcomes,
    IntervalKind,
    Rules,
    Shares,
    bootstrap,
    intervals,
    score,
    score_and_bootstrap,
)
from wsolbench.records.record import Intervals, Metrics, PartName, ProtocolInfo, ThresholdScores
from wsolbench.texts import printable, text_problem

__all__ = [
    "DECIMALS",
    "IMAGE_VALUES",
    "LONGEST_NAME",
    "Localized",
    "OtsuOutcomes",
    "SplitOutcomes",
    "bootstrap_scores",
    "check_labels",
    "check_outcomes",
    "claimed_at_rules",
    "claimed_scores",
    "compute_intervals",
    "ends_of",
    "evaluated_and_choosing",
    "find_localized",
    "recompute_pxap",
    "recompute_scores",
    "scores_and_resamples",
    "share_alike",
    "without_rules",
]

Value = TypeVar("Value")

IMAGE_VALUES = ("mean_iou", "fullsup_mean_iou", "pointing_game", "pointing_game_exact", "energy_pointing_game")
"""The metrics that are means of one number an image."""

DECIMALS = 6
"""Of these numbers and of sizes; more are noise from the order of additions."""

LONGEST_NAME = 200
"""Characters of the name of a class."""

_FARTHEST = 2**29
"""Pixels from the origin to a corner of a true box, so that areas are exact."""


@dataclass(frozen=True, eq=False)
class OtsuOutcomes:
    """What happened to every image of a split whose maps are cut by Otsu's method.

    Attributes:
        thresholds: τ of every map, (N,).
        correct: `correct[mode][δ]` is (N,) bool.
    """

    thresholds: NDArray[np.float64]
    correct: Mapping[Mode, Mapping[float, NDArray[np.bool_]]]


@dataclass(frozen=True, eq=False)
class SplitOutcomes:
    """What happened to every image of a split.

    Attributes:
        split: Which one.
        image_ids: N ids, in the order of everything below.
        correct: `correct[mode][δ]`: at which τ each image is correct; None without boxes.
        hits: k -> whether the true class is among the k best predictions, bool (N,); empty without a classifier.
        statistics: Name -> what the method reports of every map, (N,); NaN where it reports nothing.
        nan_maps: Maps that held NaN or infinity.
        constant_maps: Maps of one value.
        annotations_sha256: Of ids, labels, sizes, boxes and masks.
        images_sha256: Of the pixels of every image; None where none was read.
        frame: Side of the evaluation frame in pixels.
        histograms: How many pixels of all images have which score; None without masks, and in older records.
        otsu: The same as `correct` at the τ of Otsu's method; None where that was not asked for.
        labels: The class of each image, (N,); None in older records.
        sizes: The size of the object of each image, (N,), see `wsolbench.protocol.object_sizes`; None without boxes,
            and in older records.
        values: Name of a metric -> its value for each image, (N,) in [0, 1]; empty of a split that chooses τ; None in
            older records.
        true_boxes: The true boxes of each image, (n, 4) in pixels of the frame; None without boxes, of a split that
            chooses τ, and in older records.
        predicted_boxes: The box of the largest contour of each image, (N, 4) in pixels of the frame, at the τ of
            `find_localized`; `NO_BOX` where none is predicted. None where there are no `true_boxes`.
        class_names: Label -> the name of the class, as far as the data set names it; None of a split that chooses τ,
            and in older records.
    """

    split: PartName
    image_ids: tuple[str, ...]
    correct: Mapping[Mode, Mapping[float, CorrectRuns]] | None
    hits: Mapping[int, NDArray[np.bool_]]
    statistics: Mapping[str, NDArray[np.float64]]
    nan_maps: int
    constant_maps: int
    annotations_sha256: str
    images_sha256: str | None
    frame: int = FRAME
    histograms: ScoreHistograms | None = None
    otsu: OtsuOutcomes | None = None
    labels: NDArray[np.intp] | None = None
    sizes: NDArray[np.float64] | None = None
    values: Mapping[str, NDArray[np.float64]] | None = None
    true_boxes: Sequence[NDArray[np.int64]] | None = None
    predicted_boxes: NDArray[np.int64] | None = None
    class_names: Mapping[int, str] | None = None

    @property
    def images(self) -> ImageOutcomes:
        """The outcomes that scores follow from.

        Raises:
            DataError: They are not of the same number of images.
        """
        count = len(self.image_ids)
        lengths = [len(hit) for hit in self.hits.values()] + [len(values) for values in self.statistics.values()]
        lengths += [runs.num_images for by_iou in (self.correct or {}).values() for runs in by_iou.values()]
        if self.otsu is not None:
            lengths += [len(self.otsu.thresholds)]
            lengths += [len(correct) for by_iou in self.otsu.correct.values() for correct in by_iou.values()]
        lengths += [len(values) for values in (self.values or {}).values()]
        of_images = (self.labels, self.sizes, self.true_boxes, self.predicted_boxes)
        lengths += [len(each) for each in of_images if each is not None]
        if count == 0 or set(lengths) - {count}:
            raise DataError(
                f"outcomes of {self.split}: expected one of each kind for each of {count} images, got {lengths}"
            )
        at_otsu = None if self.otsu is None else self.otsu.correct
        return ImageOutcomes(count, self.correct, self.hits, at_otsu, self._shares, self.sizes)

    @property
    def _shares(self) -> dict[str, Shares]:
        """The numbers of every image that metrics are means of; none in older records, which lack these metrics."""
        shares = {
            name: Shares(np.rint(values * 10**DECIMALS).astype(np.intp), 10**DECIMALS)
            for name, values in (self.values or {}).items()
        }
        if self.values and self.correct is not None:
            shares["box_acc_area"] = _shares_of_thresholds([self.correct["single"][0.5]])
            shares["box_acc_area_v2"] = _shares_of_thresholds([*self.correct["multi"].values()])
        return shares

    def box_acc(self, mode: Mode, iou_threshold: float) -> NDArray[np.float64]:
        """Return BoxAcc(τ, δ) at every τ, in percent, (T,).

        Raises:
            DataError: The split has no boxes.
        """
        if self.correct is None:
            raise DataError(f"{self.split} has no boxes")
        (curve,) = self.correct[mode][iou_threshold].box_acc(np.ones((1, len(self.image_ids))))
        return np.asarray(curve)

    @cached_property
    def traces(self) -> NDArray[np.uint64]:
        """A number for every image that stands for all its runs of τ, (N,); 0 where it has none."""
        sums = np.zeros(len(self.image_ids), dtype=np.uint64)
        curves = [runs for by_iou in (self.correct or {}).values() for runs in by_iou.values()]
        for number, runs in enumerate(curves, start=1):
            thresholds = runs.num_thresholds + 1
            keys = ((number * thresholds + runs.start) * thresholds + runs.stop).astype(np.uint64)
            keys *= np.uint64(0x9E3779B97F4A7C15)  # spreads neighbours over all 64 bits
            keys ^= keys >> np.uint64(29)
            np.add.at(sums, runs.image, keys * np.uint64(0xBF58476D1CE4E5B9))
        return sums

    def select(self, order: Sequence[int] | NDArray[np.intp]) -> SplitOutcomes:
        """Return the outcomes of some images, in the order given; counts of maps and pixels stay those of all."""
        places = np.asarray(order, dtype=np.intp)
        return replace(
            self,
            image_ids=tuple(self.image_ids[place] for place in places),
            correct=None
            if self.correct is None
            else {
                mode: {iou: _select_runs(runs, places) for iou, runs in by_iou.items()}
                for mode, by_iou in self.correct.items()
            },
            hits={k: hit[places] for k, hit in self.hits.items()},
            statistics={name: values[places] for name, values in self.statistics.items()},
            otsu=None if self.otsu is None else _select_otsu(self.otsu, places),
            labels=None if self.labels is None else self.labels[places],
            sizes=None if self.sizes is None else self.sizes[places],
            values=None if self.values is None else {name: of[places] for name, of in self.values.items()},
            true_boxes=None if self.true_boxes is None else BoxLists.of(self.true_boxes).take(places),
            predicted_boxes=None if self.predicted_boxes is None else self.predicted_boxes[places],
        )


def _select_otsu(otsu: OtsuOutcomes, places: NDArray[np.intp]) -> OtsuOutcomes:
    correct = {
        mode: {iou: of_images[places] for iou, of_images in by_iou.items()} for mode, by_iou in otsu.correct.items()
    }
    return OtsuOutcomes(otsu.thresholds[places], correct)


def _shares_of_thresholds(curves: Sequence[CorrectRuns]) -> Shares:
    """Return at how many of all τ each image is correct, over some curves."""
    lengths = [np.bincount(runs.image, runs.stop - runs.start, runs.num_images) for runs in curves]
    return Shares(np.sum(lengths, axis=0).astype(np.intp), len(curves) * curves[0].num_thresholds)


def _select_runs(runs: CorrectRuns, places: NDArray[np.intp]) -> CorrectRuns:
    starts = np.searchsorted(runs.image, places, side="left")
    counts = np.searchsorted(runs.image, places, side="right") - starts
    kept = np.repeat(starts - np.concatenate([[0], counts.cumsum()[:-1]]), counts) + np.arange(counts.sum())
    image = np.repeat(np.arange(len(places)), counts)
    return CorrectRuns(image, runs.start[kept], runs.stop[kept], len(places), runs.num_thresholds)


@dataclass(frozen=True, eq=False)
class Localized:
    """The images whose largest contour's box is right at δ 0.5.

    Attributes:
        images: (N,) bool, in the order of the evaluated split.
        selection: Which τ it was: that of train-fullsup, or the best of the evaluated split; "none" of boxes.
        threshold: The τ.
    """

    images: NDArray[np.bool_]
    selection: Literal["fullsup", "oracle", "none"]
    threshold: float


def check_outcomes(part: SplitOutcomes) -> None:
    """Check what outcomes of a split are whatever their scores: of the same images, each named once, and possible.

    Raises:
        DataError: They are not; the message says what is wrong.
    """
    count = part.images.num_images
    for problem in _impossible(part, count):
        raise DataError(f"outcomes of {part.split}: {problem}")


def check_labels(part: SplitOutcomes, num_classes: int, *, classified: bool) -> None:
    """Check that the labels of images are classes of their data set.

    Args:
        part: The outcomes of a split.
        num_classes: Classes of the data set; 0 where nobody named them, as of maps in memory.
        classified: Whether a network with a classifier made the maps, which needs classes.

    Raises:
        DataError: A label is beyond the last class.
    """
    nobody_named_them = num_classes == 0 and not classified and not part.class_names
    if part.labels is None or nobody_named_them:
        return
    for image in np.flatnonzero(part.labels >= num_classes):
        raise DataError(
            f"outcomes of {part.split}: the label of '{part.image_ids[image]}' is {part.labels[image]}, but the data "
            f"set has {num_classes} classes, whose labels count from 0"
        )


def _impossible(part: SplitOutcomes, count: int) -> Iterator[str]:
    """Yield what cannot be so in outcomes of some images."""
    yield from _wrong_names(part.image_ids)
    yield from _wrong_names(tuple(part.statistics))
    if _are_repeated(part.image_ids):
        yield "an image is there twice"
    if part.nan_maps < 0 or part.constant_maps < 0 or part.nan_maps + part.constant_maps > count:
        yield f"{part.nan_maps} + {part.constant_maps} maps without a score, of {count} images"
    for fewer, more in pairwise(sorted(part.hits)):
        if (part.hits[fewer] & ~part.hits[more]).any():
            yield f"an image is among the top {fewer}, but not among the top {more}"
    for values in part.statistics.values():
        if np.isinf(values).any():
            yield "a statistic is infinite"
    if part.otsu is not None:
        yield from _impossible_at_otsu(part.otsu)
    for name, values in (part.values or {}).items():
        if name not in IMAGE_VALUES or not _are_shares(values):
            expected = f"one of {', '.join(IMAGE_VALUES)}, each number from 0 to 1 with at most {DECIMALS} decimals"
            yield f"'{printable(name, 100)}': expected {expected}"
    if part.sizes is not None and not _are_shares(part.sizes):
        yield "expected sizes of objects from 0 to 1"
    if part.labels is not None and part.labels.dtype.kind != "i":
        yield "expected labels as whole numbers"
    elif part.labels is not None and (part.labels < 0).any():
        image = int((part.labels < 0).argmax())
        yield f"the label of '{part.image_ids[image]}' is {part.labels[image]}; labels count from 0"
    if part.class_names is not None:
        yield from _absent_beside_names(part)
    for label, name in (part.class_names or {}).items():
        problem = text_problem(name, LONGEST_NAME) if name else "expected a name, got none"
        if problem is not None:
            yield f"the name of class {label}, '{printable(name, 100)}': {problem}"
        elif part.labels is None or label not in part.labels:
            yield f"class {label} has a name and no image"
    if (part.true_boxes is None) != (part.predicted_boxes is None):
        yield "true boxes and predicted boxes are there together, or neither is"
    elif part.true_boxes is not None and part.predicted_boxes is not None:
        yield from _impossible_boxes(part.true_boxes, part.predicted_boxes, part.sizes, part.frame)
    if part.histograms is not None:
        pixels = np.stack([part.histograms.foreground, part.histograms.background])
        if (pixels < 0).any() or pixels.max() > count * part.frame**2 or pixels.sum() > count * part.frame**2:
            yield f"expected numbers of at most {count} × {part.frame} × {part.frame} pixels"
        elif pixels[:, -1].any():
            yield "a pixel's score is above 1"
        elif not pixels[0].any():
            yield "no pixel is of the object"


@lru_cache(maxsize=16)
def _wrong_names(names: tuple[str, ...]) -> list[str]:
    """Return what is wrong with names; many records are of the same images, whose names are checked once."""
    problems = ((name, text_problem(name) if name else "expected a name, got none") for name in names)
    return [f"'{printable(name, 100)}': {problem}" for name, problem in problems if problem is not None]


@lru_cache(maxsize=16)
def _are_repeated(names: tuple[str, ...]) -> bool:
    return len(set(names)) < len(names)


def _absent_beside_names(part: SplitOutcomes) -> Iterator[str]:
    """Yield what outcomes lack that came before names of classes did, so that no record has one without the other."""
    lacks = {
        "labels": part.labels is None,
        "values": part.values is None,
        "boxes": part.true_boxes is None and part.correct is not None,
    }
    for name, lacking in lacks.items():
        if lacking:
            yield f"they name classes and have no {name}; older outcomes have neither, so these were changed"


def _impossible_boxes(
    true: Sequence[NDArray[np.int64]],
    predicted: NDArray[np.int64],
    sizes: NDArray[np.float64] | None,
    frame: int,
) -> Iterator[str]:
    lists = BoxLists.of(true)
    if not lists.counts.all():
        yield "an image has no true box"
        return
    of_all = lists.corners
    if of_all.dtype.kind != "i" or predicted.dtype.kind != "i":
        yield "expected boxes in whole pixels"
        return
    if (of_all[:, :2] > of_all[:, 2:]).any() or (np.abs(of_all) > _FARTHEST).any():
        yield "expected true boxes (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1"
        return
    given = predicted[(predicted != NO_BOX).any(axis=1)]
    if (given[:, :2] > given[:, 2:]).any() or (given < 0).any() or (given >= frame).any():
        yield f"expected predicted boxes inside the frame of {frame} pixels"
    expected = object_sizes(lists, np.full((len(lists), 2), frame)).round(DECIMALS)
    if sizes is None or not np.array_equal(sizes, expected):
        yield "sizes of objects are not those of their boxes"


def _impossible_at_otsu(otsu: OtsuOutcomes) -> Iterator[str]:
    if not ((otsu.thresholds >= 0) & (otsu.thresholds < 1)).all():
        yield "expected τ of Otsu's method from 0 to below 1"
    for by_iou in otsu.correct.values():
        for looser, stricter in pairwise(sorted(by_iou)):
            if (by_iou[stricter] & ~by_iou[looser]).any():
                yield f"at the τ of Otsu's method, an image is correct at IoU {stricter}, but not at {looser}"


def _are_shares(values: NDArray[np.float64]) -> bool:
    return bool(((values >= 0) & (values <= 1) & (values == np.round(values, DECIMALS))).all())


def share_alike(one: SplitOutcomes, other: SplitOutcomes) -> float:
    """Return the share of images that are correct at the very same τ in both, in both modes and at every δ.

    Images that no τ localizes in either say nothing, so they do not count. Two trainings that differ in their seeds
    have next to none in common. Without boxes, the numbers of pixels with each score are equal, or nothing is.
    """
    ours, theirs = one.traces, other.traces
    if one.image_ids != other.image_ids:
        of_ids = dict(zip(other.image_ids, theirs.tolist(), strict=True))
        theirs = np.array([of_ids.get(image_id, 0) for image_id in one.image_ids], dtype=np.uint64)
    telling = (ours > 0) | (theirs > 0)
    if telling.any():
        return float((ours == theirs)[telling].mean())
    if one.histograms is None or other.histograms is None:
        return 0.0
    pairs = ((getattr(part.histograms, name) for part in (one, other)) for name in ("foreground", "background"))
    return float(all(np.array_equal(*pair) for pair in pairs))


def recompute_pxap(histograms: ScoreHistograms) -> float:
    """Return PxAP in percent: the mean precision over the pixels of the object, each at its own score.

    Args:
        histograms: How many pixels have which score; one of the object at least.
    """
    found = histograms.foreground[::-1].cumsum()
    predicted = found + histograms.background[::-1].cumsum()
    steps = histograms.foreground[::-1]
    return float(np.sum(steps * (found / np.maximum(predicted, 1))) * 100 / found[-1])


def recompute_scores(
    outcomes: Sequence[SplitOutcomes], protocol: ProtocolInfo, rules: Collection[str] = ()
) -> dict[str, float]:
    """Return every metric that follows from the outcomes, in percent; a term of a mean as ``max_box_acc_by_iou.0.3``.

    Args:
        outcomes: What happened to every image.
        protocol: The settings of the evaluation.
        rules: Names of rules for τ whose scores are wanted too, as ``otsu.box_acc``.

    Raises:
        DataError: The outcomes contradict themselves, or have nothing of a rule.
    """
    return _with_gt_known(score(*_splits(outcomes, protocol), _rules(outcomes, protocol, rules)), protocol)


def bootstrap_scores(
    outcomes: Sequence[SplitOutcomes],
    protocol: ProtocolInfo,
    rules: Collection[str] = (),
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, NDArray[np.float64]]:
    """Return the same for resamples of the images: (resamples,) percent for each metric.

    Raises:
        DataError: The outcomes contradict themselves.
    """
    of_rules = _rules(outcomes, protocol, rules)
    return _with_gt_known(bootstrap(*_splits(outcomes, protocol), of_rules, resamples=resamples, seed=seed), protocol)


def scores_and_resamples(
    outcomes: Sequence[SplitOutcomes], protocol: ProtocolInfo, rules: Collection[str] = ()
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """Return `recompute_scores` and `bootstrap_scores`, computed together.

    Raises:
        DataError: The outcomes contradict themselves, or have nothing of a rule.
    """
    scores, resampled = score_and_bootstrap(*_splits(outcomes, protocol), _rules(outcomes, protocol, rules))
    return _with_gt_known(scores, protocol), _with_gt_known(resampled, protocol)


def find_localized(outcomes: Sequence[SplitOutcomes], protocol: ProtocolInfo) -> Localized | None:
    """Return the images that are localized at the fullsup τ or, without one, at the oracle τ; None without boxes.

    Raises:
        DataError: The outcomes contradict themselves.
    """
    scored, fullsup = _splits(outcomes, protocol)
    if scored.correct is None:
        return None
    choosing = scored if fullsup is None or fullsup.correct is None else fullsup
    assert choosing.correct is not None
    box_acc = choosing.correct["single"][0.5].box_acc(np.ones((1, choosing.num_images)))[0]
    best = select_threshold(box_acc)
    threshold = float(cam_threshold_grid(protocol.threshold_step)[best])
    selection: Literal["fullsup", "oracle", "none"] = "oracle" if choosing is scored else "fullsup"
    if protocol.scored == "boxes":
        selection = "none"
    return Localized(scored.correct["single"][0.5].at(best), selection, threshold)


def compute_intervals(
    outcomes: Sequence[SplitOutcomes],
    protocol: ProtocolInfo,
    rules: Collection[str] = (),
    *,
    kind: IntervalKind = KIND,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Intervals | None:
    """Return the interval of every metric that follows from the outcomes, or None where none does.

    Raises:
        DataError: The outcomes contradict themselves.
    """
    scores = recompute_scores(outcomes, protocol, rules)
    if not scores:
        return None
    resampled = bootstrap_scores(outcomes, protocol, rules, resamples=resamples, seed=seed)
    metrics = ends_of(scores, resampled, kind, level)
    return Intervals(kind=kind, level=level, resamples=resamples, seed=seed, metrics=metrics)


def ends_of(
    scores: Mapping[str, float],
    resampled: Mapping[str, NDArray[np.float64]],
    kind: IntervalKind = KIND,
    level: float = LEVEL,
) -> dict[str, tuple[float, float]]:
    """Return the ends of the interval of every score, from the same scores of resamples."""
    ends = intervals(np.array([*scores.values()]), np.stack([resampled[name] for name in scores]), kind, level)
    return {name: (low, high) for name, (low, high) in zip(scores, ends.tolist(), strict=True)}


def claimed_scores(metrics: Metrics) -> dict[str, float]:
    """Return the metrics of a record that can be recomputed and are not null, under the names of `recompute_scores`."""
    claimed: dict[str, float] = {}
    for name, value in metrics.model_dump().items():
        if isinstance(value, dict) and name.endswith(("by_iou", "by_size")):
            claimed.update({f"{name}.{key}": term for key, term in value.items()})
        elif isinstance(value, float) and name != "pxap" and "cam_threshold" not in name:
            claimed[name] = value
    return claimed


def claimed_at_rules(thresholds: Mapping[str, ThresholdScores]) -> dict[str, float]:
    """Return the scores of a record at the τ of its rules, under the names of `recompute_scores`."""
    claimed: dict[str, float] = {}
    for rule, scores in thresholds.items():
        for name, value in scores.model_dump(exclude={"cam_threshold", "cam_threshold_single"}).items():
            terms = {f"{name}.{key}": term for key, term in value.items()} if isinstance(value, dict) else {name: value}
            claimed.update({f"{rule}.{term}": score for term, score in terms.items() if score is not None})
    return claimed


def without_rules(outcomes: Sequence[SplitOutcomes]) -> list[SplitOutcomes]:
    """Return outcomes without what rules for τ add to them."""
    return [part if part.otsu is None else replace(part, otsu=None) for part in outcomes if part.split != PSEUDO_BOXES]


def _rules(outcomes: Sequence[SplitOutcomes], protocol: ProtocolInfo, names: Collection[str]) -> Rules:
    """Return what rules for τ are by name.

    Raises:
        DataError: The outcomes have nothing of one.
    """
    if not names:
        return NO_RULES
    pseudo = next((part.images for part in outcomes if part.split == PSEUDO_BOXES), None)
    of_otsu = any(part.otsu is not None or part.correct is None for part in outcomes if part.split == protocol.split)
    if (PSEUDO_BOXES in names and pseudo is None) or (OTSU in names and not of_otsu):
        raise DataError(f"it has scores of {' and '.join(sorted(names))}, and no outcomes of all of them")
    fixed = {name: threshold for name in names if (threshold := fixed_threshold(name)) is not None}
    try:
        grid = cam_threshold_grid(protocol.threshold_step)
        places = {name: fix_threshold(grid, threshold).single_index for name, threshold in fixed.items()}
    except UsageError as error:
        raise DataError(str(error)) from None
    return Rules(places, pseudo if PSEUDO_BOXES in names else None, OTSU in names)


def evaluated_and_choosing(
    outcomes: Sequence[SplitOutcomes], protocol: ProtocolInfo
) -> tuple[ImageOutcomes, ImageOutcomes | None]:
    """Return the outcomes of the evaluated split, and of the split with boxes that its τ is chosen on, or None.

    Raises:
        DataError: The outcomes contradict themselves.
    """
    scored, fullsup = _splits(outcomes, protocol)
    return scored, None if fullsup is None or fullsup.correct is None else fullsup


def _splits(outcomes: Sequence[SplitOutcomes], protocol: ProtocolInfo) -> tuple[ImageOutcomes, ImageOutcomes | None]:
    """Return the evaluated split, and train-fullsup where τ comes from it."""
    by_split: dict[str, Any] = {part.split: part.images for part in outcomes}
    if protocol.split not in by_split:
        raise DataError(f"it has no outcomes of {protocol.split}")
    if protocol.scored == "boxes":  # every τ is the best one, wherever it is chosen
        return by_split[protocol.split], by_split[protocol.split]
    return by_split[protocol.split], by_split.get("train-fullsup") if protocol.split == "test" else None


def _with_gt_known(found: dict[str, Value], protocol: ProtocolInfo) -> dict[str, Value]:
    """Call the accuracy of the largest contour at the fullsup τ GT-known Loc too, where maps are of the true class.

    Boxes of systems of two networks are of no class: given the true one, a box is right where it is.
    """
    of_any_class = protocol.scored == "boxes" and protocol.target is None
    if (protocol.target == "gt" or of_any_class) and "fullsup_box_acc" in found:
        return {**found, "gt_known_loc": found["fullsup_box_acc"]}
    return found
