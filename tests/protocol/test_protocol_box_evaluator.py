from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference_oracle as oracle
from box_results import from_curves
from hypothesis import given, settings
from hypothesis import strategies as st
from scoremap_zoo import KINDS, draw_boxes, draw_map

from wsolbench.errors import DataError, ScoremapError, UsageError
from wsolbench.protocol import IOU_THRESHOLDS, MODES, BoxEvaluator, MaskEvaluator, size_classes, to_scoremap


def draw_data(seed, per_kind=2):
    rng = np.random.default_rng(seed)
    scoremaps, boxes, sizes = {}, {}, {}
    for number, kind in enumerate(KINDS * per_kind):
        image_id = f"{kind}/{number}.jpg"
        scoremaps[image_id] = draw_map(rng, kind)
        sizes[image_id] = (int(rng.integers(1, 600)), int(rng.integers(1, 600)))
        boxes[image_id] = draw_boxes(rng, sizes[image_id])
    return scoremaps, boxes, sizes


def fill(evaluator, scoremaps):
    for image_id, scoremap in scoremaps.items():
        evaluator.update(scoremap, image_id)
    return evaluator


def assert_equal_results(a, b):
    assert a.image_ids == b.image_ids
    for mode in MODES:
        for delta in IOU_THRESHOLDS:
            assert np.array_equal(a.counts[mode][delta], b.counts[mode][delta])
            assert np.array_equal(a.runs[mode][delta], b.runs[mode][delta])


@pytest.mark.parametrize(("interval", "per_kind"), [(0.01, 4), (0.001, 1)])
def test_counts_equal_the_oracle_at_every_threshold(interval, per_kind):
    scoremaps, boxes, sizes = draw_data(5, per_kind)
    result = fill(BoxEvaluator(boxes, sizes, interval, frame=None), scoremaps).compute()
    for mode in MODES:
        expected = oracle.counts(scoremaps, boxes, sizes, result.thresholds, multi=mode == "multi")
        for delta in IOU_THRESHOLDS:
            assert result.counts[mode][delta].tolist() == expected[delta]


def test_numbers_by_hand():
    result = from_curves(
        {
            "a": ([0.1, 0.5, 0.2, 0.0], [0.3, 0.5, 0.7, 0.0]),
            "b": ([0.6, 0.4, 0.5, 0.5], [0.3, 0.4, 0.1, 0.9]),
        }
    )
    assert result.num_images == 2
    assert result.thresholds.tolist() == [0, 0.25, 0.5, 0.75]
    assert result.counts["single"][0.5].tolist() == [1, 1, 1, 1]
    assert result.counts["multi"][0.3].tolist() == [2, 2, 1, 1]
    assert result.box_acc("multi", 0.7).tolist() == [0, 0, 50, 50]
    assert result.max_box_acc == 50
    assert result.max_box_acc_by_iou == {0.3: 100, 0.5: 50, 0.7: 50}
    assert result.max_box_acc_v2 == pytest.approx(200 / 3)
    assert result.outcomes["single"][0.5] == {"a": ((1, 2),), "b": ((0, 1), (2, 4))}
    assert result.outcomes["multi"][0.7] == {"a": ((2, 3),), "b": ((3, 4),)}
    assert result.is_correct("single", 0.5, 1).tolist() == [True, False]
    assert result.is_correct("multi", 0.3, 0).tolist() == [True, True]


def test_v2_takes_the_best_threshold_of_each_delta():
    result = from_curves({"a": ([0] * 4, [0.3, 0.6, 0.1, 0.1]), "b": ([0] * 4, [0.3, 0.1, 0.9, 0.1])})
    best = {delta: int(result.box_acc("multi", delta).argmax()) for delta in IOU_THRESHOLDS}
    assert best == {0.3: 0, 0.5: 1, 0.7: 2}
    assert result.max_box_acc_v2 == pytest.approx((100 + 50 + 50) / 3)


def test_outcomes_agree_with_counts():
    scoremaps, boxes, sizes = draw_data(6)
    result = fill(BoxEvaluator(boxes, sizes, 0.01, frame=None), scoremaps).compute()
    assert result.image_ids == tuple(boxes)
    for mode in MODES:
        for delta in IOU_THRESHOLDS:
            correct = np.stack([result.is_correct(mode, delta, index) for index in range(len(result.thresholds))])
            assert correct.sum(axis=1).tolist() == result.counts[mode][delta].tolist()
            assert list(result.outcomes[mode][delta]) == list(boxes)
            lengths = [sum(stop - start for start, stop in runs) for runs in result.outcomes[mode][delta].values()]
            assert correct.sum(axis=0).tolist() == lengths


