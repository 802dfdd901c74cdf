"""``README.md`` of a leaderboard: one screen a data set, and a table of rows for any README."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from markupsafe import Markup

from wsolbench.escaping import markdown_text
from wsolbench.leaderboard.architectures import COMPARED, Architecture, architectures_of
from wsolbench.leaderboard.output import FURTHER
from wsolbench.leaderboard.ranks import EXPLAINED
from wsolbench.leaderboard.rows import COLUMNS, BoardTable, Row
from wsolbench.leaderboard.shown import (
    FIELDS,
    Field,
    best_of,
    cell,
    heading_of,
    is_tied_with_the_best,
    notes_of,
    place_of,
)
from wsolbench.records.marks import explain_marks
from wsolbench.templates import markdown_template

__all__ = ["Section", "as_markdown", "as_readme"]

_MOST: Final = 12
"""Networks in the table of a data set, so that it fits on a screen."""

_METHODS: Final = {"cam": "CAM", "pc1": "PC1", "cam-pos": "CAM, positive", "cam-neg": "CAM, negative"}


@dataclass(frozen=True)
class Section:
    """A table as the README shows it.

    Attributes:
        table: Its rows.
        remarks: What is said of it, a line each; Markdown.
        figures: What a figure shows -> its file.
    """

    table: BoardTable
    remarks: Sequence[str]
    figures: Sequence[tuple[str, str]]


def as_markdown(rows: Sequence[Row], fields: Sequence[Field]) -> str:
    """Return a table for README pages: the best number bold, the second in italics; and what its marks mean."""
    best = {field.key: best_of(rows, field.key) for field in fields}

    def written(row: Row, field: Field) -> str:
        text, place = _text(row, field), place_of(row, field.key, best[field.key])
        return {1: f"**{text}**", 2: f"*{text}*"}.get(place or 0, text)

    cells = {heading_of(field, rows): [written(row, field) for row in rows] for field in fields}
    return "\n\n".join([_table(cells, [field.is_number for field in fields]), *map(markdown_text, notes_of(rows))])


def as_readme(sections: Sequence[Section], pages: Collection[str], left_out: int = 0) -> str:
    """Return the page.

    Args:
        sections: The tables.
        pages: Those of `FURTHER` that there are.
        left_out: How many records are wrong, and so are in no table.
    """
    return markdown_template("wsolbench.leaderboard", "README.md.jinja").render(
        sections=[_shown(section) for section in sections],
        further={file: told for file, told in FURTHER.items() if file in pages},
        left_out=left_out,
        ranks=EXPLAINED,
    )


def _shown(section: Section) -> dict[str, object]:
    table = section.table
    networks = architectures_of(table.rows, table.score)
    baselines = [row for row in table.rows if row.kind == "baseline"]
    return {
        "title": table.title,
        "anchor": Markup(quote(f"t-{table.slug}")),
        "slug": Markup(quote(table.slug)),
        "table": Markup(_architectures(networks[:_MOST], baselines[:1], table.score) if networks else _reported(table)),
        "more": max(0, len(networks) - _MOST),
        "count": len(table.rows),
        "remarks": [*map(Markup, section.remarks), *_marks(networks[:_MOST])],
        "figures": [(text, Markup(quote(file))) for text, file in section.figures],
    }


def _reported(table: BoardTable) -> str:
    """Return a table of numbers that papers report, the first ones."""
    rows = table.rows[:_MOST]
    metrics = [column.key for column in COLUMNS if any(row.metrics[column.key] is not None for row in rows)]
    return as_markdown(rows, [FIELDS[key] for key in ("network", "method", "weights", *metrics)])


def _marks(networks: Sequence[Architecture]) -> list[str]:
    marks = {mark for each in networks for row in (each.best, *each.of_method.values()) for mark in row.marks}
    return explain_marks(marks)


def _architectures(networks: Sequence[Architecture], baselines: Sequence[Row], score: str) -> str:
    """Return the table of networks: the best method and those of the paper, each with its score."""
    repeated = len({each.best.network for each in networks}) < len(networks)
    fields = [FIELDS[key] for key in ("rank", "network", *(["weights"] if repeated else []), "parameters", "method")]
    methods = [name for name in COMPARED if any(name in each.of_method for each in networks)]
    rows = [each.best for each in networks] + list(baselines)
    cells = {field.heading: [_text(row, field) for row in rows] for field in fields}
    cells[FIELDS["network"].heading][len(networks) :] = ["*no network*"] * len(baselines)
    cells["Best method"] = cells.pop(FIELDS["method"].heading)
    scores = [(row, _text(row, FIELDS[score])) for row in rows]
    cells[heading_of(FIELDS[score], rows)] = [
        f"**{text}**" if is_tied_with_the_best(row) else text for row, text in scores
    ]
    for name in methods:
        of_networks = [_short(each.of_method.get(name), score) for each in networks]
        cells[_METHODS[name]] = of_networks + [""] * len(baselines)
    return _table(cells, [field.is_number for field in fields] + [True] * (1 + len(methods)))


def _text(row: Row, field: Field) -> str:
    """Return a cell; brackets of intervals need no escape, but what comes from files does."""
    text = cell(row, field)
    return text if field.key in row.metrics and not row.printed else markdown_text(text)


def _short(row: Row | None, score: str) -> str:
    """Return a score without its interval: a mean with its standard deviation."""
    return "" if row is None else _text(row, FIELDS[score]).partition(" [")[0]


def _table(cells: dict[str, list[str]], numbers: Sequence[bool]) -> str:
    import pandas as pd  # not at the top: it takes long, and processes that read records need none of it

    align = ["right" if is_number else "left" for is_number in numbers]
    shown: str = pd.DataFrame(cells, dtype=object).to_markdown(index=False, disable_numparse=True, colalign=align)
    return shown
