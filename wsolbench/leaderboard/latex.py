"""Tables for papers: booktabs, the best number bold, the second underlined, what is tied with the best marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import Markup

from wsolbench.escaping import latex_text, visible
from wsolbench.leaderboard.ranks import EXPLAINED
from wsolbench.leaderboard.rows import Row
from wsolbench.leaderboard.shown import (
    Field,
    best_of,
    cell,
    grouped,
    heading_of,
    is_tied_with_the_best,
    notes_of,
    place_of,
)
from wsolbench.templates import latex_template

__all__ = ["as_latex"]

_MOST_COLUMNS: Final = 6
"""Columns that fit a page of most papers."""
_TIED: Final = r"\textsuperscript{=}"
_FORMS: Final[Mapping[int | None, str]] = {None: "{}", 1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}
"""How a number is written that is the best or the second best."""


def as_latex(title: str, rows: Sequence[Row], fields: Sequence[Field], score: str) -> str:
    """Return a table for a paper.

    Args:
        title: What it is of, for a comment.
        rows: Its rows.
        fields: Its columns.
        score: The metric of ranks: rows that are tied with the best are marked there.
    """
    best = {field.key: best_of(rows, field.key) for field in fields}
    several = sum(is_tied_with_the_best(row) for row in rows) > 1 and any(field.key == score for field in fields)

    def written(row: Row, field: Field) -> str:
        number, bracket, ends = cell(row, field).partition(" [")
        text = _FORMS[place_of(row, field.key, best[field.key])].format(latex_text(number))
        text += bracket + latex_text(ends)
        return text + (_TIED if several and field.key == score and is_tied_with_the_best(row) else "")

    lines = [[[written(row, field) for field in fields] for row in group] for group in grouped(rows)]
    heads = [latex_text(heading_of(field, rows)) for field in fields]
    widths = [max(map(len, column)) for column in zip(heads, *(line for group in lines for line in group), strict=True)]
    tied = [Markup(rf"{_TIED} No row is surely better. {latex_text(EXPLAINED)}")] if several else []
    return latex_template("wsolbench.leaderboard", "table.tex.jinja").render(
        title=Markup(visible(title)),  # of a comment
        is_wide=len(fields) > _MOST_COLUMNS,
        columns="".join("r" if field.is_number else "l" for field in fields),
        head=_padded(heads, widths),
        groups=[[_padded(line, widths) for line in group] for group in lines],
        notes=[*tied, *notes_of(rows)],
    )


def _padded(cells: Sequence[str], widths: Sequence[int]) -> Markup:
    """Return a line of cells, which are LaTeX already."""
    return Markup(" & ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True)))
