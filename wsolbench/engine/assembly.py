"""The flow that `run` and `evaluate` share: splits opened, maps scored, τ chosen, records put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.config import ScoringConfig
from wsolbench.contract import Split
from wsolbench.contract.choices import Target
from wsolbench.data.opened import OpenDataset, OpenSplit, show_finding
from wsolbench.data.pseudo_boxes import open_pseudo_boxes
from wsolbench.engine.metrics import Selection, compute_metrics, select_thresholds, split_outcomes
from wsolbench.engine.ranks import ALONE, Ranks
from wsolbench.engine.rules import score_rules
from wsolbench.engine.scoring import (
    ScoredSplit,
    report_bad_maps,
    report_boxes,
    report_readings,
    report_remarks,
    score_maps,
)
from wsolbench.engine.sources import MapSource
from wsolbench.errors import DataError, UsageError
from wsolbench.progress import Reporter
from wsolbench.protocol import IOU_THRESHOLDS, select_on_fullsup, select_threshold
from wsolbench.protocol.compilation import load_sweep
from wsolbench.protocol.rules import OTSU
from wsolbench.records import (
    BackboneInfo,
    ClassifierInfo,
    DatasetInfo,
    Environment,
    MethodInfo,
    ProtocolInfo,
    ResultRecord,
    compute_intervals,
    new_record,
)
from wsolbench.records.missing import FULLSUP_IS_EVALUATED, NO_FULLSUP, why_undefined

__all__ = [
    "Dealt",
    "OpenSplits",
    "Scored",
    "assemble_record",
    "check_masks",
    "describe_protocol",
    "open_splits",
    "score_splits",
]


@dataclass(frozen=True)
class OpenSplits:
    """The evaluated split, and train-fullsup where τ is chosen on it, or the reason why none can be.

    Attributes:
        evaluated: The split that is scored.
        fullsup: train-fullsup, or None.
        why_none: Why no τ comes from train-fullsup.
        pseudo: Images with pseudo boxes on which one more τ is chosen, or None.
    """

    evaluated: OpenSplit
    fullsup: OpenSplit | None
    why_none: str = ""
    pseudo: OpenSplit | None = None

    @property
    def parts(self) -> list[OpenSplit]:
        """The splits, the evaluated one first."""
        return [self.evaluated, *([] if self.fullsup is None else [self.fullsup])]

    @property
    def scored(self) -> list[OpenSplit]:
        """All of which maps are scored: the splits, and the images with pseudo boxes."""
        return [*self.parts, *([] if self.pseudo is None else [self.pseudo])]


@dataclass(frozen=True)
class Dealt:
    """Which images a process scores.

    Attributes:
        ranks: The processes.
        batch_size: Images of a batch, which is not divided.
    """

    ranks: Ranks
    batch_size: int

    def positions(self, images: int) -> Sequence[int] | None:
        """Return the positions of this process in a split of so many images; None for all."""
        return None if self.ranks.count == 1 else self.ranks.share(images, self.batch_size)


ALL = Dealt(ALONE, 1)


@dataclass(frozen=True)
class Scored:
    """The scores of one method's maps or boxes."""

    evaluated: ScoredSplit
    fullsup: ScoredSplit | None
    selection: Selection
    pseudo: ScoredSplit | None = None

    @classmethod
    def of(
        cls,
        evaluated: ScoredSplit,
        fullsup: ScoredSplit | None,
        selection: Selection,
        pseudo: ScoredSplit | None = None,
    ) -> Scored:
        """Put the scores of the splits together; there are none where the method has no map of any image."""
        reason = why_undefined([part.statistics for part in (evaluated, fullsup) if part is not None])
        if reason is None:
            return cls(evaluated, fullsup, selection, pseudo)
        bare = [None if part is None else part.without_scores() for part in (fullsup, pseudo)]
        return cls(evaluated.without_scores(), bare[0], Selection(None, reason), bare[1])

    @classmethod
    def of_boxes(cls, evaluated: ScoredSplit, fullsup: ScoredSplit | None) -> Scored:
        """Put the scores of boxes together: every τ is the best one, and train-fullsup chooses none.

        Raises:
            DataError: The evaluated split has no boxes to compare them with.
        """
        if evaluated.boxes is None:
            raise DataError(f"the split {evaluated.part.split.label} has no boxes to compare predicted boxes with")
        bare = None if fullsup is None else fullsup.without_scores()
        return cls.of(evaluated, bare, Selection(select_on_fullsup(evaluated.boxes), None))

    def with_hits(self, hits: Mapping[int, NDArray[np.bool_]]) -> Scored:
        """Return the scores with the classes of another network: k -> whether an image's is among its k best, (N,)."""
        return replace(self, evaluated=replace(self.evaluated, hits=hits))

    @property
    def undefined(self) -> str | None:
        """Why the method has no map of any image, or None where it has one."""
        return why_undefined([part.statistics for part in self.parts])

    @property
    def threshold(self) -> tuple[float, Literal["fullsup", "oracle"]] | None:
        """The τ at which the largest contour's box is drawn, and where it was chosen; None without boxes of maps."""
        boxes, fullsup = self.evaluated.boxes, self.selection.fullsup
        if boxes is None or not self.evaluated.of_maps:
            return None
        if fullsup is not None:
            return fullsup.single_threshold, "fullsup"
        return float(boxes.thresholds[select_threshold(boxes.box_acc("single", 0.5))]), "oracle"

    @property
    def parts(self) -> list[ScoredSplit]:
        """The scored splits, the evaluated one first."""
        return [self.evaluated, *([] if self.fullsup is None else [self.fullsup])]


