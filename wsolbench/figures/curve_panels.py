"""Curves over τ in small panels, at most four side by side, with one look a method in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.reference_lines import reference_looks
from wsolbench.figures.style import Caption, Stroke, folded, own_style

__all__ = ["Curves", "draw_curve_panels"]

_ABREAST = 4
_WIDTH, _LEFT, _GAP = 8.3, 0.6, 0.12
"""Inches: of the figure, on the left of the first panel, and between panels."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What a panel shows of a method.

    Attributes:
        method: Its name.
        singles: (N, T) a curve for every training, or the only one.
    """

    method: str
    singles: NDArray[np.float64]


@own_style()
def draw_curve_panels(
    thresholds: NDArray[np.float64],
    panels: Mapping[str, Sequence[Curves]],
    strokes: Mapping[str, Stroke],
    references: Mapping[str, NDArray[np.float64]],
    *,
    strong: Sequence[str],
    up: str,
    caption: Sequence[str],
) -> Figure:
    """Draw a panel for every name; where a method has several curves, they are thin, and their mean is thick.

    Args:
        thresholds: (T,) the grid of τ.
        panels: Name -> its curves; at least one.
        strokes: Method -> how its lines look, and the order of the legend.
        references: What needs no network -> its curve (T,).
        strong: Methods whose lines are thicker than those of others.
        up: What the curves are.
        caption: Sentences on what is drawn.
    """
    abreast = min(_ABREAST, len(panels))
    rows = ceil(len(panels) / abreast)
    shown = [name for name in strokes if any(name == each.method for of in panels.values() for each in of)]
    wide = (_WIDTH - _LEFT) / abreast - _GAP
    tall = min(2.6, 0.74 * wide)
    titles = {name: folded(name, int(16 * wide)) for name in panels}
    title = 0.12 + 0.13 * (1 + max(each.count("\n") for each in titles.values()))
    keys = _keys(shown, strokes, references, strong)
    columns = 2 if max(len(str(key.get_label())) for key in keys) > 34 else 4
    legend = 0.1 + 0.17 * ceil(len(keys) / columns)
    below = Caption.of(caption, _WIDTH)
    drawn = [*references.values(), *(single for of in panels.values() for each in of for single in each.singles)]
    top = min(100, 10 * ceil(max(float(np.nanmax(curve)) for curve in drawn) / 10 + 0.2))
    height = rows * (tall + title) + 0.45 + legend + below.height
    figure = Figure(figsize=(_WIDTH, height), dpi=120)
    for number, (name, curves) in enumerate(panels.items()):
        row, column = divmod(number, abreast)
        left, bottom = _LEFT + column * (wide + _GAP), height - (row + 1) * (tall + title)
        axes = figure.add_axes((left / _WIDTH, bottom / height, wide / _WIDTH, tall / height))
        _draw(axes, thresholds, curves, strokes, references, strong)
        axes.set_title(titles[name], fontsize=8, pad=3)
        is_last = number + abreast >= len(panels)
        axes.set(xlim=(0, 1), ylim=(0, top), xticks=(0, 0.25, 0.5, 0.75, 1))
        axes.set_xticklabels(("0", "", "0.5", "", "1"))
        axes.tick_params(labelsize=7, labelleft=column == 0, labelbottom=is_last)
        axes.set_xlabel("τ" if is_last else "", fontsize=8, labelpad=0)
    middle = 1 - rows * (tall + title) / 2 / height
    figure.text(0.1 / _WIDTH, middle, visible(up), fontsize=8, rotation=90, va="center")
    place = ((_LEFT - 0.1) / _WIDTH, below.height / height)
    figure.legend(
        handles=keys, loc="lower left", bbox_to_anchor=place, ncols=columns, fontsize=7.5, frameon=False, borderpad=0
    )
    below.write(figure)
    return figure


def _draw(
    axes: Axes,
    thresholds: NDArray[np.float64],
    curves: Sequence[Curves],
    strokes: Mapping[str, Stroke],
    references: Mapping[str, NDArray[np.float64]],
    strong: Sequence[str],
) -> None:
    for name, look in reference_looks(references).items():
        axes.plot(thresholds, references[name], **look)
    for each in curves:
        stroke, is_strong = strokes[each.method], each.method in strong
        look = {"color": stroke.colour, "zorder": 3 if is_strong else 2.5}
        if len(each.singles) > 1:
            for single in each.singles:
                axes.plot(thresholds, single, lw=0.5, alpha=0.35, **look)
        axes.plot(thresholds, each.singles.mean(axis=0), ls=stroke.line, lw=1.7 if is_strong else 0.9, **look)
    axes.grid(alpha=0.25)


def _keys(
    shown: Sequence[str],
    strokes: Mapping[str, Stroke],
    references: Mapping[str, NDArray[np.float64]],
    strong: Sequence[str],
) -> list[Line2D]:
    looks = {
        name: {"color": strokes[name].colour, "ls": strokes[name].line, "lw": 1.7 if name in strong else 0.9}
        for name in shown
    } | reference_looks(references)
    return [Line2D([], [], label=visible(name), **look) for name, look in looks.items()]
