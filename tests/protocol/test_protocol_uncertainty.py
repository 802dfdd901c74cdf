"""Bootstrap over images: the fast counts against an explicit loop over dense outcomes, and the kinds of intervals."""

from dataclasses import replace
from statistics import NormalDist
from unittest import mock

import numpy as np
import pytest
from box_results import from_curves
from hypothesis import given, settings
from hypothesis import strategies as st

from wsolbench.errors import DataError
from wsolbench.protocol import IOU_THRESHOLDS, MODES, select_on_fullsup, top_k_loc, uncertainty
from wsolbench.protocol.resampled_curves import Drawn, best_of, contenders, counts_where, groups_where, largest_of
from wsolbench.protocol.uncertainty import (
    CorrectRuns,
    ImageOutcomes,
    Shares,
    bootstrap,
    draw_images,
    interval,
    intervals,
    score,
)

# ------------------------------------------------------------------------------------- dense outcomes and a slow oracle


def random_dense(random, count, thresholds):
    """Return {(mode, δ): (N, T) bool}."""
    share = random.uniform(0, 1)
    return {(mode, iou): random.random((count, thresholds)) < share for mode in MODES for iou in IOU_THRESHOLDS}


def flat_runs(correct):
    """Return the runs of one image's (T,) bools as records store them."""
    flat, inside = [], False
    for index, value in enumerate([*correct.tolist(), False]):
        if value != inside:
            flat.append(index)
            inside = value
    return flat


def packed(dense, hits):
    """Return dense outcomes as the module takes them."""
    count, thresholds = dense["single", 0.5].shape
    correct = {
        mode: {
            iou: CorrectRuns.from_flat([flat_runs(image) for image in dense[mode, iou]], thresholds)
            for iou in IOU_THRESHOLDS
        }
        for mode in MODES
    }
    return ImageOutcomes(count, correct, hits)


def first_best(values):
    """Return the index of the largest value, the first of equals."""
    best = 0
    for index, value in enumerate(values):
        if value > values[best]:
            best = index
    return best


