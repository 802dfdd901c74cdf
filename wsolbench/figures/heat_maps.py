"""Maps over the pixels of an image, a heat map each, in columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import Caption, own_style

__all__ = ["HeatMap", "draw_heat_maps"]

_ABREAST = 4
"""The most columns beside each other; further ones are drawn below."""


@dataclass(frozen=True, eq=False)
class HeatMap:
    """One map.

    Attributes:
        label: What it is of.
        values: (H, H), from 0 to 1.
        square: Side in pixels of the centred square that is drawn.
        note: What is said of it, below the label.
    """

    label: str
    values: NDArray[np.float64]
    square: int
    note: str


@own_style()
def draw_heat_maps(
    columns: Sequence[Sequence[HeatMap | None]], title: str, scale: str, caption: Sequence[str] = ()
) -> Figure:
    """Draw maps in columns, all in the same colours.

    Args:
        columns: Columns of as many maps each; None leaves a place free.
        title: What the maps are of.
        scale: What the colours stand for.
        caption: Sentences on what is drawn.
    """
    rows, abreast = max(map(len, columns)), ceil(len(columns) / ceil(len(columns) / _ABREAST))
    bands = [columns[start : start + abreast] for start in range(0, len(columns), abreast)]
    width = 1.1 + 2.1 * abreast
    below = Caption.of(caption, width)
    figure = Figure(figsize=(width, 0.3 + 2.5 * rows * len(bands) + below.height), dpi=120, layout="constrained")
    grid = figure.subplots(rows * len(bands), abreast, squeeze=False)
    for panel in grid.flat:
        panel.set_axis_off()
    for number, band in enumerate(bands):
        for column, maps in enumerate(band):
            for row, heat_map in enumerate(maps):
                if heat_map is not None:
                    _draw(grid[number * rows + row, column], heat_map)
    colours = next(panel.images[0] for panel in grid.flat if panel.images)
    bar = figure.colorbar(colours, ax=grid, shrink=min(1, 1.2 / len(grid)), aspect=25)
    bar.set_label(visible(scale), fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle("\n".join(textwrap.wrap(visible(title), 34 * abreast)), fontsize=9)
    below.write(figure)
    return figure


def _draw(panel: Axes, heat_map: HeatMap) -> None:
    side = len(heat_map.values)
    panel.imshow(heat_map.values, cmap="inferno", vmin=0, vmax=1, extent=(0, side, side, 0))
    corner = side // 2 - heat_map.square // 2
    panel.add_patch(Rectangle((corner, corner), heat_map.square, heat_map.square, fill=False, edgecolor="#56B4E9"))
    panel.set_title("\n".join([*textwrap.wrap(visible(heat_map.label), 32), visible(heat_map.note)]), fontsize=7.5)
