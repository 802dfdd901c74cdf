"""The picture of a run: the best, median and worst localized images with true boxes, heatmaps and predicted boxes."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from wsolbench.contract import ImageSplit
from wsolbench.data.images import warp
from wsolbench.data.opened import OpenSplit
from wsolbench.engine.localize import Localizer
from wsolbench.protocol import FRAME, boxes_at, scale_boxes, to_scoremap

CASES = 3
TRUE, PREDICTED = "#2ca02c", "#ff1f5b"


def draw_gallery(
    path: Path,
    localizer: Localizer,
    method: str,
    part: OpenSplit,
    quality: NDArray[np.float64],
    threshold: tuple[float, Literal["fullsup", "oracle"]] | None,
) -> None:
    """Write a PNG with three best, three median and three worst images; the maps are computed anew for these few.

    Args:
        path: The file.
        localizer: Network and methods.
        method: The method to show.
        part: The evaluated split.
        quality: IoU (N,) by which the images are ranked.
        threshold: τ of the predicted box and where it was chosen; None without boxes.
    """
    rows = _chosen(quality) if part.has_boxes else {"": _evenly(len(quality))}
    indices = [index for row in rows.values() for index in row]
    alone = replace(localizer, methods=tuple(built for built in localizer.methods if built.name == method))
    scoremaps = scoremaps_of(alone, part.images, indices)[method]
    columns = max(len(row) for row in rows.values())
    figure = Figure(figsize=(4.2 * columns, 2.35 * len(rows) + 0.8), dpi=110, layout="constrained")
    panels = figure.subplots(len(rows), 2 * columns, squeeze=False)
    for panel in panels.flat:
        panel.axis("off")
    for line, (label, row) in enumerate(rows.items()):
        for column, index in enumerate(row):
            pair = panels[line, 2 * column], panels[line, 2 * column + 1]
            iou = f"{label}: IoU {quality[index]:.2f}" if part.has_boxes else ""
            _draw_case(pair, part, index, scoremaps[index], threshold and threshold[0], iou)
    figure.suptitle(_title(localizer, method, threshold), fontsize=11)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # ids may be in any script
        figure.savefig(path, metadata={"Software": None})


def _chosen(quality: NDArray[np.float64]) -> dict[str, list[int]]:
    """Return the positions of the best, median and worst images; an image stands in one row only."""
    order = [int(index) for index in np.argsort(-quality, kind="stable")]
    count = max(min(CASES, len(order) // 3), 1)
    middle = (len(order) - count) // 2
    rows = {"best": order[:count], "median": order[middle : middle + count], "worst": order[-count:]}
    seen: set[int] = set()
    for label, row in rows.items():
        rows[label] = [index for index in row if index not in seen]
        seen.update(row)
    return {label: row for label, row in rows.items() if row}


def _evenly(total: int) -> list[int]:
    count = min(CASES, total)
    return [position * total // count for position in range(count)]


def scoremaps_of(
    localizer: Localizer, images: ImageSplit, indices: list[int]
) -> dict[str, dict[int, NDArray[np.float32]]]:
    """Compute the scoremaps of a few images: method name -> place of the image in its split -> (FRAME, FRAME)."""
    few = ImageSplit(
        tuple(images.ids[index] for index in indices),
        images.labels[indices],
        lambda position: images.load(indices[position]),
    )
    scoremaps: dict[str, dict[int, NDArray[np.float32]]] = {built.name: {} for built in localizer.methods}
    for batch in localizer.raw_maps(few):
        for method, made in batch.methods.items():
            for position, raw_map in zip(batch.indices, made.maps, strict=True):
                scoremaps[method][indices[position]] = to_scoremap(raw_map)
    return scoremaps


def _draw_case(
    panels: tuple[Axes, Axes],
    part: OpenSplit,
    index: int,
    scoremap: NDArray[np.float32],
    threshold: float | None,
    label: str,
) -> None:
    """Draw an image with its true boxes, and beside it its heatmap with the predicted box."""
    image_id = part.images.ids[index]
    left, right = panels
    draw_image(left, part, index)
    left.set_title(short_id(image_id), fontsize=7, parse_math=False)
    draw_image(right, part, index, scoremap)
    right.set_title(label, fontsize=7)
    if threshold is not None:
        draw_box(right, boxes_at(scoremap, threshold)[0], PREDICTED)


def draw_image(panel: Axes, part: OpenSplit, index: int, scoremap: NDArray[np.float32] | None = None) -> None:
    """Draw an image in the evaluation frame with its true boxes, under its heatmap where one is given."""
    panel.imshow(warp(part.images.load(index), FRAME, "bilinear"))
    if scoremap is not None:
        panel.imshow(scoremap, cmap="turbo", alpha=0.55, vmin=0, vmax=1)
    for box in true_boxes(part, index):
        draw_box(panel, box, TRUE)


def true_boxes(part: OpenSplit, index: int) -> NDArray[np.int64]:
    """Return the true boxes (n, 4) of an image in the evaluation frame; n is 0 where a data set has none."""
    if not part.has_boxes:
        return np.zeros((0, 4), dtype=np.int64)
    image_id = part.images.ids[index]
    return scale_boxes(part.annotations.boxes[image_id], part.annotations.image_sizes[image_id], (FRAME, FRAME))


def draw_box(panel: Axes, box: NDArray[np.integer[Any]], colour: str) -> None:
    """Draw the outline of a box of pixels, both corners inclusive."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    panel.add_patch(
        Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0 + 1, y1 - y0 + 1, fill=False, edgecolor=colour, linewidth=2)
    )


def short_id(image_id: str, most: int = 34) -> str:
    """Return an image id, or where it is long an ellipsis and its end."""
    return image_id if len(image_id) <= most else "…" + image_id[-most + 1 :]


def _title(localizer: Localizer, method: str, threshold: tuple[float, Literal["fullsup", "oracle"]] | None) -> str:
    title = f"{localizer.network.spec.name}, {method}"
    if threshold is None:
        return title
    where = "chosen on train-fullsup" if threshold[1] == "fullsup" else "best on this split (oracle)"
    return f"{title} — true box green, predicted box red at τ = {threshold[0]:g}, {where}"
