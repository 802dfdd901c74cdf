"""Sizes of predicted boxes against their places, both relative to the true box: a density for every label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.figures.style import Caption, Look, folded, own_style

__all__ = ["draw_box_comparison"]

_COLUMNS = 4
_FARTHEST = 2.5
_DOUBLINGS = 4.0
"""What the axes reach to; boxes beyond are drawn at the border."""


@own_style()
def draw_box_comparison(
    panels: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], looks: Mapping[str, Look], *, cut: float
) -> Figure:
    """Draw a panel for every label: the logarithm of the ratio of areas against the distance of the centres.

    Args:
        panels: Label -> ratios of areas (n,), above 0, and distances (n,) in half diagonals of the true box.
        looks: Label -> how it looks.
        cut: The ratio below which, and above whose inverse, no box can be right; lines show both.
    """
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = 2.6 * columns + 0.6
    below = Caption.of(_legend(cut), width)
    figure = Figure(figsize=(width, 2.75 * rows + 0.4 + below.height), dpi=120, layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in all_axes.flat[len(panels) :]:
        axes.axis("off")
    for axes in all_axes.flat[len(panels) - columns : len(panels)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    for axes, (label, (ratios, distances)) in zip(all_axes.flat, panels.items(), strict=False):
        axes.hexbin(
            np.minimum(distances, _FARTHEST),
            np.clip(np.log2(ratios), -_DOUBLINGS, _DOUBLINGS),
            gridsize=(24, 14),
            extent=(0, _FARTHEST, -_DOUBLINGS, _DOUBLINGS),
            cmap=LinearSegmentedColormap.from_list("own", ["#dcdcdc", looks[label].colour, "#101010"]),
            norm=LogNorm(vmin=1),
            mincnt=1,
            linewidths=0.1,
        )
        axes.axhline(0, color="0.4", lw=0.7)
        for side in (-1, 1):
            axes.axhline(side * np.log2(cut), color="0.25", lw=0.8, ls=":")
        axes.set_title(folded(label, 36), fontsize=8)
        axes.set(xlim=(0, _FARTHEST), ylim=(-_DOUBLINGS, _DOUBLINGS))
        axes.set_yticks([-4, -2, 0, 2, 4], ["≤1/16", "1/4", "1", "4", "≥16"], fontsize=8)
        axes.set_xticks([0, 0.5, 1, 1.5, 2, 2.5], ["0", "0.5", "1", "1.5", "2", "≥2.5"], fontsize=8)
        axes.set_xlabel("distance of the centres", fontsize=9)
    figure.supylabel("predicted area / true area", fontsize=9)
    below.write(figure)
    return figure


def _legend(cut: float) -> list[str]:
    """Return what every panel has."""
    return [
        "Distance between the centres of the predicted and the true box in half diagonals of the true box. Hexagons: "
        "from grey (one image) over the colour to black (the most images of the panel), on a logarithmic scale; boxes "
        f"beyond the axes lie at the border. Line: equal areas. Dotted: {cut:g} and {1 / cut:g} times the true area; "
        f"no box beyond them has an IoU of {cut:g}."
    ]
