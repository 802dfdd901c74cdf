"""IoU and box of every image at every τ: what was stored comes back, in whatever pieces it was packed."""

import numpy as np
import pytest

from wsolbench.protocol.boxes import NO_BOX, pack_boxes
from wsolbench.protocol.iou_steps import IouSteps


def draw_curves(rng, thresholds, side):
    """Return the IoU and the box at every τ, (T,) and (T, 4), which change at few τ; None for an image without box."""
    if rng.random() < 0.1:
        return np.zeros(thresholds), None
    starts = np.unique(rng.integers(0, thresholds, rng.integers(1, 12)))
    steps = np.searchsorted(starts, np.arange(thresholds), side="right")
    return rng.random(len(starts) + 1)[steps], rng.integers(0, side, (len(starts) + 1, 4))[steps]


@pytest.mark.parametrize(
    ("images", "thresholds", "corner"), [(2_345, 100, np.uint8), (40, 1_000, np.uint16), (1, 70_000, np.uint8)]
)
def test_what_was_stored_comes_back(images, thresholds, corner):
    rng = np.random.default_rng(images)
    side = np.iinfo(corner).max + 1
    curves = {str(number): draw_curves(rng, thresholds, min(side, 1_000)) for number in range(images)}
    parts = [IouSteps(thresholds, corner) for _ in range(3)]
    for number in rng.permutation(images):
        ious, boxes = curves[str(number)]
        packed = None if boxes is None else pack_boxes(boxes.astype(np.int32))
        parts[number % 3 if images > 1 else 0].add(str(number), ious, packed)
    steps, *others = parts
    for other in others:
        steps.merge(other)
    for place in (0, thresholds // 3, thresholds - 1):
        expected = [NO_BOX if boxes is None else tuple(boxes[place]) for _, boxes in curves.values()]
        assert list(map(tuple, steps.boxes_at(place, list(curves)))) == expected
        expected = [np.float32(ious[place]) for ious, _ in curves.values()]
        assert steps.at(place, list(curves)).tolist() == expected
