"""Ways to group the images of a record: by size, place and number of their objects, and by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol import OBJECT_SIZES, box_centres, largest_boxes, size_classes
from wsolbench.protocol.per_image import BoxLists
from wsolbench.records import SplitOutcomes

__all__ = ["POSITIONS", "Grouping", "groupings_of"]

POSITIONS: Final = (
    *("top left", "top", "top right"),
    *("left", "centre", "right"),
    *("bottom left", "bottom", "bottom right"),
)
"""Cells of a 3×3 grid over the frame, row by row."""

_NUMBERS: Final = {"1": 1, "2": 2, "3-4": 3, "5+": 5}
"""Groups of numbers of objects, and the smallest of each."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which group each image is of.

    Attributes:
        names: G names.
        groups: (N,) places in `names`.
    """

    names: tuple[str, ...]
    groups: NDArray[np.intp]

    @property
    def counts(self) -> NDArray[np.intp]:
        """The number of images of each group, (G,)."""
        return np.bincount(self.groups, minlength=len(self.names))


def groupings_of(part: SplitOutcomes) -> Mapping[str, Grouping | str]:
    """Return the ways to group the images of a split, or why one is not known.

    - size: that of the largest true box, as a share of the frame.
    - position: the cell of a 3×3 grid over the frame in which the centre of the largest true box lies.
    - objects: the number of true boxes.
    - class: the name of each or, where the record has none, its label.

    Args:
        part: What happened to every image of a split with boxes.
    """
    older = "the record is older than {} in outcomes"
    sizes, boxes, labels = part.sizes, part.true_boxes, part.labels
    found: dict[str, Grouping | str] = {
        "size": older.format("sizes of objects"),
        "position": older.format("boxes"),
        "objects": older.format("boxes"),
        "class": older.format("labels"),
    }
    if sizes is not None:
        found["size"] = Grouping(tuple(OBJECT_SIZES), size_classes(sizes))
    if boxes is not None:
        cells = np.clip((box_centres(largest_boxes(boxes)) + 0.5) * 3 // part.frame, 0, 2).astype(np.intp)
        found["position"] = Grouping(POSITIONS, cells[:, 1] * 3 + cells[:, 0])
        numbers = BoxLists.of(boxes).counts
        found["objects"] = Grouping(tuple(_NUMBERS), np.digitize(numbers, list(_NUMBERS.values())[1:]))
    if labels is not None:
        present, groups = np.unique(labels, return_inverse=True)
        given = part.class_names or {}
        names = [given.get(label, f"class {label}") for label in present.tolist()]
        twice = {name for name in names if names.count(name) > 1}
        told = (
            f"{name} ({label})" if name in twice else name for name, label in zip(names, present.tolist(), strict=True)
        )
        found["class"] = Grouping(tuple(told), groups.astype(np.intp))
    return found
