"""The CAM family against the authors' maps and against definitions in loops."""

from itertools import product
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from cases import each
from wsolbench_plugins.methods.cam import (
    CAM,
    LargeWeightCAM,
    NegativeCAM,
    PercentileCAM,
    PositiveCAM,
    SmallWeightCAM,
    ThresholdedPoolingCAM,
    wsolbench_methods,
)

from wsolbench.api import Maps, MethodContext, UsageError
from wsolbench.contract.options import list_options
from wsolbench.protocol import classify_raw_map, to_scoremap

FAMILY = [spec.build for spec in wsolbench_methods()]


def context(weights: torch.Tensor, classes: list[int]) -> MethodContext:
    backbone = SimpleNamespace(classifier_weight=weights)
    return MethodContext(backbone, torch.empty(0), torch.tensor(classes), torch.empty(0))  # type: ignore[arg-type]


def drawn(method, features, seen):
    """Return the raw maps of a method, whether or not statistics come with them."""
    made = method(features, seen)
    return made.maps if isinstance(made, Maps) else made


def scene(images=3, *, negative=False):
    """Return features with dead, negative and sparse channels, and weights around the value 0.04."""
    torch.manual_seed(4)
    features = torch.randn(images, 12, 5, 6)
    if not negative:
        features = features.relu()
    features[:, 1] = 0
    features[:, 2] *= torch.rand(5, 6) < 0.2
    features[:, 3] = 0.5
    weights = torch.randn(images, 12) * 0.06
    return features, weights


def test_equals_the_authors_map(shared_data):
    for case in range(10):
        features, weights, expected = (
            np.load(shared_data / "maps" / f"vec{case:02d}_{part}.npy") for part in ("features", "weights", "cam")
        )
        maps = CAM()(torch.from_numpy(features)[None], context(torch.from_numpy(weights)[None], [0]))
        expected = np.nan_to_num(expected)  # case 08: NaN there, zeros here
        np.testing.assert_allclose(maps[0].numpy(), expected, atol=1e-5, err_msg=f"{case=}")


# ------------------------------------------------------------------------------------------------ the family as one


def small(weight, _):
    return weight if 0 < weight <= 0.04 else 0


def large(weight, _):
    return weight if weight > 0.04 else 0


def thresholded(weight, feature):
    peak = max(value for row in feature for value in row)
    lit = sum(value > max(0, 0.1 * peak) for row in feature for value in row)
    return weight * lit / (len(feature) * len(feature[0]))


ORACLES = {
    "cam": lambda weight, _: weight,
    "cam-pos": lambda weight, _: max(weight, 0),
    "cam-neg": lambda weight, _: min(weight, 0),
    "cam-small": small,
    "cam-large": large,
    "cam-tap": thresholded,
    "cam-nwc": lambda weight, _: max(weight, 0),
}


@each("name", ORACLES)
def test_equals_its_definition_in_loops(name):
    build = next(spec.build for spec in wsolbench_methods() if spec.name == name)
    for relu, negative in product([False, True], repeat=2):
        features, weights = scene(negative=negative)
        maps = drawn(build(relu=relu), features, context(weights, [0, 1, 2])).double().numpy()
        for image in range(3):
            expected = in_loops(name, features[image], weights[image], relu)
            case = f"{relu=}, {negative=}, {image=}"
            np.testing.assert_allclose(maps[image], expected, atol=1e-6, err_msg=case)


def in_loops(name, features, weights, relu):
    expected = np.zeros((5, 6))
    for channel in range(12):
        feature = features[channel].double().tolist()
        counts = ORACLES[name](float(weights[channel]), feature)
        for row in range(5):
            for column in range(6):
                expected[row, column] += counts * feature[row][column] / 12
    if relu:
        expected = np.maximum(expected, 0)
        expected = expected / expected.max() if expected.max() > 0 else expected
    return expected


