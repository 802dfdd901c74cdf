"""What a build writes, of tables in memory."""

from pathlib import Path

from wsolbench.leaderboard.build import _parts, _readme

NOWHERE = Path("no-leaderboard")


def parts_of(tables):
    """Return tables with their rows, as they are written."""
    return _parts(tables, NOWHERE)


def rows_in(tables):
    """Return the rows of all tables."""
    return [row for part in parts_of(tables) for row in part.rows]


def readme_of(tables):
    """Return the README."""
    return _readme(parts_of(tables), tables, claims=False)
