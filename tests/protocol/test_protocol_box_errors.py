"""Kinds of errors of boxes, against their definitions read one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_oracle import plain_iou

from wsolbench.protocol import NO_BOX, best_matches
from wsolbench.protocol.box_errors import KINDS, compare_boxes

TRUE = (50, 50, 99, 99)
"""50 × 50 pixels."""


@pytest.mark.parametrize(
    ("predicted", "others", "kind"),
    [
        (TRUE, [], "right"),
        ((50, 50, 99, 74), [], "right"),  # just half of it
        (NO_BOX, [], "no box"),
        ((0, 0, 0, 0), [], "no box"),
        ((0, 0, 49, 49), [], "elsewhere"),
        ((50, 50, 99, 73), [], "too small"),
        ((50, 50, 99, 150), [], "too large"),
        ((75, 50, 124, 99), [], "off-centre"),
        ((50, 50, 149, 59), [], "too small"),
        ((25, 69, 124, 93), [], "wrong shape"),  # 100 × 25: shares 50 × 25 with its centre there too
        ((50, 50, 199, 99), [(150, 50, 199, 99)], "several objects"),
        ((50, 50, 199, 99), [], "too large"),
    ],
)
def test_known_errors(predicted, others, kind):
    found = compare_boxes(np.array([predicted]), [np.array([TRUE, *others])])
    assert KINDS[found.kinds[0]] == kind


def sides(box):
    return box[2] - box[0] + 1, box[3] - box[1] + 1


def literal(predicted, boxes):
    """Return kind, IoU, ratio of areas and distance of centres of one image."""
    centre = lambda box: np.array([box[0] + box[2], box[1] + box[3]]) / 2  # noqa: E731
    gap = lambda box: np.linalg.norm(centre(predicted) - centre(box))  # noqa: E731
    overlap = lambda box: 0 if predicted == NO_BOX else plain_iou(predicted, box)  # noqa: E731
    best = min(boxes, key=lambda box: (-overlap(box), gap(box)))
    iou, (width, height), (own_width, own_height) = overlap(best), sides(best), sides(predicted)
    ratio, distance = own_width * own_height / (width * height), gap(best) / (np.hypot(width, height) / 2)
    shared = min(width, own_width) * min(height, own_height)
    centred = shared / (width * height + own_width * own_height - shared)
    around = [f(box[place] for box in boxes) for place, f in enumerate((min, min, max, max))]
    if iou >= 0.5:
        return "right", iou, ratio, distance
    if predicted in (NO_BOX, (0, 0, 0, 0)):
        return "no box", iou, np.nan, np.nan
    if iou == 0:
        kind = "elsewhere"
    elif len(boxes) > 1 and plain_iou(predicted, tuple(around)) >= 0.5:
        kind = "several objects"
    elif ratio < 0.5:
        kind = "too small"
    elif ratio > 2:
        kind = "too large"
    else:
        kind = "off-centre" if centred >= 0.5 else "wrong shape"
    return kind, iou, ratio, distance


corners = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)


@given(
    st.lists(st.tuples(corners | st.just(NO_BOX), st.lists(corners, min_size=1, max_size=3)), min_size=1, max_size=5)
)
def test_every_error_is_as_its_definition_says(images):
    found = compare_boxes(np.array([box for box, _ in images]), [np.array(boxes) for _, boxes in images])
    assert np.bincount(found.kinds, minlength=len(KINDS)).sum() == len(images)
    for place, (predicted, boxes) in enumerate(images):
        kind, iou, ratio, distance = literal(predicted, boxes)
        assert KINDS[found.kinds[place]] == kind
        numbers = [found.ious[place], found.ratios[place], found.distances[place]]
        np.testing.assert_allclose(numbers, [iou, *([np.nan] * 2 if kind == "no box" else [ratio, distance])])


def test_of_boxes_that_fit_alike_the_nearest_is_taken():
    true = np.array([[0, 0, 9, 9], [30, 0, 39, 9], [30, 0, 39, 9]])
    found = best_matches(np.array([[20, 0, 24, 4]]), [true])
    assert (found.boxes.tolist(), found.ious.tolist()) == ([[30, 0, 39, 9]], [0])