@each("build", FAMILY)
def test_every_map_takes_raw_or_effective_weights_and_a_relu(build):
    assert [option.name for option in list_options(build)][:2] == ["relu", "weights"]
    features, raw = scene(negative=True)

    def effective(_, classes):
        return -raw[classes], torch.zeros(len(classes))

    backbone = SimpleNamespace(classifier_weight=raw, effective_weights=effective)
    seen = MethodContext(backbone, torch.empty(0), torch.tensor([0, 2, 1]), torch.empty(0))  # type: ignore[arg-type]
    torch.testing.assert_close(
        drawn(build(weights="effective"), features, seen),
        drawn(build(), features, context(-raw, [0, 2, 1])),
        atol=1e-6,
        rtol=0,
    )
    with pytest.raises(UsageError, match="does not offer effective weights"):
        drawn(build(weights="effective"), features, context(raw, [0, 2, 1]))


@each("build", FAMILY)
def test_batch_equals_singles(build):
    features, weights = scene(32, negative=True)
    classes = [(7 * image) % 32 for image in range(32)]
    together = drawn(build(), features, context(weights, classes))
    alone = [drawn(build(), features[image : image + 1], context(weights, [classes[image]])) for image in range(32)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)


@each("build", FAMILY)
def test_negative_maps_and_constant_features_give_zero_maps(build):
    constant = torch.tensor([1.5, -0.5, 0.2])[:, None, None].expand(1, 3, 4, 4)
    for features, weights in [
        (-torch.rand(1, 3, 4, 4), torch.tensor([[0.5, 0.02, 0.1]])),
        (torch.rand(1, 3, 4, 4), torch.tensor([[-0.5, -0.02, -0.1]])),
        (constant, torch.tensor([[0.5, 0.02, 0.1]])),
        (torch.zeros(1, 3, 4, 4), torch.tensor([[0.5, 0.02, 0.1]])),
    ]:
        if build is NegativeCAM:
            weights = weights.abs()  # its maps are bright where features and weights are negative
        raw_map = drawn(build(), features, context(weights, [0]))[0].numpy()
        assert classify_raw_map(raw_map) == "constant"
        assert not to_scoremap(raw_map).any()


@each("build", FAMILY)
def test_features_that_are_not_finite_are_not_hidden(build):
    for value, relu in product([float("nan"), float("inf"), float("-inf")], [False, True]):
        features, weights = scene(2)
        clean = drawn(build(relu), features, context(weights, [0, 1]))
        features[0, :, 2, 2] = value
        maps = drawn(build(relu), features, context(weights, [0, 1]))
        assert classify_raw_map(maps[0].numpy()) == "nan", (value, relu)
        np.testing.assert_allclose(maps[1], clean[1], rtol=1.3e-6, atol=1e-5, err_msg=f"{value=}, {relu=}")


def test_uses_each_images_own_class():
    features = torch.rand(2, 3, 4, 5)
    weights = torch.tensor([[1.0, 0, 0], [0, 2.0, 0]])
    maps = CAM(relu=False)(features, context(weights, [1, 0]))
    torch.testing.assert_close(maps, torch.stack([features[0, 1] * 2 / 3, features[1, 0] / 3]))


# ------------------------------------------------------------------------------------------------ some of the weights


def test_halves_add_up_to_the_whole():
    features, weights = scene(negative=True)
    whole, positive, negative = (
        drawn(build(relu=False), features, context(weights, [0, 1, 2])) for build in (CAM, PositiveCAM, NegativeCAM)
    )
    torch.testing.assert_close(positive + negative, whole)


def test_negative_half_takes_negative_weights_alone():
    features = torch.tensor([[[[1.0, -1.0]], [[5.0, -3.0]]]])
    maps = drawn(NegativeCAM(), features, context(torch.tensor([[2.0, -1.0]]), [0]))
    torch.testing.assert_close(maps, torch.tensor([[[0.0, 1.0]]]))


def test_flipped_negative_weights_count_by_their_magnitude():
    features = torch.tensor([[[[1.0, 3.0]], [[5.0, 2.0]]]])
    maps = drawn(NegativeCAM(sign="flipped"), features, context(torch.tensor([[2.0, -1.0]]), [0]))
    torch.testing.assert_close(maps, torch.tensor([[[1.0, 0.4]]]))