def slow_score(dense, hits, rows, fullsup, fullsup_rows):
    """Score the images of some rows, which may repeat, at the τ that other rows of train-fullsup choose."""

    def curve(of, chosen, key):
        return [
            100.0 * sum(int(of[key][row, index]) for row in chosen) / len(chosen) for index in range(of[key].shape[1])
        ]

    found = {f"top{k}_acc": 100.0 * sum(int(hit[row]) for row in rows) / len(rows) for k, hit in hits.items()}
    keys = {"box_acc": ("single", 0.5), **{f"box_acc_by_iou.{iou}": ("multi", iou) for iou in IOU_THRESHOLDS}}
    for name, key in keys.items():
        found[f"max_{name}"] = max(curve(dense, rows, key))
        if fullsup is not None:
            best = first_best(curve(fullsup, fullsup_rows, key))
            found[f"fullsup_{name}"] = curve(dense, rows, key)[best]
            if key == ("single", 0.5):
                for k, hit in hits.items():
                    both = [bool(dense[key][row, best]) and bool(hit[row]) for row in rows]
                    found[f"top{k}_loc"] = 100.0 * sum(both) / len(rows)
    for prefix in ["max", "fullsup"] if fullsup is not None else ["max"]:
        found[f"{prefix}_box_acc_v2"] = np.mean([found[f"{prefix}_box_acc_by_iou.{iou}"] for iou in IOU_THRESHOLDS])
    return found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 9),
    fullsup_count=st.integers(0, 7),
    thresholds=st.integers(1, 8),
    chunk=st.integers(1, 40),
)
def test_every_resample_equals_the_slow_oracle(seed, count, fullsup_count, thresholds, chunk):
    made = np.random.default_rng(seed)
    dense = random_dense(made, count, thresholds)
    fullsup = random_dense(made, fullsup_count, thresholds) if fullsup_count else None
    hits = {k: made.random(count) < 0.5 for k in (1, 5)}
    with mock.patch.multiple(uncertainty, _KEPT=0, _DRAWN=chunk):
        found = bootstrap(packed(dense, hits), packed(fullsup, {}) if fullsup_count else None, resamples=7, seed=seed)
    random, fullsup_random = np.random.default_rng(seed).spawn(2)
    for index in range(7):
        rows = random.integers(count, size=count)
        fullsup_rows = fullsup_random.integers(fullsup_count, size=fullsup_count) if fullsup_count else None
        expected = slow_score(dense, hits, rows, fullsup, fullsup_rows)
        assert {name: values[index] for name, values in found.items()} == expected


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 9), chunk=st.integers(1, 40))
def test_means_and_accuracies_by_size_of_every_resample_equal_the_slow_oracle(seed, count, chunk):
    made = np.random.default_rng(seed)
    dense, fullsup = random_dense(made, count, 5), random_dense(made, 4, 5)
    parts, sizes = made.integers(0, 11, count), made.choice([0.0, 0.09, 0.1, 0.3, 0.4, 0.5, 1.0], count)
    whole = replace(packed(dense, {}), shares={"energy": Shares(parts, 10)}, sizes=sizes)
    with mock.patch.multiple(uncertainty, _KEPT=0, _DRAWN=chunk):
        found = bootstrap(whole, packed(fullsup, {}), resamples=5, seed=seed)
    random, fullsup_random = np.random.default_rng(seed).spawn(2)
    edges = {"0-0.1": (0, 0.1), "0.1-0.3": (0.1, 0.3), "0.3-0.5": (0.3, 0.5), "0.5-1": (0.5, 2)}
    for index in range(5):
        rows = random.integers(count, size=count).tolist()
        fullsup_rows = fullsup_random.integers(4, size=4)
        assert found["energy"][index] == pytest.approx(sum(parts[row] for row in rows) * 10 / count)
        for prefix, of, chosen in (("max", dense, rows), ("fullsup", fullsup, fullsup_rows)):
            best = first_best([sum(of["single", 0.5][row, place] for row in chosen) for place in range(5)])
            for size, (low, high) in edges.items():
                drawn = [row for row in rows if low <= sizes[row] < high]
                name = f"{prefix}_box_acc_by_size.{size}"
                assert (name in found) == any(low <= value < high for value in sizes)
                if name in found:
                    right = sum(bool(dense["single", 0.5][row, best]) for row in drawn)
                    expected = 100 * right / len(drawn) if drawn else np.nan
                    assert found[name][index] == pytest.approx(expected, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 9), fullsup_count=st.integers(1, 7))
def test_the_score_is_that_of_every_image_once(seed, count, fullsup_count):
    random = np.random.default_rng(seed)
    dense, fullsup = random_dense(random, count, 6), random_dense(random, fullsup_count, 6)
    hits = {1: random.random(count) < 0.5}
    expected = slow_score(dense, hits, range(count), fullsup, range(fullsup_count))
    assert score(packed(dense, hits), packed(fullsup, {})) == expected


def test_the_score_is_the_protocols():
    random = np.random.default_rng(1)
    results = [
        from_curves({f"{name}{i}": tuple(random.random((2, 20))) for i in range(30)}, interval=0.05) for name in "tf"
    ]
    hit = random.random(30) < 0.6
    test, fullsup = (
        ImageOutcomes(
            30,
            {
                mode: {
                    iou: CorrectRuns.from_flat(
                        [[edge for run in by_image[i] for edge in run] for i in result.image_ids], 20
                    )
                    for iou, by_image in by_iou.items()
                }
                for mode, by_iou in result.outcomes.items()
            },
            {1: hit},
        )
        for result in results
    )
    found, selection = score(test, fullsup), select_on_fullsup(results[1])
    applied = selection.apply(results[0])
    assert found["max_box_acc"] == results[0].max_box_acc
    assert found["max_box_acc_v2"] == results[0].max_box_acc_v2
    assert found["fullsup_box_acc"] == applied.box_acc
    assert found["fullsup_box_acc_v2"] == applied.box_acc_v2
    assert found["top1_loc"] == top_k_loc(selection.is_localized(results[0]), hit)
    for iou in IOU_THRESHOLDS:
        assert found[f"max_box_acc_by_iou.{iou}"] == results[0].max_box_acc_by_iou[iou]
        assert found[f"fullsup_box_acc_by_iou.{iou}"] == applied.box_acc_by_iou[iou]