@settings(max_examples=25, deadline=None)
@given(
    split=st.lists(st.integers(0, 2), min_size=len(KINDS), max_size=len(KINDS)),
    order=st.permutations(range(len(KINDS))),
)
def test_merging_any_split_in_any_order_equals_one(split, order):
    scoremaps, boxes, sizes = draw_data(7, per_kind=1)
    whole = fill(BoxEvaluator(boxes, sizes, 0.05, frame=None), scoremaps).compute()
    parts = [BoxEvaluator(boxes, sizes, 0.05, frame=None) for _ in range(3)]
    image_ids = list(boxes)
    for number in order:
        parts[split[number]].update(scoremaps[image_ids[number]], image_ids[number])
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert_equal_results(parts[2].compute(), whole)


def test_scoring_in_threads_equals_one():
    scoremaps, boxes, sizes = draw_data(8)
    whole = fill(BoxEvaluator(boxes, sizes, 0.01, frame=None), scoremaps).compute()
    threaded = BoxEvaluator(boxes, sizes, 0.01, frame=None)
    with ThreadPoolExecutor(4) as pool:
        futures = {image_id: pool.submit(threaded.score, scoremaps[image_id], image_id) for image_id in boxes}
    for image_id, future in futures.items():
        threaded.add(image_id, future.result())
    assert_equal_results(threaded.compute(), whole)


def toy(ids="abcde", interval=0.1):
    boxes = {image_id: np.array([[0, 0, 1, 1]]) for image_id in ids}
    return BoxEvaluator(boxes, dict.fromkeys(ids, (4, 4)), interval, frame=None)


def test_missing_images_are_counted_and_named():
    evaluator = toy()
    evaluator.update(np.eye(4), "b")
    with pytest.raises(ScoremapError, match=r"4 of 5 images have no scoremap: 'a', 'c', 'd', \.\.\.; update with"):
        evaluator.compute()


def test_unknown_image_is_an_error():
    with pytest.raises(UsageError, match=r"'z' is not one of the 5 .*; name one of those"):
        toy().update(np.eye(4), "z")
    with pytest.raises(UsageError, match="'z'"):
        toy().score(np.eye(4), "z")


def test_second_update_is_an_error():
    evaluator = toy()
    evaluator.update(np.eye(4), "a")
    with pytest.raises(UsageError, match="'a' has already been evaluated; give each image one scoremap, once"):
        evaluator.update(np.eye(4), "a")


def test_refused_scoremap_leaves_its_image_missing():
    evaluator = toy("a")
    with pytest.raises(ScoremapError, match="'a'"):
        evaluator.update(np.full((4, 4), np.nan), "a")
    evaluator.update(np.eye(4), "a")
    assert evaluator.compute().num_images == 1


def test_curves_of_another_grid_are_an_error():
    curves = toy(interval=0.2).score(np.eye(4), "a")
    with pytest.raises(UsageError, match=r"\(10,\), got \(5,\)"):
        toy().add("a", curves)


def test_merge_with_overlap_is_an_error_and_changes_nothing():
    left, right = toy("ab"), toy("ab")
    left.update(np.eye(4), "b")
    right.update(np.eye(4), "a")
    right.update(np.eye(4), "b")
    with pytest.raises(UsageError, match="'b' has already"):
        left.merge(right)
    left.update(np.eye(4), "a")
    assert left.compute().num_images == 2


@pytest.mark.parametrize(
    "other",
    [
        toy("abc"),
        toy("ab", 0.2),
        BoxEvaluator(
            {"a": np.array([[0, 0, 1, 2]]), "b": np.array([[0, 0, 1, 1]])}, {"a": (4, 4), "b": (4, 4)}, 0.1, frame=None
        ),
        BoxEvaluator({i: np.array([[0, 0, 1, 1]]) for i in "ab"}, {"a": (4, 4), "b": (4, 5)}, 0.1, frame=None),
        MaskEvaluator("ab", 0.1, frame=None),
    ],
    ids=["images", "interval", "boxes", "sizes", "kind"],
)
def test_merge_of_other_settings_is_an_error(other):
    with pytest.raises(UsageError, match=r"merged only .*; build each from the annotations of all images"):
        toy("ab").merge(other)


def test_merges_chain_and_the_order_of_images_does_not_matter():
    parts = [toy(ids) for ids in ("abc", "cab", "bca")]
    for part, image_id in zip(parts, "abc", strict=True):
        part.update(np.eye(4), image_id)
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert merged is parts[0]
    whole = toy("abc")
    assert_equal_results(merged.compute(), fill(whole, dict.fromkeys("abc", np.eye(4))).compute())


@pytest.mark.parametrize(
    "sizes", [{}, {"a": (0, 4)}, {"a": (4, -1)}, {"a": (4.5, 4)}, {"a": (10**30, 4)}, {"a": (float("nan"), 4)}]
)
def test_missing_or_impossible_size_is_an_error(sizes):
    with pytest.raises(DataError, match="size of 'a'"):
        BoxEvaluator({"a": np.array([[0, 0, 1, 1]])}, sizes, frame=None)


