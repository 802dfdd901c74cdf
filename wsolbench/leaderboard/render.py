"""Tables as Markdown, LaTeX, CSV and JSON: one table model, four writers."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from wsolbench.escaping import csv_cell, finite_json, latex_text, markdown_text, visible
from wsolbench.leaderboard.entries import Entry, Table
from wsolbench.leaderboard.rows import COLUMNS, Column
from wsolbench.leaderboard.seeds import group_seeds, name_trainings
from wsolbench.records import SCHEMA_VERSION
from wsolbench.records.marks import CLAIMED, explain_marks, marked, marks_of, network_marked
from wsolbench.records.plain import sealed

DASH = "–"


SEEDS_EXPLAINED = "mean ± standard deviation over the seeds of the training"
_SEED_HEADINGS = [
    *("Backbone", "Training", "Params (M)", "Kernel", "Method", "Seeds"),
    *(column.heading.partition(" [")[0] for column in COLUMNS),
]


@dataclass(frozen=True)
class _Row:
    """The cells of a row: what was measured, in texts of records, and the scores; and the marks in them."""

    names: list[str]
    scores: list[str]
    marks: frozenset[str]


def as_markdown(table: Table) -> str:
    """Return a table for README pages."""
    headings = ["Backbone", "Weights", "Params (M)", "Largest kernel", "Method", *(c.heading for c in COLUMNS)]
    align = ["left", "left", "right", "right", "left", *["right"] * len(COLUMNS)]
    return _markdown_table(headings, [_row(entry) for entry in table.entries], align)


def as_latex(table: Table) -> str:
    """Return a booktabs table for papers."""
    headings = ["Backbone", "Weights", "Params (M)", "Kernel", "Method", *(c.heading for c in COLUMNS)]
    return _latex_table(table.title, headings, [_row(entry) for entry in table.entries])


def seeds_as_markdown(table: Table) -> str | None:
    """Return a table of means over repeated trainings, or None where none was repeated."""
    rows = _seed_rows(table)
    align = ["left", "left", "right", "right", "left", "right", *["right"] * len(COLUMNS)]
    return _markdown_table(_SEED_HEADINGS, rows, align) if rows else None


def seeds_as_latex(table: Table) -> str | None:
    """Return the same as a booktabs table."""
    rows = _seed_rows(table)
    return _latex_table(f"{table.title}; {SEEDS_EXPLAINED}", _SEED_HEADINGS, rows) if rows else None


def _markdown_table(headings: Sequence[str], rows: Sequence[_Row], align: Sequence[str]) -> str:
    escaped = [[*map(markdown_text, row.names), *row.scores] for row in rows]
    shown = tabulate(escaped, headings, tablefmt="pipe", disable_numparse=True, colalign=align)
    return "\n\n".join([shown, *_notes(rows)])


def _latex_table(title: str, headings: Sequence[str], rows: Sequence[_Row]) -> str:
    cells = [[*map(latex_text, line)] for line in (headings, *([*row.names, *row.scores] for row in rows))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    head, *body = [
        " " + " & ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + r" \\" for line in cells
    ]
    begin, end = rf"\begin{{tabular}}{{{'l' * len(headings)}}}", r"\end{tabular}"
    above = [f"% {visible(title)}", r"% needs \usepackage{booktabs}", begin, r"\toprule"]
    notes = [
        rf" \multicolumn{{{len(headings)}}}{{p{{\linewidth}}}}{{\footnotesize {latex_text(note)}}} \\"
        for note in _notes(rows)
    ]
    return "\n".join([*above, head, r"\midrule", *body, r"\bottomrule", *notes, end]) + "\n"


def _notes(rows: Sequence[_Row]) -> list[str]:
    """Return what the marks in a table mean, a line each."""
    return explain_marks(frozenset[str]().union(*(row.marks for row in rows)))


def as_csv(tables: Sequence[Table]) -> str:
    """Return all tables as one CSV; values are not rounded, empty where there is none."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [*_facts(tables[0].entries[0])] if tables else []
    writer.writerow(["table", *names, *_csv_names(), "record"])
    for table in tables:
        for entry in table.entries:
            cells = [table.slug, *_facts(entry).values(), *_csv_values(entry), entry.name]
            writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in cells])  # None: empty
    return buffer.getvalue()


