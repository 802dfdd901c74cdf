"""Records of older schema versions, written again as those of today: in place, and verified before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from wsolbench.errors import DataError
from wsolbench.records import ResultRecord, write_record
from wsolbench.records.plain import differences, parse
from wsolbench.records.store import read_file
from wsolbench.records.verify import parse_verified, read_verified
from wsolbench.records.version1 import renamed

__all__ = ["Migrated", "migrate"]


@dataclass(frozen=True)
class Migrated:
    """What a migration did to a folder.

    Attributes:
        rewritten: The records that were of an older version.
        kept: How many were of today's already.
        before: Bytes of all files of the folder before.
        after: Bytes of all files of the folder now.
    """

    rewritten: tuple[Path, ...]
    kept: int
    before: int
    after: int


def migrate(folder: Path) -> Migrated:
    """Write every record of an older version below a folder again as one of today.

    A record is verified as it is, written to a temporary folder, read from there, verified and compared with what it
    was; then it replaces its file. Its outcomes are beside it before its summary is: a migration that is interrupted
    leaves whole records of either version, and can be repeated.

    Raises:
        DataError: A record cannot be read or contradicts itself, or would lose something.
        OutputError: A file cannot be written.
    """
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise DataError(f"{folder} holds no records; name the folder of a leaderboard")
    before = _size(folder)
    rewritten = tuple(path for path in paths if _migrate_record(path))
    return Migrated(rewritten, len(paths) - len(rewritten), before, _size(folder))


def _migrate_record(path: Path) -> bool:
    """Write a record again; return whether it was of an older version."""
    content = read_file(path)
    record, old = parse_verified(content, path), parse(content)
    if old["schema_version"] == record.schema_version:
        return False
    with TemporaryDirectory() as draft:
        again = read_verified(write_record(record, Path(draft), path.stem))
    for place, was, would_be in _losses(old, again):
        raise DataError(
            f"{path}: version {again.schema_version} would not hold what is there: {place} is {was}, and would be "
            f"{would_be}"
        )
    write_record(again, path.parent, path.stem)
    return True


def _losses(old: Mapping[str, Any], record: ResultRecord) -> Iterator[tuple[str, str, str]]:
    """Yield where a record differs from its older version, which is given as JSON has it."""
    new = json.loads(record.to_json())
    parts = {name: value for name, value in old.items() if name not in ("schema_version", "outcomes")}
    parts["protocol"] = renamed(old["protocol"])
    yield from differences(parts, new)
    if old["schema_version"] > 1:  # the hash of its outcomes is compared already
        return
    for before, part in zip(old["outcomes"], record.outcomes, strict=True):
        for field in ("split", "nan_maps", "constant_maps", "annotations_sha256", "images_sha256"):
            yield from differences(before[field], getattr(part, field), f"{before['split']}.{field}")
        yield from differences(before["image_ids"], list(part.image_ids), f"{before['split']}.image_ids")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
