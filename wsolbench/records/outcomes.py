"""What follows from the per-image outcomes of a record: its scores again, those of resamples, and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError
from wsolbench.protocol import IOU_THRESHOLDS, MODES, cam_threshold_grid, select_threshold
from wsolbench.protocol.uncertainty import (
    KIND,
    LEVEL,
    RESAMPLES,
    SEED,
    CorrectRuns,
    ImageOutcomes,
    bootstrap,
    interval,
    score,
)
from wsolbench.records.record import IOU_KEYS, IntervalKind, Intervals, Metrics, ProtocolInfo, SplitOutcomes

__all__ = [
    "Localized",
    "bootstrap_scores",
    "claimed_scores",
    "compute_intervals",
    "find_localized",
    "image_outcomes",
    "recompute_scores",
]

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Localized:
    """The images whose largest contour's box is right at δ 0.5.

    Attributes:
        images: (N,) bool, in the order of the evaluated split.
        selection: Which τ it was: that of train-fullsup, or the best of the evaluated split.
        threshold: The τ.
    """

    images: NDArray[np.bool_]
    selection: Literal["fullsup", "oracle"]
    threshold: float


def image_outcomes(part: SplitOutcomes, protocol: ProtocolInfo) -> ImageOutcomes:
    """Return the outcomes of a split as arrays.

    Raises:
        DataError: They are not outcomes of the split's images on the record's grid of τ.
    """
    count, thresholds = len(part.image_ids), len(cam_threshold_grid(protocol.interval))
    hits = {k: np.array(hit) for k, hit in ((1, part.top1_hits), (5, part.top5_hits)) if hit is not None}
    if part.correct is None:
        correct = None
    else:
        keys = dict(zip(IOU_THRESHOLDS, IOU_KEYS, strict=True))
        try:
            correct = {
                mode: {iou: CorrectRuns.from_flat(part.correct[mode][key], thresholds) for iou, key in keys.items()}
                for mode in MODES
            }
        except KeyError as error:
            raise DataError(f"outcomes of {part.split}: {error} is missing") from None
        except DataError as error:
            raise DataError(f"outcomes of {part.split}: {error}") from None
    lengths = [len(hit) for hit in hits.values()]
    lengths += [runs.num_images for by_iou in (correct or {}).values() for runs in by_iou.values()]
    lengths += [len(values) for values in (part.statistics or {}).values()]
    if count == 0 or set(lengths) - {count}:
        raise DataError(
            f"outcomes of {part.split}: expected one of each kind for each of {count} images, got {lengths}"
        )
    return ImageOutcomes(count, correct, hits)


def recompute_scores(outcomes: Sequence[SplitOutcomes], protocol: ProtocolInfo) -> dict[str, float]:
    """Return every metric that follows from the outcomes, in percent; a term of a mean as ``max_box_acc_by_iou.0.3``.

    Raises:
        DataError: The outcomes contradict themselves.
    """
    return _with_gt_known(score(*_splits(outcomes, protocol)), protocol)


def bootstrap_scores(
    outcomes: Sequence[SplitOutcomes], protocol: ProtocolInfo, *, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, NDArray[np.float64]]:
    """Return the same for resamples of the images: (resamples,) percent for each metric.

    Raises:
        DataError: The outcomes contradict themselves.
    """
    return _with_gt_known(bootstrap(*_splits(outcomes, protocol), resamples=resamples, seed=seed), protocol)


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
    threshold = float(cam_threshold_grid(protocol.interval)[best])
    selection: Literal["fullsup", "oracle"] = "oracle" if choosing is scored else "fullsup"
    return Localized(scored.correct["single"][0.5].at(best), selection, threshold)


def compute_intervals(
    outcomes: Sequence[SplitOutcomes],
    protocol: ProtocolInfo,
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
    scores = recompute_scores(outcomes, protocol)
    if not scores:
        return None
    resampled = bootstrap_scores(outcomes, protocol, resamples=resamples, seed=seed)
    found = {name: interval(value, resampled[name], kind, level) for name, value in scores.items()}
    return Intervals(kind=kind, level=level, resamples=resamples, seed=seed, metrics=found)


def claimed_scores(metrics: Metrics) -> dict[str, float]:
    """Return the metrics of a record that can be recomputed and are not null, under the names of `recompute_scores`."""
    claimed: dict[str, float] = {}
    for name, value in metrics.model_dump().items():
        if isinstance(value, dict) and name.endswith("by_iou"):
            claimed.update({f"{name}.{key}": term for key, term in value.items()})
        elif isinstance(value, float) and name != "pxap" and "cam_threshold" not in name:
            claimed[name] = value
    return claimed


def _splits(outcomes: Sequence[SplitOutcomes], protocol: ProtocolInfo) -> tuple[ImageOutcomes, ImageOutcomes | None]:
    """Return the evaluated split, and train-fullsup where τ comes from it."""
    by_split = {part.split: image_outcomes(part, protocol) for part in outcomes}
    if protocol.split not in by_split:
        raise DataError(f"it has no outcomes of {protocol.split}")
    return by_split[protocol.split], by_split.get("train-fullsup") if protocol.split == "test" else None


def _with_gt_known(found: dict[str, Value], protocol: ProtocolInfo) -> dict[str, Value]:
    """Call the accuracy of the largest contour at the fullsup τ GT-known Loc too, where maps are of the true class."""
    if protocol.target == "gt" and "fullsup_box_acc" in found:
        return {**found, "gt_known_loc": found["fullsup_box_acc"]}
    return found
