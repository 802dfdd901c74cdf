"""Scoremaps of one split against its annotations, and the metrics that follow: shared by `run` and `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Split
from wsolbench.data.opened import OpenSplit
from wsolbench.errors import DataError
from wsolbench.protocol import (
    IOU_THRESHOLDS,
    MODES,
    BoxEvaluator,
    BoxResult,
    FullsupSelection,
    IouCurves,
    MaskEvaluator,
    MaskResult,
    Mode,
    ScoreHistograms,
    select_on_fullsup,
    top_k_loc,
)
from wsolbench.records import IOU_KEYS, IouKey, Metrics, Runs, SplitOutcomes

Target: TypeAlias = Literal["gt", "predicted"]
"""Whose map is made: the true class's, or the predicted one's."""


@dataclass(frozen=True)
class Score:
    """What one scoremap scored."""

    curves: IouCurves | None
    histograms: ScoreHistograms | None


class SplitScorer:
    """Both evaluators over one split. `score` is pure and may run in threads; `add` stores."""

    def __init__(self, part: OpenSplit, interval: float) -> None:
        ids, annotations = part.images.ids, part.annotations
        self._ids = ids
        self._load_mask = annotations.load_mask
        self._boxes: BoxEvaluator | None = None
        self._masks: MaskEvaluator | None = None
        if part.has_boxes:
            boxes = {image_id: annotations.boxes[image_id] for image_id in ids}
            self._boxes = BoxEvaluator(boxes, annotations.image_sizes, interval)
        if annotations.load_mask is not None:
            self._masks = MaskEvaluator(ids, interval)
        if self._boxes is None and self._masks is None:
            raise DataError(f"the split {part.split.label} has neither boxes nor masks to evaluate against")

    def score(self, index: int, scoremap: NDArray[np.floating[Any]]) -> Score:
        """Score the map of the image at a position."""
        image_id = self._ids[index]
        curves = self._boxes.score(scoremap, image_id) if self._boxes else None
        histograms = None
        if self._masks and self._load_mask:
            masks = self._load_mask(image_id)
            histograms = self._masks.score(scoremap, image_id, masks.foreground, masks.ignore)
        return Score(curves, histograms)

    def add(self, index: int, score: Score) -> None:
        """Store a score."""
        if self._boxes and score.curves:
            self._boxes.add(self._ids[index], score.curves)
        if self._masks and score.histograms:
            self._masks.add(self._ids[index], score.histograms)

    def compute(self) -> tuple[BoxResult | None, MaskResult | None]:
        """Return the results over all images of the split."""
        return self._boxes.compute() if self._boxes else None, self._masks.compute() if self._masks else None


@dataclass(frozen=True)
class ClassHits:
    """Whether each image's class is the best prediction, and among the five best; bool (N,)."""

    top1: NDArray[np.bool_]
    top5: NDArray[np.bool_]


@dataclass(frozen=True)
class ScoredSplit:
    """Everything that one method's maps came to on one split."""

    part: OpenSplit
    boxes: BoxResult | None
    masks: MaskResult | None
    hits: ClassHits | None
    nan_maps: int
    constant_maps: int
    images_sha256: str | None
    statistics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """The thresholds that train-fullsup chose, or why there are none."""

    fullsup: FullsupSelection | None
    missing_because: str | None


def select_thresholds(fullsup: ScoredSplit | None, why_none: str) -> Selection:
    """Choose τ on train-fullsup where it has boxes."""
    if fullsup is None:
        return Selection(None, why_none)
    if fullsup.boxes is None:
        return Selection(None, "train-fullsup has no boxes")
    return Selection(select_on_fullsup(fullsup.boxes), None)


