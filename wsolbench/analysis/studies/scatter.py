"""Scores of records against receptive field, kernel, parameters, top-1 accuracy and input size (Fig. 1, 10b, 11).

A dot is a network with a method; trainings that differ in their seeds alone are one dot, at their mean. The rank
correlation is over trained networks, a method at a time; its interval is of other networks, by the bootstrap. `order by
chance` is the share of all orders of these networks whose correlation is as strong or stronger: with four networks, the
strongest order there is has 1 in 12.

Arrows lead from one dot to another where one setting differs and all else that identifies the measurement is equal:
the input size, an option of the network, a setting of the training, or what the training started from. Of several
values of a setting, neighbours are joined.

The size of the effective receptive field is that of stored ``erf`` analyses of the very weights; it depends on the size
of the input, which the axis names.

Source: Yasuki and Taki, "CAM Back Again", CVPR 2024, Fig. 1, 10 and 11.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from wsolbench.analysis.correlation import Estimate, image_draws, rank_correlations
from wsolbench.analysis.single_settings import Step, settings_of, steps_between
from wsolbench.analysis.stored import StoredAnalysis, told_images
from wsolbench.analysis.study import Evidence, Findings, RecordStudy
from wsolbench.errors import DataError
from wsolbench.figures.scatter import Arrow, Dot, draw_scatter
from wsolbench.figures.style import palette
from wsolbench.records import BackboneInfo, ResultRecord, identity_of
from wsolbench.records.identity import difference
from wsolbench.records.labels import tell_apart, told_as_text
from wsolbench.records.tables import metric_labels
from wsolbench.texts import in_pixels

Axis = Literal["erf", "kernel", "parameters", "top1", "input"]
AXES: dict[Axis, str] = {
    "erf": "ERF size",
    "kernel": "side of the largest kernel that looks around a position, in cells",
    "parameters": "parameters (millions)",
    "top1": "top-1 accuracy (%)",
    "input": "side of the input (pixels)",
}
FEWEST = 3
"""Networks that have a rank correlation."""
MOST_ORDERS = 7
"""Of so many networks all orders are tried; of more, a random choice."""
ORDERS = 10_000


@dataclass(frozen=True)
class Study(RecordStudy):
    """Scores against one quantity after the other."""

    reads_analyses: ClassVar[bool] = True
    cannot_say: ClassVar[str] = (
        "Networks differ in many things at once, and a rank correlation of a few of them does not say which one "
        "matters; where only one setting differs, an arrow shows it, for these networks and this data set."
    )

    terms: ClassVar[Mapping[str, str]] = {
        "erf": "the ERF size of 'analyze erf' for the weights of the record.",
        **{axis: f"the {AXES[axis]}." for axis in AXES if axis != "erf"},
        "networks": "trained networks that have the quantity; trainings that differ in their seeds alone are one.",
        "rank correlation": f"Spearman's, of the score with the quantity over at least {FEWEST} networks; low and high "
        "are the ends of the 95 % interval (bootstrap over networks), empty where the order is perfect, since every "
        "resample has the same order then.",
        "order by chance": "the share of all orders of the networks whose rank correlation is as strong or stronger.",
    }

    x: Annotated[Literal["all"] | Axis, Field(description="The quantity, or all of them.")] = "all"
    score: Annotated[
        Literal["fullsup_box_acc_v2", "max_box_acc_v2", "fullsup_box_acc", "max_box_acc", "top1_loc", "pxap"],
        Field(description="The metric of records."),
    ] = "fullsup_box_acc_v2"

    def conclude(self, evidence: Evidence) -> Findings:
        """Correlate scores with quantities, and draw them."""
        _require_one_data(evidence.records)
        label = metric_labels(evidence.records[0].protocol.v2)[self.score]
        dots = _points(evidence, self.score)
        steps = _steps(dots)
        axes: list[Axis] = list(AXES) if self.x == "all" else [self.x]
        if self.x != "all" and all(dot.quantities[self.x] is None for dot in dots):
            raise DataError(f"no record has the quantity '{self.x}'{_HOW_TO_GET.get(self.x, '')}")
        found = [correlation for axis in axes for correlation in _correlations(axis, dots)]
        figures = {axis: _draw(axis, dots, steps, label) for axis in axes if _varies(axis, dots)}
        first = next(iter(figures), None)
        networks = pd.DataFrame(dot.row for dot in dots)
        rows = [each.row for each in found if not each.why_not]
        return Findings(
            pd.DataFrame(rows) if rows else networks,
            {"" if axis == first else axis: figure for axis, figure in figures.items()},
            _shows(found, dots, label),
            {"networks": networks, "arrows": _arrows_table(dots, steps)},
        )


_HOW_TO_GET = {"erf": "; measure it with 'wsolbench analyze erf RECORD...', and name its erf.json beside the records"}


def _require_one_data(records: Sequence[ResultRecord]) -> None:
    first, *others = [dict((*identity_of(record).data, *identity_of(record).protocol)) for record in records]
    for other in others:
        for name, mine, yours in difference(first, other):
            raise DataError(
                f"scores are compared on one data set with one protocol, and records differ in {name}: {mine} and "
                f"{yours}; give those of one"
            )


# -------------------------------------------------------------------------------------------------------------- points


@dataclass(frozen=True)
class _Field:
    """The size of an effective receptive field, and the side of the input at which it was measured."""

    size: float
    input: int


@dataclass(frozen=True, eq=False)
class _Point:
    """A network with a method: the records of trainings that differ in their seeds alone."""

    name: str
    settings: Mapping[str, str]
    records: Sequence[ResultRecord]
    scores: Sequence[float]
    fields: Sequence[_Field]

    @property
    def backbone(self) -> BackboneInfo:
        backbone = self.records[0].backbone
        assert backbone is not None
        return backbone

    @property
    def method(self) -> str:
        return self.records[0].method.name

    @property
    def is_random(self) -> bool:
        return self.backbone.weights.source == "random"

    @property
    def score(self) -> float:
        return float(np.mean(self.scores))

    @cached_property
    def quantities(self) -> dict[Axis, float | None]:
        top1 = [record.metrics.top1_acc for record in self.records if record.metrics.top1_acc is not None]
        kernel = self.backbone.stage_kernel
        return {
            "erf": float(np.mean([field.size for field in self.fields])) if self.fields else None,
            "kernel": None if kernel is None else float(kernel),
            "parameters": self.backbone.parameters / 1e6,
            "top1": float(np.mean(top1)) if top1 else None,
            "input": float(self.backbone.preprocessing.size),
        }

    @property
    def row(self) -> dict[str, Any]:
        random = " (random)" if self.is_random else ""
        quantities = {AXES[axis]: value for axis, value in self.quantities.items()}
        head = {"network": self.name + random, "method": self.method, "trainings": len(self.records)}
        inputs = in_pixels(field.input for field in self.fields) if self.fields else None
        return {**head, "score": self.score, **quantities, "input of the ERF size": inputs}


def _points(evidence: Evidence, metric: str) -> list[_Point]:
    """Return the networks that have a score; baselines, which depend on none, are left out."""
    scored = [
        record
        for record in evidence.records
        if record.backbone is not None and record.method.reads_network and _score(record, metric) is not None
    ]
    if not scored:
        raise DataError(f"no record of a network has the metric '{metric}'; choose another with --score")
    groups: dict[tuple[tuple[str, str], ...], list[ResultRecord]] = {}
    for record in scored:
        groups.setdefault(tuple(settings_of(record).items()), []).append(record)
    settings = [dict(key) for key in groups]
    measured = _erf_sizes(evidence.analyses, scored)
    points = []
    for name, key, records in zip(_names(list(groups.values()), settings), settings, groups.values(), strict=True):
        fields = [measured[_weights_key(record)] for record in records if _weights_key(record) in measured]
        scores = [value for record in records if (value := _score(record, metric)) is not None]
        points.append(_Point(name, key, records, scores, fields))
    return points


def _score(record: ResultRecord, metric: str) -> float | None:
    value: float | None = getattr(record.metrics, metric)
    return value


def _names(groups: Sequence[Sequence[ResultRecord]], settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what networks are called; points of one method that would have one name are told apart."""
    backbones = [group[0].backbone for group in groups if group[0].backbone is not None]
    labels = [each.label for each in backbones]
    kinds = [
        (each.label, each.weights.source == "random", group[0].method.name)
        for each, group in zip(backbones, groups, strict=True)
    ]
    told = tell_apart(kinds, settings.__getitem__)
    return [f"{label} ({told_as_text(each)})" if each else label for label, each in zip(labels, told, strict=True)]


