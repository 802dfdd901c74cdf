"""Distributions side by side, a violin each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import Caption, Look, folded, own_style

__all__ = ["draw_violins"]


@own_style()
def draw_violins(
    panels: Mapping[str, Mapping[str, NDArray[np.float64]]],
    looks: Mapping[str, Look],
    *,
    caption: Sequence[str] = (),
) -> Figure:
    """Draw a panel for every quantity, and in it a violin for every label, with its median.

    Args:
        panels: Quantity -> label -> values, of any number.
        looks: Label -> how its violin looks.
        caption: Sentences on what is drawn.
    """
    labels = [folded(label, 30) for label in next(iter(panels.values()))]
    width = 1.6 + 2.9 * len(panels)
    below = Caption.of([*caption, "A violin is the density over images, the dot is the median."], width)
    figure = Figure(figsize=(width, 1.0 + 0.38 * len(labels) + below.height), dpi=120, layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    places = np.arange(len(labels))[::-1]
    for axes, (quantity, values) in zip(all_axes, panels.items(), strict=True):
        for place, (label, each) in zip(places, values.items(), strict=True):
            if each.size == 0:
                axes.annotate(
                    "not defined",
                    (0.02, place),
                    xycoords=("axes fraction", "data"),
                    fontsize=8,
                    color="0.3",
                    va="center",
                )
                continue
            if np.ptp(each) > 0:  # values that are all equal have no density
                (body,) = axes.violinplot([each], [place], orientation="horizontal", widths=0.8, showextrema=False)[
                    "bodies"
                ]
                body.set(facecolor=looks[label].colour, alpha=looks[label].alpha)
            axes.plot(np.median(each), place, "o", color="black", ms=4)
        axes.set_xlabel(visible(quantity), fontsize=9)
        axes.set_yticks(places, labels, fontsize=8)
        axes.set_ylim(-0.6, len(labels) - 0.4)
        axes.grid(axis="x", alpha=0.25)
    below.write(figure)
    return figure
