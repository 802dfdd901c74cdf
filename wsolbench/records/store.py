"""Records on disk: a summary that people read, and beside it the outcomes of every image, compressed.

``NAME.json`` is the summary. ``NAME.outcomes.json.gz`` holds what happened to every image. For each split it has
``correct[mode][δ]`` as two flat lists, ``counts`` (the number of runs of each image) and ``edges`` (start, stop, start,
stop ... of all runs, as places in the grid of τ); ``hits[k]`` as 0 and 1; ``statistics[name]`` with null where there is
none; ``histograms``, how many pixels have which score, where there are masks; ``otsu``, where maps were cut by Otsu's
method too, with ``thresholds`` and ``correct[mode][δ]`` as 0 and 1; ``labels``, ``sizes`` of objects and
``values[metric]`` of every image, except in older records; of the evaluated split, in place of ``sizes``, ``boxes`` in
pixels of the frame, column by column: ``counts`` (of the true boxes of each image), ``true`` and ``predicted`` (the
largest contour's at the τ of train-fullsup or, without one, the oracle's); ``class_names`` of its labels; the side of
the ``frame``, where it is not the usual; and counts and hashes that the summary repeats. Images with pseudo boxes on
which τ was chosen are one more split, ``pseudo-boxes``. ``images-<hash>.txt.gz`` holds the ids of a split, one a line;
all records of a folder share it.

`ResultRecord.outcomes_sha256` is of the uncompressed content, so that another compressor makes no difference.
Version 1, which had everything in one file, and version 2, whose summary had no hash of its own, are read too.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wsolbench.errors import DataError, OutputError, WsolbenchError
from wsolbench.files import atomic_write, read_regular
from wsolbench.protocol import cam_threshold_grid
from wsolbench.records.encoding import decode_part, encode_outcomes, encode_part, read_ids
from wsolbench.records.missing import OLDER_RECORD
from wsolbench.records.outcomes import SplitOutcomes, check_labels, without_rules
from wsolbench.records.plain import SEAL, differences, parse, problem_of, summary_sha256
from wsolbench.records.record import LATER_METRICS, SCHEMA_VERSION, ResultRecord, SplitInfo
from wsolbench.records.version1 import upgrade
from wsolbench.texts import one_line, printable
from wsolbench.validation import refusal

__all__ = [
    "OUTCOMES_SUFFIX",
    "ChangedError",
    "describe_splits",
    "embedded_outcomes",
    "files_beside",
    "ids_sha256",
    "is_record",
    "new_record",
    "outcomes_path",
    "outcomes_sha256",
    "parse_record",
    "put_record",
    "read_file",
    "read_record",
    "read_summary",
    "refusing",
    "upgraded",
    "with_outcomes",
    "write_record",
]

OUTCOMES_SUFFIX = ".outcomes.json.gz"

_IDS_NAME = re.compile(r"images-[0-9a-f]{16}\.txt\.gz")
_ABSENT = object()

LARGEST = 2**25
"""Bytes of a file, of outcomes or ids when unpacked; more is taken for damage. As Python's lists it takes tenfold."""


_LATER_THAN_2 = ("backbone.class_rows", "backbone.classes", "backbone.options", "migrated_from", SEAL)
_LATER_THAN_1 = (
    *("config", "splits", "outcomes_sha256", "dataset.omitted", "dataset.remarks"),
    *("backbone.weights.key", "backbone.weights.notes"),
)
"""What the summaries of version 1 and 2 do not have yet, and later ones always have."""


class ChangedError(DataError):
    """A summary is not the one that its hash was computed from."""


def new_record(*, outcomes: Sequence[SplitOutcomes], **parts: Any) -> ResultRecord:
    """Return a record of parts and outcomes.

    Args:
        outcomes: What happened to every image, the evaluated split first.
        parts: The other fields of `ResultRecord`.
    """
    splits, bare = describe_splits(outcomes), without_rules(outcomes)
    hashes: dict[str, Any] = {"outcomes_sha256": outcomes_sha256(outcomes), "maps_sha256": None}
    if bare != list(outcomes):
        hashes["maps_sha256"] = outcomes_sha256(bare)
    return with_outcomes(ResultRecord(splits=splits, **{**parts, **hashes}), outcomes)


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
    digest = hashlib.sha256()
    for piece in encode_outcomes(outcomes):
        digest.update(piece)
    return digest.hexdigest()


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
    try:
        return put_record(record, folder, stem)
    except OSError as error:
        raise OutputError(f"{folder / f'{stem}.json'}: cannot be written ({error.strerror})") from error