def _weights_key(record: ResultRecord) -> tuple[str, ...]:
    assert record.backbone is not None
    return _network_key(record.backbone, record.environment.seed)


def _network_key(backbone: BackboneInfo, seed: int | None) -> tuple[str, ...]:
    """Return what identifies a network and its weights, but for its input."""
    options = str(sorted(backbone.options.items()))
    content = backbone.weights.sha256 or f"seed {seed}"
    return (backbone.name, options, str(backbone.tap), content, str(backbone.weights.key))


def _erf_sizes(analyses: Sequence[StoredAnalysis], records: Sequence[ResultRecord]) -> dict[tuple[str, ...], _Field]:
    """Return the ERF size by network and weights.

    Raises:
        DataError: Analyses have different settings, or all of them are of other weights.
    """
    erf = [each for each in analyses if each.analysis == "erf"]
    measured = dict.fromkeys(map(_settings_told, erf))
    if len(measured) > 1:
        raise DataError(
            f"erf analyses of different settings are not compared: {' and '.join(measured)}; name those of one setting"
        )
    found: dict[tuple[str, ...], _Field] = {}
    for each in erf:
        sizes = {row.get("network"): row.get("ERF size") for row in each.table}
        for network in each.networks:
            size = sizes.get(network.label)
            if isinstance(size, float):
                key = _network_key(network.backbone, each.seed)
                found[key] = _Field(size, network.backbone.preprocessing.size)
    if erf and not any(_weights_key(record) in found for record in records):
        names = ", ".join(dict.fromkeys(network.label for each in erf for network in each.networks))
        raise DataError(
            f"the erf analysis is of other networks or weights ({names}) than the records; measure theirs with "
            "'wsolbench analyze erf RECORD...'"
        )
    return found


