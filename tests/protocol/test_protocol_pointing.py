"""The pointing games against loops over pixels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsolbench.protocol import Pointing, point_at_boxes, point_at_mask, to_scoremap

SIDE = 30
SCORES = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 8)).map(
    lambda drawn: (np.random.default_rng(drawn[0]).integers(0, drawn[1], (SIDE, SIDE)) / 8).astype(np.float32)
)
CORNERS = st.tuples(*[st.integers(0, SIDE - 1)] * 4).map(
    lambda c: [min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])]
)
BOXES = st.lists(CORNERS, min_size=1, max_size=3)


def covered_by(boxes, shape=(SIDE, SIDE)):
    """Return the pixels (y, x) that boxes cover."""
    return {
        (y, x)
        for y in range(shape[0])
        for x in range(shape[1])
        if any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in boxes)
    }


def pointing(scoremap, pixels, ignored=frozenset()):
    """Return the pointing games, pixel by pixel."""
    rows = scoremap.astype(np.float64).tolist()
    everywhere = [(y, x) for y in range(len(rows)) for x in range(len(rows[0]))]
    counted = [pixel for pixel in everywhere if pixel in pixels or pixel not in ignored]
    total = math.fsum(rows[y][x] for y, x in counted)
    energy = math.fsum(rows[y][x] for y, x in pixels) / total if total else 0.0
    highest = max(rows[y][x] for y, x in everywhere)
    if highest == min(rows[y][x] for y, x in everywhere):
        return Pointing(False, False, pytest.approx(energy))
    y, x = next(pixel for pixel in everywhere if rows[pixel[0]][pixel[1]] == highest)
    nearest = min((math.dist((y, x), pixel) for pixel in pixels), default=math.inf)
    return Pointing(nearest == 0, nearest <= 15, pytest.approx(energy))


@settings(max_examples=30)
@given(SCORES, BOXES)
def test_points_and_energy_at_boxes_are_those_of_loops_over_pixels(scoremap, boxes):
    assert point_at_boxes(scoremap, np.array(boxes)) == pointing(scoremap, covered_by(boxes))


@settings(max_examples=30)
@given(SCORES, BOXES, BOXES, st.booleans())
def test_points_and_energy_at_a_mask_are_those_of_loops_over_pixels(scoremap, boxes, others, has_ignored):
    foreground, ignored = (np.zeros((SIDE, SIDE), dtype=bool) for _ in range(2))
    foreground[tuple(np.transpose(sorted(covered_by(boxes))))] = True
    ignored[tuple(np.transpose(sorted(covered_by(others))))] = True
    found = point_at_mask(scoremap, foreground, ignored if has_ignored else None)
    assert found == pointing(scoremap, covered_by(boxes), covered_by(others) if has_ignored else frozenset())


@settings(max_examples=30)
@given(SCORES, BOXES, CORNERS)
def test_another_true_box_never_costs_a_point(scoremap, boxes, another):
    fewer, more = (point_at_boxes(scoremap, np.array(given)) for given in (boxes, [*boxes, another]))
    assert fewer.exact <= more.exact
    assert fewer.near <= more.near
    assert fewer.energy <= more.energy + 1e-6
    assert more.exact <= more.near


@pytest.mark.parametrize(("distance", "near"), [(15, True), (16, False)])
def test_the_tolerance_is_fifteen_pixels_along_a_straight_line(distance, near):
    scoremap = np.zeros((224, 224), dtype=np.float32)
    scoremap[100, 100] = 1
    box = np.array([[100 + distance, 90, 200, 110]])
    assert point_at_boxes(scoremap, box) == Pointing(False, near, 0.0)
    diagonal = np.array([[111, 111, 200, 200]])  # 11² + 11² = 242 > 225
    assert not point_at_boxes(scoremap, diagonal).near


def test_the_energy_of_a_whole_frame_is_all_of_it_and_of_zeros_none():
    scoremap = to_scoremap(np.random.default_rng(0).random((7, 7)))
    assert point_at_boxes(scoremap, np.array([[0, 0, 223, 223]])) == Pointing(True, True, 1.0)
    assert point_at_boxes(np.zeros_like(scoremap), np.array([[0, 0, 223, 223]])) == Pointing(False, False, 0.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_maps_of_every_type_and_layout_point(dtype, order):
    scoremap = np.asarray(np.random.default_rng(1).random((SIDE, SIDE)), dtype=dtype, order=order)
    box = [[3, 5, 20, 30]]
    assert point_at_boxes(scoremap, np.array(box)) == pointing(scoremap, covered_by(box))
