"""The row model: every number that a leaderboard shows, from whatever source, is in a `Row` of plain values.

Tables of every format, the page and the figures are written from rows, so that a field has one name everywhere.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from wsolbench.leaderboard.entries import RANKED, Entry, Table
from wsolbench.leaderboard.ranks import rank_ranges
from wsolbench.leaderboard.seeds import group_seeds, name_trainings
from wsolbench.protocol import IOU_THRESHOLDS
from wsolbench.records.compare import Scores, mean_scores
from wsolbench.records.marks import marks_of
from wsolbench.records.outcomes import ends_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "BoardTable",
    "Column",
    "Kind",
    "Row",
    "WeightsKind",
    "family_of",
    "frame_of",
    "rows_of",
    "score_of",
]

Kind: TypeAlias = Literal["measured", "submitted", "baseline", "reported"]
WeightsKind: TypeAlias = Literal["trained here", "pretrained", "random"]


@dataclass(frozen=True)
class Column:
    """A column: its heading as papers print it, its key in CSV and JSON, its digits, whether its interval is shown."""

    heading: str
    key: str
    digits: int
    with_interval: bool = False


COLUMNS = (
    Column("MaxBoxAcc", "max_box_acc", 1),
    Column("MaxBoxAcc @fullsup", "fullsup_box_acc", 1),
    Column("V2", "max_box_acc_v2", 1),
    Column("V2 @fullsup [95 %]", "fullsup_box_acc_v2", 1, with_interval=True),
    Column("Top-1 Loc", "top1_loc", 1),
    Column("top-1", "top1_acc", 1),
    Column("PxAP", "pxap", 1),
)


@dataclass(frozen=True)
class Row:
    """A measured, submitted or reported result; of repeated trainings, there is a row of their mean beside each.

    Attributes:
        id: A stable text for URLs. That of a record is its path without the ending; ``//`` is in no path, but in the
            ids of all other rows.
        table: The slug of its table.
        kind: Whether it was measured here, submitted by others, is a baseline that no network has a part in, or was
            reported in a paper.
        network: The name with its options; None where no network had a part in it.
        system: What trained the network so that it localizes; None for a classifier.
        family: The family of architectures; ``other`` where none is known.
        kernel: The side of the largest kernel in the stages of the network; of older records, in all of its layers.
        parameters: How many the network has.
        precision: Of the network.
        weights: What people call them.
        weights_kind: Where they come from; None where nothing is known.
        recipe: The recipes of the trainings.
        seeds: Of the trainings: one, several for a mean, none where none is known.
        group: The id of the row with the mean over seeds that this row counts in.
        method: The name with its options.
        scored: Maps, or predicted boxes, which have no τ; None of what papers report.
        metrics: Key of `COLUMNS` -> percent; None where there is none.
        sd: Key -> standard deviation over seeds; empty for one training.
        intervals: Key -> the ends of the 95 % interval over images.
        iou_thresholds: The δ of which V2 is the mean; empty for those of the protocol.
        images: How many were evaluated; None where a paper does not say.
        incomplete: Why no score compares with others, such as maps that are missing; None for complete rows.
        marks: What stands behind its numbers or name; see `wsolbench.records.marks`.
        rank: The best and the worst place that its differences to others allow; None for what has no rank.
        record: The path of its record.
        record_sha256: The hash of that file.
        commands: What trained the network and measured it, in order.
        source: Paper, table and footnote of a reported row.
        printed: Key -> a reported figure as the paper prints it, with its mark.
        delta: Key -> reported less measured, where the same was measured.
    """

    id: str
    table: str
    kind: Kind
    network: str | None
    system: str | None
    family: str
    kernel: int | None
    parameters: int | None
    precision: str | None
    weights: str | None
    weights_kind: WeightsKind | None
    recipe: str | None
    seeds: tuple[int, ...]
    group: str | None
    method: str
    metrics: Mapping[str, float | None]
    scored: Literal["maps", "boxes"] | None = None
    iou_thresholds: tuple[float, ...] = ()
    sd: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    images: int | None = None
    incomplete: str | None = None
    marks: tuple[str, ...] = ()
    rank: tuple[int, int] | None = None
    record: str | None = None
    record_sha256: str | None = None
    commands: tuple[str, ...] = ()
    source: str | None = None
    printed: Mapping[str, str] = field(default_factory=dict)
    delta: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean over several trainings."""
        return len(self.seeds) > 1