# -------------------------------------------------------------------------------------------------- runs and resamples


@pytest.mark.parametrize("flat", [[[0]], [[1, 1]], [[2, 1]], [[0, 2, 1, 3]], [[0, 1, 1, 2]], [[-1, 1]], [[0, 5]]])
def test_runs_that_are_no_ascending_pairs_are_refused(flat):
    with pytest.raises(DataError, match="ascending pairs of indices from 0 to 4"):
        CorrectRuns.from_flat(flat, 4)


def test_runs_are_read_image_by_image():
    runs = CorrectRuns.from_flat([[0, 1, 3, 4], [], [1, 4]], 4)
    assert runs.box_acc(np.ones((1, 3)))[0] == pytest.approx([100 / 3, 100 / 3, 100 / 3, 200 / 3])
    assert [runs.at(index).tolist() for index in (0, 3)] == [[True, False, False], [True, False, True]]
    assert runs.box_acc(np.array([[3.0, 0, 0], [0, 3, 0]])).tolist() == [[100, 0, 0, 100], [0, 0, 0, 0]]


def test_the_draws_of_a_seed_are_those_of_the_records_that_are_already_written():
    """A release of numpy that drew others would make every record contradict itself: this test would say why."""
    random, fullsup_random = np.random.default_rng(0).spawn(2)
    assert random.integers(1000, size=5).tolist() == [802, 942, 5, 316, 758]
    assert fullsup_random.integers(300, size=5).tolist() == [198, 203, 105, 72, 23]


def test_the_evaluated_split_is_drawn_alike_with_and_without_train_fullsup():
    random = np.random.default_rng(2)
    test, fullsup = (packed(random_dense(random, 20, 5), {}) for _ in range(2))
    alone, both = bootstrap(test, resamples=50), bootstrap(test, fullsup, resamples=50)
    assert set(both) > set(alone)
    assert all((both[name] == values).all() for name, values in alone.items())


def test_without_boxes_only_the_classifier_is_scored():
    found = bootstrap(ImageOutcomes(4, None, {1: np.array([True, True, False, False])}), resamples=100)
    assert set(found) == {"top1_acc"}
    assert found["top1_acc"].std() > 0
    assert bootstrap(ImageOutcomes(4, None, {})) == {}


# ------------------------------------------------------------------------------------------------- kinds of intervals

EVENLY = np.arange(10_001) / 100  # its quantile of x is 100 x


def test_kinds_agree_where_resamples_lie_evenly_about_the_estimate():
    for kind in ("percentile", "basic", "bias-corrected"):
        assert interval(50, EVENLY, kind) == pytest.approx((2.5, 97.5))
    assert interval(50, EVENLY, "percentile", 0.5) == pytest.approx((25, 75))


def test_kinds_part_where_most_resamples_lie_above():
    share = 0.158655  # Φ(-1), so that the tails are Φ(-2 - 1.96) and Φ(-2 + 1.96)
    assert interval(100 * share, EVENLY, "percentile") == pytest.approx((2.5, 97.5))
    assert interval(100 * share, EVENLY, "basic") == pytest.approx((200 * share - 97.5, 200 * share - 2.5))
    assert interval(100 * share, EVENLY, "bias-corrected") == pytest.approx((0.0037, 48.404), abs=0.01)


@pytest.mark.parametrize("kind", ["percentile", "basic", "bias-corrected"])
def test_resamples_of_one_value_give_a_point(kind):
    assert interval(40.0, np.full(1000, 40.0), kind) == (40, 40)


def test_an_estimate_beyond_all_resamples_still_has_an_interval():
    low, high = interval(-1, EVENLY, "bias-corrected")
    assert 0 <= low <= high < 1


