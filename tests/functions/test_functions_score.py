"""``wsolbench.score``: maps in memory against boxes and masks, exactly as stored ones are scored."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import wsolbench
from wsolbench.api import DataError, ScoremapError, UsageError
from wsolbench.protocol import BoxEvaluator, MaskEvaluator, to_scoremap

COUNT = 20


@pytest.fixture
def made():
    """Raw maps, boxes and sizes of a few images."""
    random = np.random.default_rng(0)
    ids = [f"{number:02d}.jpg" for number in range(COUNT)]
    maps = {image_id: random.normal(size=(7, 9)) for image_id in ids}
    sizes = {
        image_id: (int(w), int(h)) for image_id, (w, h) in zip(ids, random.integers(50, 90, (COUNT, 2)), strict=True)
    }
    boxes = {image_id: np.array([[5, 8, 30, 35], [2, 2, 40, 12]]) for image_id in ids}
    return maps, boxes, sizes


def evaluated(maps, boxes, sizes):
    evaluator = BoxEvaluator(boxes, sizes, 0.01)
    for image_id, raw_map in maps.items():
        evaluator.update(to_scoremap(raw_map), image_id)
    return evaluator.compute()


def test_raw_maps_of_any_size_score_as_the_protocol_says(made):
    expected = evaluated(*made)
    record = wsolbench.score(*made, threshold_step=0.01)
    assert record.metrics.max_box_acc == expected.max_box_acc
    assert record.metrics.max_box_acc_v2 == expected.max_box_acc_v2
    assert record.outcomes[0].image_ids == tuple(made[0])
    np.testing.assert_array_equal(record.curves()["single", 0.5], expected.box_acc("single", 0.5))
    low, high = record.intervals.metrics["max_box_acc"]
    assert low <= expected.max_box_acc <= high
    assert record.metrics.fullsup_box_acc is None


def test_scoremaps_of_the_frame_are_scored_as_they_are(made):
    maps, boxes, sizes = made
    finished = {image_id: to_scoremap(raw_map) for image_id, raw_map in maps.items()}
    one, other = wsolbench.score(maps, boxes, sizes), wsolbench.score(finished, boxes, sizes)
    assert one.outcomes_sha256 == other.outcomes_sha256
    with pytest.raises(ScoremapError, match=r"scoremap of '00.jpg': expected values in \[0, 1\]"):
        wsolbench.score({**finished, "00.jpg": 2 * finished["00.jpg"]}, boxes, sizes)


def test_sequences_and_arrays_serve_too(made):
    by_id = wsolbench.score(*made)
    in_order = wsolbench.score(
        np.stack(list(made[0].values())),
        [boxes.tolist() for boxes in made[1].values()],
        np.array(list(made[2].values())),
    )
    assert in_order.metrics == by_id.metrics
    assert in_order.outcomes[0].image_ids[:2] == ("00", "01")


def test_entries_in_order_are_as_many_as_the_maps(made):
    maps, boxes, sizes = (list(part.values()) for part in made)
    for arguments, words in (
        ((maps[5:], boxes, sizes), "image_sizes: expected one for each of 15 scoremaps, got 20"),
        ((maps, boxes[5:], sizes), "boxes: expected one for each of 20 scoremaps, got 15"),
        ((maps, boxes, (50, 60)), "image_sizes: expected one for each of 20 scoremaps, got 2"),
        ((iter(maps), boxes, sizes), "scoremaps: expected one entry an image"),
    ):
        with pytest.raises(DataError, match=words):
            wsolbench.score(*arguments)
    with pytest.raises(ScoremapError, match=r"expected one map an image, \(N, h, w\), got shape \(7, 9\)"):
        wsolbench.score(maps[0], boxes, sizes)


def test_thresholds_come_from_other_images(made):
    maps, boxes, sizes = ({key: part[key] for key in list(part)[:10]} for part in made)
    fullsup = [{key: part[key] for key in list(part)[10:]} for part in made]
    named = dict(zip(("scoremaps", "boxes", "image_sizes"), fullsup, strict=True))
    record = wsolbench.score(maps, boxes, sizes, fullsup=named)
    chosen = wsolbench.score(*fullsup)
    curve = chosen.curves()["single", 0.5]
    assert record.metrics.fullsup_cam_threshold_single == curve.idxmax()
    assert record.dataset.split_sizes == {"test": 10, "train-fullsup": 10}


def test_masks_alone_give_pxap(made):
    maps = made[0]
    masks = {image_id: np.tri(30, 40, k, dtype=bool) for k, image_id in enumerate(maps)}
    evaluator = MaskEvaluator(list(maps), 0.001)
    for image_id, raw_map in maps.items():
        evaluator.update(to_scoremap(raw_map), image_id, masks[image_id])
    record = wsolbench.score(maps, masks=masks)
    assert record.metrics.pxap == evaluator.compute().pxap
    assert record.metrics.max_box_acc is None


def test_the_order_of_a_mapping_does_not_count(made):
    one, other = wsolbench.score(*made), wsolbench.score(*(dict(reversed(part.items())) for part in made))
    assert (one.intervals, one.dataset, one.outcomes_sha256) == (other.intervals, other.dataset, other.outcomes_sha256)


def test_two_scores_are_compared_with_intervals(made):
    maps, boxes, sizes = made
    shifted = {image_id: raw_map[::-1] for image_id, raw_map in maps.items()}
    first, second = wsolbench.score(maps, boxes, sizes), wsolbench.score(shifted, boxes, sizes)
    found = first.compare(second).differences["max_box_acc_v2"]
    assert found.difference == second.metrics.max_box_acc_v2 - first.metrics.max_box_acc_v2
    assert found.low <= found.difference <= found.high
    assert "<table" in wsolbench.compare(first, second)._repr_html_()


def test_a_record_draws_its_curve(made):
    axes = wsolbench.score(*made).plot(Figure().subplots())
    assert len(axes.get_lines()) >= 1
    assert "τ" in axes.get_xlabel()


FIRST = "00.jpg"


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"boxes": None, "image_sizes": None}, UsageError, "boxes with image_sizes, or masks"),
        ({"image_sizes": None}, DataError, "pass their image_sizes"),
        ({"boxes": {}}, DataError, "20 of 20 images have no entry in boxes; the first is '00.jpg'"),
        ({"image_sizes": {FIRST: (10, 10)}}, DataError, "leaves the image of 10×10 pixels"),
        ({"boxes": {FIRST: [1, 2, 3.5, 9]}}, DataError, "expected whole pixels"),
        ({"boxes": {FIRST: [1, 2, 3]}}, DataError, "expected numbers (n, 4)"),
        ({"boxes": {FIRST: [9, 2, 3, 9]}}, DataError, "x0 <= x1"),
        ({"image_sizes": {FIRST: 10}}, DataError, "expected (width, height)"),
        ({"scoremaps": {FIRST: np.zeros(3)}}, ScoremapError, "map of '00.jpg'"),
        ({"scoremaps": {}}, DataError, "20 images of boxes have no scoremap"),
        ({"fullsup": {"boxes": {}}}, UsageError, 'fullsup: expected {"scoremaps"'),
        (
            {"boxes": {"more.jpg": [0, 0, 1, 1]}},
            DataError,
            "1 image of boxes has no scoremap; the first is 'more.jpg'",
        ),
        ({"boxes": {FIRST: [[1, 2], [3]]}}, DataError, "boxes of '00.jpg': expected an array"),
        ({"scoremaps": {FIRST: np.ma.masked_less(np.zeros((3, 3)), 1)}}, ScoremapError, "is a masked array"),
        ({"fullsup": ([], [], [])}, UsageError, "got tuple"),
        ({"scoremaps": {3: np.zeros((3, 3))}}, DataError, "image ids have to be text, got 3"),
        ({"boxes": [[0, 0, 1, 1]] * 20}, DataError, "boxes: given in order, but the scoremaps by image id"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(made, changes, error, words):
    arguments = dict(zip(("scoremaps", "boxes", "image_sizes"), made, strict=True))
    for name, change in changes.items():
        mixed = isinstance(change, dict) and change and name in arguments
        arguments[name] = {**arguments[name], **change} if mixed else change
    with pytest.raises(error) as refused:
        wsolbench.score(**arguments)
    assert words in str(refused.value)


def test_maps_without_a_score_are_counted_and_warned_of(made):
    maps, boxes, sizes = made
    spoilt = {**maps, "03.jpg": np.full((7, 9), np.nan), "04.jpg": np.ones((7, 9))}
    with (
        pytest.warns(UserWarning, match=r"1 of 20 maps .* hold NaN .*; the first is that of '03.jpg'"),
        pytest.warns(UserWarning, match=r"1 of 20 maps .* hold one value only .*; the first is that of '04.jpg'"),
    ):
        record = wsolbench.score(spoilt, boxes, sizes)
    assert (record.outcomes[0].nan_maps, record.outcomes[0].constant_maps) == (1, 1)