def put_record(record: ResultRecord, folder: Path, stem: str) -> Path:
    """Do the same as `write_record` in a folder whose name says nothing to the user, as a draft has.

    Raises:
        DataError: The record has no outcomes.
        OSError: A file cannot be written.
    """
    path = folder / f"{stem}.json"
    contents = {outcomes_path(path): _compressed(encode_outcomes(record.outcomes))}
    for part in record.outcomes:
        contents[_ids_path(folder, ids_sha256(part.image_ids))] = _compressed([_lines(part.image_ids)])
    contents[path] = record.to_json().encode()
    folder.mkdir(parents=True, exist_ok=True)
    for place, content in contents.items():
        if not place.is_file() or place.read_bytes() != content:
            atomic_write(place, content)
    return path


def embedded_outcomes(record: ResultRecord) -> dict[str, Any]:
    """Return outcomes with the ids of their images, for a record that stands in one line."""
    return {part.split: {"image_ids": list(part.image_ids), **encode_part(part)} for part in record.outcomes}


def _lines(image_ids: Sequence[str]) -> bytes:
    return "".join(f"{image_id}\n" for image_id in image_ids).encode()


def _compressed(pieces: Iterable[bytes]) -> bytes:
    """Return pieces in the form of gzip, without a time: the same pieces always give the same bytes."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*map(packer.compress, pieces), packer.flush()])


# -------------------------------------------------------------------------------------------------------------- reading


def read_record(path: Path) -> ResultRecord:
    """Read a record, with its outcomes where they are there.

    Raises:
        DataError: The file cannot be read or is no record, or its outcomes are not those that it names.
    """
    return parse_record(read_file(path), path)


def read_file(path: Path) -> bytes:
    """Return the content of a record's file.

    Raises:
        DataError: It cannot be read, is larger than any record is, or is one of the files beside a record.
    """
    if path.name.endswith(OUTCOMES_SUFFIX):
        record = f"{path.name.removesuffix(OUTCOMES_SUFFIX)}.json"
        raise DataError(f"{path}: not a result record, but the outcomes of the one beside it: name {record}")
    if _IDS_NAME.fullmatch(path.name):
        raise DataError(f"{path}: not a result record, but the ids of its images: name the .json file beside it")
    try:
        return read_regular(path, LARGEST)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def is_record(content: bytes) -> bool:
    """Return whether the content of a file says that it is a record, damaged or not."""
    try:
        summary = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(summary, dict) and {"schema_version", "metrics", "protocol"} <= summary.keys()


def parse_record(content: bytes, path: Path) -> ResultRecord:
    """Return the record that the content of a file is, with its outcomes where they are there.

    Args:
        content: What the file holds.
        path: The file; the outcomes are beside it.

    Raises:
        DataError: It is no record, or its outcomes are not those that it names.
    """
    with refusing(path):
        summary, embedded = _split(content, path)
        if summary["schema_version"] == 1:
            return _upgraded(summary, embedded, path)
        record = _validated_summary(summary, path)
        return _with_files(record, path) if embedded is None else _with_embedded(record, embedded, path)


def read_summary(path: Path) -> ResultRecord:
    """Read a record without its outcomes, whatever the files beside it hold; those of version 1 are in its file.

    Raises:
        DataError: The file cannot be read or is no record.
    """
    with refusing(path):
        summary, embedded = _split(read_file(path), path)
        if summary["schema_version"] == 1:
            return _upgraded(summary, embedded, path)
        return _validated_summary(summary, path)


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn whatever the content of a record raises into one line that names its file.

    Raises:
        DataError: The block raised something.
    """
    try:
        yield
    except WsolbenchError:
        raise
    except Exception as error:
        raise DataError(f"{path}: not a result record ({type(error).__name__}: {one_line(error)})") from error


