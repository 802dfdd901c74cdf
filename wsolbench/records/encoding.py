"""Outcomes as JSON: the same outcomes always give the same bytes, and what has another form is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract.choices import iou_key
from wsolbench.errors import DataError
from wsolbench.protocol import (
    FRAME,
    LARGEST_FRAME,
    MODES,
    SMALLEST_FRAME,
    ScoreHistograms,
    object_sizes,
)
from wsolbench.protocol.per_image import BoxLists
from wsolbench.protocol.uncertainty import CorrectRuns
from wsolbench.records.outcomes import DECIMALS, OtsuOutcomes, SplitOutcomes, check_outcomes
from wsolbench.records.record import LARGEST_COUNT, SplitInfo

__all__ = [
    "decode_part",
    "encode_outcomes",
    "encode_part",
    "read_count",
    "read_hits",
    "read_ids",
    "read_statistic",
]

_AT_A_TIME = 1 << 14
"""Numbers that are written together."""
_FEW = 1 << 12
"""Images whose outcomes are written at once, which is quicker."""


@dataclass(frozen=True, eq=False)
class _Column:
    """Numbers that stand in JSON as a list.

    Attributes:
        values: (N,) numbers.
        listed: Some of them -> these as JSON has them.
    """

    values: NDArray[Any]
    listed: Callable[[NDArray[Any]], list[Any]] = np.ndarray.tolist


def encode_outcomes(outcomes: Sequence[SplitOutcomes]) -> Iterator[bytes]:
    """Yield the content of an outcomes file; of many images piece by piece, as its lists take ten times the memory."""
    content = {part.split: _encoded_part(part) for part in outcomes}
    are_few = all(len(part.image_ids) <= _FEW for part in outcomes)
    for text in [_dumped(_as_lists(content))] if are_few else _json_of(content):
        yield text.encode()
    yield b"\n"


def _json_of(value: Any) -> Iterator[str]:
    """Yield a value as JSON, piece by piece."""
    if isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{',' if number else ''}{_dumped(key)}:"
            yield from _json_of(item)
        yield "}"
    elif isinstance(value, _Column):
        yield "["
        for start in range(0, len(value.values), _AT_A_TIME):
            listed = _dumped(value.listed(value.values[start : start + _AT_A_TIME]))
            yield f"{',' if start else ''}{listed[1:-1]}"
        yield "]"
    else:
        yield _dumped(value)


def _dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def encode_part(part: SplitOutcomes) -> dict[str, Any]:
    """Return the outcomes of a split as JSON has them, without the ids of the images."""
    return dict(_as_lists(_encoded_part(part)))


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_lists(item) for key, item in value.items()}
    return value.listed(value.values) if isinstance(value, _Column) else value


def _encoded_part(part: SplitOutcomes) -> dict[str, Any]:
    """Return the outcomes of a split as JSON has them, but with columns in place of lists of numbers."""
    correct = None
    if part.correct is not None:
        correct = {
            mode: {iou_key(iou): _encoded_runs(runs) for iou, runs in part.correct[mode].items()} for mode in MODES
        }
    encoded: dict[str, Any] = {
        "correct": correct,
        "hits": {str(k): _flags(hit) for k, hit in sorted(part.hits.items())},
        "statistics": {name: _Column(values, _finite) for name, values in part.statistics.items()},
        "nan_maps": part.nan_maps,
        "constant_maps": part.constant_maps,
        "annotations_sha256": part.annotations_sha256,
        "images_sha256": part.images_sha256,
    }
    if part.histograms is not None:
        foreground, background = part.histograms.foreground, part.histograms.background
        encoded["histograms"] = {"foreground": _Column(foreground), "background": _Column(background)}
    if part.otsu is not None:
        correct_at_otsu = part.otsu.correct
        encoded["otsu"] = {
            "thresholds": _Column(part.otsu.thresholds),
            "correct": {
                mode: {iou_key(iou): _flags(of_images) for iou, of_images in correct_at_otsu[mode].items()}
                for mode in MODES
            },
        }
    if part.values is not None:  # their order is that of older records, whose hash depends on it
        encoded["labels"] = None if part.labels is None else _Column(part.labels)
        if part.true_boxes is None:
            encoded["sizes"] = None if part.sizes is None else _Column(part.sizes, _short)
        encoded["values"] = {name: _Column(values, _short) for name, values in part.values.items()}
    if part.class_names is not None:
        encoded["class_names"] = {str(label): name for label, name in sorted(part.class_names.items())}
    if part.true_boxes is not None and part.predicted_boxes is not None:
        encoded["boxes"] = _encoded_boxes(part.true_boxes, part.predicted_boxes)
    if part.frame != FRAME:
        encoded["frame"] = part.frame
    return encoded


def decode_part(
    part: Mapping[str, Any],
    info: SplitInfo,
    ids: tuple[str, ...],
    thresholds: int,
    iou_thresholds: Sequence[float],
) -> SplitOutcomes:
    """Return the outcomes of a split, checked.

    Args:
        part: What JSON has of them.
        info: What the summary says of the split.
        ids: Its images.
        thresholds: T, the size of the grid of τ.
        iou_thresholds: The δ.

    Raises:
        DataError: They are not possible, or not of the images.
        KeyError, TypeError, ValueError, OverflowError, AttributeError: They have another form.
    """
    correct, frame = part["correct"], _read_side(part.get("frame", FRAME))
    true, predicted = _decoded_boxes(part["boxes"]) if "boxes" in part else (None, None)
    sizes = _shares(part["sizes"]) if part.get("sizes") is not None else None
    made = SplitOutcomes(
        split=info.split,
        image_ids=ids,
        correct=None
        if correct is None
        else {
            mode: {iou: _decoded_runs(correct[mode][iou_key(iou)], thresholds) for iou in iou_thresholds}
            for mode in MODES
        },
        hits={int(k): read_hits(hit) for k, hit in part["hits"].items()},
        statistics={name: read_statistic(values) for name, values in part["statistics"].items()},
        nan_maps=read_count(part["nan_maps"]),
        constant_maps=read_count(part["constant_maps"]),
        annotations_sha256=str(part["annotations_sha256"]),
        images_sha256=None if part["images_sha256"] is None else str(part["images_sha256"]),
        frame=frame,
        histograms=_decoded_histograms(part["histograms"], thresholds) if "histograms" in part else None,
        otsu=_decoded_otsu(part["otsu"], iou_thresholds) if "otsu" in part else None,
        labels=_whole_numbers(part["labels"]) if part.get("labels") is not None else None,
        sizes=sizes if true is None else _sizes_of(true, frame),
        values={name: _shares(values) for name, values in part["values"].items()} if "values" in part else None,
        true_boxes=true,
        predicted_boxes=predicted,
        class_names=_decoded_names(part["class_names"]) if "class_names" in part else None,
    )
    check_outcomes(made)
    return made


def read_ids(ids: Any) -> tuple[str, ...]:
    """Return image ids. Raises ``DataError`` where they are no list of texts."""
    if not isinstance(ids, list) or not all(isinstance(image_id, str) for image_id in ids):
        raise DataError("image_ids are no list of texts")
    return tuple(ids)


def read_count(value: Any) -> int:
    """Return a number of maps. Raises ``DataError`` where it is none."""
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise DataError("expected whole numbers of maps")
    return value


def _read_side(value: Any) -> int:
    if type(value) is not int or not SMALLEST_FRAME <= value <= LARGEST_FRAME:
        raise DataError(f"frame: expected a side of {SMALLEST_FRAME} to {LARGEST_FRAME} pixels")
    return value


def read_hits(values: Any) -> NDArray[np.bool_]:
    """Return hits, of 0 and 1 or of false and true. Raises ``DataError`` where they are something else."""
    array = np.array(values)
    if (
        not isinstance(values, list)
        or array.ndim != 1
        or array.dtype.kind not in "ib"
        or not ((array == 0) | (array == 1)).all()
    ):
        raise DataError("expected hits of 0 and 1")
    return array.astype(np.bool_)


def read_statistic(values: Any) -> NDArray[np.float64]:
    """Return a statistic. Raises ``DataError`` where it is no list of numbers and nulls."""
    if not isinstance(values, list) or not {type(value) for value in values} <= {int, float, type(None)}:
        raise DataError("expected statistics as lists of numbers and null")
    return np.array(values, dtype=np.float64)


def _flags(values: NDArray[np.bool_]) -> _Column:
    return _Column(values.astype(np.uint8))


def _finite(values: NDArray[np.float64]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _short(shares: NDArray[np.float64]) -> list[float]:
    """Return numbers in [0, 1] as JSON has them: 0 and 1 without a fraction, which most are."""
    return [int(value) if value in (0, 1) else value for value in shares.tolist()]


def _shares(values: Any) -> NDArray[np.float64]:
    if not isinstance(values, list) or not {type(value) for value in values} <= {int, float}:
        raise DataError("expected lists of numbers from 0 to 1")
    return np.array(values, dtype=np.float64)


def _encoded_boxes(true: Sequence[NDArray[np.int64]], predicted: NDArray[np.int64]) -> dict[str, _Column]:
    """Return the boxes of images column by column, which packs better than row by row."""
    lists = BoxLists.of(true)
    return {
        "counts": _Column(lists.counts),
        "true": _Column(lists.corners.T.ravel()),
        "predicted": _Column(predicted.T.ravel()),
    }


def _decoded_boxes(boxes: Mapping[str, list[int]]) -> tuple[BoxLists, NDArray[np.int64]]:
    counts, true, predicted = (_whole_numbers(boxes[name]) for name in ("counts", "true", "predicted"))
    # Each count is compared before they are summed: made-up ones must not overflow.
    made_up = ((counts < 1) | (counts > len(true))).any() or counts.sum() * 4 != len(true)
    if made_up or len(counts) * 4 != len(predicted):
        raise DataError("boxes: expected at least one true box of each image, and one predicted box")
    rows = true.reshape(4, -1).T.astype(np.int64)
    return BoxLists(rows, counts), predicted.reshape(4, -1).T.astype(np.int64)


def _decoded_names(names: Mapping[str, str]) -> dict[int, str]:
    if not all(isinstance(name, str) and label == str(int(label)) for label, name in names.items()):
        raise DataError("expected names of classes, label by label")
    return {int(label): name for label, name in names.items()}


def _sizes_of(true: BoxLists, frame: int) -> NDArray[np.float64]:
    """Return the sizes of objects, which are not stored where their boxes are."""
    return object_sizes(true, np.full((len(true), 2), frame)).round(DECIMALS)


def _encoded_runs(runs: CorrectRuns) -> dict[str, _Column]:
    counts = np.bincount(runs.image, minlength=runs.num_images)
    return {"counts": _Column(counts), "edges": _Column(np.stack([runs.start, runs.stop], axis=1).ravel())}


def _decoded_runs(runs: Mapping[str, list[int]], thresholds: int) -> CorrectRuns:
    counts, edges = _whole_numbers(runs["counts"]), _whole_numbers(runs["edges"])
    # Each count is compared before they are summed and spread out: a made-up one must not fill the memory.
    if ((counts < 0) | (counts > len(edges))).any() or 2 * counts.sum() != len(edges):
        raise DataError(f"runs of correct thresholds: the counts of the images do not add up to {len(edges)} edges")
    image = np.repeat(np.arange(len(counts), dtype=np.intp), counts)
    of_edge = np.repeat(image, 2)
    ascending = (np.diff(edges) > 0) | (np.diff(of_edge) > 0)
    if not ascending.all() or ((edges < 0) | (edges > thresholds)).any():
        raise DataError(f"runs of correct thresholds: expected ascending pairs of indices from 0 to {thresholds}")
    return CorrectRuns(image, edges[::2].copy(), edges[1::2].copy(), len(counts), thresholds)


def _decoded_histograms(histograms: Mapping[str, list[int]], thresholds: int) -> ScoreHistograms:
    foreground, background = (_whole_numbers(histograms[name]) for name in ("foreground", "background"))
    if not len(foreground) == len(background) == thresholds + 2:
        raise DataError(f"histograms: expected two lists of {thresholds + 2} numbers")
    return ScoreHistograms(foreground.astype(np.int64), background.astype(np.int64))


def _decoded_otsu(otsu: Mapping[str, Any], iou_thresholds: Sequence[float]) -> OtsuOutcomes:
    correct = otsu["correct"]
    return OtsuOutcomes(
        read_statistic(otsu["thresholds"]),
        {mode: {iou: read_hits(correct[mode][iou_key(iou)]) for iou in iou_thresholds} for mode in MODES},
    )


def _whole_numbers(values: list[int]) -> NDArray[np.intp]:
    array = np.array(values)
    if not isinstance(values, list) or array.ndim != 1 or (array.size and array.dtype.kind != "i"):
        raise DataError("expected flat lists of whole numbers")
    return array.astype(np.intp)
