"""Distributions side by side, a violin each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import Look, folded, own_style

__all__ = ["draw_violins"]


@own_style()
def draw_violins(
    panels: Mapping[str, Mapping[str, NDArray[np.float64]]],
    looks: Mapping[str, Look],
    *,
    logarithmic: tuple[str, ...] = (),
) -> Figure:
    """Draw a panel for every quantity, and in it a violin for every label, with its median.

    Args:
        panels: Quantity -> label -> values, of any number; a label without values has an empty row.
        looks: Label -> how its violin looks.
        logarithmic: The quantities whose axis is logarithmic.
    """
    labels = [folded(label, 30) for label in next(iter(panels.values()))]
    height = 1.0 + 0.38 * len(labels)
    figure = Figure(figsize=(1.6 + 2.9 * len(panels), height), dpi=120, layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    places = np.arange(len(labels))[::-1]
    for axes, (quantity, values) in zip(all_axes, panels.items(), strict=True):
        shown = [np.log10(each) if quantity in logarithmic else each for each in values.values()]
        for place, each, label in zip(places, shown, values, strict=True):
            if each.size == 0:
                continue
            if np.ptp(each) > 0:  # values that are all equal have no density
                (body,) = axes.violinplot([each], [place], orientation="horizontal", widths=0.8, showextrema=False)[
                    "bodies"
                ]
                body.set(facecolor=looks[label].colour, alpha=looks[label].alpha)
            axes.plot(np.median(each), place, "o", color="black", ms=4)
        axes.set_xlabel(f"{visible(quantity)}{', log10' if quantity in logarithmic else ''}", fontsize=9)
        axes.set_yticks(places, labels, fontsize=8)
        axes.grid(axis="x", alpha=0.25)
    return figure
