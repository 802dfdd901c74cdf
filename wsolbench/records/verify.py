"""Whether the numbers of a record follow from its own per-image outcomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsolbench.errors import DataError, WsolbenchError
from wsolbench.protocol import Mode, cam_threshold_grid
from wsolbench.records.outcomes import claimed_scores, compute_intervals, recompute_scores
from wsolbench.records.record import ResultRecord
from wsolbench.records.store import describe_splits, outcomes_sha256, read_record

__all__ = ["contradiction", "read_verified"]

_ROUNDING = 1e-9  # percent


def read_verified(path: Path) -> ResultRecord:
    """Read a record with its outcomes, and check that its numbers follow from them.

    Raises:
        DataError: The file is no record, its outcomes are missing or altered, or it contradicts itself.
    """
    record = read_record(path)
    problem = contradiction(record)
    if problem is not None:
        raise DataError(f"{path}: {problem}")
    return record


def contradiction(record: ResultRecord) -> str | None:
    """Say where a record's numbers do not follow from the outcomes of its images, or None where all do."""
    try:
        found = recompute_scores(record.outcomes, record.protocol)
    except WsolbenchError as error:
        return str(error)
    for info, expected in zip(record.splits, describe_splits(record.outcomes), strict=True):
        if info != expected:
            return f"splits and outcomes of {info.split} disagree"
    if outcomes_sha256(record.outcomes) != record.outcomes_sha256:
        return "outcomes_sha256 is not the hash of its outcomes"
    sizes = {part.split: len(part.image_ids) for part in record.outcomes}
    if sizes != record.dataset.split_sizes:
        return f"split_sizes are {record.dataset.split_sizes}, but there are outcomes of {sizes}"
    claimed = claimed_scores(record.metrics)
    for name in sorted(found.keys() ^ claimed.keys()):
        return f"{name} and its outcomes disagree"
    for name, value in found.items():
        if not abs(claimed[name] - value) <= _ROUNDING:  # so that NaN is noticed
            return f"{name} is {claimed[name]}, but its outcomes give {value}"
    return _wrong_threshold(record) or _wrong_interval(record)


def _wrong_threshold(record: ResultRecord) -> str | None:
    """Say which τ is not the first one at which train-fullsup scores best; this also ties the grid to its step."""
    fullsup = next((part for part in record.outcomes if part.split == "train-fullsup"), None)
    metrics = record.metrics
    claimed: dict[str, tuple[float | None, Mode, float]] = {
        "fullsup_cam_threshold_single": (metrics.fullsup_cam_threshold_single, "single", 0.5)
    }
    for key, value in (metrics.fullsup_cam_threshold or {}).items():
        claimed[f"fullsup_cam_threshold.{key}"] = (value, "multi", float(key))
    grid = cam_threshold_grid(record.protocol.threshold_step)
    for name, (threshold, mode, iou) in claimed.items():
        if threshold is None:
            continue
        if fullsup is None or fullsup.correct is None:
            return f"{name} and its outcomes disagree"
        expected = float(grid[fullsup.box_acc(mode, iou).argmax()])
        if not abs(threshold - expected) <= _ROUNDING:
            return f"{name} is {threshold}, but its outcomes give {expected}"
    return None


def _wrong_interval(record: ResultRecord) -> str | None:
    """Say which interval does not follow from the outcomes and the settings that the record names."""
    claimed = record.intervals
    if claimed is None:
        return "it has no intervals" if claimed_scores(record.metrics) else None
    settings = claimed.model_dump(include={"kind", "level", "resamples", "seed"})
    found = compute_intervals(record.outcomes, record.protocol, **settings)
    ends = {} if found is None else found.metrics
    for name in sorted(ends.keys() ^ claimed.metrics.keys()):
        return f"the interval of {name} and its outcomes disagree"
    for name, expected in ends.items():
        if not np.allclose(claimed.metrics[name], expected, rtol=0, atol=_ROUNDING):
            return f"the interval of {name} is {_told(claimed.metrics[name])}, but its outcomes give {_told(expected)}"
    return None


def _told(ends: tuple[float, float]) -> str:
    return f"[{ends[0]}, {ends[1]}]"
