"""What the page shows of a row that is opened or compared: a small script for every record.

A page that is opened from disk may load scripts, but may not fetch data, so each file calls a function of the page
with an object. Scores of resamples are whole numbers of images; `resampled` has them in as few bytes as they need.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.escaping import finite_json
from wsolbench.leaderboard.entries import COMPARED, Entry, Table
from wsolbench.leaderboard.rows import COLUMNS
from wsolbench.protocol import IOU_THRESHOLDS, cam_threshold_grid
from wsolbench.records import ResultRecord
from wsolbench.records.compare import Scores, in_order_of_ids
from wsolbench.records.outcomes import find_localized

__all__ = ["DETAILS", "detail_of", "details_of", "images_of"]

DETAILS = "details"
"""The folder beside the page."""

_MOST_POINTS = 101
"""Points of a curve, so that a pixel has one."""


def details_of(table: Table) -> dict[str, bytes]:
    """Return the files of a table: of every record, and of the ids of its images."""
    files = {f"{DETAILS}/{entry.sha256[:16]}.js": detail_of(entry) for entry in table.entries}
    return files | {f"{DETAILS}/{images_of(entry)}.js": _images(entry) for entry in table.entries[:1]}


def images_of(entry: Entry) -> str:
    """Return under which name the ids of the images of a record are kept; all records of a table share it."""
    record = entry.record
    digest = next(part.image_ids_sha256 for part in record.splits if part.split == record.protocol.split)
    return f"images-{digest[:16]}"


def detail_of(entry: Entry) -> bytes:
    """Return the file of a record."""
    record, scores = entry.record, entry.resampled
    localized = find_localized(in_order_of_ids(record), record.protocol)
    detail = {
        "record": entry.name,
        "seed": entry.seed,
        "images": images_of(entry),
        "commands": [*dict.fromkeys(each.command for each in entry.history), record.environment.command],
        "facts": list(_facts(entry)),
        "scores": {column.key: found for column in COLUMNS if (found := _score(record, column.key)) is not None},
        "curves": None if entry.makes_boxes else _curves(record),
        "threshold": localized
        and {
            "selection": localized.selection,
            "value": None if entry.makes_boxes else localized.threshold,
        },
        "localized": localized and b64encode(np.packbits(localized.images).tobytes()).decode(),
        "resampled": {name: _resampled(name, scores, record) for name in COMPARED if name in scores},
    }
    return _script(entry.sha256[:16], detail)


def _images(entry: Entry) -> bytes:
    evaluated = next(part for part in in_order_of_ids(entry.record) if part.split == entry.record.protocol.split)
    return _script(images_of(entry), list(evaluated.image_ids))


def _script(name: str, content: Any) -> bytes:
    return f"wsolbenchDetail({finite_json(name)},{finite_json(content)});\n".encode()


def _facts(entry: Entry) -> Iterable[tuple[str, str]]:
    """Yield what is known of a measurement, as pairs of a name and a value."""
    record, network = entry.record, entry.network
    dataset, environment = record.dataset, record.environment
    sizes = ", ".join(f"{count:,} images of {split}" for split, count in dataset.split_sizes.items())
    yield "Data", f"{dataset.name} {dataset.version or ''}: {sizes}; annotations {dataset.content_sha256[:16]}"
    if network is not None:
        weights = network.weights
        yield "Network", f"{network.label}, by {network.provider}; {network.preprocessing.size} px, {network.precision}"
        named = ", ".join(filter(None, [weights.file, weights.sha256 and f"sha256 {weights.sha256[:16]}"]))
        yield "Weights", f"{entry.weights}{f'; {named}' if named else ''}"
    method = record.method
    options = ", ".join(f"{name}={value}" for name, value in method.options.items())
    yield "Method", f"{entry.method}{f', by {method.provider}' if method.provider else ''}; {options or 'no options'}"
    revision = f", revision {environment.git_revision[:12]}" if environment.git_revision else ""
    yield "Measured", f"{environment.created}, wsolbench {environment.wsolbench}{revision}, {environment.device}"
    yield "Packages", ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    yield "Hashes", f"record {entry.sha256[:16]}, outcomes {(record.outcomes_sha256 or '–')[:16]}"


def _score(record: ResultRecord, key: str) -> tuple[float, tuple[float, float] | None] | None:
    """Return a metric with its interval; None where there is none."""
    value = getattr(record.metrics, key)
    return None if value is None else (value, record.intervals.metrics.get(key) if record.intervals else None)


def _curves(record: ResultRecord) -> dict[str, Any] | None:
    """Return BoxAcc at some τ: of the largest contour at δ 0.5, and of all contours at every δ; None without boxes."""
    scored = record.evaluated
    if scored.correct is None:
        return None
    thresholds = cam_threshold_grid(record.protocol.threshold_step)
    places = np.unique(np.linspace(0, len(thresholds) - 1, _MOST_POINTS).round().astype(int))
    curves = {"largest contour, δ 0.5": scored.box_acc("single", 0.5)}
    curves |= {f"all contours, δ {iou:g}": scored.box_acc("multi", iou) for iou in IOU_THRESHOLDS}
    return {
        "thresholds": _rounded(thresholds[places], 3),
        "lines": {name: _rounded(curve[places], 1) for name, curve in curves.items()},
    }


def _rounded(values: NDArray[np.float64], digits: int) -> Sequence[float]:
    found: list[float] = values.round(digits).tolist()
    return found


def _resampled(name: str, scores: Scores, record: ResultRecord) -> dict[str, Any]:
    """Return a score and those of resamples: `(lowest + number) * 100 / whole` for every number."""
    value, resampled = scores[name]
    whole = len(record.evaluated.image_ids) * (len(IOU_THRESHOLDS) if name.endswith("_v2") else 1)
    counts = np.rint(resampled * whole / 100).astype(np.int64)
    lowest, width = int(counts.min()), 1 if np.ptp(counts) < 2**8 else 2 if np.ptp(counts) < 2**16 else 4
    numbers = (counts - lowest).astype(f"<u{width}").tobytes()
    return {
        "value": value,
        "whole": whole,
        "lowest": lowest,
        "width": width,
        "numbers": b64encode(numbers).decode(),
    }
