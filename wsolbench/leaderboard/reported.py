"""Numbers that papers report, from ``reported/*.toml`` of a leaderboard: as printed, beside what was measured."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wsolbench.errors import DataError
from wsolbench.escaping import visible
from wsolbench.files import read_regular
from wsolbench.leaderboard.rows import COLUMNS, Row, family_of
from wsolbench.records.record import DatasetName
from wsolbench.validation import refusal

__all__ = ["REPORTED", "ReportedRow", "ReportedTable", "read_reported", "reported_rows"]

REPORTED = "reported"
"""The folder of a leaderboard that holds the files."""

_LARGEST, _LONGEST = 2**20, 300
"""Bytes of a file, and characters of what is said of it."""
_NUMBER = re.compile(r"[0-9.]+")

Text = Annotated[str, Field(min_length=1, max_length=400)]
Key: TypeAlias = Literal[
    "max_box_acc", "fullsup_box_acc", "max_box_acc_v2", "fullsup_box_acc_v2", "top1_loc", "top1_acc", "pxap"
]
Figure = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]+)?[^0-9.\s]{0,3}$")]
"""Percent as printed, with its marks."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Here(_Part):
    """What a row is called where it is measured with wsolbench."""

    networks: list[Text] = Field(description="names of the very network; any of them")
    method: Text


class ReportedRow(_Part):
    """A row of a table in a paper."""

    backbone: Text
    method: Text
    note: Text | None = None
    dataset: DatasetName | None = Field(default=None, description="where it is not that of the table")
    measured_on: Text | None = Field(default=None, description="where it is not that of the table")
    images: int | None = Field(default=None, ge=1, description="where it is not that of the table")
    figures: dict[Key, Figure] = Field(min_length=1, description="percent and mark, as printed")
    also: dict[Text, Text] = Field(default={}, description="other columns, as printed")
    here: Here | None = None


class ReportedTable(_Part):
    """A table of a paper."""

    source: Text
    bibtex: Annotated[str, Field(max_length=2000)] | None = Field(default=None, description="the paper, to be cited")
    table: Text
    title: Text
    dataset: DatasetName = Field(description="the name of the data set here")
    measured_on: Text = Field(description="its name as printed")
    images: int | None = Field(default=None, ge=1, description="of the split as the data set publishes it")
    printed: dict[Text, Text] = Field(description="column -> its heading in the paper")
    footnotes: dict[Text, Text] = Field(default={}, description="mark or column -> what it means")
    rows: list[ReportedRow] = Field(min_length=1)

    @model_validator(mode="after")
    def _explains_all(self) -> Self:
        """Refuse marks without a footnote, and columns without a heading."""
        for number, row in enumerate(self.rows):
            unnamed = [name for name in (*row.figures, *row.also) if name not in self.printed]
            unknown = [mark for mark in map(_mark_of, row.figures.values()) if mark and mark not in self.footnotes]
            if unnamed:
                raise ValueError(f"rows.{number}: no heading of {unnamed[0]} in [printed]")
            if unknown:
                raise ValueError(f"rows.{number}: no footnote of the mark {unknown[0]} in [footnotes]")
        return self


def read_reported(folder: Path) -> dict[str, ReportedTable]:
    """Return the reported tables of a leaderboard by the stems of their files; none without such a folder.

    Raises:
        DataError: A file cannot be read, or is no such table; the line names the file and the place in it.
    """
    return {path.stem: _read(path) for path in sorted((folder / REPORTED).glob("*.toml"))}


def _read(path: Path) -> ReportedTable:
    try:
        content = tomllib.loads(read_regular(path, _LARGEST).decode())
        return ReportedTable.model_validate(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise DataError(f"{path}: no reported table ({refusal(error)})") from None
    except ValueError as error:
        raise DataError(f"{path}: no TOML ({visible(str(error))[:_LONGEST]})") from None


def reported_rows(tables: Mapping[str, ReportedTable], measured: Sequence[Row], names: Mapping[str, str]) -> list[Row]:
    """Return reported tables as rows, unranked, each with its difference to the same measurement where there is one.

    Args:
        tables: Stem of the file -> the table.
        measured: All other rows.
        names: Slug of each table of the leaderboard -> the name of its data set.
    """
    return [
        _with_delta(_row(stem, number, table, row), row, measured, names)
        for stem, table in tables.items()
        for number, row in enumerate(table.rows, start=1)
    ]


def _row(stem: str, number: int, table: ReportedTable, row: ReportedRow) -> Row:
    marks = tuple(sorted({mark for mark in map(_mark_of, row.figures.values()) if mark}))
    explained = [f"{mark} {table.footnotes[mark]}" for mark in marks]
    explained += [table.footnotes[name] for name in row.also if name in table.footnotes]
    further = [f"{table.printed[name]} {value}" for name, value in row.also.items()]
    printed = {str(key): figure for key, figure in row.figures.items()}
    source = f"{table.source}, {table.table}, on {row.measured_on or table.measured_on}"
    return Row(
        id=f"{REPORTED}//{stem}-{number}",
        table=row.dataset or table.dataset,
        kind="reported",
        network=row.backbone,
        system=None,
        family=family_of(row.backbone),
        kernel=None,
        parameters=None,
        precision=None,
        weights="; ".join([*filter(None, [row.note]), *further]) or None,
        weights_kind=None,
        recipe=None,
        seeds=(),
        group=None,
        method=row.method,
        metrics={column.key: _number_of(printed.get(column.key)) for column in COLUMNS},
        printed=printed,
        images=row.images or table.images,
        marks=marks,
        source="; ".join([source, *explained]),
    )


def _with_delta(row: Row, reported: ReportedRow, measured: Iterable[Row], names: Mapping[str, str]) -> Row:
    """Return a row with its differences to the mean, or else to the best, of the same measurement.

    A figure with a mark was measured in another way.
    """
    if reported.here is None:
        return row
    same = [
        each
        for each in measured
        if (each.kind in ("measured", "submitted") and each.group is None and each.incomplete is None)
        and (names.get(each.table), each.images) == (row.table, row.images)
        and (each.network in reported.here.networks and each.method == reported.here.method)
    ]
    delta = {}
    for key, figure in row.printed.items():
        values = [value for each in same if (value := each.metrics[key]) is not None]
        if values and not _mark_of(figure) and (number := row.metrics[key]) is not None:
            delta[key] = number - max(values)
    return replace(row, delta=delta)


def _number_of(figure: str | None) -> float | None:
    return None if figure is None else float(figure.removesuffix(_mark_of(figure)))


def _mark_of(figure: str) -> str:
    return _NUMBER.sub("", figure)
