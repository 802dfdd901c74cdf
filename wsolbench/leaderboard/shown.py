"""What people see of rows in a table: which rows, which columns, and a text for every cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wsolbench.errors import UsageError
from wsolbench.leaderboard.architectures import architectures_of
from wsolbench.leaderboard.rows import COLUMNS, Row
from wsolbench.records.marks import CLAIMED, explain_marks, marked, network_marked
from wsolbench.records.record import v2_over

__all__ = [
    "DASH",
    "FIELDS",
    "GROUPS",
    "NO_THRESHOLD",
    "ROWS",
    "Field",
    "best_of",
    "cell",
    "fields_named",
    "grouped",
    "heading_of",
    "is_tied_with_the_best",
    "method_of",
    "notes_of",
    "place_of",
    "select_rows",
]

DASH = "–"

NO_THRESHOLD = "boxes, no τ"
"""What rows of predicted boxes say where others have a τ: each of their scores is the same at every τ."""

UNDEFINED = "not defined"
"""How the reason begins why a method has no map of any image."""

ROWS = ("means", "all", "best")
"""Which rows a table has: repeated trainings as their mean; these trainings too; of every network the best method."""

GROUPS = ("network", "method", "family", "kind", "weights_kind", "system", "precision", "recipe")
"""Fields by whose values rows are chosen."""

_METRICS = {column.key: column for column in COLUMNS}


@dataclass(frozen=True)
class Field:
    """A column of a table for people.

    Attributes:
        key: Its name on the command line: a field of `Row`, or a metric.
        heading: Its heading.
        text: A row -> the text of its cell.
        is_number: Whether it stands on the right of its column.
    """

    key: str
    heading: str
    text: Callable[[Row], str]
    is_number: bool = False


def _metric(row: Row, key: str) -> str:
    """Return a metric for people: of a mean with its standard deviation, of a paper as it is printed."""
    column, value = _METRICS[key], row.metrics.get(key)
    if key in row.printed:
        return row.printed[key]
    if value is None:
        return DASH
    digits, spread, ends = column.digits, row.sd.get(key), row.intervals.get(key)
    text = f"{value:.{digits}f}" if spread is None else f"{value:.{digits}f} ± {spread:.{digits}f}"
    if column.with_interval and spread is None and ends is not None:
        text = f"{text} [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]"
    return marked(text, CLAIMED, row.marks) if key == "pxap" else text


def method_of(row: Row) -> str:
    """Return the method's name; of predicted boxes with the words that they have no τ."""
    return f"{row.method} ({NO_THRESHOLD})" if row.scored == "boxes" else row.method


def _method(row: Row) -> str:
    """Return the method's name; of an incomplete row with a word that says so."""
    if row.incomplete is None:
        return method_of(row)
    return f"{method_of(row)} ({UNDEFINED if row.incomplete.startswith(UNDEFINED) else 'incomplete'})"


def _rank(row: Row) -> str:
    if row.rank is None:
        return DASH
    first, last = row.rank
    return str(first) if first == last else f"{first}–{last}"


def _whole(value: int | None) -> str:
    return DASH if value is None else f"{value:,}"


FIELDS: Mapping[str, Field] = {
    each.key: each
    for each in (
        Field("rank", "Rank", _rank, is_number=True),
        Field("network", "Network", lambda row: network_marked(row.network or DASH, row.marks)),
        Field("method", "Method", _method),
        Field("weights", "Weights", lambda row: row.weights or DASH),
        Field("seeds", "Seeds", lambda row: str(len(row.seeds)) if row.seeds else DASH, is_number=True),
        Field(
            "parameters",
            "Params (M)",
            lambda row: f"{row.parameters / 1e6:.2f}" if row.parameters else DASH,
            is_number=True,
        ),
        Field("kernel", "Kernel", lambda row: _whole(row.kernel), is_number=True),
        Field("family", "Family", lambda row: row.family),
        Field("precision", "Precision", lambda row: row.precision or DASH),
        Field("images", "Images", lambda row: _whole(row.images), is_number=True),
        Field("kind", "Source", lambda row: row.kind),
        *(
            Field(column.key, column.heading, lambda row, key=column.key: _metric(row, key), is_number=True)  # type: ignore[misc]
            for column in COLUMNS
        ),
    )
}
"""Every column that a table can have, in the usual order."""

USUAL = ("rank", "network", "weights", "method", "seeds", *(key for key in _METRICS if key != "top1_acc"))
"""Those that it has if nobody asks for others."""


