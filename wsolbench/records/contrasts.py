"""Many records on the same images: every network against one network, or every method against one method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any, Literal, TypeAlias

from wsolbench.errors import UsageError
from wsolbench.protocol.uncertainty import KIND, LEVEL, RESAMPLES, SEED
from wsolbench.records.compare import (
    Difference,
    Scores,
    check_comparable,
    difference_of,
    mean_scores,
    scores_of,
    shared_rules,
)
from wsolbench.records.identity import facts_but_seeds, identity_of
from wsolbench.records.labels import facts_of, tell_apart, told_as_text
from wsolbench.records.marks import explain_marks, marks_of
from wsolbench.records.record import ResultRecord
from wsolbench.texts import natural_key

__all__ = ["Axis", "Cell", "Contrast", "Contrasts", "contrast"]

Axis: TypeAlias = Literal["network", "method"]


@dataclass(frozen=True)
class Contrast:
    """A score in percent, and its difference to that of the reference.

    Attributes:
        value: The mean over the trainings.
        spread: Their standard deviation; None for one training.
        difference: Between the means, with its interval; None for the reference itself, and where it has no record.
    """

    value: float
    spread: float | None
    difference: Difference | None


@dataclass(frozen=True)
class Cell:
    """The records of one network and one method, which differ in the seeds of their trainings alone.

    Attributes:
        network: What tables call the network.
        method: What they call the method.
        records: One a training.
        scores: Metric -> its contrast, under the names of `recompute_scores`.
    """

    network: str
    method: str
    records: tuple[ResultRecord, ...]
    scores: Mapping[str, Contrast]


@dataclass(frozen=True)
class Contrasts:
    """Records against those of one network with the same method, or against those of one method on the same network.

    Attributes:
        against: The reference, as tables call it.
        axis: Whether it is a network or a method.
        cells: In natural order of the names, the reference first.
    """

    against: str
    axis: Axis
    cells: tuple[Cell, ...]

    @property
    def records(self) -> list[ResultRecord]:
        """All of them."""
        return [record for cell in self.cells for record in cell.records]

    @property
    def notes(self) -> list[str]:
        """What has to be known to read the differences, a line each."""
        undefined = {f"{each.method.name} is {each.undefined}": None for each in self.records if each.undefined}
        return [*undefined, *explain_marks(marks_of(self.records))]

    def summary(self) -> dict[str, Any]:
        """Return the contrasts as JSON has them."""
        return {
            "interval": {"kind": KIND, "level": LEVEL, "resamples": RESAMPLES, "seed": SEED},
            "against": {self.axis: self.against},
            "cells": [
                {
                    "network": cell.network,
                    "method": cell.method,
                    "trainings": len(cell.records),
                    "metrics": {name: _plain(each) for name, each in cell.scores.items()},
                }
                for cell in self.cells
            ],
            "notes": self.notes,
        }


def _plain(score: Contrast) -> dict[str, Any]:
    found: dict[str, Any] = {"value": score.value, "standard_deviation": score.spread}
    if score.difference is None:
        return {**found, "difference": None, "interval": None}
    of = score.difference
    return {**found, "difference": of.difference, "interval": [of.low, of.high]}


def contrast(records: Sequence[ResultRecord], against: str) -> Contrasts:
    """Compare records with those of one network or method, with intervals from resamples that hold the same images.

    Trainings that differ in their seeds alone count as one network: its score is their mean, in every resample too. The
    intervals are therefore those of other images, for these trainings; the spread over trainings stands beside them.

    Args:
        records: Of the same images and protocol settings.
        against: A network or a method, as tables call it.

    Raises:
        UsageError: The records are not of the same images or settings, two measure the same, or none is of `against`.
        DataError: A record's outcomes contradict themselves.
    """
    for record in records[1:]:
        check_comparable(records[0], record)
    cells = _cells(records)
    axis = _axis(cells, against)
    rules = shared_rules(records)
    trainings = {name: [scores_of(record, rules) for record in group] for name, group in cells.items()}
    means = {name: mean_scores(each) for name, each in trainings.items()}
    found = []
    for name, group in cells.items():
        reference = (against, name[1]) if axis == "network" else (name[0], against)
        theirs = means.get(reference, {}) if reference != name else {}
        scores = {metric: _contrast(metric, trainings[name], means[name], theirs) for metric in means[name]}
        found.append(Cell(*name, tuple(group), scores))
    return Contrasts(against, axis, tuple(sorted(found, key=lambda cell: _place(cell, axis, against))))


def _cells(records: Iterable[ResultRecord]) -> dict[tuple[str, str], list[ResultRecord]]:
    """Return the records of each network and method, by their names."""
    groups: dict[tuple[object, ...], list[ResultRecord]] = {}
    for record in records:
        training = record.backbone.weights.training if record.backbone else None
        how = training.without_seed().model_dump_json() if training else None
        groups.setdefault((*facts_but_seeds(identity_of(record)), how), []).append(record)
    for group in groups.values():
        if len({identity_of(record).sha256 for record in group}) < len(group):
            raise UsageError(f"two of the records measure the same: {' with '.join(_names(group[0]))}; give each once")
    first = [group[0] for group in groups.values()]
    told = tell_apart([_names(record) for record in first], lambda place: facts_of(first[place]))
    names = [
        (f"{network} ({told_as_text(what)})" if what else network, method)
        for (network, method), what in zip(map(_names, first), told, strict=True)
    ]
    return dict(zip(names, groups.values(), strict=True))


def _names(record: ResultRecord) -> tuple[str, str]:
    changed = ", ".join(f"{name}={value}" for name, value in record.method.changed_options.items())
    method = f"{record.method.name} ({changed})" if changed else record.method.name
    return record.backbone.label if record.backbone else "stored maps", method


def _axis(cells: Iterable[tuple[str, str]], against: str) -> Axis:
    networks, methods = ({name[place]: None for name in cells} for place in (0, 1))
    if against in networks:
        return "network"
    if against in methods:
        return "method"
    known = "; ".join(f"'{name}'" for name in (*networks, *methods))
    raise UsageError(f"--against: none of the records is of a network or method '{against}'; they are of {known}")


def _place(cell: Cell, axis: Axis, against: str) -> tuple[Any, ...]:
    """Return by what cells are sorted: those that are compared with one reference stand below it."""
    network, method = natural_key(cell.network), natural_key(cell.method)
    if axis == "network":
        return method, cell.network != against, network
    return network, cell.method != against, method


def _contrast(metric: str, trainings: Sequence[Scores], ours: Scores, theirs: Scores) -> Contrast:
    """Return the contrast of the mean over trainings to that of the reference, where that has the metric."""
    values = [scores[metric][0] for scores in trainings]
    spread = stdev(values) if len(values) > 1 else None
    return Contrast(ours[metric][0], spread, difference_of(theirs, ours, metric) if metric in theirs else None)