@dataclass(frozen=True)
class BoardTable:
    """A table with its rows.

    Attributes:
        slug: Its name in addresses and files.
        name: The data set.
        title: What makes its rows comparable.
        rows: Its rows, the best first; the row of a mean before those of its trainings.
        score: The metric that it is sorted and ranked by.
    """

    slug: str
    name: str
    title: str
    rows: Sequence[Row]
    score: str

    def of(self, rows: Sequence[Row]) -> BoardTable:
        """Return the same table with some of its rows."""
        return BoardTable(self.slug, self.name, self.title, rows, self.score)


def rows_of(table: Table) -> list[Row]:
    """Return the rows of a table, the best first; the row of a mean stands directly before those of its trainings.

    What counts in a mean has no rank of its own; baselines and incomplete rows have none either.
    """
    score = score_of(table)
    groups = [group for group in group_seeds(table) if len(group) > 1]
    singles = {entry.name: _row(entry, table.slug, score) for entry in table.entries}
    heads: list[tuple[Row, Scores]] = []
    for group, training in zip(groups, name_trainings(groups), strict=True):
        scores = mean_scores([entry.resampled for entry in group])
        mean_row = _mean_row([singles[entry.name] for entry in group], training, scores)
        heads.append((mean_row, scores))
        singles |= {entry.name: replace(singles[entry.name], group=mean_row.id) for entry in group}
    heads += [(singles[entry.name], entry.resampled) for entry in table.entries if singles[entry.name].group is None]
    members: dict[str | None, list[Row]] = {}
    for row in singles.values():
        members.setdefault(row.group, []).append(row)
    ranked = sorted(_ranked(heads, score), key=lambda row: _place(row, score))
    return [row for head in ranked for row in (head, *(members[head.id] if head.is_mean else ()))]


def _ranked(heads: Iterable[tuple[Row, Scores]], score: str) -> list[Row]:
    """Return rows with their ranks, from the scores of each in resamples."""
    scores = {
        row.id: scores[score]
        for row, scores in heads
        if row.kind != "baseline" and row.incomplete is None and score in RANKED
    }
    if not scores:
        return [row for row, _ in heads]
    estimates, resampled = zip(*scores.values(), strict=True)
    ranks = dict(zip(scores, rank_ranges(np.array(estimates), np.stack(resampled)), strict=True))
    return [replace(row, rank=ranks.get(row.id)) for row, _ in heads]


def score_of(table: Table) -> str:
    """Return by which metric the rows of a table are compared: V2 at the fullsup τ or, where none has it, the next."""
    known = [entry.record.metrics for entry in table.entries]
    wanted = (*RANKED, "pxap")
    return next((key for key in wanted if any(getattr(each, key) is not None for each in known)), wanted[0])


def frame_of(rows: Iterable[Row]) -> pd.DataFrame:
    """Return rows as a data frame: a column for every field, and for every metric one each of what is known of it.

    Columns of metrics have their keys; behind them stand ``_sd``, ``_low``, ``_high`` and ``_delta``.
    """
    import pandas as pd

    rows = list(rows)
    plain = [each.name for each in fields(Row) if each.name not in ("metrics", "sd", "intervals", "printed", "delta")]
    frame = pd.DataFrame({name: [getattr(row, name) for row in rows] for name in plain}, dtype=object)
    for key in (column.key for column in COLUMNS):
        ends = [row.intervals.get(key, (None, None)) for row in rows]
        frame[key] = [row.metrics.get(key) for row in rows]
        frame[f"{key}_sd"] = [row.sd.get(key) for row in rows]
        frame[f"{key}_low"], frame[f"{key}_high"] = [low for low, _ in ends], [high for _, high in ends]
        frame[f"{key}_delta"] = [row.delta.get(key) for row in rows]
    numbers = [name for name in frame.columns if name not in plain]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def family_of(network: str, recorded: str | None = None) -> str:
    """Return the family of architectures that a network belongs to.

    Args:
        network: Its name.
        recorded: The family that its record names.
    """
    name = (recorded or network).lower()
    return next((family for family, parts in _families().items() if any(part in name for part in parts)), "other")


