"""Which figures a table has, and what of its rows they show; `wsolbench.leaderboard.drawing` draws them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from wsolbench.leaderboard.architectures import COMPARED, Architecture, architectures_of
from wsolbench.leaderboard.entries import Table
from wsolbench.leaderboard.rows import Row

__all__ = [
    "ENDINGS",
    "TITLES",
    "Drawn",
    "Names",
    "figures_of",
    "fingerprint_of",
    "left_out",
    "names_of",
    "records_shown",
    "value_of",
]

TITLES: Final = {
    "size": "score against size",
    "slopes": "CAM against PC1",
    "intervals": "the best method of every network and CAM, with intervals",
    "curves": "BoxAcc against τ",
    "methods": "every method on every network",
}
"""The figures of a table, and what they show."""

ENDINGS = ("png", "svg")
"""The files of a figure."""

ONE_SIZE = "all networks of the table have the same number of parameters"
ONE_METHOD = "the table has one method only"
NO_PAIR = "no network has scores of both cam and pc1"
NO_THRESHOLD = "predicted boxes have no τ"

_SCORES = {
    "fullsup_box_acc_v2": "MaxBoxAccV2 at the fullsup τ",
    "max_box_acc_v2": "MaxBoxAccV2 at the best τ",
    "pxap": "PxAP",
}


@dataclass(frozen=True)
class Names:
    """The methods and the trained networks of a leaderboard: each looks the same in all of its figures.

    Attributes:
        methods: Those that people compare, and all others that are there.
        networks: The networks.
    """

    methods: tuple[str, ...]
    networks: tuple[str, ...]


def names_of(tables: Iterable[Table]) -> Names:
    """Return the names of all that the tables of a leaderboard hold."""
    trained = [entry for table in tables for entry in table.entries if entry.is_trained]
    others = sorted({entry.method for entry in trained} - {*COMPARED})
    return Names((*COMPARED, *others), tuple(sorted({entry.backbone for entry in trained})))


@dataclass(frozen=True)
class Drawn:
    """A table with its rows, as figures show it.

    Attributes:
        table: The table.
        rows: Its rows; what papers report is not drawn.
        score: The metric by which rows are compared.
    """

    table: Table
    rows: Sequence[Row]
    score: str

    @cached_property
    def networks(self) -> dict[str, Architecture]:
        """The trained networks with a score, the best first, each by a name that no other has."""
        found = [each for each in architectures_of(self.rows, self.score) if _has(each.best, self.score)]
        count = Counter(each.best.network for each in found)
        return {
            f"{each.best.network}, {each.best.weights}"
            if count[each.best.network] > 1
            else f"{each.best.network}": each
            for each in found
        }

    @cached_property
    def heads(self) -> dict[str, list[Row]]:
        """Network -> a row of each of its methods, repeated trainings as their mean."""
        name_of = {row: name for name, each in self.networks.items() for row in each.rows}
        found: dict[str, list[Row]] = {name: [] for name in self.networks}
        for row in self.rows:
            if row.group is None and row.id in name_of:
                found[name_of[row.id]].append(row)
        return found

    @cached_property
    def baselines(self) -> dict[str, Row]:
        """The baselines with a score; what was measured twice is there once."""
        return {row.method: row for row in reversed(self.rows) if row.kind == "baseline" and _has(row, self.score)}

    @property
    def references(self) -> dict[str, float]:
        """Baseline -> its score."""
        return {name: value for name, row in self.baselines.items() if (value := row.metrics[self.score]) is not None}

    @property
    def scored(self) -> str:
        """What the scores are."""
        protocol = self.table.first.protocol
        text = "MaxBoxAccV2 of predicted boxes" if protocol.scored == "boxes" else _SCORES[self.score]
        return text.replace("MaxBoxAccV2", protocol.v2)

    def singles(self, head: Row) -> list[Row]:
        """Return the rows of the trainings that a row is the mean of; of a row of one training itself."""
        return [row for row in self.rows if row.group == head.id] if head.is_mean else [head]

    def of_method(self, name: str, method: str) -> Row | None:
        """Return the row of a method on a network, if it has a score."""
        return next((row for row in self.heads[name] if row.method == method and _has(row, self.score)), None)


def figures_of(drawn: Drawn) -> list[str]:
    """Return the figures that a table has: none without trained networks, and none that would be empty."""
    return [name for name in TITLES if drawn.networks and name not in left_out(drawn)]


def left_out(drawn: Drawn) -> dict[str, str]:
    """Return the figures that a table with trained networks cannot have, each with the reason."""
    trained = [entry for entry in drawn.table.entries if entry.is_trained]
    if not drawn.networks:
        why = dict.fromkeys(row.incomplete for row in drawn.rows if row.kind != "baseline" and row.incomplete)
        return dict.fromkeys(TITLES, "; ".join(map(str, why))) if trained else {}
    found = {}
    if len({each.best.parameters for each in drawn.networks.values()} - {None}) < 2:
        found["size"] = ONE_SIZE
    if not any(_has_pair(drawn, name) for name in drawn.networks):
        found["slopes"] = NO_PAIR
    if all(entry.makes_boxes for entry in trained):
        found["curves"] = NO_THRESHOLD
    elif all(entry.record.metrics.max_box_acc is None for entry in trained):
        found["curves"] = "; ".join(
            dict.fromkeys(
                entry.record.missing["max_box_acc"] for entry in trained if "max_box_acc" in entry.record.missing
            )
        )
    if len({row.method for rows in drawn.heads.values() for row in rows if _has(row, drawn.score)}) < 2:
        found["methods"] = ONE_METHOD
    return found


def fingerprint_of(content: bytes) -> str | None:
    """Return the fingerprint that is written into a figure, or None where there is none."""
    start = content.find(b"records:")
    return content[start + 8 : start + 72].decode("ascii", "replace") if start >= 0 else None


def records_shown(gallery: bytes) -> list[str]:
    """Return the hashes of the outcomes of the records that a gallery shows, as ``wsolbench gallery`` writes them."""
    found = re.search(rb"records:((?:[0-9a-f]{64},?)+)", gallery)
    return found[1].decode().split(",") if found else []


def _has_pair(drawn: Drawn, name: str) -> bool:
    return all(drawn.of_method(name, method) is not None for method in ("cam", "pc1"))


def _has(row: Row, score: str) -> bool:
    return value_of(row, score) is not None


def value_of(row: Row, score: str) -> float | None:
    """Return the score of a complete row."""
    return row.metrics[score] if row.incomplete is None else None