def test_malformed_boxes_are_an_error():
    with pytest.raises(DataError, match="boxes of 'a'"):
        BoxEvaluator({"a": np.array([[2, 0, 1, 1]])}, {"a": (4, 4)}, frame=None)


def test_no_image_is_an_error():
    with pytest.raises(DataError, match="no image"):
        BoxEvaluator({}, {}, frame=None)


def test_outcomes_outside_the_protocol_are_an_error():
    result = from_curves({"a": ([0] * 4, [0] * 4)})
    with pytest.raises(UsageError, match="'both'"):
        result.box_acc("both", 0.5)
    with pytest.raises(UsageError, match=r"0\.4"):
        result.is_correct("multi", 0.4, 0)
    for index in (-1, 4):
        with pytest.raises(UsageError, match="0 to 3"):
            result.is_correct("multi", 0.5, index)


def test_a_map_of_another_size_is_resized_and_normalised_as_everywhere_else():
    rng = np.random.default_rng(0)
    boxes = {f"{number}": np.array([[20 * number, 10, 20 * number + 99, 140]]) for number in range(6)}
    sizes = dict.fromkeys(boxes, (300, 200))
    raw = {image_id: rng.normal(size=(14, 14)).cumsum(0).cumsum(1) for image_id in boxes}
    expected = fill(BoxEvaluator(boxes, sizes), {i: to_scoremap(raw_map) for i, raw_map in raw.items()}).compute()
    assert_equal_results(fill(BoxEvaluator(boxes, sizes), raw).compute(), expected)
    low = {i: (raw_map - raw_map.min()) / np.ptp(raw_map) for i, raw_map in raw.items()}
    assert fill(BoxEvaluator(boxes, sizes), low).compute().max_box_acc_v2 == pytest.approx(expected.max_box_acc_v2)
    assert fill(BoxEvaluator(boxes, sizes, frame=None), low).compute().max_box_acc_v2 != expected.max_box_acc_v2


def test_a_map_of_the_frame_is_scored_as_it_is():
    """A map of ones in the frame predicts the whole image; a raw map of ones holds no score."""
    for side, accuracy in ((224, 100.0), (14, 0.0)):
        evaluator = BoxEvaluator({"a": np.array([[0, 0, 99, 99]])}, {"a": (100, 100)})
        evaluator.update(np.ones((side, side)), "a")
        assert evaluator.compute().max_box_acc == accuracy
    with pytest.raises(ScoremapError, match="min-max it to"):
        BoxEvaluator({"a": np.array([[0, 0, 99, 99]])}, {"a": (100, 100)}).update(np.full((224, 224), 2.0), "a")


@pytest.mark.parametrize("frame", [(16, 12), None])
@given(seed=st.integers(0, 2**32 - 1), thresholds=st.integers(1, 12))
def test_the_iou_of_every_image_at_every_threshold_is_that_of_its_curve(frame, seed, thresholds):
    random = np.random.default_rng(seed)
    corners = {f"{number}": random.integers(0, 20, (number + 1, 2, 2)) for number in range(4)}
    boxes = {image_id: np.sort(of_image, axis=1).reshape(-1, 4) for image_id, of_image in corners.items()}
    evaluator = BoxEvaluator(boxes, dict.fromkeys(boxes, (20, 25)), 1 / thresholds, frame)
    curves = {}
    for image_id in random.permutation(list(boxes)).tolist():
        curves[image_id] = evaluator.score(random.random((12, 16)).round(1), image_id)
        evaluator.add(image_id, curves[image_id])
    result = evaluator.compute()
    for place in range(thresholds):
        assert result.iou(place).tolist() == [curves[image_id].single[place] for image_id in boxes]


def test_an_object_is_as_large_as_the_largest_of_its_boxes_in_the_frame():
    boxes = {"one": np.array([[0, 0, 9, 4]]), "two": np.array([[0, 0, 0, 0], [5, 0, 9, 9]])}
    evaluator = BoxEvaluator(boxes, dict.fromkeys(boxes, (10, 10)))
    for image_id in boxes:
        evaluator.update(np.zeros((224, 224), dtype=np.float32), image_id)
    # int(9 * 224 / 10) = 201, int(4 * 224 / 10) = 89, int(5 * 224 / 10) = 112
    assert evaluator.compute().sizes.tolist() == [202 * 90 / 224**2, 90 * 202 / 224**2]


@pytest.mark.parametrize(("size", "place"), [(0, 0), (0.0999, 0), (0.1, 1), (0.3, 2), (0.4999, 2), (0.5, 3), (1, 3)])
def test_a_lower_edge_belongs_to_its_size(size, place):
    assert size_classes(np.array([size])).tolist() == [place]
