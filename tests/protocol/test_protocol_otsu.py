"""Maps that are cut by Otsu's method, against the method's own definition and OpenCV's contours of each cut."""

import numpy as np
import pytest
import reference_oracle as oracle
from scoremap_zoo import KINDS, draw_boxes, draw_map, realistic_map

from wsolbench.protocol import BoxEvaluator, best_iou_curves, cam_threshold_grid, fix_threshold, score_at_otsu
from wsolbench.protocol.rules import fixed_threshold, rule_of

GRID = cam_threshold_grid(0.05)


def best(image, level, boxes, multi):
    predicted = oracle.boxes_above(image, level, multi)
    return max(oracle.plain_iou(box, tuple(true)) for box in predicted for true in boxes.tolist())


def assert_like_oracle(scoremap, boxes):
    found = best_iou_curves(scoremap, boxes, GRID, otsu=True).otsu
    image = (scoremap.astype(np.float64) * 255).astype(np.uint8)
    level = round(found.threshold * int(image.max()))
    largest = oracle.otsu_variance(image, oracle.otsu_level(image))
    assert oracle.otsu_variance(image, level) == pytest.approx(largest, rel=1e-6)
    assert found.single == best(image, level, boxes, multi=False)
    assert found.multi == best(image, level, boxes, multi=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_is_cut_at_the_level_of_the_largest_variance_between_its_parts(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(4):
        scoremap = draw_map(rng, kind)
        assert_like_oracle(scoremap, draw_boxes(rng, scoremap.shape[::-1]))


def test_a_map_of_the_frames_size_is_cut_so_too():
    assert_like_oracle(realistic_map(9, 12), np.array([[30, 40, 150, 160]]))


def test_curves_are_the_same_with_and_without_otsu():
    scoremap, boxes = realistic_map(3, 7), np.array([[30, 40, 150, 160]])
    plain, also = best_iou_curves(scoremap, boxes, GRID), best_iou_curves(scoremap, boxes, GRID, otsu=True)
    assert plain.otsu is None
    np.testing.assert_array_equal(plain.single, also.single)
    np.testing.assert_array_equal(plain.multi, also.multi)


def test_a_map_of_zeros_has_no_foreground():
    found = best_iou_curves(np.zeros((9, 9)), np.array([[0, 0, 0, 0]]), GRID, otsu=True).otsu
    assert (found.threshold, found.single, found.multi) == (0, 1, 1)  # the box [0, 0, 0, 0] of a map without contour


def test_parts_of_a_split_are_merged_with_their_cuts():
    rng = np.random.default_rng(0)
    maps = {name: realistic_map(number, 8) for number, name in enumerate("abcd")}
    boxes, sizes = {name: draw_boxes(rng, (224, 224)) for name in maps}, dict.fromkeys(maps, (224, 224))
    whole, left, right = (BoxEvaluator(boxes, sizes, 0.05, otsu=True) for _ in range(3))
    for name, scoremap in maps.items():
        whole.update(scoremap, name)
        (left if name in "bd" else right).update(scoremap, name)
    expected, merged = whole.compute(), left.merge(right).compute()
    np.testing.assert_array_equal(merged.otsu.thresholds, expected.otsu.thresholds)
    np.testing.assert_array_equal(merged.otsu.ious["multi"], expected.otsu.ious["multi"])
    scores = score_at_otsu(expected.otsu)
    right_ones = [best_iou_curves(maps[name], boxes[name], GRID, otsu=True).otsu.single >= 0.5 for name in maps]
    assert scores.box_acc == 25 * sum(right_ones)
    assert scores.box_acc_v2 == pytest.approx(sum(scores.box_acc_by_iou.values()) / 3)


@pytest.mark.parametrize("step", [0.001, 0.01, 0.1])
def test_a_fixed_threshold_has_its_place_in_the_grid(step):
    grid = cam_threshold_grid(step)
    selection = fix_threshold(grid, 0.3)
    assert selection.single_threshold == pytest.approx(0.3)
    assert set(selection.multi_index.values()) == {selection.single_index}


def test_rules_have_one_name_each():
    assert [rule_of(0.2), rule_of(0.25), rule_of("otsu")] == ["fixed-0.2", "fixed-0.25", "otsu"]
    assert fixed_threshold("fixed-0.25") == 0.25
    assert [fixed_threshold(name) for name in ("otsu", "fixed-1", "fixed-0.20", "0.2", "fixed-nan")] == [None] * 5
