"""Scores of the parts of a CAM beside those of the whole: measured, compared, tabled and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from wsolbench.analysis.study import Measured, looks_of
from wsolbench.analysis.subject import Subject
from wsolbench.config import RunConfig
from wsolbench.contract.methods import NOT_DEFINED
from wsolbench.engine.methods import BuiltMethod
from wsolbench.engine.redraw import drawn_threshold
from wsolbench.engine.run import RunPlan, carry_out
from wsolbench.figures.score_dots import Dot, draw_score_dots
from wsolbench.records import ResultRecord
from wsolbench.records.compare import Difference, difference_of, scores_of
from wsolbench.records.compare import Scores as ResampledScores

__all__ = [
    "WHOLE",
    "PartScore",
    "Scores",
    "all_scores_table",
    "draw_scores",
    "measure_scores",
    "score_table",
    "verdict",
]

WHOLE = "cam"
"""The method whose map is that of all channels."""

BOX_METRICS = {"max_box_acc": "MaxBoxAcc", "max_box_acc_v2": "MaxBoxAccV2"}
MASK_METRICS = {"pxap": "PxAP"}
"""The scores that are shown: those of boxes where there are boxes."""
ALL_CONSTANT = f"{NOT_DEFINED}all maps are constant"
"""Why there is no map to score where the method gives no reason of its own."""


@dataclass(frozen=True)
class PartScore:
    """The scores of one method's maps.

    Attributes:
        channels: The mean number of channels that it sums, over images.
        images: The number of images that were scored.
        constant: How many of them have a constant map, which counts as a zero map.
        undefined: Why there is no map to score, as where all are constant; None where there is one.
        threshold: The τ from train-fullsup, or the best one where there is none; None without boxes or maps.
        metrics: Metric -> its value and the difference to the whole, with an interval where there are several images;
            none without maps. The difference is NaN where the whole has no maps.
    """

    channels: float
    images: int
    constant: int
    undefined: str | None
    threshold: float | None
    metrics: Mapping[str, Difference]

    @property
    def note(self) -> str | None:
        """What is said of constant maps; None where there are none."""
        if self.undefined is not None or self.constant == 0:
            return self.undefined
        return f"constant in {self.constant} of {self.images} images"


Scores = Mapping[str, PartScore]
"""Method -> its scores, those of the whole first."""


def measure_scores(subject: Subject, methods: tuple[BuiltMethod, ...], channels: Sequence[float]) -> Scores:
    """Score the maps of methods as ``wsolbench run`` does, on the images of the subject.

    Args:
        subject: The network and the images.
        methods: The methods, that of the whole first.
        channels: The mean number of channels that each sums.

    Raises:
        WsolbenchError: Whatever the user can mend.
    """
    config = RunConfig.of(
        backbone=subject.network.requested,
        methods={built.name: built.options for built in methods},
        dataset=subject.dataset.name,
        split=subject.part.split.label,
        limit=subject.limit,
        batch_size=subject.batch_size,
        workers=subject.workers,
        seed=subject.seed,
    )
    plan = RunPlan(config, subject.dataset, subject.network, methods, subject.registry.providers)
    records = carry_out(plan, subject.reporter, command="wsolbench analyze")
    found = [scores_of(record, ()) if record.has_maps else {} for record in records]
    return {
        record.method.name: PartScore(
            channels=count,
            images=record.splits[0].images,
            constant=record.splits[0].constant_maps,
            undefined=None if record.has_maps else record.undefined or ALL_CONSTANT,
            threshold=drawn_threshold(record) if record.has_maps else None,
            metrics=_differences(records[0], found[0], record, scores) if record.has_maps else {},
        )
        for record, scores, count in zip(records, found, channels, strict=True)
    }


def _differences(
    whole: ResultRecord, of_whole: ResampledScores, record: ResultRecord, scores: ResampledScores
) -> dict[str, Difference]:
    """Return the differences of a record to that of the whole, on the same images; the whole may have no maps."""
    metrics = {
        name: difference_of(of_whole, scores, name) if name in of_whole else Difference(math.nan, value, None, None)
        for name, (value, _) in scores.items()
    }
    if record.splits[0].images == 1:
        # Resamples of one image are all the same, so its interval would be a point.
        metrics = {name: Difference(each.first, each.second, None, None) for name, each in metrics.items()}
    if record.metrics.pxap is not None:
        of = whole.metrics.pxap if whole.has_maps else None
        metrics["pxap"] = Difference(math.nan if of is None else of, record.metrics.pxap, None, None)
    return metrics


def score_table(measured: Sequence[Measured[Scores]]) -> pd.DataFrame:
    """Return a row for every network and method: channels, τ, scores, and the differences to the whole."""
    metrics, rows = _metrics(measured), []
    for each in measured:
        for method, score in each.result.items():
            row: dict[str, Any] = {
                "network": each.label,
                "method": method,
                "channels": score.channels,
                "constant maps": score.constant,
                "τ": score.threshold,
            }
            for metric, title in metrics.items():
                of = _numbers(score.metrics.get(metric), method)
                row[title] = of.pop("value")
                row |= {f"{title} {name}": number for name, number in of.items()}
            rows.append(row | ({"note": score.note} if score.note else {}))
    return pd.DataFrame(rows)


def all_scores_table(measured: Sequence[Measured[Scores]]) -> pd.DataFrame:
    """Return a row for every network, method and metric that records have."""
    return pd.DataFrame(
        {"network": each.label, "method": method, "metric": metric, **_numbers(of, method)}
        for each in measured
        for method, score in each.result.items()
        for metric, of in score.metrics.items()
    )


def draw_scores(measured: Sequence[Measured[Scores]]) -> Figure:
    """Draw the scores of all networks."""
    panels = {
        title: {
            each.label: {method: _dot(score.metrics.get(metric)) for method, score in each.result.items()}
            for each in measured
        }
        for metric, title in _metrics(measured).items()
    }
    notes = {
        each.label: [f"{method} {score.note}" for method, score in each.result.items() if score.note]
        for each in measured
    }
    return draw_score_dots(panels, looks_of(measured), WHOLE, notes)


def verdict(measured: Sequence[Measured[Scores]]) -> str:
    """Say for how many networks each part is better or worse than the whole, and which maps are constant.

    Trained networks are counted, where there are any.
    """
    trained = [each for each in measured if not each.is_random]
    counted = trained or measured
    metric, title = list(_metrics(measured).items())[-1]
    found = {method: [each.result[method].metrics.get(metric) for each in counted] for method in counted[0].result}
    sure = any(of is not None and of.low is not None for differences in found.values() for of in differences)
    said = []
    for method in list(found)[1:]:
        signs = [_sign(of, sure=sure) for of in found[method]]
        undefined = sum(each.result[method].undefined is not None for each in counted)
        said.append(f"{method} is better than {WHOLE} for {signs.count(1)} and worse for {signs.count(-1)}")
        said[-1] += f", and has no maps for {undefined}" if undefined else ""
    networks = f"{len(counted)} {'trained' if trained else 'random'} network{'' if len(counted) == 1 else 's'}"
    alone = counted[0].result[WHOLE].images == 1
    without = "one image gives no intervals, use several" if alone else "without intervals"
    how = "95 % intervals of the difference exclude 0" if sure else without
    return " ".join([f"By {title}, of {networks}: {'; '.join(said)} ({how}).", *_constant_maps(measured)])


def _sign(of: Difference | None, *, sure: bool) -> int:
    """Return 1 for a part that is better than the whole, -1 for one that is worse, and 0 where neither is said.

    Args:
        of: The difference; None where there is none.
        sure: Whether its interval has to exclude 0.
    """
    if of is None or (sure and (of.low is None or of.high is None)):
        return 0
    low, high = (of.low, of.high) if sure else (of.difference, of.difference)
    assert low is not None
    assert high is not None
    return int(low > 0) - int(high < 0)


def _constant_maps(measured: Sequence[Measured[Scores]]) -> Iterator[str]:
    """Yield a sentence on methods without maps to score, and one on constant maps of others."""
    scores = [(f"{method} of {each.label}", score) for each in measured for method, score in each.result.items()]
    empty = [f"{name} ({of.undefined.removeprefix(NOT_DEFINED)})" for name, of in scores if of.undefined]
    if empty:
        yield f"No maps to score: {'; '.join(empty)}."
    partly = [(name, of) for name, of in scores if of.constant and not of.undefined]
    if partly:
        told = [f"{name} in {of.constant} of {of.images} images" for name, of in partly]
        yield f"Constant maps, which localize nothing: {'; '.join(told)}."


def _metrics(measured: Sequence[Measured[Scores]]) -> Mapping[str, str]:
    """Return the scores that are shown -> what figures call them: those of boxes, unless there are masks alone."""
    known = {metric for each in measured for score in each.result.values() for metric in score.metrics}
    return MASK_METRICS if "pxap" in known and "max_box_acc" not in known else BOX_METRICS


def _numbers(of: Difference | None, method: str) -> dict[str, float]:
    """Return a score and its difference to the whole, of which the whole itself has none; NaN for what there is not."""
    numbers = dict.fromkeys(("value", "difference", "low", "high"), math.nan)
    if of is not None:
        numbers["value"] = of.second
    if of is not None and method != WHOLE:
        numbers["difference"] = of.difference
        numbers |= {} if of.low is None or of.high is None else {"low": of.low, "high": of.high}
    return numbers


def _dot(of: Difference | None) -> Dot:
    if of is None:
        return Dot(None)
    if of.low is None or of.high is None:
        return Dot(of.second)
    return Dot(of.second, of.first + of.low, of.first + of.high)
