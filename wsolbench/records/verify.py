"""Whether the numbers of a record follow from its own per-image outcomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsolbench.errors import DataError, WsolbenchError
from wsolbench.records.outcomes import claimed_scores, compute_intervals, recompute_scores
from wsolbench.records.record import ResultRecord
from wsolbench.records.store import describe_splits, read_record

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
    sizes = {part.split: len(part.image_ids) for part in record.outcomes}
    if sizes != record.dataset.split_sizes:
        return f"split_sizes are {record.dataset.split_sizes}, but there are outcomes of {sizes}"
    claimed = claimed_scores(record.metrics)
    for name in sorted(found.keys() ^ claimed.keys()):
        return f"{name} and its outcomes disagree"
    for name, value in found.items():
        if not abs(claimed[name] - value) <= _ROUNDING:  # so that NaN is noticed
            return f"{name} is {claimed[name]}, but its outcomes give {value}"
    return _wrong_interval(record)


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