def open_splits(dataset: OpenDataset, split: Split, limit: int | None, tau_from: Path | None = None) -> OpenSplits:
    """Open the evaluated split, train-fullsup where it can choose τ for it, and lists of pseudo boxes.

    Raises:
        UsageError: The data set has no such split, or not the images of the lists.
        DataError: A split is damaged.
        PluginError: The data set's own code fails.
    """
    evaluated = dataset.open(split, limit)
    if split is Split.TRAIN_FULLSUP:
        splits = OpenSplits(evaluated, None, FULLSUP_IS_EVALUATED)
    elif Split.TRAIN_FULLSUP not in dataset.splits:
        splits = OpenSplits(evaluated, None, NO_FULLSUP)
    else:
        splits = OpenSplits(evaluated, dataset.open(Split.TRAIN_FULLSUP, limit))
    dataset.report_unused_classes(splits.parts)
    if tau_from is None:
        return splits
    return replace(splits, pseudo=open_pseudo_boxes(tau_from, dataset, evaluated, limit))


def check_masks(splits: OpenSplits, reporter: Reporter) -> None:
    """Show what a user should know about the masks of the splits, before any map is made.

    Raises:
        DataError: Masks cannot be read or scored.
    """
    for part in splits.parts:
        part.check_masks(partial(show_finding, reporter=reporter))


def score_splits(
    source: MapSource, splits: OpenSplits, config: ScoringConfig, reporter: Reporter, dealt: Dealt = ALL
) -> dict[str, Scored]:
    """Score train-fullsup, choose τ on it, and score the evaluated split: method -> its scores.

    Args:
        source: Where the maps come from.
        splits: What is scored.
        config: How.
        reporter: Shows the progress.
        dealt: Which images this process scores; the scores of all come together in the first one, and the others
            return nothing.

    Raises:
        DataError: An image or a mask cannot be read, or there is nothing to score against.
        PluginError: A network or a method fails.
        ScoremapError: A stored map is damaged; or a map is bad, and the configuration is strict.
        UsageError: A setting is of boxes, and the evaluated split has none.
    """
    if any(part.has_boxes for part in splits.parts):
        with reporter.phase("compilation"):
            load_sweep(reporter.say)
    if not splits.evaluated.has_boxes:
        _check_options_of_boxes(config, splits)
    fullsup: dict[str, ScoredSplit] = {}
    if splits.fullsup is not None:
        fullsup = _score(source, splits.fullsup, config, reporter, {}, dealt)
    pseudo: dict[str, ScoredSplit] = {}
    if splits.pseudo is not None:
        pseudo = _score(source, splits.pseudo, config, reporter, {}, dealt)

    def choose() -> dict[str, Selection]:
        _check_boxes(fullsup, splits.evaluated)
        return {method: select_thresholds(fullsup.get(method), splits.why_none) for method in source.methods}

    chosen = dealt.ranks.from_first(choose)
    places = {method: selection.quality_index for method, selection in chosen.items()}
    scored = _score(source, splits.evaluated, config, reporter, places, dealt, otsu=OTSU in config.tau)
    if not dealt.ranks.is_first:
        return {}
    _check_boxes(scored, splits.evaluated)
    report_boxes(scored, reporter)
    report_readings([*list(fullsup.values())[:1], *list(scored.values())[:1]], reporter)
    of_boxes = [method for method, split in scored.items() if not split.of_maps]
    if of_boxes and (config.tau or splits.pseudo):
        option = "--tau" if config.tau else "--tau-from"
        reporter.say(f"{option} has no effect on {', '.join(of_boxes)}: boxes have no τ")
    return {
        method: Scored.of_boxes(scored[method], fullsup.get(method))
        if method in of_boxes
        else Scored.of(scored[method], fullsup.get(method), chosen[method], pseudo.get(method))
        for method in source.methods
    }


