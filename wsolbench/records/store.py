"""Records on disk: a summary that people read, and beside it the outcomes of every image, compressed.

``NAME.json`` is the summary. ``NAME.outcomes.json.gz`` holds what happened to every image. For each split it has
``correct[mode][δ]`` as two flat lists, ``counts`` (the number of runs of each image) and ``edges`` (start, stop, start,
stop ... of all runs, as places in the grid of τ); ``hits[k]`` as 0 and 1; ``statistics[name]`` with null where there is
none; and the counts and hashes that the summary repeats. ``images-<hash>.txt.gz`` holds the ids of a split, one a line;
all records of a folder share it.

`ResultRecord.outcomes_sha256` is of the uncompressed content, so that another compressor makes no difference.
Version 1, which had everything in one file, is read too.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from wsolbench.contract.choices import iou_key
from wsolbench.errors import DataError, OutputError
from wsolbench.files import atomic_write
from wsolbench.protocol import IOU_THRESHOLDS, MODES, cam_threshold_grid
from wsolbench.protocol.uncertainty import CorrectRuns
from wsolbench.records.outcomes import SplitOutcomes
from wsolbench.records.record import SCHEMA_VERSION, ResultRecord, SplitInfo
from wsolbench.records.version1 import upgrade

__all__ = [
    "OUTCOMES_SUFFIX",
    "describe_splits",
    "embedded_outcomes",
    "files_beside",
    "ids_sha256",
    "new_record",
    "outcomes_path",
    "outcomes_sha256",
    "read_record",
    "read_summary",
    "upgraded",
    "with_outcomes",
    "write_record",
]

OUTCOMES_SUFFIX = ".outcomes.json.gz"

LARGEST = 2**28
"""Bytes of a file of outcomes or ids when it is unpacked; more is taken for damage."""


def new_record(*, outcomes: Sequence[SplitOutcomes], **parts: Any) -> ResultRecord:
    """Return a record of parts and outcomes.

    Args:
        outcomes: What happened to every image, the evaluated split first.
        parts: The other fields of `ResultRecord`.
    """
    splits = describe_splits(outcomes)
    return with_outcomes(ResultRecord(splits=splits, outcomes_sha256=outcomes_sha256(outcomes), **parts), outcomes)


def describe_splits(outcomes: Sequence[SplitOutcomes]) -> list[SplitInfo]:
    """Return what the summary of a record says of the splits that took part."""
    return [
        SplitInfo(
            split=part.split,
            images=len(part.image_ids),
            image_ids_sha256=ids_sha256(part.image_ids),
            annotations_sha256=part.annotations_sha256,
            images_sha256=part.images_sha256,
            nan_maps=part.nan_maps,
            constant_maps=part.constant_maps,
            statistics=list(part.statistics),
        )
        for part in outcomes
    ]


def outcomes_sha256(outcomes: Sequence[SplitOutcomes]) -> str:
    """Return the hash of the content of an outcomes file."""
    return hashlib.sha256(encode_outcomes(outcomes)).hexdigest()


def with_outcomes(record: ResultRecord, outcomes: Sequence[SplitOutcomes]) -> ResultRecord:
    """Return a record that carries outcomes."""
    carrying = record.model_copy()
    carrying._outcomes = tuple(outcomes)
    return carrying


def ids_sha256(image_ids: Sequence[str]) -> str:
    """Return the hash of image ids in their order."""
    return hashlib.sha256(_lines(image_ids)).hexdigest()


def outcomes_path(path: Path) -> Path:
    """Return the file of the outcomes of a record."""
    return path.with_name(f"{path.stem}{OUTCOMES_SUFFIX}")


def files_beside(path: Path, record: ResultRecord) -> list[Path]:
    """Return the files that belong to a record beside its summary: of its outcomes and of the ids of its images."""
    return [outcomes_path(path), *(_ids_path(path.parent, part.image_ids_sha256) for part in record.splits)]


def _ids_path(folder: Path, digest: str) -> Path:
    return folder / f"images-{digest[:16]}.txt.gz"


# -------------------------------------------------------------------------------------------------------------- writing


def write_record(record: ResultRecord, folder: Path, stem: str) -> Path:
    """Write a record's summary, its outcomes and, where they are not there, the ids of its images.

    Returns:
        The file of the summary, which is written last.

    Raises:
        DataError: The record has no outcomes.
        OutputError: A file cannot be written.
    """
    path = folder / f"{stem}.json"
    contents = {outcomes_path(path): _compressed(encode_outcomes(record.outcomes))}
    for part in record.outcomes:
        contents[_ids_path(folder, ids_sha256(part.image_ids))] = _compressed(_lines(part.image_ids))
    contents[path] = record.to_json().encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place, content in contents.items():
            if not place.is_file() or place.read_bytes() != content:
                atomic_write(place, content)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def encode_outcomes(outcomes: Sequence[SplitOutcomes]) -> bytes:
    """Return the content of an outcomes file: the same outcomes always give the same bytes."""
    content = {part.split: _encoded(part) for part in outcomes}
    return (json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def embedded_outcomes(record: ResultRecord) -> dict[str, Any]:
    """Return outcomes with the ids of their images, for a record that stands in one line."""
    return {part.split: {"image_ids": list(part.image_ids), **_encoded(part)} for part in record.outcomes}


def _encoded(part: SplitOutcomes) -> dict[str, Any]:
    correct = None
    if part.correct is not None:
        correct = {
            mode: {iou_key(iou): _encoded_runs(part.correct[mode][iou]) for iou in IOU_THRESHOLDS} for mode in MODES
        }
    return {
        "correct": correct,
        "hits": {str(k): hit.astype(int).tolist() for k, hit in sorted(part.hits.items())},
        "statistics": {
            name: [value if np.isfinite(value) else None for value in values.tolist()]
            for name, values in part.statistics.items()
        },
        "nan_maps": part.nan_maps,
        "constant_maps": part.constant_maps,
        "annotations_sha256": part.annotations_sha256,
        "images_sha256": part.images_sha256,
    }


def _encoded_runs(runs: CorrectRuns) -> dict[str, list[int]]:
    counts = np.bincount(runs.image, minlength=runs.num_images)
    return {"counts": counts.tolist(), "edges": np.stack([runs.start, runs.stop], axis=1).ravel().tolist()}


def _lines(image_ids: Sequence[str]) -> bytes:
    return "".join(f"{image_id}\n" for image_id in image_ids).encode()


def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=9, mtime=0)


# -------------------------------------------------------------------------------------------------------------- reading


def read_record(path: Path) -> ResultRecord:
    """Read a record, with its outcomes where they are there.

    Raises:
        DataError: The file cannot be read or is no record, or its outcomes are not those that it names.
    """
    content = _read_content(path)
    if content.get("schema_version") == 1:
        return upgraded(content, str(path))
    embedded = content.pop("outcomes", None)
    record = _validated(ResultRecord.model_validate, content, str(path))
    if embedded is not None:
        parts = {split: dict(_expect(dict, part, path)) for split, part in _expect(dict, embedded, path).items()}
        ids = {split: _embedded_ids(part.pop("image_ids", None), path) for split, part in parts.items()}
        outcomes = _decoded(record, parts, ids, str(path))
        hashes = [part.image_ids_sha256 for part in record.splits]
        if outcomes_sha256(outcomes) != record.outcomes_sha256 or [ids_sha256(p.image_ids) for p in outcomes] != hashes:
            raise DataError(f"{path}: its outcomes are not those that it was written with: their hash is another one")
        return with_outcomes(record, outcomes)
    return _with_files(record, path)


def read_summary(path: Path) -> ResultRecord:
    """Read a record without its outcomes, whatever the files beside it hold; those of version 1 are in its file.

    Raises:
        DataError: The file cannot be read or is no record.
    """
    content = _read_content(path)
    if content.get("schema_version") == 1:
        return upgraded(content, str(path))
    content.pop("outcomes", None)
    return _validated(ResultRecord.model_validate, content, str(path))


def _read_content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a result record (no JSON: {error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a result record (expected an object)")
    return content


def _embedded_ids(ids: Any, where: Path) -> tuple[str, ...]:
    if not isinstance(ids, list) or not all(isinstance(image_id, str) for image_id in ids):
        raise DataError(f"{where}: outcomes have another form (image_ids are no list of texts)")
    return tuple(ids)


def upgraded(content: Mapping[str, Any], where: str) -> ResultRecord:
    """Return a version 1 record as version 2.

    Raises:
        DataError: It is no version 1 record, or its curves do not follow from its outcomes.
    """

    def build(outcomes: Sequence[SplitOutcomes], fields: Mapping[str, Any]) -> ResultRecord:
        return _validated(lambda parts: new_record(outcomes=outcomes, **parts), fields, where)

    return upgrade(content, where, build)


def _validated(validate: Callable[[Any], ResultRecord], content: Mapping[str, Any], where: str) -> ResultRecord:
    """Validate the content of a summary.

    Raises:
        DataError: It is no summary; the message says where.
    """
    try:
        return validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        what = f"not a result record of schema version {SCHEMA_VERSION}"
        raise DataError(f"{where}: {what} ({place}: {first['msg']})") from None


def _with_files(record: ResultRecord, path: Path) -> ResultRecord:
    """Return a record with the outcomes from the files beside it, or with the reason why it has none."""
    place = outcomes_path(path)
    absent = [file for file in files_beside(path, record) if not file.is_file()]
    if absent:
        bare = record.model_copy()
        bare._why_no_outcomes = f"{absent[0]} is missing"
        return bare
    content = _unpacked(place)
    if hashlib.sha256(content).hexdigest() != record.outcomes_sha256:
        raise DataError(f"{place} is not what {path.name} was written with: its hash is another one")
    ids: dict[str, tuple[str, ...]] = {
        part.split: _read_ids(_ids_path(path.parent, part.image_ids_sha256), part.image_ids_sha256)
        for part in record.splits
    }
    try:
        parts = json.loads(content)
    except (ValueError, RecursionError):
        raise DataError(f"{place}: no JSON") from None
    return with_outcomes(record, _decoded(record, _expect(dict, parts, place), ids, str(place)))


def _unpacked(path: Path) -> bytes:
    """Return what a compressed file holds.

    Raises:
        DataError: It is damaged, or larger than any file of outcomes is.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); put back the file that belongs there") from None
    if len(content) > LARGEST:
        raise DataError(f"{path} unpacks to more than {LARGEST >> 20} MiB, which no outcomes do")
    return content


