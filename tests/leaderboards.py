"""What a build writes, of tables in memory."""

from pathlib import Path

from wsolbench.leaderboard.build import _parts, _readme
from wsolbench.leaderboard.drawing import draw_board, draw_figure
from wsolbench.leaderboard.figures import Drawn, names_of
from wsolbench.leaderboard.rows import rows_of, score_of

NOWHERE = Path("no-leaderboard")


def parts_of(tables):
    """Return tables with their rows, as they are written."""
    return _parts(tables, NOWHERE)


def rows_in(tables):
    """Return the rows of all tables."""
    return [row for part in parts_of(tables) for row in part.rows]


def readme_of(tables):
    """Return the README."""
    return _readme(parts_of(tables), tables, pages=())


def drawn_of(table):
    """Return a table as its figures show it."""
    return Drawn(table, rows_of(table), score_of(table))


def figure_in(table, name):
    """Return a figure of a table that is alone on a leaderboard, as the text of its SVG file."""
    return draw_figure(drawn_of(table), names_of([table]), "0" * 64, name, ["svg"])["svg"].decode()


def figures_in(table):
    """Return the figures of a table that is alone on a leaderboard."""
    drawn = draw_board([(drawn_of(table), "0" * 64)], names_of([table]))
    return {name: content for files in drawn for name, content in files.items()}