def as_json(tables: Sequence[Table], files: Mapping[str, str | None]) -> str:
    """Return all tables with every metric, and the hash of every record file they were made from; under its own hash.

    Args:
        tables: The tables.
        files: What is written beside it, so that the next build knows its own files: name -> mark.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "files": dict(sorted(files.items())),
        "tables": [
            {
                "slug": table.slug,
                "title": table.title,
                "dataset": table.entries[0].record.dataset.model_dump(mode="json"),
                "protocol": table.entries[0].record.protocol.model_dump(mode="json"),
                "rows": [
                    {
                        **_facts(entry),
                        "metrics": entry.record.metrics.model_dump(mode="json"),
                        "intervals": entry.record.intervals and entry.record.intervals.model_dump(mode="json"),
                        "record": entry.name,
                        "record_sha256": entry.sha256,
                    }
                    for entry in table.entries
                ],
            }
            for table in tables
        ],
    }
    return finite_json(sealed(content), indent=1) + "\n"


def _seed_rows(table: Table) -> list[_Row]:
    rows = []
    groups = group_seeds(table)
    for group, training in zip(groups, name_trainings(groups), strict=True):
        name, _, parameters, kernel, method = _names(group[0])
        seeds = DASH if group[0].is_baseline else str(len(group))
        marks = marks_of(entry.record for entry in group)
        names = [network_marked(name, marks), training, parameters, kernel, method, seeds]
        rows.append(_Row(names, [_spread(group, column) for column in COLUMNS], marks))
    return rows


def _spread(group: Sequence[Entry], column: Column) -> str:
    """Return the mean of a metric and its standard deviation; of one entry the metric itself."""
    if len(group) == 1:
        return _cell(group[0], replace(column, with_interval=False))
    values = [value for entry in group if (value := _metric(entry, column)) is not None]
    if len(values) < len(group):
        return DASH
    shown = f"{statistics.mean(values):.{column.digits}f} ± {statistics.stdev(values):.{column.digits}f}"
    return marked(shown, CLAIMED, marks_of(entry.record for entry in group)) if column.key == "pxap" else shown


def _csv_names() -> list[str]:
    return [
        name
        for column in COLUMNS
        for name in (column.key, *([f"{column.key}_low", f"{column.key}_high"] if column.with_interval else []))
    ]


def _csv_values(entry: Entry) -> list[float | None]:
    values: list[float | None] = []
    for column in COLUMNS:
        values.append(_metric(entry, column))
        if column.with_interval:
            values.extend(_interval(entry, column) or (None, None))
    return values


def _facts(entry: Entry) -> dict[str, str | int | bool | None]:
    network = entry.network
    return {
        "backbone": network.label if network else None,
        "weights": ("trained" if entry.is_trained else "random") if network else None,
        "weights_file": network.weights.file if network else None,
        "weights_key": network.weights.key if network else None,
        "told_apart_by": entry.apart or None,
        "recipe": entry.recipe,
        "seed": entry.seed,
        "precision": network.precision if network else None,
        "parameters": network.parameters if network else None,
        "largest_kernel": network.largest_kernel if network else None,
        "method": entry.method,
        "migrated_from": entry.record.migrated_from,
        "pxap_claimed": entry.record.pxap_is_claimed,
        "best_epoch": entry.record.best_epoch,
    }


def _row(entry: Entry) -> _Row:
    marks = marks_of([entry.record])
    name, *others = _names(entry)
    return _Row([network_marked(name, marks), *others], [_cell(entry, column) for column in COLUMNS], marks)


def _names(entry: Entry) -> list[str]:
    """Return what was measured, a cell each: network, weights, size, kernel, method."""
    network = entry.network
    return [
        entry.backbone,
        entry.weights,
        f"{network.parameters / 1e6:.2f}" if network else DASH,
        str((network and network.largest_kernel) or DASH),
        entry.method,
    ]


def _metric(entry: Entry, column: Column) -> float | None:
    """Return a metric; a baseline's Top-1 columns would speak of a classifier that it does not look at."""
    if entry.is_baseline and column.key.startswith("top1"):
        return None
    value: float | None = getattr(entry.record.metrics, column.key)
    return value if value is not None and math.isfinite(value) else None


def _cell(entry: Entry, column: Column) -> str:
    """Return a metric for people."""
    value = _metric(entry, column)
    if column is COLUMNS[0] and entry.record.undefined is not None:
        return "not defined"
    if value is None:
        return DASH
    shown = f"{value:.{column.digits}f}"
    if column.key == "pxap":
        return marked(shown, CLAIMED, marks_of([entry.record]))
    ends = _interval(entry, column)
    return f"{shown} [{ends[0]:.{column.digits}f}, {ends[1]:.{column.digits}f}]" if ends else shown


def _interval(entry: Entry, column: Column) -> tuple[float, float] | None:
    intervals = entry.record.intervals
    return intervals.metrics.get(column.key) if intervals and column.with_interval else None
