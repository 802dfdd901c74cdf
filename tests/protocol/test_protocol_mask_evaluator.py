import warnings

import cv2
import numpy as np
import pytest
import reference_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from scoremap_zoo import in_other_forms
from sklearn.metrics import average_precision_score

from wsolbench.contract import DatasetRoots, Split
from wsolbench.data.reference import ReferenceDataset
from wsolbench.errors import DataError, ScoremapError, UsageError
from wsolbench.protocol import BoxEvaluator, MaskEvaluator


def draw_data(seed, count=6, side=12):
    rng = np.random.default_rng(seed)
    ids = [f"{number}.jpg" for number in range(count)]
    scoremaps = {i: rng.random((side, side)) for i in ids}
    masks = {i: rng.random((side, side)) < 0.4 for i in ids}
    ignores = {i: rng.random((side, side)) < 0.2 for i in ids}
    return scoremaps, masks, ignores


def evaluate(scoremap, mask, ignore=None, interval=0.001):
    evaluator = MaskEvaluator(["a"], interval, frame=None)
    evaluator.update(scoremap, "a", mask, ignore)
    return evaluator.compute()


def histogram_edges(interval):
    return np.append(np.arange(0, 1, interval), [1.0, 2.0, 3.0])


@pytest.mark.parametrize("interval", [0.001, 0.01, 0.1, 0.3, 1 / 49, 1 / 1023, 1.0])
def test_bins_equal_numpy_at_edges_and_their_neighbours(interval):
    edges = histogram_edges(interval)
    near = np.concatenate([edges[:-2], np.nextafter(edges[:-2], -1), np.nextafter(edges[:-2], 2)])
    scores = near[(near >= 0) & (near <= 1)]
    for values in (scores, scores.astype(np.float32), np.random.default_rng(0).random(2000)):
        found = MaskEvaluator(["a"], interval, frame=None).score(
            values[None], "a", np.ones((1, len(values)), dtype=bool)
        )
        assert found.foreground.tolist() == np.histogram(values.astype(np.float64), edges)[0].tolist()
        assert not found.background.any()


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-3, 1), st.lists(st.floats(0, 1), min_size=1, max_size=30), st.data())
def test_bins_equal_numpy_for_any_interval(interval, values, data):
    edges = histogram_edges(interval)
    values += data.draw(st.lists(st.sampled_from(edges[:-2].tolist()), max_size=10))
    scores = np.array([values])
    found = MaskEvaluator(["a"], interval, frame=None).score(scores, "a", np.zeros(scores.shape, dtype=bool))
    assert found.background.tolist() == np.histogram(scores, edges)[0].tolist()


@pytest.mark.parametrize("interval", [0.001, 0.01, 0.3])
def test_pxap_equals_the_oracle(interval):
    scoremaps, masks, ignores = draw_data(1)
    evaluator = MaskEvaluator(scoremaps, interval, frame=None)
    for image_id, scoremap in scoremaps.items():
        evaluator.update(scoremap, image_id, masks[image_id], ignores[image_id])
    expected = oracle.pxap(scoremaps, masks, ignores, interval)
    assert evaluator.compute().pxap == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("pixels", [0, 1])
def test_masks_of_no_pixel_and_of_one_equal_the_oracle(pixels):
    """One image's mask has so many pixels, another's all but so many; a third is plain, so that PxAP is defined."""
    scoremaps, masks, ignores = draw_data(5, count=3)
    first, second, _ = scoremaps
    masks[first][...] = False
    masks[first].flat[7 : 7 + pixels] = True
    masks[second][...] = ~masks[first]
    for interval in (0.001, 0.3, 1.0):
        evaluator = MaskEvaluator(scoremaps, interval, frame=None)
        for image_id, scoremap in scoremaps.items():
            evaluator.update(scoremap, image_id, masks[image_id], ignores[image_id])
        expected = oracle.pxap(scoremaps, masks, {i: ignores[i] & ~masks[i] for i in masks}, interval)
        assert evaluator.compute().pxap == pytest.approx(expected, rel=1e-12)


def test_a_mask_of_one_pixel_by_hand():
    """The pixel has the third of four scores: it is reached with three pixels predicted, at a precision of 1/3."""
    scoremap = np.array([[0.9, 0.7, 0.5, 0.1]])
    assert evaluate(scoremap, np.array([[False, False, True, False]])).pxap == pytest.approx(100 / 3)
    assert evaluate(scoremap, np.array([[True, False, False, False]])).pxap == pytest.approx(100)
    ignore = np.array([[True, True, True, False]])  # the object is never ignored
    assert evaluate(scoremap, np.array([[False, False, True, False]]), ignore).pxap == pytest.approx(100)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_form_of_an_array_does_not_matter(dtype, tmp_path):
    rng = np.random.default_rng(7)
    scoremap, mask, ignore = rng.random((12, 9)).astype(dtype), rng.random((24, 18)) < 0.3, rng.random((6, 5)) < 0.2
    expected = evaluate(scoremap, mask, ignore).pxap
    for name, same in in_other_forms(scoremap, tmp_path):
        assert evaluate(same, mask, ignore).pxap == expected, name
    for name, same in in_other_forms(mask, tmp_path):
        assert evaluate(scoremap, same, ignore).pxap == expected, name
    for name, same in in_other_forms(ignore, tmp_path):
        assert evaluate(scoremap, mask, same).pxap == expected, name