def _settings_told(analysis: StoredAnalysis) -> str:
    """Return the options and images of an analysis for people: ``size 1024, critters, 100 images of test``."""
    told = [f"{name} {'none' if value is None else value}" for name, value in analysis.options.items()]
    if analysis.dataset is not None:
        told.append(told_images(analysis.dataset))
    return ", ".join(told)


# -------------------------------------------------------------------------------------------------------- correlations


@dataclass(frozen=True)
class _Correlation:
    """The rank correlation of scores with a quantity over the trained networks of a method, or why there is none."""

    axis: Axis
    method: str
    networks: int
    found: Estimate
    chance: float
    lacking: Sequence[str]
    why_not: str

    @property
    def row(self) -> dict[str, Any]:
        """The row of the table."""
        numbers = {
            "rank correlation": self.found.value,
            "rank correlation low": self.found.low,
            "rank correlation high": self.found.high,
            "order by chance": self.chance,
        }
        return {
            "quantity": self.axis,
            "method": self.method,
            "networks": self.networks,
            **{name: None if math.isnan(number) else number for name, number in numbers.items()},
            "without the quantity": ", ".join(self.lacking),
        }

    @property
    def told(self) -> str:
        """The correlation in words."""
        interval = f" [{self.found.low:.2f}, {self.found.high:.2f}]"
        if math.isnan(self.found.low):
            interval = f" (no interval: the order of all {self.networks} networks is perfect, in resamples too)"
        return f"{self.axis}, {self.method} {self.found.value:.2f}{interval}"


def _correlations(axis: Axis, points: Sequence[_Point]) -> list[_Correlation]:
    """Return the correlation for each method."""
    return [
        _correlation(axis, method, [point for point in points if point.method == method and not point.is_random])
        for method in dict.fromkeys(point.method for point in points)
    ]


def _correlation(axis: Axis, method: str, trained: Sequence[_Point]) -> _Correlation:
    pairs = [(x, point.score) for point in trained if (x := point.quantities[axis]) is not None]
    lacking = [point.name for point in trained if point.quantities[axis] is None]
    found, chance = rank_correlation(np.array(pairs).reshape(-1, 2))
    why_not = ""
    if len(pairs) < FEWEST:
        known = "is known of" if lacking else "there are"
        why_not = f"it needs {FEWEST} trained networks, and {known} {len(pairs) or 'none'}"
    elif math.isnan(found.value):
        why_not = "it is" if len({x for x, _ in pairs}) == 1 else "their scores are"
        why_not += " the same in all networks"
    return _Correlation(axis, method, len(pairs), found, chance, lacking, why_not)


def rank_correlation(pairs: NDArray[np.float64]) -> tuple[Estimate, float]:
    """Return Spearman's rank correlation over networks, and how often an order by chance is as strong.

    The interval is of resamples of networks. There is none where all resamples are alike, as those of a perfect order.

    Args:
        pairs: (N, 2) quantity and score of each network.
    """
    undefined = Estimate(math.nan, math.nan, math.nan), math.nan
    if len(pairs) < FEWEST:
        return undefined
    x, y = pairs[:, :1], pairs[:, 1:]
    draws = image_draws(len(pairs))
    found = rank_correlations(x, {"score": y}, draws)["score"]
    if math.isnan(found.value):
        return undefined
    if math.isclose(found.low, found.high):
        found = Estimate(found.value, math.nan, math.nan)
    return found, _chance(x[:, 0], y[:, 0])


