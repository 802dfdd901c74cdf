"""Rows as data: CSV and JSON, with the names of the fields of `Row`; and the rows of a JSON file again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from wsolbench.errors import DataError
from wsolbench.escaping import csv_cell, finite_json
from wsolbench.files import read_regular
from wsolbench.leaderboard.output import LARGEST, MANIFEST, parsed_manifest
from wsolbench.leaderboard.rows import BoardTable, Row, frame_of
from wsolbench.records import SCHEMA_VERSION
from wsolbench.records.plain import sealed

__all__ = ["as_csv", "as_json", "read_board"]

_ALWAYS = ("id", "kind", "network", "method", "metrics")
_ELSEWHERE = ("table", "commands")
"""Fields that stand elsewhere: with the table, and in the record."""


def as_csv(rows: Iterable[Row]) -> str:
    """Return rows as CSV: values are not rounded, a cell is empty where there is none, several values have a space.

    The column ``iou_thresholds`` is there where V2 of any row is over other δ than those of the protocol.
    """
    import pandas as pd

    frame = frame_of(rows).drop(columns=["commands"])
    if not any(frame["iou_thresholds"]):  # all are those of the protocol
        del frame["iou_thresholds"]
    ranks = [rank or (None, None) for rank in frame.pop("rank")]
    for place, name in enumerate(("rank_best", "rank_worst")):
        frame.insert(place + 1, name, pd.Series([rank[place] for rank in ranks], dtype="Int64"))
    for name in frame.select_dtypes(object).columns:
        frame[name] = pd.Series([_csv(value) for value in frame[name]], dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def _csv(value: Any) -> Any:
    if isinstance(value, tuple):
        return csv_cell(" ".join(map(str, value)))
    return csv_cell(value) if isinstance(value, str) else value


def as_json(tables: Sequence[BoardTable], files: Mapping[str, str | None] = MappingProxyType({})) -> str:
    """Return all rows, under a hash of their own; fields without a value are omitted.

    Args:
        tables: The tables.
        files: What is written beside it, so that the next build knows its own files: name -> mark.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "files": dict(sorted(files.items())),
        "tables": [
            {
                **{"slug": table.slug, "title": table.title, "name": table.name, "score": table.score},
                "rows": [_plain(row) for row in table.rows],
            }
            for table in tables
        ],
    }
    lines = finite_json(sealed(content)).replace(', {"id": ', ',\n{"id": ').replace('"tables": ', '\n"tables": ')
    return lines + "\n"


def _plain(row: Row) -> dict[str, Any]:
    return {
        name: value
        for name, value in asdict(row).items()
        if name in _ALWAYS or (name not in _ELSEWHERE and value not in (None, (), {}))
    }


def read_board(folder: Path) -> list[BoardTable]:
    """Return the tables of the last build of a leaderboard.

    Raises:
        DataError: There is none, or its JSON file is not as it was written.
    """
    path = folder / MANIFEST
    try:
        content: Any = parsed_manifest(read_regular(path, LARGEST))
        return _TABLES.validate_python([_completed(table) for table in content["tables"]])
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run 'wsolbench leaderboard build'") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path}: not as a build of this version writes it; run 'wsolbench leaderboard build'"
        ) from None


_TABLES = TypeAdapter(list[BoardTable])


def _completed(table: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {"table": table["slug"], **dict.fromkeys(_PLAIN_FIELDS), "seeds": ()}
    return {**table, "rows": [defaults | row for row in table["rows"]]}


_PLAIN_FIELDS = (
    *("system", "family", "kernel", "parameters", "precision"),
    *("weights", "weights_kind", "recipe", "group"),
)
"""Fields of `Row` without a default."""
