import numpy as np
import pytest
import reference_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scoremap_zoo import KINDS, draw_boxes, draw_map, realistic_map

from wsolbench.protocol import best_iou_curves, boxes_at, cam_threshold_grid


def assert_like_oracle(scoremap, boxes, thresholds):
    curves = best_iou_curves(scoremap, boxes, thresholds)
    assert curves.single.tolist() == oracle.best_ious(scoremap, boxes, thresholds, multi=False)
    assert curves.multi.tolist() == oracle.best_ious(scoremap, boxes, thresholds, multi=True)


@pytest.mark.parametrize("kind", KINDS)
def test_curves_equal_the_oracle_on_small_maps(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(40):
        scoremap = draw_map(rng, kind)
        boxes = draw_boxes(rng, scoremap.shape[::-1])
        assert_like_oracle(scoremap, boxes, cam_threshold_grid(0.01))


@pytest.mark.parametrize("kind", KINDS)
def test_curves_equal_the_oracle_on_the_fine_grid(kind):
    rng = np.random.default_rng(100 + KINDS.index(kind))
    for _ in range(4):
        scoremap = draw_map(rng, kind)
        boxes = draw_boxes(rng, scoremap.shape[::-1])
        assert_like_oracle(scoremap, boxes, cam_threshold_grid(0.001))


@pytest.mark.parametrize("side", [7, 12, 28])
def test_curves_equal_the_oracle_on_full_frames(side):
    rng = np.random.default_rng(side)
    for dtype in (np.float32, np.float64):
        scoremap = realistic_map(side, side).astype(dtype)
        assert_like_oracle(scoremap, draw_boxes(rng, (224, 224)), cam_threshold_grid(0.01))
    assert_like_oracle(realistic_map(side + 1, side), draw_boxes(rng, (224, 224), 1), cam_threshold_grid(0.001))


@settings(max_examples=150, deadline=None)
@given(
    scoremap=npst.arrays(
        np.float64, npst.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 0.2, 0.5, 1])
    ),
    tau=st.floats(0, 1, exclude_max=True),
)
def test_predicted_boxes_equal_the_oracle(scoremap, tau):
    single, multi = boxes_at(scoremap, tau)
    assert [tuple(single.tolist())] == oracle.predicted_boxes(scoremap, tau, multi=False)
    assert [tuple(box) for box in multi.tolist()] == oracle.predicted_boxes(scoremap, tau, multi=True)


def test_unimodal_map_by_hand():
    scoremap = np.array(
        [
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.4, 0.8, 0.4, 0.0],
            [0.0, 0.4, 1.0, 0.4, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
        ]
    )
    assert boxes_at(scoremap, 0.0)[0].tolist() == [1, 1, 4, 3]
    assert boxes_at(scoremap, 0.5)[0].tolist() == [2, 1, 3, 3]
    assert boxes_at(scoremap, 0.9)[0].tolist() == [2, 2, 3, 3]
    curves = best_iou_curves(scoremap, np.array([[1, 1, 3, 2]]), np.array([0.0, 0.5, 0.9]))
    assert curves.single.tolist() == [6 / 12, 4 / 8, 2 / 8]
    assert curves.multi.tolist() == curves.single.tolist()


def test_multimodal_map_by_hand():
    scoremap = np.array(
        [
            [1.0, 1.0, 0.0, 0.0, 0.0],
            [1.0, 1.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.5, 0.0],
        ]
    )
    single, multi = boxes_at(scoremap, 0.1)
    assert single.tolist() == [0, 0, 2, 2]
    assert sorted(multi.tolist()) == [[0, 0, 2, 2], [3, 3, 4, 3]]
    curves = best_iou_curves(scoremap, np.array([[3, 3, 4, 3]]), np.array([0.1, 0.6]))
    assert curves.single.tolist() == [0.0, 0.0]
    assert curves.multi.tolist() == [1.0, 0.0]


def test_box_ends_one_pixel_past_the_contour_but_inside_the_map():
    scoremap = np.zeros((4, 6))
    scoremap[1:3, 2:4] = 1
    assert boxes_at(scoremap, 0.0)[0].tolist() == [2, 1, 4, 3]
    assert boxes_at(np.ones((4, 6)), 0.5)[0].tolist() == [0, 0, 5, 3]


def test_hole_contour_predicts_a_box_in_multi_mode_only():
    scoremap = np.ones((7, 7))
    scoremap[3, 3] = 0
    single, multi = boxes_at(scoremap, 0.5)
    assert single.tolist() == [0, 0, 6, 6]
    assert sorted(multi.tolist()) == [[0, 0, 6, 6], [2, 2, 5, 5]]


def test_equal_areas_go_to_the_last_component_in_raster_order():
    scoremap = np.zeros((3, 9))
    scoremap[1, [1, 4, 7]] = 1
    assert boxes_at(scoremap, 0.5)[0].tolist() == [7, 1, 8, 2]


@pytest.mark.parametrize("tau", [0.0, 0.5])
def test_all_zero_map_predicts_the_corner_pixel(tau):
    single, multi = boxes_at(np.zeros((5, 4)), tau)
    assert single.tolist() == [0, 0, 0, 0]
    assert multi.tolist() == [[0, 0, 0, 0]]
    curves = best_iou_curves(np.zeros((5, 4)), np.array([[0, 0, 1, 0]]), cam_threshold_grid(0.1))
    assert curves.single.tolist() == curves.multi.tolist() == [0.5] * 10


def test_threshold_of_one_leaves_no_foreground():
    assert boxes_at(np.ones((5, 4)), 1.0)[1].tolist() == [[0, 0, 0, 0]]
    curves = best_iou_curves(np.ones((5, 4)), np.array([[0, 0, 3, 4]]), np.array([0.0, 1.0, 2.0]))
    assert curves.multi.tolist() == [1.0, 1 / 20, 1 / 20]


def test_narrow_floats_are_quantised_in_float64():
    halves = np.arange(0x3C01, dtype=np.uint16).view(np.float16)
    rounded_up = halves[
        (halves * np.float16(255)).astype(np.uint8) > (halves.astype(np.float64) * 255).astype(np.uint8)
    ]
    assert len(rounded_up)
    for value in rounded_up[:: len(rounded_up) // 20]:
        scoremap = np.array([[value, 0], [0, 1]], dtype=np.float16)
        tau = int(np.float64(value) * 255) / 255  # foreground must lie above the level that the value truncates to
        assert boxes_at(scoremap, tau)[1].tolist() == boxes_at(scoremap.astype(np.float64), tau)[1].tolist()
        assert boxes_at(scoremap, tau)[1].tolist() == [[1, 1, 1, 1]]


def test_memory_layout_does_not_matter():
    rng = np.random.default_rng(3)
    scoremap, boxes, grid = draw_map(rng, "smooth", (30, 20)), draw_boxes(rng, (20, 30)), cam_threshold_grid(0.01)
    expected = best_iou_curves(scoremap, boxes, grid)
    for same in (np.asfortranarray(scoremap), np.repeat(scoremap, 2, axis=1)[:, ::2]):
        assert best_iou_curves(same, boxes, grid).multi.tolist() == expected.multi.tolist()