def _read_ids(path: Path, digest: str) -> tuple[str, ...]:
    content = _unpacked(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{path} does not hold the images of the record: its hash is another one")
    return tuple(content.decode(errors="replace").split("\n")[:-1])


def _decoded(
    record: ResultRecord, parts: Mapping[str, Any], ids: Mapping[str, tuple[str, ...]], where: str
) -> list[SplitOutcomes]:
    """Return the outcomes that a file holds.

    Raises:
        DataError: They have another form, or are not of the record's splits.
    """
    thresholds = len(cam_threshold_grid(record.protocol.threshold_step))
    if set(parts) != {info.split for info in record.splits}:
        raise DataError(f"{where}: outcomes of {', '.join(parts)}, where the record has other splits")
    try:
        outcomes = [_decode(parts[info.split], info, ids[info.split], thresholds) for info in record.splits]
        for part in outcomes:
            part.images  # noqa: B018 - raises where lengths differ
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"{where}: outcomes have another form ({type(error).__name__}: {error})") from None
    return outcomes


def _decode(part: Mapping[str, Any], info: SplitInfo, ids: tuple[str, ...], thresholds: int) -> SplitOutcomes:
    correct = part["correct"]
    return SplitOutcomes(
        split=info.split,
        image_ids=ids,
        correct=None
        if correct is None
        else {
            mode: {iou: _decoded_runs(correct[mode][iou_key(iou)], thresholds) for iou in IOU_THRESHOLDS}
            for mode in MODES
        },
        hits={int(k): np.array(hit, dtype=np.bool_) for k, hit in part["hits"].items()},
        statistics={name: np.array(values, dtype=np.float64) for name, values in part["statistics"].items()},
        nan_maps=int(part["nan_maps"]),
        constant_maps=int(part["constant_maps"]),
        annotations_sha256=str(part["annotations_sha256"]),
        images_sha256=None if part["images_sha256"] is None else str(part["images_sha256"]),
    )


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


def _whole_numbers(values: list[int]) -> NDArray[np.intp]:
    array = np.array(values)
    if array.ndim != 1 or (array.size and array.dtype.kind != "i"):
        raise DataError("runs of correct thresholds: expected two flat lists of whole numbers")
    return array.astype(np.intp)


def _expect(kind: type[dict[str, Any]], value: Any, where: Path) -> dict[str, Any]:
    if not isinstance(value, kind):
        raise DataError(f"{where}: outcomes have another form (expected an object, got {type(value).__name__})")
    return value