def test_pxap_equals_average_precision_on_distinct_grid_points():
    rng = np.random.default_rng(2)
    scoremap = rng.permutation(np.arange(0, 1, 0.001))[:900].reshape(30, 30)
    mask = rng.random((30, 30)) < scoremap
    expected = 100 * average_precision_score(mask.ravel(), scoremap.ravel())
    assert evaluate(scoremap, mask).pxap == pytest.approx(expected, rel=1e-12)


def test_pxap_by_hand():
    scoremap = np.array([[1.0, 0.5], [0.5, 0.0]])
    mask = np.array([[True, True], [False, True]])
    result = evaluate(scoremap, mask, interval=0.5)
    assert result.thresholds.tolist() == [2, 1, 0.5, 0]
    assert result.recall.tolist() == [0, 1 / 3, 2 / 3, 1]
    assert result.precision[1:].tolist() == [1, 2 / 3, 3 / 4]
    assert np.isnan(result.precision[0])
    assert result.pxap == pytest.approx(100 * (1 + 2 / 3 + 3 / 4) / 3)
    assert result.num_images == 1


def test_perfect_map_scores_a_hundred():
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:5, 3:7] = True
    assert evaluate(mask.astype(float), mask).pxap == 100
    assert evaluate(mask.astype(float) * 0.4, mask).pxap == 100


def test_constant_map_scores_the_share_of_foreground():
    mask = np.zeros((4, 4), dtype=bool)
    mask[0] = True
    assert evaluate(np.zeros((4, 4)), mask).pxap == 25


def test_ignored_pixels_count_nowhere_but_foreground_is_never_ignored():
    scoremap = np.array([[0.9, 0.8, 0.1]])
    mask = np.array([[False, True, False]])
    assert evaluate(scoremap, mask).pxap == 50
    assert evaluate(scoremap, mask, np.array([[True, False, False]])).pxap == 100
    assert evaluate(scoremap, mask, np.array([[True, True, False]])).pxap == 100
    found = MaskEvaluator(["a"], frame=None).score(scoremap, "a", mask, np.array([[True, True, True]]))
    assert (found.foreground.sum(), found.background.sum()) == (1, 0)


@pytest.fixture(scope="module")
def published_masks(shared_data):
    """Masks and ignored regions of five photos, (224, 224) bool each: one mask is black all over and one white."""
    root = shared_data / "openimages-sample"
    roots = DatasetRoots(metadata=root / "metadata" / "OpenImages", masks=root / "masks")
    data = ReferenceDataset("sample", roots)
    load, ids = data.annotations(Split.TRAIN_FULLSUP).load_mask, data.images(Split.TRAIN_FULLSUP).ids
    pairs = {image_id: load(image_id) for image_id in ids}

    def resize(mask):
        return cv2.resize(mask.astype(np.uint8), (224, 224), interpolation=cv2.INTER_NEAREST).astype(bool)

    masks = {image_id: resize(pair.foreground) for image_id, pair in pairs.items()}
    ignores = {image_id: resize(pair.ignore) & ~masks[image_id] for image_id, pair in pairs.items()}
    return pairs, masks, ignores


def evaluate_published(pairs, draw):
    evaluator = MaskEvaluator(pairs, frame=None)
    for image_id, pair in pairs.items():
        evaluator.update(draw(image_id).astype(float), image_id, pair.foreground, pair.ignore)
    return evaluator.compute().pxap


def test_published_masks_score_a_hundred_with_perfect_maps(published_masks):
    pairs, masks, _ = published_masks
    assert evaluate_published(pairs, masks.get) == 100


def test_published_masks_score_their_share_with_constant_maps(published_masks):
    pairs, masks, ignores = published_masks
    foreground, ignored = (sum(int(mask.sum()) for mask in part.values()) for part in (masks, ignores))
    share = 100 * foreground / (len(pairs) * 224 * 224 - ignored)
    assert ignored > 0
    for value in (0, 0.5, 1):
        pxap = evaluate_published(pairs, lambda _, value=value: np.full((224, 224), value))
        assert pxap == pytest.approx(share, rel=1e-12)