@each(("measure", "whole"), [("positive", PositiveCAM), ("magnitude", CAM)])
def test_small_and_large_weights_add_up_to_the_whole(measure, whole):
    for value in (0.0, 0.04, 0.1):
        features, weights = scene(negative=True)
        weights[0, 5] = value
        seen = context(weights, [0, 1, 2])
        small, large = (
            drawn(build(False, value=value, measure=measure), features, seen)
            for build in (SmallWeightCAM, LargeWeightCAM)
        )
        expected = drawn(whole(relu=False), features, seen)
        np.testing.assert_allclose(small + large, expected, rtol=1.3e-6, atol=1e-5, err_msg=f"{value=}")


def test_small_weights_are_positive_and_include_the_value():
    features = torch.eye(6)[:5].reshape(1, 5, 2, 3)
    seen = context(torch.tensor([[-0.5, -0.02, 0.02, 0.04, 0.5]]), [0])
    counted = {
        (build, measure): (drawn(build(relu=False, measure=measure), features, seen) * 5).flatten().tolist()[:5]
        for build in (SmallWeightCAM, LargeWeightCAM)
        for measure in ("positive", "magnitude")
    }
    assert counted[SmallWeightCAM, "positive"] == pytest.approx([0, 0, 0.02, 0.04, 0])
    assert counted[LargeWeightCAM, "positive"] == pytest.approx([0, 0, 0, 0, 0.5])
    assert counted[SmallWeightCAM, "magnitude"] == pytest.approx([0, -0.02, 0.02, 0.04, 0])
    assert counted[LargeWeightCAM, "magnitude"] == pytest.approx([-0.5, 0, 0, 0, 0.5])
    assert [build().measure for build in (SmallWeightCAM, LargeWeightCAM)] == ["positive", "positive"]


def test_a_map_of_negative_weights_is_not_defined_where_no_feature_is_negative():
    features = torch.rand(3, 2, 4, 4)
    features[1, 0, 2, 2] = -0.1
    features[2, 0, 2, 2] = float("nan")
    seen = context(torch.tensor([[-0.5, 0.2]]), [0, 0, 0])
    undefined = {
        options: NegativeCAM(**dict(options))(features, seen).statistics["not defined: features ≥ 0"].tolist()
        for options in [(), (("relu", False),), (("sign", "flipped"),)]
    }
    assert list(undefined.values()) == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_a_map_of_small_or_large_weights_is_not_defined_where_a_class_has_none():
    features, weights = torch.rand(3, 2, 4, 4), torch.tensor([[-0.5, 0.02], [0.5, 0.02], [0.5, 0.0]])
    seen = context(weights, [0, 1, 2])
    undefined = [
        build()(features, seen).statistics["not defined: no such weight"].tolist()
        for build in (SmallWeightCAM, LargeWeightCAM)
    ]
    assert undefined == [[0, 0, 1], [1, 0, 0]]


# ------------------------------------------------------------------------------------- thresholded average pooling


def test_thresholded_weights_give_the_same_score_on_thresholded_pooling():
    features, weights = scene()
    seen = context(weights, [0, 1, 2])
    lit = features > 0
    pooled = (features * lit).sum(dim=(2, 3)) / lit.sum(dim=(2, 3)).clamp(min=1)
    scores = (ThresholdedPoolingCAM(threshold=0).channel_weights(features, seen) * pooled).sum(dim=1)
    torch.testing.assert_close(scores, (weights * features.mean(dim=(2, 3))).sum(dim=1))


def test_a_channel_counts_by_the_cells_above_the_share_of_its_peak():
    feature = torch.tensor([[10.0, 6.0, 5.0, 1.0]])
    features = torch.stack([feature, -feature, feature - 20, torch.zeros(1, 4)])[None]
    seen = context(torch.ones(1, 4), [0])
    for threshold, share in ((0.0, 1.0), (0.1, 0.75), (0.5, 0.5), (0.99, 0.25)):
        counted = ThresholdedPoolingCAM(threshold=threshold).channel_weights(features, seen)
        assert counted.tolist() == [[share, 0, 0, 0]]


