"""A table of pictures: images, feature maps and heatmaps, a row each for an image or a network, columns in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.panels import PREDICTED, Picture, draw_box, draw_picture
from wsolbench.figures.style import Caption, folded, own_style
from wsolbench.protocol import boxes_at

__all__ = ["Cell", "FeatureMap", "Heatmap", "Row", "draw_map_table"]

_SIDE, _GAP, _GROUP_GAP, _CAPTION, _HEADING, _LABEL = 1.25, 0.06, 0.22, 0.19, 0.3, 0.5
"""Inches: of a panel, between panels, between groups, for a caption, for headings, for the label of a row."""


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A feature map, drawn cell by cell: positive values red, negative ones blue, 0 white.

    Attributes:
        values: (h, w), of any range.
    """

    values: NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Heatmap:
    """A scoremap over its image, with the box of the largest contour.

    Attributes:
        picture: The image with its true boxes.
        scoremap: (FRAME, FRAME) in [0, 1].
        threshold: The τ at which the box is drawn; None without a box.
    """

    picture: Picture
    scoremap: NDArray[np.float32]
    threshold: float | None


Cell: TypeAlias = tuple[str, Picture | FeatureMap | Heatmap | None]
"""A caption, and what is below it; None for an empty place."""


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the table.

    Attributes:
        label: What stands on its left.
        cells: One for every column.
    """

    label: str
    cells: Sequence[Cell]


@own_style()
def draw_map_table(groups: Mapping[str, int], rows: Sequence[Row], title: str, caption: Sequence[str] = ()) -> Figure:
    """Draw the table.

    Args:
        groups: What stands above a group of columns -> their number, from left to right.
        rows: At least one, each with a cell for every column.
        title: What stands above all.
        caption: Sentences on how rows and columns are chosen and ordered; colours and boxes are explained.
    """
    lefts = _lefts(list(groups.values()))
    width = lefts[-1] + _SIDE + _GAP
    below = Caption.of([*caption, *_legend(rows)], width)
    height = 2 * _HEADING + len(rows) * (_SIDE + _CAPTION + _GAP) + below.height
    figure = Figure(figsize=(width, height), dpi=120)

    def at(x: float, y: float) -> tuple[float, float]:  # inches from the upper left corner
        return x / width, 1 - y / height

    size = min(10, 125 * width / max(len(title), 1))  # points; a letter of 10 is about 0.08 inches wide
    figure.text(*at(_GAP, _HEADING / 2), visible(title), fontsize=size, va="center")
    first = 0
    for heading, count in groups.items():
        left, right = lefts[first], lefts[first + count - 1] + _SIDE
        figure.text(*at((left + right) / 2, 1.5 * _HEADING), visible(heading), fontsize=8.5, ha="center", va="center")
        line = [at(x, 1.86 * _HEADING) for x in (left, right)]
        figure.add_artist(Line2D(*zip(*line, strict=True), color="0.6", linewidth=0.8))
        first += count
    for number, row in enumerate(rows):
        top = 2 * _HEADING + number * (_SIDE + _CAPTION + _GAP)
        middle = at(_LABEL / 2, top + _CAPTION + _SIDE / 2)
        figure.text(*middle, folded(row.label, 21), fontsize=7, rotation=90, ha="center", va="center")
        for left, (caption, content) in zip(lefts, row.cells, strict=True):
            x, y = at(left, top + _CAPTION + _SIDE)
            panel = figure.add_axes((x, y, _SIDE / width, _SIDE / height))
            panel.axis("off")
            panel.set_title(visible(caption), fontsize=7, pad=2)
            _draw(panel, content)
    below.write(figure)
    return figure


def _legend(rows: Sequence[Row]) -> list[str]:
    """Return what colours and boxes mean, as far as they are drawn."""
    contents = [content for row in rows for _, content in row.cells]
    maps = [each for each in contents if isinstance(each, Heatmap)]
    pictures = [each for each in contents if isinstance(each, Picture)] + [each.picture for each in maps]
    boxes = ["green, the true ones"] if any(each.true_boxes.size for each in pictures) else []
    boxes += ["red, that of the heatmap"] if any(each.threshold is not None for each in maps) else []
    legend = {
        "Feature maps, cell by cell: red positive, blue negative, white 0; each has a scale of its own.": any(
            isinstance(each, FeatureMap) for each in contents
        ),
        "Heatmaps: from blue (low) to red (high), each from its minimum to its maximum.": bool(maps),
        f"Boxes: {'; '.join(boxes)}.": bool(boxes),
    }
    return [" ".join(sentence for sentence, drawn in legend.items() if drawn)]


def _lefts(counts: Sequence[int]) -> list[float]:
    """Return the left edge of every column, in inches."""
    lefts, x = [], _LABEL
    for count in counts:
        lefts += [x + place * (_SIDE + _GAP) for place in range(count)]
        x = lefts[-1] + _SIDE + _GROUP_GAP
    return lefts


def _draw(panel: Axes, content: Picture | FeatureMap | Heatmap | None) -> None:
    match content:
        case Picture():
            draw_picture(panel, content)
        case FeatureMap(values):
            extent = float(np.abs(values).max()) or 1.0
            panel.imshow(values, cmap="RdBu_r", vmin=-extent, vmax=extent, interpolation="nearest")
        case Heatmap(picture, scoremap, threshold):
            draw_picture(panel, picture, scoremap)
            if threshold is not None:
                draw_box(panel, boxes_at(scoremap, threshold)[0], PREDICTED)
