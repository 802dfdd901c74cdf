"""Scores in a grid of rows and columns, a cell each, coloured by the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.figures.style import Caption, folded, own_style

__all__ = ["draw_score_grid"]

_WIDEST = 13.3
"""Inches, which at 120 dots an inch are 1600 pixels."""


@own_style()
def draw_score_grid(
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    without: Mapping[tuple[int, int], str],
    caption: Sequence[str],
) -> Figure:
    """Draw the grid; the best score of every row is bold.

    Args:
        values: (R, C) percent; NaN where there is no score.
        rows: R names.
        columns: C names.
        without: Row and column of a cell without a score -> what stands in it.
        caption: Sentences on what is drawn.
    """
    names = [folded(name, 30) for name in rows]
    heads = [folded(name, 22) for name in columns]
    left = 0.4 + 0.068 * max(len(line) for name in names for line in name.splitlines())
    cell = min(0.42, (_WIDEST - left - 0.9) / len(columns))
    width = max(6.2, left + cell * len(columns) + 0.9)
    top = 0.25 + 0.068 * max(len(line) for name in heads for line in name.splitlines())
    tall = max([0.27, *(0.15 * (name.count("\n") + 1) for name in names)])
    below = Caption.of(caption, width)
    height = top + tall * len(rows) + 0.15 + below.height
    figure = Figure(figsize=(width, height), dpi=120)
    inner = cell * len(columns) / width, tall * len(rows) / height
    axes = figure.add_axes((left / width, (0.1 + below.height) / height, *inner))
    shown = axes.imshow(np.ma.masked_invalid(values), cmap="cividis", aspect="auto")
    axes.set_facecolor("#f2f2f2")
    _write(axes, values, without, 7.5 if cell > 0.36 else 5.5)
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_xticks(range(len(columns)), heads, fontsize=8, rotation=90)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, top=False, bottom=False)
    tallest = min(inner[1], 2.2 / height)
    bar_place = (left / width + inner[0] + 0.15 / width, (0.1 + below.height) / height + inner[1] - tallest)
    bar = figure.colorbar(shown, cax=figure.add_axes((*bar_place, 0.12 / width, tallest)))
    bar.ax.tick_params(labelsize=7.5)
    below.write(figure)
    return figure


def _write(axes: Axes, values: NDArray[np.float64], without: Mapping[tuple[int, int], str], size: float) -> None:
    """Write every score into its cell, the best one of each row in bold."""
    low, high = np.nanmin(values), np.nanmax(values)
    best = np.nanmax(np.where(np.isnan(values), -1, values), axis=1)
    for (row, column), value in np.ndenumerate(values):
        told = without.get((row, column), "") if np.isnan(value) else f"{value:.1f}"
        dark = not np.isnan(value) and (value - low) < 0.55 * (high - low)
        weight = "bold" if value == best[row] else "normal"
        axes.text(column, row, told, ha="center", va="center", fontsize=size, weight=weight, color="w" if dark else "k")
