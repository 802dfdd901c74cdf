"""The table of architectures: a line for every trained network, the methods that people compare side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsolbench.leaderboard.rows import Row

__all__ = ["COMPARED", "Architecture", "architectures_of"]

COMPARED = ("cam", "pc1", "cam-pos", "cam-neg")
"""The methods with a column of their own, with options at their defaults."""


@dataclass(frozen=True)
class Architecture:
    """A network with its weights; of several trainings, their means.

    Attributes:
        best: The row of the method with the best score; one without a score where there is no other.
        of_method: Method -> its row, for those of `COMPARED` that were measured.
        rows: Ids of all its rows, single trainings included.
    """

    best: Row
    of_method: Mapping[str, Row]
    rows: frozenset[str]


def architectures_of(rows: Sequence[Row], score: str) -> list[Architecture]:
    """Return the trained networks of a table, the best first; of stored maps and boxes no network is known.

    Args:
        rows: The rows of the table.
        score: The metric by which the best method is chosen.
    """
    named = _training_names(rows)
    groups: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in rows:
        if row.kind in ("measured", "submitted") and row.network is not None and row.weights_kind != "random":
            key = row.network, named.get((row.network, row.weights), row.weights)
            groups.setdefault(key, []).append(row)
    found = [_architecture(group, score) for group in groups.values()]
    return sorted(found, key=lambda each: -_value(each.best, score))


def _training_names(rows: Sequence[Row]) -> dict[tuple[str | None, str | None], str | None]:
    """Return what the mean over seeds calls the weights of each of its trainings, by network and their own name.

    So a method that was measured with one seed only stands in the line of the network's other methods.
    """
    means = {row.id: row.weights for row in rows if row.is_mean}
    return {(row.network, row.weights): means[row.group] for row in rows if row.group is not None}


def _architecture(rows: Sequence[Row], score: str) -> Architecture:
    heads = [row for row in rows if row.group is None]
    most = max(len(row.seeds) for row in heads)
    best = max((row for row in heads if len(row.seeds) == most), key=lambda row: _value(row, score))
    of_method = {row.method: row for row in heads if row.method in COMPARED}
    return Architecture(best, of_method, frozenset(row.id for row in rows))


def _value(row: Row, score: str) -> float:
    value = row.metrics[score]
    return -1.0 if value is None or row.incomplete is not None else value