def _split(content: bytes, path: Path) -> tuple[dict[str, Any], Any]:
    """Return a summary as JSON has it, its texts and numbers checked, and the outcomes that are in the same file.

    Raises:
        DataError: It is no summary of a version that is known.
    """
    try:
        summary = parse(content)
    except ValueError as error:
        raise DataError(f"{path}: not a result record (no JSON: {printable(str(error))})") from None
    if not isinstance(summary, dict):
        raise DataError(f"{path}: not a result record (expected an object)")
    embedded = summary.pop("outcomes", None)
    problem, version = problem_of(summary), summary.get("schema_version")
    if problem is not None:
        raise DataError(f"{path}: not a result record ({problem})")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise DataError(f"{path}: not a result record (schema_version: expected a version from 1 to {SCHEMA_VERSION})")
    return summary, embedded


def _validated_summary(content: Mapping[str, Any], path: Path) -> ResultRecord:
    """Return the record of a summary of version 2 or 3; from version 3 on, it is under its own hash.

    Raises:
        DataError: It is no summary, or not in the form in which summaries are written.
        ChangedError: Its hash is another one.
    """
    if content["schema_version"] < SCHEMA_VERSION:
        _refuse_later(content, _LATER_THAN_2, path)
        return _validated(_completed({**content, "schema_version": SCHEMA_VERSION, "migrated_from": 2}), str(path))
    covered = {name: value for name, value in content.items() if name != SEAL}
    record = _validated(_completed(covered), str(path))
    if content.get(SEAL) != summary_sha256(content):
        raise ChangedError(f"{path} was changed after it was written: {SEAL} is not the hash of the rest")
    for place, given, written in differences(covered, record._plain()):
        raise DataError(f"{path}: not a result record ({place}: expected {written}, got {given})")
    return record


def _upgraded(summary: Mapping[str, Any], outcomes: Any, path: Path) -> ResultRecord:
    _refuse_later(summary, (*_LATER_THAN_1, *_LATER_THAN_2), path)
    return upgraded({**summary, "outcomes": outcomes}, str(path))


