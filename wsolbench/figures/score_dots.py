"""Scores of several methods, network by network, with intervals of their differences to one of the methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsolbench.escaping import visible
from wsolbench.figures.style import Caption, Look, folded, own_style

__all__ = ["Dot", "draw_score_dots"]

_MARKERS = ("o", ">", "<", "s", "D")


@dataclass(frozen=True)
class Dot:
    """A score.

    Attributes:
        value: In percent; None where it is not defined.
        low: The lower end of the interval of the difference, added to the score of the reference; None without one.
        high: Its upper end, likewise.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@own_style()
def draw_score_dots(
    panels: Mapping[str, Mapping[str, Mapping[str, Dot]]],
    looks: Mapping[str, Look],
    reference: str,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Draw a panel for every metric, in it a line for every network, and on it a mark for every method.

    Args:
        panels: Metric -> network -> method -> its score.
        looks: Network -> its colour; with random weights it is drawn faint.
        reference: The method that intervals are of differences to.
        notes: Network -> lines that stand beside it on the right, such as why a method has no score.
    """
    first = next(iter(panels.values()))
    labels, methods = list(first), list(next(iter(first.values())))
    beside = {label: "\n".join(folded(line, 44) for line in (notes or {}).get(label, ())) for label in labels}
    width = 2.2 + 3.4 * len(panels) + (2.2 if any(beside.values()) else 0)
    bars = any(dot.low is not None for of_all in panels.values() for each in of_all.values() for dot in each.values())
    told = (
        f"Bars: 95 % interval of the difference to {reference}, put at the score of {reference} and cut at 0 and "
        f"100 %. A method differs from {reference} where its bar does not reach the mark of {reference}."
    )
    below = Caption.of([told] if bars else [], width)
    figure = Figure(figsize=(width, 1.3 + 0.42 * len(labels) + below.height), dpi=120, layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    places = np.arange(len(labels))[::-1]
    for axes, (metric, of_networks) in zip(all_axes, panels.items(), strict=True):
        for place, label in zip(places, labels, strict=True):
            for number, method in enumerate(methods):
                # Marks of one network stand a little apart, so that bars do not cover each other.
                offset = (len(methods) - 1 - 2 * number) * 0.1
                _draw_dot(axes, place + offset, of_networks[label][method], _MARKERS[number], looks[label])
        axes.set_xlabel(f"{visible(metric)} (%)", fontsize=9)
        axes.set_yticks(places, [folded(label, 30) for label in labels], fontsize=8)
        axes.set_ylim(-0.6, len(labels) - 0.4)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
        low, high = axes.get_xlim() if axes.lines else (0, 100)
        axes.set_xlim(max(low, -2), min(high, 102))  # room for the marks of 0 and 100, and no more
    for place, label in zip(places, labels, strict=True):
        right = {"xycoords": ("axes fraction", "data"), "va": "center", "annotation_clip": False}
        all_axes[-1].annotate(beside[label], (1.02, place), fontsize=7, color="0.3", **right)
    marks = [
        all_axes[0].plot([], [], _MARKERS[number], color="0.3", ms=5, label=visible(method))[0]
        for number, method in enumerate(methods)
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=len(methods), fontsize=8, frameon=False)
    below.write(figure)
    return figure


def _draw_dot(axes: Axes, height: float, dot: Dot, marker: str, look: Look) -> None:
    if dot.value is None:
        return
    if dot.low is not None and dot.high is not None:
        ends = np.clip([dot.low, dot.high], 0, 100)  # a difference may leave what a score can be
        axes.plot(ends, [height, height], color=look.colour, alpha=0.5 * look.alpha, lw=2.5, solid_capstyle="butt")
    axes.plot(dot.value, height, marker, color=look.colour, alpha=look.alpha, ms=5)
