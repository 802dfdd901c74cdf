"""IoU and box of every image at every τ: what was stored comes back, in whatever pieces it was packed."""

import numpy as np
import pytest

from wsolbench.protocol.boxes import NO_BOX, box_iou, pack_boxes
from wsolbench.protocol.iou_steps import IouSteps
from wsolbench.protocol.per_image import BoxLists


def draw_curves(rng, thresholds, side):
    """Return the IoU and the box at every τ, (T,) and (T, 4), which change at few τ; None for an image without box."""
    if rng.random() < 0.1:
        return np.zeros(thresholds), None
    starts = np.unique(rng.integers(0, thresholds, rng.integers(1, 12)))
    steps = np.searchsorted(starts, np.arange(thresholds), side="right")
    corners = np.sort(rng.integers(0, side, (len(starts) + 1, 2, 2)), axis=1).reshape(-1, 4)
    return rng.random(len(starts) + 1)[steps], corners[steps]


@pytest.mark.parametrize("with_ious", [False, True])
@pytest.mark.parametrize(
    ("images", "thresholds", "corner"), [(2_345, 100, np.uint8), (40, 1_000, np.uint16), (1, 70_000, np.uint8)]
)
def test_what_was_stored_comes_back(images, thresholds, corner, with_ious):
    rng = np.random.default_rng(images)
    side = np.iinfo(corner).max + 1
    curves = {str(number): draw_curves(rng, thresholds, min(side, 1_000)) for number in range(images)}
    true = [np.array([[0, 0, 99, 99], [50, 20, side, side]])[: 1 + number % 2] for number in range(images)]
    parts = [IouSteps(thresholds, corner, with_ious=with_ious) for _ in range(3)]
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
        found = steps.at(place, list(curves), BoxLists.of(true))
        if with_ious:
            assert found.tolist() == [ious[place] for ious, _ in curves.values()]
        else:
            of_images = zip(curves.values(), true, strict=True)
            expected = [0 if boxes is None else box_iou(boxes[place, None], fit).max() for (_, boxes), fit in of_images]
            assert found.tolist() == expected
