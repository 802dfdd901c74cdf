"""Two quantities of many points against each other, a density with its margins for every network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import Caption, Look, folded, own_style

__all__ = ["JointDensity", "draw_joint_densities"]

COLUMNS = 4
"""Panels in a row, at most."""
_CELLS, _STOREYS = 30, 18
"""Hexagons across a panel, and up."""
_SIDE = 2.7
"""Of a panel, in inches."""


@dataclass(frozen=True, eq=False)
class JointDensity:
    """The points of one panel.

    Attributes:
        x: (n,), drawn about 0.
        y: (n,).
        cut: Where y is parted; shares of the four quadrants stand in their corners.
        line: x and y (m,) of a curve over the density.
        caption: What is written below the name.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    cut: float
    line: tuple[NDArray[np.float64], NDArray[np.float64]]
    caption: str


@own_style()
def draw_joint_densities(
    panels: Mapping[str, JointDensity],
    looks: Mapping[str, Look],
    *,
    across: str,
    up: str,
    point: str,
    caption: Sequence[str] = (),
) -> Figure:
    """Draw a panel for every label: hexagons on a logarithmic scale of colour, histograms at the margins.

    The histogram of y is logarithmic too.

    Args:
        panels: Label -> points; at least one panel.
        looks: Label -> how it looks.
        across: What x is.
        up: What y is.
        point: What a point is.
        caption: Sentences on x, y, the line and the cut; the other marks are explained.
    """
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    titles = {label: f"{folded(label, 36)}\n{density.caption}" for label, density in panels.items()}
    heading = 0.13 * max(title.count("\n") + 1 for title in titles.values()) + 0.05  # inches
    between = heading + 0.3
    width = _SIDE * columns + 0.5
    below = Caption.of([*caption, *_legend(point)], width)
    height = _SIDE * rows + between * (rows - 1) + heading + 0.55 + below.height
    figure = Figure(figsize=(width, height), dpi=120)
    grid = figure.add_gridspec(rows, columns, wspace=0.24, hspace=between / _SIDE)
    bottom, top = (0.5 + below.height) / height, 1 - (heading + 0.05) / height
    grid.update(left=0.68 / width, right=1 - 0.06 / width, bottom=bottom, top=top)
    for place, (label, density) in enumerate(panels.items()):
        _draw_panel(figure, grid[divmod(place, columns)], titles[label], density, looks[label])
    figure.supxlabel(visible(across), fontsize=9, y=(0.08 + below.height) / height)
    figure.supylabel(visible(up), fontsize=9, x=0.08 / width, y=(bottom + top) / 2)
    below.write(figure)
    return figure


def _legend(point: str) -> list[str]:
    """Return what every panel has."""
    return [
        f"A point is {point}. Hexagons: from grey (one point) over the colour to black (the most points of the panel), "
        "on a logarithmic scale. Histograms: above on a linear scale, on the right on a logarithmic one. Per cent: "
        "shares of the points in the quadrants that the dotted line and 0 make. Every panel has axes of its own."
    ]


def _draw_panel(figure: Figure, place: SubplotSpec, title: str, density: JointDensity, look: Look) -> None:
    inner = place.subgridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 5), wspace=0.04, hspace=0.04)
    middle = figure.add_subplot(inner[1, 0])
    top, right = figure.add_subplot(inner[0, 0], sharex=middle), figure.add_subplot(inner[1, 1], sharey=middle)
    reach = float(np.abs(density.x).max()) or 1.0
    low, high = _limits(density.y)
    shades = LinearSegmentedColormap.from_list("own", ["#dcdcdc", look.colour, "#101010"])
    middle.hexbin(
        density.x,
        density.y,
        gridsize=(_CELLS, _STOREYS),
        extent=(-reach, reach, low, high),
        norm=LogNorm(vmin=1),
        cmap=shades,
        mincnt=1,
        linewidths=0.1,
    )
    middle.axvline(0, color="0.4", lw=0.7)
    above_hexagons = [withStroke(linewidth=2.2, foreground="white")]  # which may be as dark as the line
    middle.axhline(density.cut, color="black", lw=0.9, ls=":", zorder=3, path_effects=above_hexagons)
    middle.plot(*density.line, "o-", color="black", mfc="white", ms=3, lw=1)
    _write_shares(middle, density)
    middle.set(xlim=(-reach, reach), ylim=(low, high))
    top.hist(density.x, bins=2 * _CELLS, range=(-reach, reach), color=look.colour, alpha=look.alpha)
    right.hist(
        density.y,
        bins=_STOREYS,
        range=(low, high),
        orientation="horizontal",
        log=True,  # many values are 0
        color=look.colour,
        alpha=look.alpha,
    )
    for margin in (top, right):
        margin.axis("off")
    right.set_title("count (log)", fontsize=6, color="0.3", pad=2)
    for axis in (middle.xaxis, middle.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    middle.tick_params(labelsize=7)
    top.set_title(title, fontsize=7.5, loc="left", pad=2)


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of an axis that holds all values, with room for shares; a constant lies at the lower end."""
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1
    room = 0.09 * (high - low)
    return low - room, high + room


def _write_shares(axes: Axes, density: JointDensity) -> None:
    """Write the share of the points in each quadrant into its corner."""
    positive, above = density.x > 0, density.y > density.cut
    corners = {
        (0.02, 0.98): ~positive & above,
        (0.98, 0.98): positive & above,
        (0.02, 0.02): ~positive & ~above,
        (0.98, 0.02): positive & ~above,
    }
    for (x, y), inside in corners.items():
        axes.text(
            x,
            y,
            f"{100 * inside.mean():.0f} %",
            transform=axes.transAxes,
            ha="left" if x < 0.5 else "right",
            va="bottom" if y < 0.5 else "top",
            fontsize=7,
            bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1},
        )
