"""Maps and boxes are compared in a frame of any side: the compiled code against the protocol, word by word."""

import cv2
import numpy as np
import pytest
import reference_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from scoremap_zoo import KINDS, draw_boxes, draw_map

from wsolbench.protocol import MODES, BoxEvaluator, MaskEvaluator

SIDES = (16, 100, 448)


def in_frame(raw_map, side):
    """Return a map as the protocol has it: resized by bicubic interpolation, normalised over the image, in float64."""
    resized = cv2.resize(raw_map.astype(np.float64), (side, side), interpolation=cv2.INTER_CUBIC)
    spread = resized.max() - resized.min()
    return ((resized - resized.min()) / spread).astype(np.float32)


def draw_raw(rng, kind):
    """Return a map of some size that is none of the frames', and is not of one value."""
    shape = tuple(int(side) for side in rng.integers(3, 15, size=2))
    raw = draw_map(rng, kind, shape).astype(np.float32)
    raw[0, 0], raw[-1, -1] = -1, 2
    return raw


def assert_like_oracle(raw_map, boxes, size, side, interval):
    evaluator = BoxEvaluator({"a": boxes}, {"a": size}, interval, frame=(side, side))
    evaluator.update(raw_map, "a")
    result = evaluator.compute()
    scoremaps = {"a": in_frame(raw_map, side)}
    for mode in MODES:
        expected = oracle.counts(scoremaps, {"a": boxes}, {"a": size}, result.thresholds, multi=mode == "multi")
        for delta in oracle.DELTAS:
            assert result.counts[mode][delta].tolist() == expected[delta]
    tau = result.thresholds[len(result.thresholds) // 2]
    (single,) = oracle.predicted_boxes(scoremaps["a"], tau, multi=False)
    assert result.boxes_at(len(result.thresholds) // 2).tolist() == [list(single)]


CASES = [
    pytest.param(kind, side, marks=() if (place + number) % 4 == 0 and side < 448 else pytest.mark.slow)
    for place, side in enumerate(SIDES)
    for number, kind in enumerate(KINDS)
]
"""Every kind of map in every frame; a few of them by default."""


@pytest.mark.parametrize(("kind", "side"), CASES)
def test_boxes_equal_the_oracle_in_other_frames(kind, side):
    rng = np.random.default_rng(SIDES.index(side) * 100 + KINDS.index(kind))
    size = tuple(int(each) for each in rng.integers(1, 700, size=2))
    assert_like_oracle(draw_raw(rng, kind), draw_boxes(rng, size), size, side, 0.05)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(side=st.integers(1, 300), kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_boxes_equal_the_oracle_in_any_frame(side, kind, seed):
    rng = np.random.default_rng(seed)
    raw, size = draw_raw(rng, kind), tuple(int(each) for each in rng.integers(1, 700, size=2))
    if side <= 2 or raw.shape == (side, side):  # a frame that small may keep one value only, which is no score
        side += 20
    assert_like_oracle(raw, draw_boxes(rng, size), size, side, 0.1)


@pytest.mark.parametrize("side", SIDES)
def test_masks_equal_the_oracle_in_other_frames(side):
    rng = np.random.default_rng(side)
    raw, mask = draw_raw(rng, "smooth"), rng.random((57, 91)) < 0.3
    evaluator = MaskEvaluator(["a"], 0.01, frame=(side, side))
    evaluator.update(raw, "a", mask)
    resized = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_NEAREST) > 0.5
    expected = oracle.pxap({"a": in_frame(raw, side)}, {"a": resized}, {"a": np.zeros_like(resized)}, 0.01)
    assert evaluator.compute().pxap == pytest.approx(expected, rel=1e-9)
