"""Scores with their intervals, line by line, with scores that need no network as vertical lines: a forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsolbench.escaping import visible
from wsolbench.figures.reference_lines import draw_references
from wsolbench.figures.style import Caption, folded, own_style

__all__ = ["Estimate", "draw_forest"]

_NAME = 30
"""Characters in a line of a name."""


@dataclass(frozen=True)
class Estimate:
    """A score in a line of the plot.

    Attributes:
        method: What its colour stands for.
        value: In percent.
        ends: Those of its interval; None without one.
        singles: The scores of single trainings, where it is their mean.
    """

    method: str
    value: float
    ends: tuple[float, float] | None = None
    singles: tuple[float, ...] = ()

    @property
    def told(self) -> str:
        """The score and its interval as text."""
        ends = "" if self.ends is None else f" [{self.ends[0]:.1f}, {self.ends[1]:.1f}]"
        return f"{self.value:.1f}{ends} {visible(self.method)}"


@own_style()
def draw_forest(
    lines: Sequence[tuple[str, Sequence[Estimate]]],
    colours: Mapping[str, str],
    references: Mapping[str, float],
    *,
    along: str,
    caption: Sequence[str],
) -> Figure:
    """Draw a line for every name, the first at the top; its scores stand below each other.

    Args:
        lines: Name -> its scores; at least one, each with one score at least.
        colours: Method -> colour.
        references: What needs no network -> its score.
        along: What the scores are.
        caption: Sentences on what is drawn.
    """
    steps = [max(len(estimates), 0.75 * _folds(name)) for name, estimates in lines]
    below = Caption.of(caption, 8.3)
    height = 1.2 + 0.19 * sum(steps) + 0.1 * len(lines) + below.height
    figure = Figure(figsize=(8.3, height), dpi=120, layout="constrained")
    axes = figure.subplots()
    place, places = 0.0, []
    for name, estimates in lines:
        places.append(place - 0.5 * (len(estimates) - 1))
        for estimate in estimates:
            _draw(axes, place, estimate, colours[estimate.method])
            axes.annotate(
                folded(estimate.told, 44).replace("\n", " "),
                (1.01, place),
                xycoords=("axes fraction", "data"),
                fontsize=7,
                va="center",
                color="0.15",
                annotation_clip=False,
            )
            place -= 1
        place -= 0.6 + max(0, 0.75 * _folds(name) - len(estimates))
    handles = draw_references(axes, references)
    axes.set_yticks(places, [folded(name, _NAME) for name, _ in lines], fontsize=8)
    axes.set_ylim(place + 0.6 + 0.3, 0.7)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{visible(along)} (%)", fontsize=9)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    below.write(figure)
    return figure


def _folds(name: str) -> int:
    """Return how many lines a name takes."""
    return folded(name, _NAME).count("\n") + 1


def _draw(axes: Axes, place: float, estimate: Estimate, colour: str) -> None:
    if estimate.ends is not None:
        axes.plot(
            np.clip(estimate.ends, 0, 100), [place, place], color=colour, alpha=0.55, lw=2.5, solid_capstyle="butt"
        )
    axes.plot(estimate.singles, [place] * len(estimate.singles), "|", color=colour, ms=6, mew=1)
    axes.plot(estimate.value, place, "o", color=colour, ms=5, zorder=3)
