"""Records of schema version 1, which had everything in one file, read as those of today."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wsolbench.contract.choices import FINEST_THRESHOLD_STEP, iou_key
from wsolbench.errors import DataError
from wsolbench.protocol import IOU_THRESHOLDS, MODES, cam_threshold_grid
from wsolbench.protocol.uncertainty import CorrectRuns
from wsolbench.records.encoding import read_count, read_hits, read_ids, read_statistic
from wsolbench.records.outcomes import SplitOutcomes, check_outcomes
from wsolbench.records.record import ResultRecord
from wsolbench.texts import one_line

__all__ = ["renamed", "upgrade"]

_ROUNDING = 1e-9  # percent


def upgrade(
    content: Mapping[str, Any],
    where: str,
    build: Callable[[Sequence[SplitOutcomes], Mapping[str, Any]], ResultRecord],
) -> ResultRecord:
    """Return a version 1 record as one of today.

    Args:
        content: What its file holds.
        where: Its file, for messages.
        build: Makes a record of outcomes and of the other fields.

    Raises:
        DataError: It is no version 1 record, or its curves do not follow from its outcomes.
    """
    parts = dict(content)
    try:
        step = parts["protocol"]["interval"]
        if isinstance(step, bool) or not FINEST_THRESHOLD_STEP <= step <= 1:
            raise DataError(f"protocol.interval is {step}, expected {FINEST_THRESHOLD_STEP:g} to 1")
        parts["protocol"] = renamed(parts["protocol"])
        old = parts.pop("outcomes")
        del parts["schema_version"]
        outcomes = [_outcomes(part, len(cam_threshold_grid(step))) for part in old]
        if not outcomes:
            raise DataError(f"{where}: it has no outcomes")
        return build(outcomes, parts)
    except DataError as error:
        raise DataError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        told = f"{type(error).__name__}: {one_line(error)}"
        raise DataError(f"{where}: not a result record of schema version 1 ({told})") from None


def renamed(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a version 1 protocol under the names of today."""
    return {("threshold_step" if name == "interval" else name): value for name, value in protocol.items()}


def _outcomes(part: Mapping[str, Any], thresholds: int) -> SplitOutcomes:
    runs = part["correct"]
    correct = None
    if runs is not None:
        correct = {
            mode: {iou: CorrectRuns.from_flat(runs[mode][iou_key(iou)], thresholds) for iou in IOU_THRESHOLDS}
            for mode in MODES
        }
    hits = {k: read_hits(part[f"top{k}_hits"]) for k in (1, 5) if part[f"top{k}_hits"] is not None}
    statistics = part.get("statistics") or {}
    made = SplitOutcomes(
        split=part["split"],
        image_ids=read_ids(part["image_ids"]),
        correct=correct,
        hits=hits,
        statistics={name: read_statistic(values) for name, values in statistics.items()},
        nan_maps=read_count(part["nan_maps"]),
        constant_maps=read_count(part["constant_maps"]),
        annotations_sha256=part["annotations_sha256"],
        images_sha256=part["images_sha256"],
    )
    check_outcomes(made)
    _check_curves(made, part["box_acc"])
    return made


def _check_curves(made: SplitOutcomes, claimed: Mapping[str, Mapping[str, Sequence[float]]] | None) -> None:
    """Refuse curves that do not follow from the outcomes: later versions do not keep them."""
    if (claimed is None) != (made.correct is None):
        raise DataError(f"outcomes and box_acc of {made.split} disagree")
    for mode in MODES if claimed is not None else ():
        for iou in IOU_THRESHOLDS:
            assert claimed is not None
            curve, values = made.box_acc(mode, iou), claimed[mode][iou_key(iou)]
            if len(values) != len(curve) or not np.allclose(values, curve, rtol=0, atol=_ROUNDING):
                raise DataError(f"outcomes and box_acc of {made.split} disagree ({mode}, {iou})")