def _check_options_of_boxes(config: ScoringConfig, splits: OpenSplits) -> None:
    """Refuse what is asked for and would change nothing where the evaluated split has no boxes.

    Raises:
        UsageError: There is some.
    """
    label = splits.evaluated.label
    if config.tau or splits.pseudo:
        option = "--tau" if config.tau else "--tau-from"
        raise UsageError(f"{option}: {label} has no boxes to score at this τ; omit {option}")
    if config.scoring.iou_thresholds != IOU_THRESHOLDS:
        raise UsageError(f"--iou: {label} has no boxes, and masks are scored without IoU thresholds; omit --iou")


def _check_boxes(scored: Mapping[str, ScoredSplit], evaluated: OpenSplit) -> None:
    """Refuse methods that make boxes where no box is known.

    Raises:
        DataError: There is one.
    """
    for method, split in scored.items():
        if not split.of_maps and not evaluated.has_boxes:
            raise DataError(f"the method '{method}' makes boxes, and the split {evaluated.split.label} has none")


def _score(
    source: MapSource,
    part: OpenSplit,
    config: ScoringConfig,
    reporter: Reporter,
    quality_indices: Mapping[str, int | None],
    dealt: Dealt,
    *,
    otsu: bool = False,
) -> dict[str, ScoredSplit]:
    """Score the maps of a split: method -> its scores; nothing in a process that is not the first."""
    parts = dealt.ranks.gathered(
        lambda: score_maps(
            source,
            part,
            scoring=config.scoring,
            workers=config.workers,
            reporter=reporter,
            quality_indices=quality_indices,
            positions=dealt.positions(len(part.images.ids)),
            otsu=otsu,
        )
    )
    if not parts:
        return {}
    scores = parts[0]
    for others in parts[1:]:
        scores = {method: score.merge(others[method]) for method, score in scores.items()}
    scored = {method: score.result() for method, score in scores.items()}
    report_bad_maps(scored, source, strict=config.strict, warn=reporter.warn)
    report_remarks(next(iter(scored.values())), reporter)  # of the images, which all methods share
    return scored


def describe_protocol(
    config: ScoringConfig, target: Target | None, scored: Literal["maps", "boxes"] = "maps"
) -> ProtocolInfo:
    """Return the protocol settings of a job."""
    return ProtocolInfo(
        split=config.split,
        scored=scored,
        target=target,
        threshold_step=config.threshold_step,
        frame=config.scoring.frame,
        iou_thresholds=config.scoring.iou_thresholds,
    )


def assemble_record(
    scored: Scored,
    *,
    dataset: DatasetInfo,
    backbone: BackboneInfo | None,
    method: MethodInfo,
    classifier: ClassifierInfo | None = None,
    protocol: ProtocolInfo,
    environment: Environment,
    config: ScoringConfig | None,
    seconds: Mapping[str, float],
    rescored_from: str | None = None,
) -> ResultRecord:
    """Put a record together: the numbers of one method, beside the descriptions of what made them."""
    headless = backbone is not None and backbone.classes == 0
    metrics, missing = compute_metrics(scored.evaluated, scored.selection, target=protocol.target, headless=headless)
    has_rules = config is not None and scored.evaluated.of_maps
    thresholds = score_rules(config, scored.evaluated, scored.pseudo) if config is not None and has_rules else {}
    choosing = [part for part in (*scored.parts[1:], scored.pseudo) if part is not None]
    outcomes = [split_outcomes(scored.evaluated, scored.selection), *map(split_outcomes, choosing)]
    remarks = {part.part.split.label: counts for part in scored.parts if (counts := _count_remarks(part))}
    return new_record(
        metrics=metrics,
        missing=missing,
        intervals=compute_intervals(outcomes, protocol, thresholds),
        dataset=dataset.model_copy(update={"remarks": remarks}),
        backbone=backbone,
        method=method,
        classifier=classifier,
        protocol=protocol,
        environment=environment,
        config=None if config is None else config.model_dump(mode="json"),
        seconds=dict(seconds),
        thresholds=thresholds,
        boxes_per_image=scored.evaluated.boxes_per_image,
        rescored_from=rescored_from,
        outcomes=outcomes,
    )


def _count_remarks(part: ScoredSplit) -> dict[str, int]:
    """Return what was decided about image files, and what was done to listed boxes -> the number of images."""
    changes = part.part.annotations.changes
    counts = Counter(
        f"boxes {change}" for image_id in part.part.images.ids for change in set(changes.get(image_id, ()))
    )
    counts.update({remark: len(indices) for remark, indices in part.remarks.items()})
    several = sum(bool(fact.values) for fact in part.part.masks.values())
    counts.update({"with masks of several grey values": several} if several else {})
    return dict(sorted(counts.items()))