# ----------------------------------------------------------------------------------------- percentile as a standard


@each("relu", [False, True])
def test_the_hundredth_percentile_changes_nothing(relu):
    features, weights = scene(negative=True)
    seen = context(weights, [0, 1, 2])
    for ours, plain in zip(PercentileCAM(relu, percentile=100)(features, seen), CAM(relu)(features, seen), strict=True):
        assert np.array_equal(to_scoremap(ours.numpy()), to_scoremap(plain.numpy()))


@each("percentile", [30, 75, 90, 99.5])
def test_thresholds_are_fractions_of_the_percentile(percentile):
    """What exceeds τ in the scoremap is what exceeds τ · percentile in the map whose minimum counts as 0."""
    features, weights = scene(negative=True)
    seen = context(weights, [0, 1, 2])
    for ours, plain in zip(PercentileCAM(percentile=percentile)(features, seen), CAM()(features, seen), strict=True):
        frame = cv2.resize(plain.double().numpy(), (224, 224), interpolation=cv2.INTER_CUBIC)
        frame -= frame.min()
        reference = sorted(frame.flatten())[round(percentile / 100 * (224 * 224 - 1))]
        scoremap = to_scoremap(ours.numpy())
        for threshold in (0.05, 0.2, 0.35, 0.6, 0.9):
            unsure = np.abs(frame - threshold * reference) < 1e-3 * reference
            assert unsure.mean() < 0.02
            assert np.array_equal((scoremap > threshold) | unsure, (frame > threshold * reference) | unsure)


def test_cutting_off_hides_no_infinity():
    features = torch.rand(1, 1, 224, 224)
    features[0, 0, 100, 100] = float("inf")
    raw_map = PercentileCAM(relu=False)(features, context(torch.ones(1, 1), [0]))[0]
    assert classify_raw_map(raw_map.numpy()) == "nan"


@each("value", [0.1, -0.7, 1 / 3])
def test_a_map_of_one_value_stays_one_when_it_is_resized(value):
    features = torch.full((1, 1, 7, 7), value, dtype=torch.float64)
    raw_map = PercentileCAM(relu=False)(features, context(torch.ones(1, 1, dtype=torch.float64), [0]))[0]
    assert classify_raw_map(raw_map.numpy()) == "constant"


def test_a_percentile_at_the_minimum_asks_for_whatever_is_above_it():
    features = torch.zeros(1, 1, 224, 224)
    features[0, 0, 50:60, 70:90] = torch.rand(10, 20) + 0.1
    raw_map = PercentileCAM()(features, context(torch.ones(1, 1), [0]))[0].numpy()
    assert np.array_equal(to_scoremap(raw_map), (features[0, 0] > 0).numpy())


# -------------------------------------------------------------------------------------------------------- bad options


@each(
    ("build", "options", "reason"),
    [
        (SmallWeightCAM, {"value": float("nan")}, "(?s)value.*finite"),
        (SmallWeightCAM, {"value": -0.1}, "value"),
        (LargeWeightCAM, {"value": float("inf")}, "(?s)value.*finite"),
        (ThresholdedPoolingCAM, {"threshold": 1}, "(?s)threshold.*less than 1"),
        (ThresholdedPoolingCAM, {"threshold": -0.1}, "threshold"),
        (ThresholdedPoolingCAM, {"threshold": float("nan")}, "threshold"),
        (ThresholdedPoolingCAM, {"threshold": "0.1"}, "threshold"),
        (PercentileCAM, {"percentile": 0}, "(?s)percentile.*greater than 0"),
        (PercentileCAM, {"percentile": 100.5}, "percentile"),
        (CAM, {"relu": "no"}, "relu"),
        (PercentileCAM, {"percentil": 90}, "percentil"),
    ],
)
def test_impossible_options_are_refused_from_python_too(build, options, reason):
    with pytest.raises(ValueError, match=reason):
        build(**options)
