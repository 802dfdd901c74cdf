"""The same images across networks and methods: a row for an image, a column for the maps of one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from wsolbench.errors import OutputError, UsageError
from wsolbench.escaping import terminal_text, visible
from wsolbench.figures.panels import PREDICTED, Picture, draw_box, draw_picture, is_no_box, short_id
from wsolbench.figures.style import encoded, own_style
from wsolbench.files import atomic_write, check_parents
from wsolbench.protocol import box_iou, boxes_at

__all__ = ["FORMATS", "Column", "check_format", "draw_columns", "save_figure"]

FORMATS = {".png": "Source", ".svg": "Description", ".pdf": "Subject"}
"""Endings of files that can be written, and the field of each in which the records are named."""


@dataclass(frozen=True, eq=False)
class Column:
    """The maps or boxes of one record.

    Attributes:
        network: What stands above all columns of the network.
        method: What stands above the column, perhaps in several lines.
        threshold: The τ at which boxes of maps are drawn; None without boxes.
        scoremaps: One map (FRAME, FRAME) for every picture; None of boxes.
        boxes: One box (4,) for every picture, of a method that makes boxes; None of maps.
    """

    network: str
    method: str
    threshold: float | None
    scoremaps: Sequence[NDArray[np.float32]] | None
    boxes: Sequence[NDArray[np.int64]] | None = None


def check_format(path: Path) -> None:
    """Refuse a file whose ending is not one of a picture.

    Raises:
        UsageError: It is not.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"--out {path}: name a file that ends in {', '.join(FORMATS)}")


@own_style()
def draw_columns(pictures: Sequence[Picture], columns: Sequence[Column]) -> Figure:
    """Draw a row for every picture and a column for every record; columns of one network stand together."""
    heading = 0.43 + 0.13 * max(column.method.count("\n") + 1 for column in columns)  # inches
    figure = Figure(figsize=(1.3 * (len(columns) + 1), 1.3 * len(pictures) + heading + 0.04), dpi=120)
    grid = figure.add_gridspec(len(pictures), len(columns) + 1, wspace=0.04, hspace=0.04)
    top = 1 - heading / figure.get_size_inches()[1]
    grid.update(left=0.01, right=0.99, bottom=0.01, top=top)
    for row, picture in enumerate(pictures):
        panel = _panel(figure, grid[row, 0])
        draw_picture(panel, picture)
        _caption(panel, short_id(picture.name, 18))
        for number, column in enumerate(columns, start=1):
            panel = _panel(figure, grid[row, number])
            if column.scoremaps is not None:
                _draw_map(panel, picture, column.scoremaps[row], column.threshold)
            elif column.boxes is not None:
                draw_picture(panel, picture)
                _draw_predicted(panel, picture, column.boxes[row])
            if row == 0:
                panel.set_title(terminal_text(column.method), fontsize=8)
    _name_networks(figure, columns)
    return figure


def _panel(figure: Figure, place: Any) -> Axes:
    panel: Axes = figure.add_subplot(place)
    panel.axis("off")
    return panel


def _draw_map(panel: Axes, picture: Picture, scoremap: NDArray[np.float32], threshold: float | None) -> None:
    draw_picture(panel, picture, scoremap)
    if threshold is None:
        return
    _draw_predicted(panel, picture, boxes_at(scoremap, threshold)[0])


def _draw_predicted(panel: Axes, picture: Picture, predicted: NDArray[np.int64]) -> None:
    if is_no_box(predicted):
        _caption(panel, "no box")
        return
    draw_box(panel, predicted, PREDICTED)
    _caption(panel, f"{box_iou(predicted[None], picture.true_boxes).max():.2f}")


def _caption(panel: Axes, text: str) -> None:
    backdrop = {"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 1}
    panel.text(0.03, 0.04, text, transform=panel.transAxes, fontsize=6, color="white", bbox=backdrop)


def _name_networks(figure: Figure, columns: Sequence[Column]) -> None:
    """Write each network's name over its columns, with a line that spans them."""
    panels = figure.axes[1 : len(columns) + 1]
    height = 1 - 0.27 / figure.get_size_inches()[1]
    start = 0
    for stop in range(1, len(columns) + 1):
        if stop < len(columns) and columns[stop].network == columns[start].network:
            continue
        left, right = panels[start].get_position().x0, panels[stop - 1].get_position().x1
        figure.text(
            (left + right) / 2, height + 0.005, visible(columns[start].network), ha="center", va="bottom", fontsize=9
        )
        figure.add_artist(Line2D([left, right], [height, height], color="0.6", linewidth=0.8))
        start = stop


@own_style()
def save_figure(figure: Figure, path: Path, records: Sequence[str]) -> None:
    """Write the picture whole, with the hashes of what it shows in it.

    Args:
        figure: The picture.
        path: The file.
        records: The hash of the outcomes of every record that is shown: it stays when a summary is written again.

    Raises:
        OutputError: The file cannot be written.
    """
    metadata: dict[str, str | None] = {FORMATS[path.suffix]: "records:" + ",".join(records)}
    metadata |= {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[path.suffix]
    check_parents(path, "--out")
    content = encoded(figure, path.suffix[1:], metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)
    except OSError as error:
        raise OutputError(f"--out {path}: cannot be written ({error.strerror})") from error
