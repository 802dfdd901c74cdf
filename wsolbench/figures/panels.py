"""What all pictures of images share: one image in the evaluation frame, its heatmap, its boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.protocol import NO_BOX

__all__ = ["PREDICTED", "TRUE", "Picture", "draw_box", "draw_picture", "is_no_box", "short_id"]

TRUE, PREDICTED = "#2ca02c", "#ff1f5b"
"""The colours of true and of predicted boxes."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One image in the evaluation frame, with what is drawn on it.

    Attributes:
        name: The image's id.
        image: RGB, uint8 (FRAME, FRAME, 3).
        true_boxes: (n, 4), corners inclusive, in pixels of the frame.
    """

    name: str
    image: NDArray[np.uint8]
    true_boxes: NDArray[np.int64]


def draw_picture(panel: Axes, picture: Picture, scoremap: NDArray[np.float32] | None = None) -> None:
    """Draw an image with its true boxes, below its heatmap (FRAME, FRAME) where one is given."""
    panel.imshow(picture.image)
    if scoremap is not None:
        panel.imshow(scoremap, cmap="turbo", alpha=0.55, vmin=0, vmax=1)
    for box in picture.true_boxes:
        draw_box(panel, box, TRUE)


def draw_box(panel: Axes, box: NDArray[np.integer[Any]], colour: str) -> None:
    """Draw the outline of a box of pixels, both corners inclusive."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    panel.add_patch(
        Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0 + 1, y1 - y0 + 1, fill=False, edgecolor=colour, linewidth=2)
    )


def is_no_box(box: NDArray[np.integer[Any]]) -> bool:
    """Return whether this is what stands for the box of an image for which none is predicted."""
    return tuple(box.tolist()) == NO_BOX


def short_id(image_id: str, most: int = 36) -> str:
    """Return an image id in visible characters: a long one without folders in front, or its end behind an ellipsis."""
    shown = visible(image_id)
    while len(shown) > most and "/" in shown:
        shown = shown.partition("/")[2]
    return shown if len(shown) <= most else "…" + shown[-most + 1 :]
