"""The picture of a run: images with true boxes, and beside each its heatmap, if it has one, with the predicted box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.panels import PREDICTED, Picture, draw_box, draw_picture, short_id
from wsolbench.figures.style import encoded, own_style

__all__ = ["Case", "draw_gallery"]


@dataclass(frozen=True, eq=False)
class Case:
    """One image of a gallery.

    Attributes:
        picture: The image with its true boxes.
        scoremap: (FRAME, FRAME) in [0, 1]; None of a method that makes boxes.
        predicted: The predicted box (4,), or None.
        label: What is written above the heatmap.
    """

    picture: Picture
    scoremap: NDArray[np.float32] | None
    predicted: NDArray[np.int64] | None
    label: str


@own_style()
def draw_gallery(path: Path, rows: Sequence[Sequence[Case]], title: str) -> None:
    """Write a PNG with a row of cases on every line, each as an image and its heatmap."""
    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(4.2 * columns, 2.35 * len(rows) + 0.8), dpi=110, layout="constrained")
    panels = figure.subplots(len(rows), 2 * columns, squeeze=False)
    for panel in panels.flat:
        panel.axis("off")
    for line, row in enumerate(rows):
        for column, case in enumerate(row):
            _draw_case(case, panels[line, 2 * column], panels[line, 2 * column + 1])
    figure.suptitle(visible(title), fontsize=11)
    path.write_bytes(encoded(figure, "png", {"Software": None}))


def _draw_case(case: Case, left: Axes, right: Axes) -> None:
    """Draw an image with its true boxes, and beside it its heatmap with the predicted box."""
    draw_picture(left, case.picture)
    # A title with a height of its own does not look for ticks to stay above: a third of the time of many panels.
    left.set_title(short_id(case.picture.name), fontsize=7, y=1)
    draw_picture(right, case.picture, case.scoremap)
    right.set_title(visible(case.label), fontsize=7, y=1)
    if case.predicted is not None:
        draw_box(right, case.predicted, PREDICTED)
