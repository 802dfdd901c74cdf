"""The CAM family against the authors' maps and against a definition in loops."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from wsolbench_plugins.methods.cam import CAM

from wsolbench.api import MethodContext, UsageError


def context(weights: torch.Tensor, classes: list[int]) -> MethodContext:
    backbone = SimpleNamespace(classifier_weight=weights)
    return MethodContext(backbone, torch.empty(0), torch.tensor(classes), torch.empty(0))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", range(10))
def test_equals_the_authors_map(shared_data, case):
    features, weights, expected = (
        np.load(shared_data / "maps" / f"vec{case:02d}_{part}.npy") for part in ("features", "weights", "cam")
    )
    maps = CAM()(torch.from_numpy(features)[None], context(torch.from_numpy(weights)[None], [0]))
    np.testing.assert_allclose(maps[0].numpy(), np.nan_to_num(expected), atol=1e-5)  # case 08: NaN there, zeros here


def test_uses_each_images_own_class():
    features = torch.rand(2, 3, 4, 5)
    weights = torch.tensor([[1.0, 0, 0], [0, 2.0, 0]])
    maps = CAM(relu=False)(features, context(weights, [1, 0]))
    torch.testing.assert_close(maps, torch.stack([features[0, 1] * 2 / 3, features[1, 0] / 3]))


def test_halves_add_up_to_the_whole():
    torch.manual_seed(0)
    features, weights = torch.randn(3, 8, 4, 4), torch.randn(5, 8)
    whole, positive, negative = (
        CAM(sign, relu=False)(features, context(weights, [0, 3, 4])) for sign in ("any", "positive", "negative")
    )
    torch.testing.assert_close(positive + negative, whole)


def test_negative_half_takes_negative_weights_alone():
    features = torch.tensor([[[[1.0, -1.0]], [[5.0, -3.0]]]])
    maps = CAM("negative")(features, context(torch.tensor([[2.0, -1.0]]), [0]))
    torch.testing.assert_close(maps, torch.tensor([[[0.0, 1.0]]]))


def test_map_without_a_positive_value_is_zero():
    maps = CAM()(-torch.rand(1, 2, 3, 3), context(torch.ones(1, 2), [0]))
    assert not maps.any()


def test_features_that_are_not_finite_are_not_hidden():
    features = torch.full((1, 2, 3, 3), float("nan"))
    assert CAM()(features, context(torch.ones(1, 2), [0])).isnan().all()


def test_effective_weights_take_the_place_of_the_raw_ones():
    torch.manual_seed(0)
    features, raw = torch.randn(2, 3, 4, 4), torch.randn(5, 3)

    def effective(_, classes):
        return -raw[classes], torch.zeros(len(classes))

    backbone = SimpleNamespace(classifier_weight=raw, effective_weights=effective)
    seen = MethodContext(backbone, torch.empty(0), torch.tensor([0, 3]), torch.empty(0))  # type: ignore[arg-type]
    flipped = CAM(relu=False, weights="effective")(features, seen)
    torch.testing.assert_close(flipped, -CAM(relu=False)(features, seen))
    with pytest.raises(UsageError, match="does not offer effective weights"):
        CAM(weights="effective")(features, context(raw, [0, 3]))
