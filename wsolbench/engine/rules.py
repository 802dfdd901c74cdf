"""Scores at τ that a user asked for, beside the oracle's and train-fullsup's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.config import ScoringConfig
from wsolbench.contract.choices import iou_key
from wsolbench.engine.scoring import ScoredSplit
from wsolbench.errors import UsageError
from wsolbench.protocol import (
    BoxResult,
    SelectedScores,
    ThresholdSelection,
    cam_threshold_grid,
    fix_threshold,
    score_at_otsu,
    select_on_fullsup,
    top_k_loc,
)
from wsolbench.protocol.rules import OTSU, PSEUDO_BOXES, rule_of
from wsolbench.records import ThresholdScores

__all__ = ["check_rules", "score_rules"]


def check_rules(config: ScoringConfig) -> None:
    """Check that every τ that was asked for is in the grid, and none twice.

    Raises:
        UsageError: One is not.
    """
    grid = cam_threshold_grid(config.threshold_step)
    for place, rule in enumerate(config.tau):
        if rule in config.tau[:place]:
            raise UsageError(f"--tau {rule} is given twice")
        if rule == OTSU:
            continue
        try:
            fix_threshold(grid, rule)
        except UsageError:
            text = f"--tau {rule:g} is no multiple of the step {config.threshold_step:g} of the grid of τ"
            raise UsageError(f"{text}; pass a finer --threshold-step") from None


def score_rules(config: ScoringConfig, scored: ScoredSplit, pseudo: ScoredSplit | None) -> dict[str, ThresholdScores]:
    """Return the scores of the evaluated split at the τ of every rule, by its name.

    Args:
        config: Says which rules.
        scored: The evaluated split.
        pseudo: The images with pseudo boxes, where τ is chosen on such.
    """
    names = [*([] if config.tau_from is None else [PSEUDO_BOXES]), *map(rule_of, config.tau)]
    boxes = scored.boxes
    if boxes is None:
        return {name: ThresholdScores(**dict.fromkeys(ThresholdScores.model_fields)) for name in names}
    found: dict[str, ThresholdScores] = {}
    if pseudo is not None and pseudo.boxes is not None:
        found[PSEUDO_BOXES] = _at_selection(select_on_fullsup(pseudo.boxes), scored, boxes)
    for rule in config.tau:
        if rule != OTSU:
            fixed = fix_threshold(boxes.thresholds, rule, boxes.iou_thresholds)
            found[rule_of(rule)] = _at_selection(fixed, scored, boxes)
        elif boxes.otsu is not None:
            correct = boxes.otsu.is_correct("single", 0.5)
            scores = score_at_otsu(boxes.otsu, boxes.iou_thresholds)
            found[OTSU] = _scores(scores, correct, scored, float(boxes.otsu.thresholds.mean()))
    return found


def _at_selection(selection: ThresholdSelection, scored: ScoredSplit, boxes: BoxResult) -> ThresholdScores:
    scores = _scores(selection.apply(boxes), selection.is_localized(boxes), scored, selection.single_threshold)
    by_iou = {iou_key(iou): threshold for iou, threshold in selection.multi_threshold.items()}
    return scores.model_copy(update={"cam_threshold": by_iou})


def _scores(
    scores: SelectedScores, localized: NDArray[np.bool_], scored: ScoredSplit, threshold: float
) -> ThresholdScores:
    """Return the scores of a rule; `localized` (N,) says where the largest contour's box is right."""
    top_k = {k: top_k_loc(localized, hit) for k, hit in scored.hits.items()}
    return ThresholdScores(
        box_acc=scores.box_acc,
        box_acc_v2=scores.box_acc_v2,
        box_acc_by_iou={iou_key(iou): value for iou, value in scores.box_acc_by_iou.items()},
        top1_loc=top_k.get(1),
        top5_loc=top_k.get(5),
        cam_threshold=None,
        cam_threshold_single=threshold,
    )