def fields_named(names: Sequence[str]) -> list[Field]:
    """Return columns by their names, in the order given; the usual ones of none.

    Raises:
        UsageError: There is no such column.
    """
    for name in names:
        if name not in FIELDS:
            raise UsageError(f"--columns: there is no '{name}'; choose from {', '.join(FIELDS)}")
    return [FIELDS[name] for name in names or USUAL]


def heading_of(field: Field, rows: Iterable[Row]) -> str:
    """Return the heading of a column of a table: V2 over other δ than those of the protocol says which they are."""
    deltas = next((row.iou_thresholds for row in rows if row.iou_thresholds), ())
    return field.heading.replace("V2", v2_over(deltas)) if deltas and field.key in _METRICS else field.heading


def cell(row: Row, field: Field) -> str:
    """Return the text of a cell; it may hold anything, and is escaped by whoever writes it."""
    return field.text(row)


def select_rows(rows: Sequence[Row], wanted: Sequence[str], score: str) -> list[Row]:
    """Return some rows of a table in their order.

    Args:
        rows: All of them.
        wanted: One of `ROWS` at most, and conditions such as ``method=cam``. Of conditions on one field any has to
            hold, and of every field one.
        score: The metric by which the method of a network is the best.

    Raises:
        UsageError: What is wanted is neither, or no row has such a value.
    """
    conditions: dict[str, list[str]] = {}
    kinds = [each for each in wanted if "=" not in each]
    for each in wanted:
        name, is_condition, value = each.partition("=")
        if each not in ROWS and not (is_condition and name in GROUPS):
            listed = f"{', '.join(ROWS)}, or a condition such as method=cam on {', '.join(GROUPS)}"
            raise UsageError(f"--rows: expected {listed}; got '{each}'")
        if is_condition:
            known = sorted({str(found) for row in rows if (found := getattr(row, name)) is not None})
            if value not in known:
                raise UsageError(f"--rows: no row has {name} '{value}'; there are {', '.join(known)}")
            conditions.setdefault(name, []).append(value)
    if len(kinds) > 1:
        raise UsageError(f"--rows: choose one of {', '.join(ROWS)}")
    kept = [row for row in rows if all(str(getattr(row, name)) in values for name, values in conditions.items())]
    return _of_kind(kept, kinds[0] if kinds else ROWS[0], score)


def _of_kind(rows: Sequence[Row], kind: str, score: str) -> list[Row]:
    if kind == "all":
        return list(rows)
    if kind == "means":
        return [row for row in rows if row.group is None]
    best = {architecture.best.id for architecture in architectures_of(rows, score)}
    return [row for row in rows if row.id in best or row.kind == "reported" or row.network is None]


def grouped(rows: Iterable[Row]) -> list[list[Row]]:
    """Return rows in the groups between which a table has a line: ranked, incomplete, baselines, reported."""
    groups: list[list[Row]] = [[], [], [], []]
    for row in rows:
        other = {"baseline": 2, "reported": 3}.get(row.kind)
        groups[other or (1 if row.incomplete is not None else 0)].append(row)
    return [group for group in groups if group]


def best_of(rows: Iterable[Row], key: str) -> tuple[float | None, float | None]:
    """Return the best and the second best number of a metric as tables show them; None where there is none.

    Baselines, reported numbers and incomplete rows take no part, and single trainings beside their mean do not either.
    """
    if key not in _METRICS:
        return None, None
    taking = (row for row in rows if row.kind not in ("baseline", "reported") and row.incomplete is None)
    values = {_rounded(row, key) for row in taking if row.group is None and row.metrics.get(key) is not None}
    best, second, *_ = [*sorted((value for value in values if value is not None), reverse=True), None, None]
    return best, second


def _rounded(row: Row, key: str) -> float | None:
    value = row.metrics.get(key)
    return None if value is None else round(value, _METRICS[key].digits)


def place_of(row: Row, key: str, best: tuple[float | None, float | None]) -> int | None:
    """Return 1 for a cell with the best number, 2 for one with the second best, None for others."""
    takes_part = row.kind not in ("baseline", "reported") and row.incomplete is None and row.group is None
    value = _rounded(row, key) if takes_part and key in _METRICS else None
    return None if value is None else 1 if value == best[0] else 2 if value == best[1] else None


def is_tied_with_the_best(row: Row) -> bool:
    """Return whether no other row is surely better."""
    return row.rank is not None and row.rank[0] == 1


def notes_of(rows: Iterable[Row]) -> list[str]:
    """Return what the marks in some rows mean, a line each; a paper's are in the source of its rows."""
    rows = list(rows)
    sources = dict.fromkeys(row.source for row in rows if row.source is not None)
    return [*explain_marks({mark for row in rows for mark in row.marks}), *filter(None, sources)]