def test_published_masks_do_not_care_what_is_scored_in_ignored_regions(published_masks):
    pairs, masks, ignores = published_masks
    assert evaluate_published(pairs, lambda image_id: masks[image_id] | ignores[image_id]) == 100
    spilt = evaluate_published(pairs, lambda image_id: masks[image_id] | np.roll(masks[image_id], 9, axis=1))
    assert spilt < 100


def test_masks_are_resized_with_nearest_neighbour():
    mask = np.array([[True, False, True, False, True]])  # columns 0, 1 and 3 are taken for a width of 3
    found = MaskEvaluator(["a"], 0.5, frame=None).score(np.array([[0.0, 0.5, 1.0]] * 2), "a", mask)
    assert found.foreground.tolist() == [2, 0, 0, 0]
    assert found.background.tolist() == [0, 2, 2, 0]
    found = MaskEvaluator(["a"], 0.5, frame=None).score(
        np.zeros((4, 4)), "a", np.eye(2, dtype=bool), np.ones((1, 1), dtype=bool)
    )
    assert (found.foreground.sum(), found.background.sum()) == (8, 0)


def test_set_without_foreground_is_an_error():
    with pytest.raises(DataError, match="no foreground pixel"):
        evaluate(np.eye(3), np.zeros((3, 3), dtype=bool))


def test_image_without_foreground_still_counts():
    evaluator = MaskEvaluator("ab", frame=None)
    evaluator.update(np.array([[1.0, 0.0]]), "a", np.array([[True, False]]))
    evaluator.update(np.array([[1.0, 0.0]]), "b", np.array([[False, False]]))
    assert evaluator.compute().pxap == 50


@settings(max_examples=25, deadline=None)
@given(split=st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_merging_any_split_equals_one(split):
    scoremaps, masks, ignores = draw_data(3)
    whole, *parts = (MaskEvaluator(scoremaps, 0.01, frame=None) for _ in range(4))
    for part, (image_id, scoremap) in zip(split, scoremaps.items(), strict=True):
        for evaluator in (whole, parts[part]):
            evaluator.update(scoremap, image_id, masks[image_id], ignores[image_id])
    assert parts[1].merge(parts[0]).merge(parts[2]) is parts[1]
    merged, expected = parts[1].compute(), whole.compute()
    assert merged.pxap == expected.pxap
    assert np.array_equal(merged.precision, expected.precision, equal_nan=True)
    assert np.array_equal(merged.recall, expected.recall)


def test_merge_refuses_overlap_and_other_settings():
    mask = np.ones((2, 2), dtype=bool)
    left, right = MaskEvaluator("ab", frame=None), MaskEvaluator("ab", frame=None)
    left.update(np.eye(2), "a", mask)
    right.update(np.eye(2), "a", mask)
    with pytest.raises(UsageError, match="'a' has already"):
        left.merge(right)
    boxes = BoxEvaluator({i: np.array([[0, 0, 1, 1]]) for i in "ab"}, dict.fromkeys("ab", (2, 2)), frame=None)
    for other in (MaskEvaluator("ac", frame=None), MaskEvaluator("ab", 0.01, frame=None), boxes):
        with pytest.raises(UsageError, match="merged"):
            left.merge(other)
    left.update(np.eye(2), "b", mask)
    assert left.compute().pxap == 100


def test_bookkeeping_errors_name_the_image():
    mask = np.ones((2, 2), dtype=bool)
    evaluator = MaskEvaluator("ab", frame=None)
    with pytest.raises(UsageError, match="'z'"):
        evaluator.update(np.eye(2), "z", mask)
    evaluator.update(np.eye(2), "a", mask)
    with pytest.raises(UsageError, match="'a' has already"):
        evaluator.update(np.eye(2), "a", mask)
    with pytest.raises(UsageError, match="'b'"):
        evaluator.add("b", MaskEvaluator("b", 0.5, frame=None).score(np.eye(2), "b", mask))
    with pytest.raises(ScoremapError, match=r"1 of 2 images have no scoremap: 'b'; update with"):
        evaluator.compute()
    with pytest.raises(DataError, match="'a' is listed twice"):
        MaskEvaluator(["a", "b", "a"], frame=None)
    with pytest.raises(DataError, match="no image"):
        MaskEvaluator([], frame=None)


@pytest.mark.parametrize("mask", [np.ones((2, 2)), np.ones(4, dtype=bool), np.ones((0, 2), dtype=bool)])
def test_malformed_mask_is_refused_by_name(mask):
    with pytest.raises(DataError, match=r"^mask of 'a'"):
        MaskEvaluator("a", frame=None).update(np.eye(2), "a", mask)
    with pytest.raises(DataError, match=r"^ignore mask of 'a'"):
        MaskEvaluator("a", frame=None).update(np.eye(2), "a", np.ones((2, 2), dtype=bool), mask)


def test_no_warning_where_nothing_is_predicted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(np.zeros((2, 2)), np.ones((2, 2), dtype=bool)).pxap == 100
