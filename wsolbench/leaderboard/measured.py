"""What the details of a row hold that its record alone decides, so that it is made where the record is read.

Scores of resamples are whole numbers of images; `resampled` has them in as few bytes as they need.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.escaping import finite_json
from wsolbench.protocol import cam_threshold_grid
from wsolbench.records import ResultRecord
from wsolbench.records.compare import Scores, in_order_of_ids
from wsolbench.records.outcomes import find_localized

__all__ = ["measured_json"]

_MOST_POINTS = 101
"""Points of a curve, so that a pixel has one."""


def measured_json(record: ResultRecord, scores: Scores) -> str:
    """Return the curves of a record, its τ, which images it localizes, and its scores in resamples, as a JSON object.

    Args:
        record: The record.
        scores: Those by which it is compared.
    """
    localized = find_localized(in_order_of_ids(record), record.protocol)
    is_of_boxes = record.protocol.scored == "boxes"
    return finite_json(
        {
            "curves": None if is_of_boxes else _curves(record),
            "threshold": localized
            and {
                "selection": localized.selection,
                "value": None if is_of_boxes else localized.threshold,
            },
            "localized": localized and b64encode(np.packbits(localized.images).tobytes()).decode(),
            "resampled": {name: _resampled(name, scores, record) for name in scores},
        }
    )


def _curves(record: ResultRecord) -> dict[str, Any] | None:
    """Return BoxAcc at some τ: of the largest contour at δ 0.5, and of all contours at every δ; None without boxes."""
    scored = record.evaluated
    if scored.correct is None:
        return None
    thresholds = cam_threshold_grid(record.protocol.threshold_step)
    places = np.unique(np.linspace(0, len(thresholds) - 1, _MOST_POINTS).round().astype(int))
    curves = {"largest contour, δ 0.5": scored.box_acc("single", 0.5)}
    curves |= {f"all contours, δ {iou:g}": scored.box_acc("multi", iou) for iou in record.protocol.iou_thresholds}
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
    whole = len(record.evaluated.image_ids) * (len(record.protocol.iou_thresholds) if name.endswith("_v2") else 1)
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
