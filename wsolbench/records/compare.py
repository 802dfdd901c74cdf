"""Two records on the same images: the difference of every score, how sure it is, and the images that make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wsolbench.errors import UsageError
from wsolbench.protocol.uncertainty import KIND, LEVEL, RESAMPLES, SEED, interval
from wsolbench.records.outcomes import Localized, bootstrap_scores, find_localized, recompute_scores
from wsolbench.records.record import ResultRecord, SplitOutcomes

__all__ = ["Comparison", "Difference", "Exchange", "compare"]


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
class Exchange:
    """The images that only one record localizes: largest contour, δ 0.5, each record at its own τ.

    Attributes:
        first: What the first record localizes.
        second: What the second record localizes, images in the same order.
        won: The ids of the images that the second alone localizes.
        lost: Those that the first alone localizes.
    """

    first: Localized
    second: Localized
    won: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What the second record does better or worse than the first.

    Attributes:
        first: The one.
        second: The other, its images in the order of the first's.
        differences: For every metric that both have, under the names of `recompute_scores`, and ``pxap``.
        exchange: None where there are no boxes.
    """

    first: ResultRecord
    second: ResultRecord
    differences: dict[str, Difference]
    exchange: Exchange | None

    @property
    def notes(self) -> list[str]:
        """What has to be known to read the differences, a line each."""
        notes = []
        if self.first.protocol.target != self.second.protocol.target:
            known = self.first.protocol.target or self.second.protocol.target
            other = "true" if known == "gt" else "predicted"
            notes.append(f"for which class the stored maps are is not known; those of the other are of the {other} one")
        if "pxap" in self.differences:
            notes.append("no interval of PxAP: records do not hold its histograms image by image")
        return notes

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
        if self.exchange is not None:
            found["images"] = {
                "selection": self.exchange.first.selection,
                "cam_thresholds": [self.exchange.first.threshold, self.exchange.second.threshold],
                "won": self.exchange.won,
                "lost": self.exchange.lost,
            }
        return found


def compare(first: ResultRecord, second: ResultRecord) -> Comparison:
    """Compare two records, with intervals from resamples that hold the same images for both.

    Raises:
        UsageError: They are not of the same images, labels and boxes, or not of the same protocol settings.
        DataError: A record's outcomes contradict themselves.
    """
    _check_comparable(first, second)
    scores = [recompute_scores(record.outcomes, record.protocol) for record in (first, second)]
    aligned = second.model_copy(update={"outcomes": _align(second.outcomes, first.outcomes)})
    resampled = [bootstrap_scores(record.outcomes, record.protocol) for record in (first, aligned)]
    differences = {}
    for name in (name for name in scores[0] if name in scores[1]):
        one, other = scores[0][name], scores[1][name]
        low, high = interval(other - one, resampled[1][name] - resampled[0][name])
        differences[name] = Difference(one, other, low, high)
    if first.metrics.pxap is not None and second.metrics.pxap is not None:
        differences["pxap"] = Difference(first.metrics.pxap, second.metrics.pxap, None, None)
    return Comparison(first, aligned, differences, _exchange(first, aligned))


def _exchange(first: ResultRecord, second: ResultRecord) -> Exchange | None:
    ours, theirs = (find_localized(record.outcomes, record.protocol) for record in (first, second))
    if ours is None or theirs is None:
        return None
    ids = next(part.image_ids for part in first.outcomes if part.split == first.protocol.split)
    pairs = list(zip(ids, ours.images.tolist(), theirs.images.tolist(), strict=True))
    won = tuple(image_id for image_id, before, after in pairs if after and not before)
    lost = tuple(image_id for image_id, before, after in pairs if before and not after)
    return Exchange(ours, theirs, won, lost)


def _check_comparable(first: ResultRecord, second: ResultRecord) -> None:
    facts = [_facts(record) for record in (first, second)]
    unlike = [name for name in facts[0] if facts[0][name] != facts[1][name]]
    if not first.protocol.target or not second.protocol.target:
        unlike = [name for name in unlike if name != "target"]  # of stored maps nobody knows it
    told = [f"{name} ({facts[0][name]} and {facts[1][name]})" for name in unlike]
    if told:
        raise UsageError(f"the records cannot be compared; they differ in {', '.join(told)}")
    for one, other in zip(_by_split(first.outcomes), _by_split(second.outcomes), strict=True):
        if sorted(one.image_ids) != sorted(other.image_ids) or len(set(one.image_ids)) < len(one.image_ids):
            raise UsageError(f"the records cannot be compared; they differ in the images of {one.split}")


def _facts(record: ResultRecord) -> dict[str, object]:
    """Return what has to be equal, the telling facts first."""
    dataset, protocol = record.dataset, record.protocol
    sizes = {part.split: len(part.image_ids) for part in _by_split(record.outcomes)}
    return {
        "data set": dataset.name,
        "evaluated split": protocol.split,
        "images": " + ".join(f"{size} of {split}" for split, size in sizes.items()),
        "target": protocol.target,
        "τ interval": protocol.interval,
        "frame": protocol.frame,
        "IoU thresholds": protocol.iou_thresholds,
        "protocol version": protocol.version,
        "data hash": dataset.content_sha256[:12],
    }


def _by_split(outcomes: Sequence[SplitOutcomes]) -> list[SplitOutcomes]:
    return sorted(outcomes, key=lambda part: part.split)


def _align(outcomes: Sequence[SplitOutcomes], like: Sequence[SplitOutcomes]) -> list[SplitOutcomes]:
    """Return outcomes with the images of each split in the order of another record's."""
    ids = {part.split: part.image_ids for part in like}
    return [part if part.image_ids == ids[part.split] else _reorder(part, ids[part.split]) for part in outcomes]


def _reorder(part: SplitOutcomes, image_ids: list[str]) -> SplitOutcomes:
    place = {image_id: index for index, image_id in enumerate(part.image_ids)}
    order = [place[image_id] for image_id in image_ids]
    correct = {
        mode: {key: [runs[i] for i in order] for key, runs in by_iou.items()}
        for mode, by_iou in (part.correct or {}).items()
    }
    hits = {"top1_hits": part.top1_hits, "top5_hits": part.top5_hits}
    return part.model_copy(
        update={
            "image_ids": image_ids,
            "correct": correct or None,
            **{name: hit and [hit[i] for i in order] for name, hit in hits.items()},
        }
    )