@cache
def _families() -> dict[str, list[str]]:
    listed: dict[str, list[str]] = tomllib.loads((files(__package__) / "families.toml").read_text(encoding="utf-8"))
    return listed


def _row(entry: Entry, slug: str, score: str) -> Row:
    network, record = entry.network, entry.record
    systems = [each.system.name for each in entry.history if each.system is not None]
    commands = dict.fromkeys([*(each.command for each in entry.history), record.environment.command])
    intervals = record.intervals.metrics if record.intervals else {}
    metrics = {column.key: _metric(entry, column.key) for column in COLUMNS}
    deltas = record.protocol.iou_thresholds
    return Row(
        id=entry.name.removesuffix(".json"),
        table=slug,
        kind=_kind(entry),
        network=entry.backbone if network else None,
        system=systems[-1] if systems else None,
        family=family_of(network.name, network.family) if network else "other",
        kernel=(entry.kernel or None) if network else None,
        parameters=network.parameters if network else None,
        precision=network.precision if network else None,
        weights=entry.weights if network else None,
        weights_kind=_weights_kind(entry),
        recipe=entry.recipe,
        seeds=() if entry.seed is None else (entry.seed,),
        group=None,
        method=entry.method,
        metrics=metrics,
        scored=record.protocol.scored,
        iou_thresholds=() if deltas == IOU_THRESHOLDS else deltas,
        intervals={key: intervals[key] for key, value in metrics.items() if key in intervals and value is not None},
        images=len(record.evaluated.image_ids),
        incomplete=_incomplete(entry, score),
        marks=tuple(sorted(marks_of([record]))),
        record=entry.name,
        record_sha256=entry.sha256,
        commands=tuple(commands),
    )


def _kind(entry: Entry) -> Kind:
    if entry.is_baseline:
        return "baseline"
    return "submitted" if entry.is_submitted else "measured"


def _weights_kind(entry: Entry) -> WeightsKind | None:
    if entry.network is None:
        return None
    if not entry.is_trained:
        return "random"
    return "pretrained" if entry.is_pretrained else "trained here"


def _metric(entry: Entry, key: str) -> float | None:
    """Return a metric; a baseline's Top-1 columns would speak of a classifier that it does not look at."""
    if entry.is_baseline and key.startswith("top1"):
        return None
    value: float | None = getattr(entry.record.metrics, key)
    return value if value is not None and math.isfinite(value) else None


def _incomplete(entry: Entry, score: str) -> str | None:
    record = entry.record
    if record.undefined is not None:
        return record.undefined
    if not entry.has_maps:
        return "no map has a score"
    return record.missing.get(score) if _metric(entry, score) is None else None


def _mean_row(rows: Sequence[Row], training: str, scores: Scores) -> Row:
    """Return the row of the mean over trainings, whose scores these are; a metric that one of them lacks has none."""
    first = rows[0]
    values = {key: [row.metrics[key] for row in rows] for key in first.metrics}
    known = {key: [value for value in each if value is not None] for key, each in values.items()}
    whole = {key: each for key, each in known.items() if len(each) == len(rows)}
    resampled = {key: of_mean[1] for key, of_mean in scores.items() if whole.get(key)}
    return replace(
        first,
        id=f"{first.id}//mean",
        weights=training,
        seeds=tuple(seed for row in rows for seed in row.seeds),
        metrics={key: mean(whole[key]) if key in whole else None for key in values},
        sd={key: stdev(each) for key, each in whole.items()},
        intervals=ends_of({key: scores[key][0] for key in resampled}, resampled) if resampled else {},
        incomplete=next((row.incomplete for row in rows if row.incomplete is not None), None),
        marks=tuple(sorted({mark for row in rows for mark in row.marks})),
        record=None,
        record_sha256=None,
        commands=tuple(dict.fromkeys(command for row in rows for command in row.commands)),
    )


def _place(row: Row, score: str) -> tuple[Any, ...]:
    value = row.metrics[score]
    return value is None, -(value or 0.0), row.id