def _chance(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the share of orders of y whose rank correlation with x is at least as strong as that of y."""
    ranks = [_centred_ranks(values) for values in (x, y)]
    if len(x) <= MOST_ORDERS:
        orders = np.array(list(permutations(ranks[1])))
    else:
        orders = np.random.default_rng(0).permuted(np.tile(ranks[1], (ORDERS, 1)), axis=1)
    strength = np.abs(orders @ ranks[0])
    return float(np.mean(strength >= abs(ranks[1] @ ranks[0]) - 1e-9))


def _centred_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks minus their mean; ties have their mean rank."""
    ranks = pd.Series(values).rank().to_numpy(dtype=np.float64)
    centred: NDArray[np.float64] = ranks - ranks.mean()
    return centred


def _shows(found: Sequence[_Correlation], points: Sequence[_Point], metric: str) -> str:
    """Return what the figures show: the correlations, why others are not defined, and what is not comparable."""
    told = [each.told for each in found if not each.why_not]
    sentences = [f"Rank correlation of {metric} over networks with {'; '.join(told)}."] if told else []
    reasons: dict[str, list[str]] = {}
    for each in found:
        if each.why_not:
            reasons.setdefault(each.why_not, []).append(each.axis)
    without = [f"{', '.join(dict.fromkeys(axes))} ({why})" for why, axes in reasons.items()]
    if without:
        sentences.append(f"There is no rank correlation of {metric} with {'; '.join(without)}.")
    inputs = {field.input for point in points for field in point.fields}
    if len(inputs) > 1 and any(each.axis == "erf" for each in found):
        sentences.append(
            f"ERF sizes are of inputs of {in_pixels(inputs)}, so that they are not comparable; measure them at one "
            "size with 'wsolbench analyze erf --size N'."
        )
    return " ".join(sentences)


# ---------------------------------------------------------------------------------------------------------- pictures


def _steps(points: Sequence[_Point]) -> list[Step]:
    """Return the arrows, between points of one method."""
    found: list[Step] = []
    for method in dict.fromkeys(point.method for point in points):
        places = [place for place, point in enumerate(points) if point.method == method]
        found += [
            Step(places[step.start], places[step.end], step.setting, step.before, step.after)
            for step in steps_between([points[place].settings for place in places])
        ]
    return found


def _arrows_table(points: Sequence[_Point], steps: Sequence[Step]) -> pd.DataFrame:
    columns = ["method", "from", "to", "setting", "before", "after", "score before", "score after"]
    ends = [(points[step.start], points[step.end], step) for step in steps]
    rows = [
        (start.method, start.name, end.name, step.setting, step.before, step.after, start.score, end.score)
        for start, end, step in ends
    ]
    return pd.DataFrame(rows, columns=columns)


def _varies(axis: Axis, points: Sequence[_Point]) -> bool:
    return len({point.quantities[axis] for point in points} - {None}) > 1


def _draw(axis: Axis, points: Sequence[_Point], steps: Sequence[Step], score: str) -> Any:
    methods = list(dict.fromkeys(point.method for point in points))
    group: Callable[[_Point], str] = (lambda point: point.method) if len(methods) > 1 else _family
    dots = {
        place: Dot(x, point.score, point.name, group(point), point.backbone.stage_kernel or 0, point.is_random)
        for place, point in enumerate(points)
        if (x := point.quantities[axis]) is not None
    }
    arrows = [
        Arrow(dots[step.start], dots[step.end], step.setting)
        for step in steps
        if step.start in dots and step.end in dots
    ]
    groups = palette(sorted({dot.group for dot in dots.values()}))
    title = score if len(methods) > 1 else f"{score}, {methods[0]}"
    logarithmic = axis in ("parameters", "input")
    inputs = {field.input for point in points for field in point.fields}
    across = f"{AXES[axis]}, inputs of {in_pixels(inputs)}" if axis == "erf" else AXES[axis]
    return draw_scatter(list(dots.values()), arrows, groups, x=across, y=title + " (%)", logarithmic=logarithmic)


def _family(point: _Point) -> str:
    return point.backbone.family or point.backbone.name
