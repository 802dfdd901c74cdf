"""Scores of the parts of a CAM beside those of the whole: measured, compared, tabled and drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from wsolbench.analysis.study import Measured, looks_of
from wsolbench.analysis.subject import Subject
from wsolbench.config import RunConfig
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


@dataclass(frozen=True)
class PartScore:
    """The scores of one method's maps.

    Attributes:
        channels: The mean number of channels that it sums, over images.
        threshold: The τ from train-fullsup, or the best one where there is none; None without boxes.
        undefined: Why there are no maps; None where there are.
        metrics: Metric -> its value and the difference to the whole, with an interval where there are several images.
    """

    channels: float
    threshold: float | None
    undefined: str | None
    metrics: Mapping[str, Difference]


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
    found = [scores_of(record, ()) for record in records]
    return {
        record.method.name: PartScore(
            count,
            None if record.undefined else drawn_threshold(record),
            record.undefined,
            _differences(records[0], found[0], record, scores),
        )
        for record, scores, count in zip(records, found, channels, strict=True)
    }


def _differences(
    whole: ResultRecord, of_whole: ResampledScores, record: ResultRecord, scores: ResampledScores
) -> dict[str, Difference]:
    """Return the differences of a record to that of the whole, on the same images."""
    metrics = {name: difference_of(of_whole, scores, name) for name in scores if name in of_whole}
    if record.dataset.split_sizes[record.protocol.split] == 1:
        # Resamples of one image are all the same, so its interval would be a point.
        metrics = {name: Difference(each.first, each.second, None, None) for name, each in metrics.items()}
    if whole.metrics.pxap is not None and record.metrics.pxap is not None:
        metrics["pxap"] = Difference(whole.metrics.pxap, record.metrics.pxap, None, None)
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
                "τ": score.threshold,
            }
            for metric, title in metrics.items():
                of = _numbers(score.metrics.get(metric), method)
                row[title] = of.pop("value")
                row |= {f"{title} {name}": number for name, number in of.items()}
            rows.append(row | ({"note": score.undefined} if score.undefined else {}))
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
    return draw_score_dots(panels, looks_of(measured), WHOLE)


def verdict(measured: Sequence[Measured[Scores]]) -> str:
    """Say for how many networks each part is better or worse than the whole; trained ones, where there are any."""
    trained = [each for each in measured if not each.is_random]
    counted = trained or measured
    kind = "trained" if trained else "random"
    metric, title = list(_metrics(measured).items())[-1]
    said = []
    for method in list(counted[0].result)[1:]:
        found = [each.result[method].metrics.get(metric) for each in counted]
        better = sum(of is not None and of.low is not None and of.low > 0 for of in found)
        worse = sum(of is not None and of.high is not None and of.high < 0 for of in found)
        said.append(f"{method} is better than {WHOLE} for {better} and worse for {worse}")
        undefined = sum(each.result[method].undefined is not None for each in counted)
        said[-1] += f", and has no maps for {undefined}" if undefined else ""
    networks = f"{len(counted)} {kind} network{'' if len(counted) == 1 else 's'}"
    return f"By {title}, of {networks}: {'; '.join(said)} (95 % intervals of the difference exclude 0)."


def _metrics(measured: Sequence[Measured[Scores]]) -> Mapping[str, str]:
    """Return the scores that are shown -> what figures call them."""
    has_boxes = any("max_box_acc" in score.metrics for each in measured for score in each.result.values())
    return BOX_METRICS if has_boxes else MASK_METRICS


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