def _refuse_later(content: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    """Refuse a summary that calls itself older than it is, so that it would need no hash.

    Raises:
        DataError: It has a field that its version does not have.
    """
    for name in names:
        part: Any = content
        for step in name.split("."):
            part = part.get(step, _ABSENT) if isinstance(part, dict) else _ABSENT
        if part is not _ABSENT:
            version = content["schema_version"]
            raise DataError(
                f"{path}: not a result record ({name}: version {version} of the schema has no such field; put back "
                "the schema_version that it was written with, or run it again)"
            )


def _with_embedded(record: ResultRecord, embedded: Any, path: Path) -> ResultRecord:
    """Return a record with the outcomes that stand in the same line."""
    parts = {split: dict(_expect(dict, part, path)) for split, part in _expect(dict, embedded, path).items()}
    ids = {split: _embedded_ids(part.pop("image_ids", None), path) for split, part in parts.items()}
    outcomes = _decoded(record, parts, ids, str(path))
    hashes = [part.image_ids_sha256 for part in record.splits]
    if outcomes_sha256(outcomes) != record.outcomes_sha256 or [ids_sha256(p.image_ids) for p in outcomes] != hashes:
        raise DataError(f"{path}: its outcomes are not those that it was written with: their hash is another one")
    return with_outcomes(record, outcomes)


def _embedded_ids(ids: Any, where: Path) -> tuple[str, ...]:
    try:
        return read_ids(ids)
    except DataError as error:
        raise DataError(f"{where}: outcomes have another form ({error})") from None


def upgraded(content: Mapping[str, Any], where: str) -> ResultRecord:
    """Return a version 1 record as one of today.

    Raises:
        DataError: It is no version 1 record, or its curves do not follow from its outcomes.
    """

    def build(outcomes: Sequence[SplitOutcomes], fields: Mapping[str, Any]) -> ResultRecord:
        splits = [part.model_dump() for part in describe_splits(outcomes)]
        whole = {"schema_version": SCHEMA_VERSION, "migrated_from": 1, **fields, "splits": splits}
        whole["outcomes_sha256"] = outcomes_sha256(outcomes)
        return with_outcomes(_validated(_completed(whole), where), outcomes)

    return upgrade(content, where, build)


def _completed(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the content of a summary with the reason why it lacks the metrics that are younger than it."""
    metrics, missing = content.get("metrics"), content.get("missing")
    if not isinstance(metrics, dict) or not isinstance(missing, dict):
        return content
    later = {name: OLDER_RECORD for name in LATER_METRICS if name not in metrics}
    return {**content, "missing": {**later, **missing}}


def _validated(content: Mapping[str, Any], where: str) -> ResultRecord:
    """Validate the content of a summary.

    Raises:
        DataError: It is no summary; the message says where.
    """
    try:
        return ResultRecord.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise DataError(f"{where}: not a result record of schema version {SCHEMA_VERSION} ({refusal(error)})") from None


def _with_files(record: ResultRecord, path: Path) -> ResultRecord:
    """Return a record with the outcomes from the files beside it, or with the reason why it has none."""
    place = outcomes_path(path)
    absent = [file for file in files_beside(path, record) if not file.is_file()]
    if absent:
        bare = record.model_copy()
        bare._why_no_outcomes = f"{absent[0]} is missing"
        return bare
    content = _unpacked(_packed(place), place)
    if hashlib.sha256(content).hexdigest() != record.outcomes_sha256:
        raise DataError(f"{place} is not what {path.name} was written with: its hash is another one")
    ids: dict[str, tuple[str, ...]] = {
        part.split: _read_ids(_ids_path(path.parent, part.image_ids_sha256), part.image_ids_sha256)
        for part in record.splits
    }
    try:
        parts = parse(content)
    except ValueError:
        raise DataError(f"{place}: no JSON") from None
    return with_outcomes(record, _decoded(record, _expect(dict, parts, place), ids, str(place)))


def _packed(path: Path) -> bytes:
    """Return the content of a compressed file as it is.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return read_regular(path, LARGEST)
    except OSError as error:
        raise _damaged(path, error) from None


def _unpacked(packed: bytes, path: Path) -> bytes:
    """Return what a compressed file holds.

    Args:
        packed: Its content.
        path: The file.

    Raises:
        DataError: It is damaged, or larger than any file of outcomes is.
    """
    try:
        with gzip.open(io.BytesIO(packed)) as file:
            content = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from None
    if len(content) > LARGEST:
        raise DataError(f"{path} unpacks to more than {LARGEST >> 20} MiB, which no outcomes do")
    return content


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged ({error}); put back the file that belongs there")


def _read_ids(path: Path, digest: str) -> tuple[str, ...]:
    found, ids = _ids_of(_packed(path), path)
    if found != digest:
        raise DataError(f"{path} does not hold the images of the record: its hash is another one")
    if ids is None:
        raise DataError(f"{path}: expected an image id a line")
    return ids


@lru_cache(maxsize=16)
def _ids_of(packed: bytes, path: Path) -> tuple[str, tuple[str, ...] | None]:
    """Return the hash of what a file holds, and the ids in its lines; all records of a folder share them.

    Args:
        packed: Its content.
        path: The file.

    Returns:
        None in place of the ids where the last line does not end.

    Raises:
        DataError: It is damaged.
    """
    content = _unpacked(packed, path)
    digest = hashlib.sha256(content).hexdigest()
    if not content.endswith(b"\n"):
        return digest, None
    return digest, tuple(content.decode(errors="replace").removesuffix("\n").split("\n"))


def _decoded(
    record: ResultRecord, parts: Mapping[str, Any], ids: Mapping[str, tuple[str, ...]], where: str
) -> list[SplitOutcomes]:
    """Return the outcomes that a file holds.

    Raises:
        DataError: They have another form, or are not of the record's splits.
    """
    grid, deltas = cam_threshold_grid(record.protocol.threshold_step), record.protocol.iou_thresholds
    if set(parts) != {info.split for info in record.splits}:
        raise DataError(f"{where}: outcomes of {', '.join(parts)}, where the record has other splits")
    try:
        outcomes = [decode_part(parts[info.split], info, ids[info.split], len(grid), deltas) for info in record.splits]
        for part in outcomes:
            check_labels(part, record.dataset.num_classes, classified=record.is_classified)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"{where}: outcomes have another form ({type(error).__name__}: {one_line(error)})") from None
    return outcomes


def _expect(kind: type[dict[str, Any]], value: Any, where: Path) -> dict[str, Any]:
    if not isinstance(value, kind):
        raise DataError(f"{where}: outcomes have another form (expected an object, got {type(value).__name__})")
    return value