def compute_metrics(
    scored: ScoredSplit, selection: Selection, *, target: Target | None
) -> tuple[Metrics, dict[str, str]]:
    """Return every metric of a split, and for those that cannot be had the reason.

    Args:
        scored: What a method's maps came to.
        selection: The thresholds from train-fullsup.
        target: Whose maps they are; None where nobody knows.
    """
    values: dict[str, Any] = dict.fromkeys(Metrics.model_fields)
    missing: dict[str, str] = {}

    def explain(reason: str, *names: str) -> None:
        missing.update({name: reason for name in names if values[name] is None and name not in missing})

    boxes, fullsup, hits = scored.boxes, selection.fullsup, scored.hits
    if boxes is not None:
        values["max_box_acc"] = boxes.max_box_acc
        values["max_box_acc_v2"] = boxes.max_box_acc_v2
        values["max_box_acc_by_iou"] = _by_iou_key(boxes.max_box_acc_by_iou)
    if boxes is not None and fullsup is not None:
        at_fullsup = fullsup.apply(boxes)
        values["fullsup_box_acc"] = at_fullsup.box_acc
        values["fullsup_box_acc_v2"] = at_fullsup.box_acc_v2
        values["fullsup_box_acc_by_iou"] = _by_iou_key(at_fullsup.box_acc_by_iou)
        values["fullsup_cam_threshold"] = _by_iou_key(fullsup.multi_threshold)
        values["fullsup_cam_threshold_single"] = fullsup.single_threshold
        values["gt_known_loc"] = at_fullsup.box_acc if target == "gt" else None
    if hits is not None:
        values["top1_acc"], values["top5_acc"] = 100 * float(hits.top1.mean()), 100 * float(hits.top5.mean())
        if boxes is not None and fullsup is not None:
            localized = fullsup.is_localized(boxes)
            values["top1_loc"], values["top5_loc"] = top_k_loc(localized, hits.top1), top_k_loc(localized, hits.top5)
    if scored.masks is not None:
        values["pxap"] = scored.masks.pxap

    box_metrics = [name for name in values if "box_acc" in name or "cam_threshold" in name or name.endswith("_loc")]
    if boxes is None:
        explain("the data set has no boxes", *box_metrics)
    if hits is None:
        explain("no classifier ran", "top1_loc", "top5_loc", "top1_acc", "top5_acc")
    if selection.missing_because is not None:
        explain(selection.missing_because, *box_metrics)
    explain("maps of the predicted class" if target else "the files do not say for which class", "gt_known_loc")
    explain("the data set has no masks", "pxap")
    return Metrics(**values), missing


def split_outcomes(scored: ScoredSplit) -> SplitOutcomes:
    """Return the per-image part of a record."""
    boxes, hits = scored.boxes, scored.hits
    correct: dict[Mode, dict[IouKey, Runs]] | None = None
    box_acc: dict[Mode, dict[IouKey, list[float]]] | None = None
    if boxes is not None:
        correct = {mode: {_key(iou): _flat_runs(boxes, mode, iou) for iou in IOU_THRESHOLDS} for mode in MODES}
        box_acc = {mode: {_key(iou): boxes.box_acc(mode, iou).tolist() for iou in IOU_THRESHOLDS} for mode in MODES}
    return SplitOutcomes(
        split="test" if scored.part.split is Split.TEST else "train-fullsup",
        image_ids=list(scored.part.images.ids),
        correct=correct,
        box_acc=box_acc,
        top1_hits=None if hits is None else hits.top1.tolist(),
        top5_hits=None if hits is None else hits.top5.tolist(),
        nan_maps=scored.nan_maps,
        constant_maps=scored.constant_maps,
        annotations_sha256=scored.part.annotations_sha256,
        images_sha256=scored.images_sha256,
        statistics={name: _significant(values) for name, values in scored.statistics.items()} or None,
    )


def _significant(values: NDArray[np.float64]) -> list[float | None]:
    """Return numbers with 6 significant digits, and None for those that are not finite."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


def _flat_runs(boxes: BoxResult, mode: Mode, iou_threshold: float) -> Runs:
    by_image = boxes.outcomes[mode][iou_threshold]
    return [[edge for run in by_image[image_id] for edge in run] for image_id in boxes.image_ids]


def _by_iou_key(by_iou: dict[float, float]) -> dict[IouKey, float]:
    return {_key(iou): value for iou, value in by_iou.items()}


def _key(iou_threshold: float) -> IouKey:
    return dict(zip(IOU_THRESHOLDS, IOU_KEYS, strict=True))[iou_threshold]
