"""Curves of box and IoU over τ of many images: they are most of what is kept of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol.boxes import NO_BOX, best_matches, unpack_boxes
from wsolbench.protocol.packed_rows import PackedRows
from wsolbench.protocol.per_image import BoxLists

__all__ = ["IouSteps"]


class IouSteps:
    """The box of an image at every τ, stored as its steps: few boxes differ among neighbouring τ.

    Args:
        num_thresholds: T, the number of τ.
        corner: The type of a box's corners.
        with_ious: Whether the IoU of every step is stored too; otherwise it follows from the boxes.
    """

    def __init__(self, num_thresholds: int, corner: type[np.unsignedinteger[Any]], *, with_ious: bool) -> None:
        # The first τ of a step, which is 0 for the first step of an image; the box from there to the next step.
        columns: list[Any] = [("start", np.min_scalar_type(num_thresholds)), ("box", corner, 4)]
        if with_ious:
            columns.append(("iou", np.float64))
        self._with_ious = with_ious
        self._rows = PackedRows(np.dtype(columns), ordered=("start", "box"))

    def add(self, image_id: str, ious: NDArray[np.float64], boxes: NDArray[np.uint64] | None) -> None:
        """Store the curves of one image, (T,) each, the boxes packed; without boxes there is no step."""
        if boxes is None:
            return
        changes = (boxes[1:] != boxes[:-1]).nonzero()[0]
        steps = np.empty(len(changes) + 1, dtype=self._rows.kind)
        starts = steps["start"]
        starts[0] = 0
        np.add(changes, 1, out=starts[1:], casting="unsafe")
        steps["box"] = unpack_boxes(boxes[starts])
        if self._with_ious:
            steps["iou"] = ious[starts]
        self._rows.add(image_id, steps)

    def merge(self, other: IouSteps) -> None:
        """Take over the steps of other images."""
        self._rows.merge(other._rows)

    def at(self, threshold_index: int, image_ids: Sequence[str], true_boxes: BoxLists) -> NDArray[np.float64]:
        """Return the IoU of every image at one τ, with that of its true boxes which fits best: (N,)."""
        if not self._with_ious:
            return best_matches(self.boxes_at(threshold_index, image_ids), true_boxes).ious
        found = np.zeros(len(image_ids), dtype=np.float64)
        for images, steps in self._begun(threshold_index, image_ids):
            found[images] = steps["iou"]  # of an image with several, the last is kept
        return found

    def boxes_at(self, threshold_index: int, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the box of every image at one τ, `NO_BOX` where there is none: (N, 4)."""
        found = np.tile(np.array(NO_BOX, dtype=np.int64), (len(image_ids), 1))
        for images, steps in self._begun(threshold_index, image_ids):
            found[images] = steps["box"]
        return found

    def _begun(
        self, threshold_index: int, image_ids: Sequence[str]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.void]]]:
        """Yield places of images, and as many steps that begin at a τ or before it, some images at a time."""
        for images, steps in self._rows.read(image_ids):
            begun = steps["start"] <= threshold_index
            yield images[begun], steps[begun]
