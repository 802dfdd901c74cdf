"""One table of the last build, with the rows and columns that somebody wants, for a paper or a README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from wsolbench.errors import UsageError
from wsolbench.leaderboard.data import as_csv, as_json, read_board
from wsolbench.leaderboard.latex import as_latex
from wsolbench.leaderboard.markdown import as_markdown
from wsolbench.leaderboard.shown import fields_named, select_rows

__all__ = ["Format", "write_table"]

Format: TypeAlias = Literal["latex", "markdown", "csv", "json"]
"""How a table is written; CSV and JSON have all that is known of its rows, and numbers that are not rounded."""


def write_table(folder: Path, slug: str | None, form: Format, columns: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table as text.

    Args:
        folder: The leaderboard.
        slug: Which table; None where there is one only.
        form: How it is written.
        columns: Its columns; the usual ones where none is named.
        rows: Which rows; see `select_rows`.

    Raises:
        DataError: The leaderboard was not built.
        UsageError: There is no such table, column or row.
    """
    tables = {table.slug: table for table in read_board(folder)}
    if slug not in tables and not (slug is None and len(tables) == 1):
        wanted = "name a table" if slug is None else f"there is no table '{slug}'"
        raise UsageError(f"{wanted}; {folder} has {', '.join(tables)}")
    table = tables[slug] if slug is not None else next(iter(tables.values()))
    if form in ("csv", "json") and columns:
        raise UsageError(f"--columns: {form} has all of them")
    chosen, fields = select_rows(table.rows, rows, table.score), fields_named(columns)
    match form:
        case "latex":
            return as_latex(table.title, chosen, fields, table.score)
        case "markdown":
            return f"{as_markdown(chosen, fields)}\n"
        case "csv":
            return as_csv(chosen)
        case "json":
            return as_json([table.of(chosen)])
