"""Two records on the same images: differences, how sure they are, and the images that only one of them localizes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import mean
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import UsageError
from wsolbench.protocol.rules import PSEUDO_BOXES
from wsolbench.protocol.uncertainty import KIND, LEVEL, RESAMPLES, SEED, interval
from wsolbench.records.identity import difference, identity_of
from wsolbench.records.marks import explain_marks, marks_of
from wsolbench.records.outcomes import (
    Localized,
    SplitOutcomes,
    find_localized,
    scores_and_resamples,
    without_rules,
)
from wsolbench.records.record import ResultRecord
from wsolbench.texts import natural_order

__all__ = [
    "Comparison",
    "Difference",
    "Discordant",
    "Scores",
    "check_comparable",
    "compare",
    "difference_of",
    "in_order_of_ids",
    "is_in_order",
    "mean_scores",
    "scores_of",
    "shared_rules",
]

Scores: TypeAlias = dict[str, tuple[float, NDArray[np.float64]]]
"""Metric -> its value in percent, and its values in resamples of the images, (resamples,)."""


@dataclass(frozen=True)
class Difference:
    """A score of both records in percent, and the ends of the interval of second - first, where it can be had."""

    first: float
    second: float
    low: float | None
    high: float | None

    @property
    def difference(self) -> float:
        """Second - first."""
        return self.second - self.first


@dataclass(frozen=True)
class Discordant:
    """The images that only one of two records localizes: largest contour, δ 0.5, each record at its own τ.

    Attributes:
        first: What the first record localizes, images in the order of their ids.
        second: What the second record localizes, images in the same order.
        only_first: The ids of the images that the first alone localizes.
        only_second: Those that the second alone localizes.
    """

    first: Localized
    second: Localized
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Comparison:
    """What the second record does better or worse than the first.

    Attributes:
        first: The one.
        second: The other.
        differences: For every metric that both have, under the names of `recompute_scores`, and ``pxap``.
        discordant: None where there are no boxes.
    """

    first: ResultRecord
    second: ResultRecord
    differences: dict[str, Difference]
    discordant: Discordant | None

    @property
    def notes(self) -> list[str]:
        """What has to be known to read the differences, a line each."""
        records = {"first": self.first, "second": self.second}
        notes = [
            f"{which}: {each.method.name} is {each.undefined}" for which, each in records.items() if each.undefined
        ]
        of_maps = all(each.protocol.scored == "maps" for each in records.values())
        if of_maps and self.first.protocol.target != self.second.protocol.target:
            known = self.first.protocol.target or self.second.protocol.target
            other = "true" if known == "gt" else "predicted"
            notes.append(f"for which class the stored maps are is not known; those of the other are of the {other} one")
        if "pxap" in self.differences:
            notes.append("no interval of PxAP: records do not hold its histograms image by image")
        return [*notes, *explain_marks(marks_of(records.values()))]

    def __str__(self) -> str:
        """Return the table of differences."""
        from wsolbench.records.tables import comparison_table

        return comparison_table(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from wsolbench.records.tables import comparison_html

        return comparison_html(self)

    def summary(self) -> dict[str, Any]:
        """Return the comparison as JSON has it."""
        found: dict[str, Any] = {
            "interval": {"kind": KIND, "level": LEVEL, "resamples": RESAMPLES, "seed": SEED},
            "metrics": {
                name: {
                    "first": of.first,
                    "second": of.second,
                    "difference": of.difference,
                    "interval": None if of.low is None else [of.low, of.high],
                }
                for name, of in self.differences.items()
            },
            "images": None,
            "notes": self.notes,
        }
        if self.discordant is not None:
            found["images"] = {
                "selection": self.discordant.first.selection,
                "cam_thresholds": [self.discordant.first.threshold, self.discordant.second.threshold],
                "only_first": self.discordant.only_first,
                "only_second": self.discordant.only_second,
            }
        return found


def compare(first: ResultRecord, second: ResultRecord) -> Comparison:
    """Compare two records, with intervals from resamples that hold the same images for both.

    Raises:
        UsageError: They are not of the same images, labels and boxes, or not of the same protocol settings.
        DataError: A record's outcomes contradict themselves.
    """
    check_comparable(first, second)
    rules = shared_rules([first, second])
    ours, theirs = scores_of(first, rules), scores_of(second, rules)
    differences = {name: difference_of(ours, theirs, name) for name in ours if name in theirs}
    if first.metrics.pxap is not None and second.metrics.pxap is not None:
        differences["pxap"] = Difference(first.metrics.pxap, second.metrics.pxap, None, None)
    return Comparison(first, second, differences, _discordant(first, second))


def scores_of(record: ResultRecord, rules: Collection[str]) -> Scores:
    """Return the scores of a record; those of records on the same images have the same images in each resample.

    Args:
        record: The record.
        rules: Names of rules for τ whose scores are wanted too.

    Raises:
        DataError: The outcomes contradict themselves.
    """
    outcomes = in_order_of_ids(record)
    scores, resampled = scores_and_resamples(outcomes, record.protocol, rules)
    return {name: (value, resampled[name]) for name, value in scores.items()}


def mean_scores(each: Sequence[Scores]) -> Scores:
    """Return the means of the metrics that all have, in every resample too; all are of the same images."""
    if len(each) == 1:
        return each[0]
    return {
        name: (
            mean(scores[name][0] for scores in each),
            np.mean([scores[name][1] for scores in each], axis=0, dtype=float),
        )
        for name in each[0]
        if all(name in scores for scores in each)
    }


def difference_of(first: Scores, second: Scores, metric: str) -> Difference:
    """Return the difference of a metric that both have, on the same images."""
    (one, one_resampled), (other, other_resampled) = first[metric], second[metric]
    return Difference(one, other, *interval(other - one, other_resampled - one_resampled))


def shared_rules(records: Sequence[ResultRecord]) -> list[str]:
    """Return the rules for τ that all records have; that of pseudo boxes is one rule where images and boxes are one."""
    first = records[0]
    return [
        rule
        for rule in first.thresholds
        if all(rule in other.thresholds and _shares(rule, first, other) for other in records)
    ]


def _shares(rule: str, first: ResultRecord, second: ResultRecord) -> bool:
    """Return whether a rule is the same for both records: that of pseudo boxes is where images and boxes are."""
    if rule != PSEUDO_BOXES:
        return True
    ours, theirs = (
        [(part.image_ids_sha256, part.annotations_sha256) for part in record.splits if part.split == PSEUDO_BOXES]
        for record in (first, second)
    )
    return ours == theirs


def _discordant(first: ResultRecord, second: ResultRecord) -> Discordant | None:
    outcomes = in_order_of_ids(first)
    ours = find_localized(outcomes, first.protocol)
    theirs = find_localized(in_order_of_ids(second), second.protocol)
    if ours is None or theirs is None:
        return None
    ids = next(part.image_ids for part in outcomes if part.split == first.protocol.split)
    pairs = list(zip(ids, ours.images.tolist(), theirs.images.tolist(), strict=True))
    only_first = tuple(image_id for image_id, one, other in pairs if one and not other)
    only_second = tuple(image_id for image_id, one, other in pairs if other and not one)
    return Discordant(ours, theirs, only_first, only_second)


def check_comparable(first: ResultRecord, second: ResultRecord) -> None:
    """Check that two records are of the same images, labels, boxes and protocol settings.

    Raises:
        UsageError: They are not; the message names what differs.
    """
    ours, theirs = (identity_of(record) for record in (first, second))
    unlike = difference((*ours.data, *ours.protocol), (*theirs.data, *theirs.protocol))
    if not first.protocol.target or not second.protocol.target:
        unlike = [fact for fact in unlike if fact[0] != "target"]  # of stored maps nobody knows it
    if "boxes" in (first.protocol.scored, second.protocol.scored):
        unlike = [fact for fact in unlike if fact[0] != "τ step"]  # boxes are the same at every τ
    known = dict(ours.pixels).keys() & dict(theirs.pixels).keys()
    unlike += [fact for fact in difference(ours.pixels, theirs.pixels) if fact[0] in known]
    if unlike:
        named = ", ".join(f"{name} ({_short(one)} and {_short(other)})" for name, one, other in unlike)
        raise UsageError(f"the records cannot be compared; they differ in {named}")
    ours_by_split, theirs_by_split = (_by_split(without_rules(record.outcomes)) for record in (first, second))
    for one, other in zip(ours_by_split, theirs_by_split, strict=True):
        if sorted(one.image_ids) != sorted(other.image_ids) or len(set(one.image_ids)) < len(one.image_ids):
            raise UsageError(f"the records cannot be compared; they differ in the images of {one.split}")


def _short(value: object) -> str:
    """Return a fact for a message; of a hash its beginning."""
    text = str(value)
    return text[:12] if len(text) == 64 else text


def _by_split(outcomes: Sequence[SplitOutcomes]) -> list[SplitOutcomes]:
    return sorted(outcomes, key=lambda part: part.split)


def in_order_of_ids(record: ResultRecord) -> list[SplitOutcomes]:
    """Return outcomes in an order of images that is the same for all records of these images and decides nothing."""
    return [_sorted_by_id(part) for part in record.outcomes]


def is_in_order(record: ResultRecord) -> bool:
    """Return whether the outcomes of a record are in that order already."""
    return all(_order(part.image_ids) is None for part in record.outcomes)


def _sorted_by_id(part: SplitOutcomes) -> SplitOutcomes:
    order = _order(part.image_ids)
    return part if order is None else part.select(order)


@lru_cache(maxsize=16)
def _order(image_ids: tuple[str, ...]) -> list[int] | None:
    """Return the places of ids in their order, or None where they are in it; many records are of the same images."""
    order = natural_order(image_ids)
    return None if order == list(range(len(order))) else order
