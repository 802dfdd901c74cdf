"""Rank ranges against a literal procedure: an interval for every pair, Holm by loops."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsolbench.leaderboard.ranks import holm, p_values, rank_ranges
from wsolbench.protocol.uncertainty import interval

NORMAL = NormalDist()


def slow_p_value(first, second, resampled_first, resampled_second):
    """Return the p-value of one difference, resample by resample."""
    difference = second - first
    if difference == 0:
        return 1.0
    sign = 1 if difference > 0 else -1
    resamples = [sign * (other - one) for one, other in zip(resampled_first, resampled_second, strict=True)]
    count = len(resamples)
    spread = (sum((each - sum(resamples) / count) ** 2 for each in resamples) / count) ** 0.5
    if spread == 0 or abs(difference) / spread > 8:
        return 0.0 if spread == 0 else 2 * NORMAL.cdf(-abs(difference) / spread)
    below = sum(1.0 if each < abs(difference) else 0.5 if each == abs(difference) else 0.0 for each in resamples)
    beyond = sum(each <= 0 for each in resamples)

    def quantile(number):
        return NORMAL.inv_cdf(min(max(number, 0.5), count - 0.5) / count)

    found = min(1.0, 2 * NORMAL.cdf(quantile(beyond) - 2 * quantile(below)))
    return found if beyond else min(found, 2 * NORMAL.cdf(-abs(difference) / spread))


def slow_ranges(estimates, resampled):
    """Return the rank ranges, pair by pair."""
    count = len(estimates)
    pairs = [(one, other) for one in range(count) for other in range(one + 1, count)]
    p_of = {
        pair: slow_p_value(*(estimates[each] for each in pair), *(resampled[each] for each in pair)) for pair in pairs
    }
    sure = set()
    for place, pair in enumerate(sorted(pairs, key=p_of.__getitem__)):
        if p_of[pair] > 0.05 / (len(pairs) - place):
            break
        sure.add(pair)
    ranges = []
    for each in range(count):
        others = [other for other in range(count) if (min(each, other), max(each, other)) in sure]
        better = sum(estimates[other] > estimates[each] for other in others)
        ranges.append((1 + better, count - (len(others) - better)))
    return ranges


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 7), spread=st.sampled_from([0.0, 1.0, 4.0, 40.0]))
def test_ranges_are_those_of_the_literal_procedure(seed, count, spread):
    random = np.random.default_rng(seed)
    estimates = random.integers(0, 8, count) * spread
    common = random.integers(-6, 7, 60)
    resampled = estimates[:, None] + common + random.integers(-3, 4, (count, 60)) * 2.0
    assert rank_ranges(estimates, resampled) == slow_ranges(estimates.tolist(), resampled.tolist())


@pytest.mark.parametrize("seed", range(20))
def test_two_rows_are_tied_where_the_interval_of_their_difference_contains_0(seed):
    random = np.random.default_rng(seed)
    estimates = np.array([50.0, 50 + seed / 4])
    resampled = estimates[:, None] + random.normal(0, 1, (2, 1000)) + 0.3
    low, high = interval(estimates[1] - estimates[0], resampled[1] - resampled[0])
    tied = low <= 0 <= high
    assert rank_ranges(estimates, resampled) == ([(1, 2)] * 2 if tied else [(2, 2), (1, 1)])


def test_equal_rows_are_tied_whatever_the_others_are():
    random = np.random.default_rng(0)
    one = random.normal(0, 1, 1000)
    estimates = np.array([60.0, 60.0, 20.0])
    resampled = np.stack([60 + one, 60 + one, 20 + random.normal(0, 1, 1000)])
    assert rank_ranges(estimates, resampled) == [(1, 2), (1, 2), (3, 3)]


def test_paired_resamples_tell_apart_what_unpaired_ones_would_not():
    common = np.random.default_rng(0).normal(0, 5, 1000)
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 1000))
    estimates = np.array([50.0, 51.0])
    assert rank_ranges(estimates, estimates[:, None] + common + noise) == [(2, 2), (1, 1)]


def test_many_rows_of_one_quality_are_hardly_ever_told_apart():
    """Of 40 tables of 12 equal scores, at most a few have any sure difference: 5 % of them in the long run."""
    random, surely = np.random.default_rng(0), 0
    for _ in range(40):
        estimates = random.normal(0, 1, 12)
        resampled = estimates[:, None] + random.normal(0, 1, (12, 1000))
        surely += rank_ranges(estimates, resampled) != [(1, 12)] * 12
    assert surely <= 6


def test_holm_on_figures_worked_by_hand():
    """0.01, 0.02, 0.03 and 0.04 against 0.05/4, 0.05/3, 0.05/2 and 0.05: the second fails, so the later ones do too."""
    assert holm(np.array([0.04, 0.01, 0.03, 0.02])).tolist() == [False, True, False, False]
    assert holm(np.array([0.01, 0.016, 0.02, 0.04])).tolist() == [True] * 4
    assert holm(np.array([])).tolist() == []


def test_p_values_are_symmetric_and_1_on_the_diagonal():
    random = np.random.default_rng(0)
    estimates = random.normal(0, 1, 5)
    found = p_values(estimates, estimates[:, None] + random.normal(0, 1, (5, 100)))
    np.testing.assert_array_equal(found, found.T)
    assert np.diagonal(found).tolist() == [1.0] * 5