def test_rounding_does_not_decide_what_ties():
    resampled = np.linspace(0, 1, 1001)
    resampled[400:600] = 0.1 + 0.2
    assert interval(0.3, resampled) == pytest.approx(interval(0.1 + 0.2, resampled))


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_at_a_fixed_threshold_intervals_cover(share):
    """1,000 trials of 300 images on a grid of one τ, where the accuracy is a mean and nothing is chosen."""
    random = np.random.default_rng(3)
    covered = 0
    for seed in range(1000):
        dense = random.random((300, 1)) < share
        test = packed({(mode, iou): dense for mode in MODES for iou in IOU_THRESHOLDS}, {})
        low, high = interval(score(test)["max_box_acc"], bootstrap(test, seed=seed)["max_box_acc"])
        covered += low <= 100 * share <= high
    assert 930 <= covered <= 970


@pytest.mark.parametrize("seed", range(4))
def test_a_best_threshold_is_found_among_a_few_contenders_as_among_all(seed):
    """Ranges of τ around one that differs from image to image, some of them empty, some of equal edges."""
    random = np.random.default_rng(seed)
    centre, width = random.normal(60, 12, 300), random.exponential(25, 300)
    edges = [np.clip(np.rint([c - w, c + w]), 0, 200).astype(int).tolist() for c, w in zip(centre, width, strict=True)]
    runs = CorrectRuns.from_flat([each if each[0] < each[1] else [] for each in edges], 200)
    weights = draw_images(random, 500, 300)
    curves = runs.box_acc(weights)
    counts, places = best_of(runs, Drawn.of(weights))
    assert len(contenders(runs)) < 120
    assert places.tolist() == curves.argmax(axis=1).tolist()
    assert (counts * 100.0 / 300).tolist() == curves.max(axis=1).tolist()
    assert largest_of(runs, Drawn.of(weights)).tolist() == counts.tolist()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40), thresholds=st.integers(1, 30), share=st.floats(0, 1))
def test_counts_of_resamples_are_those_of_a_loop_over_images(seed, count, thresholds, share):
    """Images with any number of runs, among them none and all τ; many ties, as there are few images."""
    random = np.random.default_rng(seed)
    dense = random.random((count, thresholds)) < share
    runs = CorrectRuns.from_flat([flat_runs(correct) for correct in dense], thresholds)
    weights, chosen = draw_images(random, 12, count), random.integers(thresholds, size=12)
    groups = random.random((count, 3)) < 0.5
    drawn = Drawn.of(weights)
    best, places = best_of(runs, drawn)
    of_groups = groups_where(runs, chosen, drawn, groups)
    for number, (times, place) in enumerate(zip(weights.tolist(), chosen.tolist(), strict=True)):
        curve = [
            sum(time for time, correct in zip(times, dense[:, at], strict=True) if correct) for at in range(thresholds)
        ]
        assert best[number] == largest_of(runs, drawn)[number] == max(curve)
        assert places[number] == curve.index(max(curve))
        assert counts_where(runs, chosen, drawn)[number] == curve[place]
        for group in range(3):
            expected = sum(
                time for time, *is_in in zip(times, dense[:, place], groups[:, group], strict=True) if all(is_in)
            )
            assert of_groups[number, group] == expected


def test_intervals_of_many_numbers_are_those_of_each():
    random = np.random.default_rng(0)
    resampled = random.normal(50, 3, (6, 400))
    resampled[4, ::7] = np.nan
    estimates = resampled[:, 0] + random.normal(0, 1, 6)
    estimates[4] = 50.0
    for kind in ("percentile", "basic", "bias-corrected"):
        found = intervals(estimates, resampled, kind)
        for estimate, values, ends in zip(estimates, resampled, found, strict=True):
            known = values[~np.isnan(values)]
            shift = NormalDist().inv_cdf(np.mean(known < estimate)) if kind == "bias-corrected" else 0.0
            tails = [NormalDist().cdf(2 * shift + NormalDist().inv_cdf(tail)) for tail in (0.025, 0.975)]
            low, high = np.quantile(known, tails)
            expected = (2 * estimate - high, 2 * estimate - low) if kind == "basic" else (low, high)
            assert ends.tolist() == pytest.approx(expected)
