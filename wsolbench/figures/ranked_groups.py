"""Many groups in the order of their numbers: the worst and the best by name, with intervals; a panel a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import Caption, Look, folded, own_style

__all__ = ["draw_ranked_groups"]

_COLUMNS = 4
_NAMED = 10
"""The worst and the best that are named."""


@own_style()
def draw_ranked_groups(
    panels: Mapping[str, tuple[Sequence[str], NDArray[np.float64]]], looks: Mapping[str, Look], *, across: str
) -> Figure:
    """Draw a bar for every group, the best above; of more than twenty, the ten best and the ten worst.

    Args:
        panels: Label -> names of its G groups, and (G, 3) number, lower and upper end of each.
        looks: Label -> how it looks.
        across: What the numbers are.
    """
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    most = max(min(len(names), 2 * _NAMED + 1) for names, _ in panels.values())
    below = Caption.of([f"{across}. Every panel has an order of its own, the best above."], 3.3 * columns)
    height = (0.19 * most + 0.75) * rows + below.height
    figure = Figure(figsize=(3.3 * columns, height), dpi=120, layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axes in all_axes.flat[len(panels) :]:
        axes.axis("off")
    for axes in all_axes.flat[len(panels) - columns : len(panels)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    for axes, (label, (names, values)) in zip(all_axes.flat, panels.items(), strict=False):
        _draw_panel(axes, names, values, looks[label])
        axes.set_title(folded(label, 40), fontsize=8)
    below.write(figure)
    return figure


def _draw_panel(axes: Axes, names: Sequence[str], values: NDArray[np.float64], look: Look) -> None:
    order = np.argsort(values[:, 0], kind="stable")
    order = order[~np.isnan(values[order, 0])]
    named = order if len(order) <= 2 * _NAMED else np.concatenate([order[:_NAMED], order[-_NAMED:]])
    places = np.arange(len(named), dtype=float)
    ticks = [visible(names[group]) for group in named]
    if len(named) < len(order):
        places[_NAMED:] += 1  # a gap for those between
        left_out = len(order) - len(named)
        axes.text(50, _NAMED, f"… {left_out:,} more …", ha="center", va="center", fontsize=7, color="0.4")
    value, low, high = values[named].T
    axes.barh(places, value, height=0.8, color=look.colour, alpha=0.55 * look.alpha)
    axes.errorbar(value, places, xerr=np.maximum([value - low, high - value], 0), fmt="none", ecolor="0.25", lw=0.8)
    axes.set_yticks(places, [tick if len(tick) <= 22 else f"{tick[:21]}…" for tick in ticks], fontsize=6.5)
    axes.set_xlim(0, 100)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.25)
