"""The metrics of a split and the per-image part of a record, from the scores of its maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Split
from wsolbench.contract.choices import Target, iou_key
from wsolbench.data.opened import OpenSplit
from wsolbench.engine.scoring import ScoredSplit
from wsolbench.protocol import (
    MODES,
    OBJECT_SIZES,
    BoxResult,
    OtsuResult,
    ThresholdSelection,
    select_on_fullsup,
    select_threshold,
    size_classes,
    top_k_loc,
)
from wsolbench.protocol.rules import PSEUDO_BOXES
from wsolbench.protocol.uncertainty import CorrectRuns
from wsolbench.records import Metrics, OtsuOutcomes, SplitOutcomes
from wsolbench.records.missing import FULLSUP_WITHOUT_BOXES, explain_missing
from wsolbench.records.outcomes import DECIMALS, LONGEST_NAME
from wsolbench.records.record import PartName
from wsolbench.texts import printable

__all__ = ["Selection", "compute_metrics", "select_thresholds", "split_outcomes"]


@dataclass(frozen=True)
class Selection:
    """The thresholds that train-fullsup chose, or why there are none."""

    fullsup: ThresholdSelection | None
    missing_because: str | None

    @property
    def quality_index(self) -> int | None:
        """The place in the grid of the τ for the largest contour; None where there is none."""
        return None if self.fullsup is None else self.fullsup.single_index


def select_thresholds(fullsup: ScoredSplit | None, why_none: str) -> Selection:
    """Choose τ on train-fullsup where it has boxes."""
    if fullsup is None:
        return Selection(None, why_none)
    if fullsup.boxes is None:
        return Selection(None, FULLSUP_WITHOUT_BOXES)
    return Selection(select_on_fullsup(fullsup.boxes), None)


def compute_metrics(
    scored: ScoredSplit, selection: Selection, *, target: Target | None, headless: bool = False
) -> tuple[Metrics, dict[str, str]]:
    """Return every metric of a split, and the reason for every one that is not available.

    Args:
        scored: The scores of a method's maps.
        selection: The thresholds from train-fullsup.
        target: Whose maps they are; None where nobody knows.
        headless: Whether a network without a classifier made them.
    """
    values: dict[str, Any] = dict.fromkeys(Metrics.model_fields)
    boxes, hits = scored.boxes, scored.hits
    if boxes is not None:
        values |= _oracle_metrics(boxes)
    if boxes is not None and selection.fullsup is not None:
        values |= _fullsup_metrics(scored, boxes, selection.fullsup, target)
    values |= {name: 100 * float(of_images.mean()) for name, of_images in image_values(scored, selection).items()}
    values |= {f"top{k}_acc": 100 * float(hit.mean()) for k, hit in hits.items()}
    if scored.masks is not None:
        values["pxap"] = scored.masks.pxap
    missing = explain_missing(
        [name for name, value in values.items() if value is None],
        undefined=None if boxes is not None or scored.masks is not None else scored.undefined,
        has_boxes=boxes is not None,
        of_maps=scored.of_maps,
        headless=headless,
        hits=hits,
        target=target,
        no_threshold=selection.missing_because,
    )
    return Metrics(**values), missing


def _oracle_metrics(boxes: BoxResult) -> dict[str, Any]:
    """Return the metrics of boxes at the best τ, and over all τ."""
    return {
        "max_box_acc": boxes.max_box_acc,
        "max_box_acc_v2": boxes.max_box_acc_v2,
        "max_box_acc_by_iou": _by_iou_key(boxes.max_box_acc_by_iou),
        "max_box_acc_by_size": _by_size(boxes, _oracle_index(boxes)),
        "box_acc_area": float(boxes.box_acc("single", 0.5).mean()),
        "box_acc_area_v2": float(np.mean([boxes.box_acc("multi", iou).mean() for iou in boxes.iou_thresholds])),
    }


def _fullsup_metrics(
    scored: ScoredSplit, boxes: BoxResult, fullsup: ThresholdSelection, target: Target | None
) -> dict[str, Any]:
    """Return the metrics of boxes at the τ from train-fullsup, and these τ where maps were scored."""
    at_fullsup = fullsup.apply(boxes)
    localized = fullsup.is_localized(boxes)
    values: dict[str, Any] = {
        "fullsup_box_acc": at_fullsup.box_acc,
        "fullsup_box_acc_v2": at_fullsup.box_acc_v2,
        "fullsup_box_acc_by_iou": _by_iou_key(at_fullsup.box_acc_by_iou),
        "fullsup_box_acc_by_size": _by_size(boxes, fullsup.single_index),
        "gt_known_loc": at_fullsup.box_acc if target == "gt" or (target is None and not scored.of_maps) else None,
        **{f"top{k}_loc": top_k_loc(localized, hit) for k, hit in scored.hits.items()},
    }
    if scored.of_maps:
        values["fullsup_cam_threshold"] = _by_iou_key(fullsup.multi_threshold)
        values["fullsup_cam_threshold_single"] = fullsup.single_threshold
    return values


def image_values(scored: ScoredSplit, selection: Selection) -> dict[str, NDArray[np.float64]]:
    """Return the metrics that are means of one number an image: name -> these numbers, (N,) in [0, 1]."""
    values = dict(scored.pointing)
    if scored.boxes is not None:
        values["mean_iou"] = np.round(scored.boxes.iou(_oracle_index(scored.boxes)), DECIMALS)
        if selection.fullsup is not None:
            values["fullsup_mean_iou"] = np.round(scored.boxes.iou(selection.fullsup.single_index), DECIMALS)
    return values


def split_outcomes(scored: ScoredSplit, selection: Selection | None = None) -> SplitOutcomes:
    """Return the per-image part of a record, as the arrays that the sweep made.

    Args:
        scored: The scores of a method's maps.
        selection: The thresholds from train-fullsup, for the evaluated split; None for train-fullsup itself.
    """
    boxes = scored.boxes
    correct = predicted = None
    if boxes is not None and selection is not None:
        reported = selection.quality_index
        predicted = boxes.boxes_at(_oracle_index(boxes) if reported is None else reported)
    if boxes is not None:
        correct = {
            mode: {iou: _correct_runs(runs, boxes) for iou, runs in by_iou.items()}
            for mode, by_iou in boxes.runs.items()
        }
    name: PartName = "test" if scored.part.split is Split.TEST else "train-fullsup"
    if scored.part.is_pseudo:
        name = PSEUDO_BOXES
    return SplitOutcomes(
        split=name,
        frame=scored.frame,
        image_ids=scored.part.images.ids,
        correct=correct,
        hits=scored.hits,
        statistics={name: _significant(values) for name, values in scored.statistics.items()},
        nan_maps=len(scored.bad["nan"]),
        constant_maps=len(scored.bad["constant"]),
        annotations_sha256=scored.part.annotations_sha256,
        images_sha256=scored.images_sha256,
        histograms=None if scored.masks is None else scored.masks.histograms,
        otsu=None if boxes is None or boxes.otsu is None else _otsu_outcomes(boxes.otsu, boxes.iou_thresholds),
        labels=scored.part.images.labels.astype(np.intp),
        sizes=None if boxes is None else np.round(boxes.sizes, DECIMALS),
        values={} if selection is None else image_values(scored, selection),
        true_boxes=None if boxes is None or predicted is None else boxes.true_boxes,
        predicted_boxes=predicted,
        class_names=None if selection is None else _class_names(scored.part),
    )


def _class_names(part: OpenSplit) -> dict[int, str]:
    return {label: printable(str(name), LONGEST_NAME) for label, name in part.class_names.items() if name}


def _oracle_index(boxes: BoxResult) -> int:
    """Return the place in the grid of the τ of MaxBoxAcc, the first of several."""
    return select_threshold(boxes.box_acc("single", 0.5))


def _by_size(boxes: BoxResult, threshold_index: int) -> dict[str, float]:
    """Return BoxAcc of the largest contour, δ = 0.5, at one τ, for each size that an image has."""
    correct, classes = boxes.is_correct("single", 0.5, threshold_index), size_classes(np.round(boxes.sizes, DECIMALS))
    return {
        size: 100 * float(correct[classes == place].mean())
        for place, size in enumerate(OBJECT_SIZES)
        if (classes == place).any()
    }


def _correct_runs(runs: NDArray[np.int32], boxes: BoxResult) -> CorrectRuns:
    image, start, stop = runs.T.astype(np.intp)
    return CorrectRuns(image, start, stop, boxes.num_images, len(boxes.thresholds))


def _otsu_outcomes(otsu: OtsuResult, iou_thresholds: Sequence[float]) -> OtsuOutcomes:
    correct = {mode: {iou: otsu.is_correct(mode, iou) for iou in iou_thresholds} for mode in MODES}
    return OtsuOutcomes(otsu.thresholds, correct)


def _significant(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers with 6 significant digits, and NaN for those that are not finite."""
    return np.array([float(f"{value:.6g}") if np.isfinite(value) else np.nan for value in values])


def _by_iou_key(by_iou: Mapping[float, float]) -> dict[str, float]:
    return {iou_key(iou): value for iou, value in by_iou.items()}
