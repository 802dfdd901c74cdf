"""Records of schema version 1 rewritten as version 2, each verified before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsolbench.errors import DataError
from wsolbench.records import ResultRecord, write_record
from wsolbench.records.verify import read_verified

__all__ = ["Migration", "migrate"]

_KEPT = ("metrics", "missing", "intervals", "dataset", "backbone", "method", "environment", "seconds")
"""Parts of a version 1 record that version 2 has unchanged, but for fields that older records lack."""


@dataclass(frozen=True)
class Migration:
    """What was rewritten: the number of records, and the bytes of the whole folder before and after."""

    records: int
    bytes_before: int
    bytes_after: int


def migrate(folder: Path) -> Migration:
    """Rewrite all version 1 records below a folder in place; those of version 2 stay.

    A record is verified, written, read back, verified again and compared with the old file; its new summary replaces
    the old file last. What was interrupted goes on with the next call.

    Raises:
        DataError: A record contradicts itself, or reads back differently; those before it are rewritten.
        OutputError: A file cannot be written.
    """
    before, count = _size(folder), 0
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_bytes())
        if content.get("schema_version") != 1:
            continue
        old = read_verified(path)
        _compare_with_file(old, content, path)
        write_record(old, path.parent, path.stem)
        if read_verified(path) != old:
            raise DataError(f"{path}: reads back differently from what was written")
        count += 1
    return Migration(count, before, _size(folder))


def _compare_with_file(record: ResultRecord, content: dict[str, Any], path: Path) -> None:
    """Refuse a conversion that lost or changed anything that the old file says."""
    new = record.model_dump(mode="json")
    protocol = {
        ("threshold_step" if name == "interval" else name): value for name, value in content["protocol"].items()
    }
    for part, old in [*((name, content[name]) for name in _KEPT), ("protocol", protocol)]:
        if not _holds(new[part], old):
            raise DataError(f"{path}: {part} would change")


def _holds(new: Any, old: Any) -> bool:
    """Tell whether everything in an old value is in the new one; defaults may have come to it."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and _holds(new[name], value) for name, value in old.items())
    return bool(new == old)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
