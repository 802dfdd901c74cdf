"""Two sources of the same annotations, compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wsolbench.contract import Annotations, Finding, Severity
from wsolbench.errors import MissingFileError

__all__ = ["compare_annotations"]


def compare_annotations(counting: Annotations, other: Annotations, what: str) -> Iterator[Finding]:
    """Yield findings on whether two sources have the same images, boxes and sizes.

    Args:
        counting: The source that scores are computed with.
        other: The other one; images are skipped where it needs their file and the file is missing.
        what: The two, in this order, for the finding, such as ``the published lists and bounding_boxes.txt``.

    Raises:
        DataError: A box of the other source lies outside its image.
    """
    alone = sorted(counting.boxes.keys() ^ other.boxes.keys())
    if alone:
        yield Finding(Severity.ERROR, f"{what}: {len(alone):,} images are in one of them alone, such as '{alone[0]}'")
    compared, largest, differing = 0, 0, []
    for image_id in (image_id for image_id in counting.boxes if image_id in other.boxes):
        try:
            boxes, size = other.boxes[image_id], other.image_sizes[image_id]
        except MissingFileError:
            continue
        compared += 1
        mine = counting.boxes[image_id]
        if boxes.shape != mine.shape or (boxes != mine).any() or size != counting.image_sizes[image_id]:
            differing.append(image_id)
            same = boxes.shape == mine.shape
            largest = max(largest, int(np.abs(boxes - mine).max()) if same else largest)
    if not differing:
        yield Finding(Severity.NOTE, f"{what} agree on the boxes and sizes of all {compared:,} images")
        return
    first = differing[0]
    yield Finding(
        Severity.WARNING,
        f"{what} differ on {len(differing):,} of {compared:,} images, by at most {largest} pixels a corner, such as "
        f"'{first}': {counting.boxes[first].tolist()} counts, not {other.boxes[first].tolist()}",
    )
