"""Scoring scoremaps that somebody else computed: the same evaluators, thresholds and record, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Split
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.data.sampling import limit_split
from wsolbench.engine.provenance import describe_dataset, describe_environment
from wsolbench.engine.scoremap_files import ScoremapFolder
from wsolbench.engine.scoring import (
    Score,
    ScoredSplit,
    SplitScorer,
    compute_metrics,
    select_thresholds,
    split_outcomes,
)
from wsolbench.errors import DataError, ScoremapError, UsageError
from wsolbench.progress import Reporter
from wsolbench.protocol import FRAME, IOU_THRESHOLDS
from wsolbench.protocol.compilation import load_sweep
from wsolbench.records import MethodInfo, ProtocolInfo, ResultRecord
from wsolbench.records.outcomes import compute_intervals
from wsolbench.threads import ordered_map


@dataclass(frozen=True)
class EvaluationPlan:
    """Everything that an evaluation is made of; see the options of ``wsolbench evaluate``."""

    dataset: OpenDataset
    scoremaps: Path
    fullsup_scoremaps: Path | None
    split: Split
    limit: int | None
    interval: float
    workers: int
    strict: bool
    command: str


def evaluate(plan: EvaluationPlan, reporter: Reporter) -> ResultRecord:
    """Score the stored scoremaps of a split, at the oracle τ and, where train-fullsup maps are given, at theirs.

    Raises:
        UsageError: The data set has no such split, or train-fullsup maps are given for an evaluation of train-fullsup.
        DataError: The annotations are damaged.
        ScoremapError: A map is missing or damaged, or belongs to no image.
    """
    sources = _sources(plan)
    wholes = {split: plan.dataset.images(split) for split in sources}
    parts = [plan.dataset.annotate(split, limit_split(whole, plan.limit)) for split, whole in wholes.items()]
    folders = _open_folders(plan, sources, parts, {split: whole.ids for split, whole in wholes.items()}, reporter)
    if parts[0].has_boxes:
        with reporter.phase("compilation"):
            load_sweep(reporter.say)
    scored = []
    for part, folder in zip(parts, folders, strict=True):
        scored.append(_score_folder(plan, part, folder, reporter))
    why_none = "no scoremaps of train-fullsup were given (--fullsup-scoremaps)"
    selection = select_thresholds(scored[1] if len(scored) > 1 else None, why_none)
    metrics, missing = compute_metrics(scored[0], selection, target=None)
    outcomes = [split_outcomes(part) for part in scored]
    protocol = ProtocolInfo(
        split=outcomes[0].split, target=None, interval=plan.interval, frame=FRAME, iou_thresholds=IOU_THRESHOLDS
    )
    return ResultRecord(
        metrics=metrics,
        missing=missing,
        intervals=compute_intervals(outcomes, protocol),
        dataset=describe_dataset(plan.dataset, outcomes, plan.limit),
        backbone=None,
        method=MethodInfo(name="precomputed", provider=None, options={}, changed_options={}, reads_network=True),
        protocol=protocol,
        environment=describe_environment(
            [plan.dataset.provider], command=plan.command, device="cpu", seed=None, batch_size=None
        ),
        seconds=dict(reporter.seconds),
        outcomes=outcomes,
    )


def _sources(plan: EvaluationPlan) -> dict[Split, Path]:
    """Return the splits that are scored with the folders of their maps, the evaluated split first."""
    sources = {plan.split: plan.scoremaps}
    if plan.fullsup_scoremaps is not None:
        if plan.split is Split.TRAIN_FULLSUP:
            raise UsageError(
                "--fullsup-scoremaps: a threshold chosen on train-fullsup cannot be judged on train-fullsup"
            )
        sources[Split.TRAIN_FULLSUP] = plan.fullsup_scoremaps
    return sources


def _open_folders(
    plan: EvaluationPlan,
    sources: Mapping[Split, Path],
    parts: Sequence[OpenSplit],
    ids: Mapping[Split, Sequence[str]],
    reporter: Reporter,
) -> list[ScoremapFolder]:
    """Return the folder of each split; short names are weighed against all images whose maps a folder is to hold.

    Args:
        plan: The evaluation.
        sources: Split -> where its maps lie.
        parts: The splits, limited.
        ids: Of the whole splits.
        reporter: Told where it cannot be said whether a map is of no image.
    """
    folders = []
    for part in parts:
        root = sources[part.split]
        sharing = [split for split, other in sources.items() if other.resolve() == root.resolve()]
        folders.append(ScoremapFolder(root, part.images.ids, (name for split in sharing for name in ids[split])))
    _refuse_strangers(plan, folders, ids, reporter)
    return folders


def _refuse_strangers(
    plan: EvaluationPlan, folders: list[ScoremapFolder], ids: Mapping[Split, Sequence[str]], reporter: Reporter
) -> None:
    """Refuse maps of no image; they may be of a split that is not scored, which is opened only where there are any."""
    known = [image_id for of_split in ids.values() for image_id in of_split]
    suspects = [folder for folder in folders if folder.find_strangers(known)]
    for split in (Split.TRAIN_FULLSUP, Split.TEST):
        if suspects and split in plan.dataset.splits and split not in ids:
            try:
                known.extend(plan.dataset.images(split).ids)
            except DataError as error:
                reporter.warn(f"maps that are not scored may be of {split.label} or of no image: {error}")
                return
    for folder in suspects:
        folder.refuse_strangers(known)


def _score_folder(plan: EvaluationPlan, part: OpenSplit, folder: ScoremapFolder, reporter: Reporter) -> ScoredSplit:
    scorer = SplitScorer(part, plan.interval)
    ids = part.images.ids
    constant: list[str] = []

    def score(index: int) -> tuple[int, bool, Score]:
        scoremap: NDArray[np.floating[Any]] = folder.load(ids[index])
        return index, bool(scoremap.min() == scoremap.max()), scorer.score(index, scoremap)

    with (
        reporter.phase(part.split.label, len(ids), "maps") as advance,
        closing(ordered_map(score, range(len(ids)), workers=plan.workers, ahead=64)) as results,
    ):
        for index, flat, outcome in results:
            constant += [ids[index]] if flat else []
            scorer.add(index, outcome)
            advance(1)
    if constant:
        told = f"{len(constant)} of {len(ids)} scoremaps of {part.split.label} hold one value only"
        told += f"; the first is {folder.path(constant[0])}"
        if plan.strict:
            raise ScoremapError(f"{told}; write them again, or count them as maps of zeros without --strict")
        reporter.warn(f"{told}; they count as maps of zeros: see what wrote them")
    boxes, masks = scorer.compute()
    return ScoredSplit(part, boxes, masks, hits=None, nan_maps=0, constant_maps=len(constant), images_sha256=None)
