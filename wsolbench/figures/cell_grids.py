"""Numbers of the cells of a grid over the image, a grid for every label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import folded, own_style

__all__ = ["draw_cell_grids"]

_COLUMNS = 4
_BRIGHT = 55
"""Percent from which the colour of a cell is so bright that black is read better on it."""


@own_style()
def draw_cell_grids(
    grids: Mapping[str, tuple[NDArray[np.float64], NDArray[np.intp]]], *, title: str, scale: str
) -> Figure:
    """Draw a grid of coloured cells for every label, with the number of each cell and of how many images it is.

    Args:
        grids: Label -> percent (h, w), NaN for a cell without images, and the numbers of images (h, w).
        title: What the cells are.
        scale: What the colour is.
    """
    columns = min(_COLUMNS, len(grids))
    rows = -(-len(grids) // columns)
    figure = Figure(figsize=(2.25 * columns + 1.1, 2.5 * rows + 0.4), dpi=120, layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False)
    for axes in all_axes.flat[len(grids) :]:
        axes.axis("off")
    for axes, (label, (values, counts)) in zip(all_axes.flat, grids.items(), strict=False):
        picture = axes.imshow(values, vmin=0, vmax=100, cmap="viridis")
        for (row, column), value in np.ndenumerate(values):
            colour = "black" if not value <= _BRIGHT else "white"  # also where there is none
            told = "none" if np.isnan(value) else f"{value:.0f}"
            axes.text(column, row, told, ha="center", va="bottom", fontsize=10, color=colour)
            axes.text(column, row, f"n={counts[row, column]:,}", ha="center", va="top", fontsize=7, color=colour)
        axes.set_title(folded(label, 30), fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    bar = figure.colorbar(picture, ax=all_axes, shrink=0.8)
    bar.set_label(visible(scale), fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.supxlabel(visible(title), fontsize=9)
    return figure
