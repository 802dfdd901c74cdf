"""LayerCAM fused over layers: against published numbers, and pixel by pixel."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import each
from wsolbench_plugins.methods.gradients import FusedLayerCAM, LayerCAM

from wsolbench.api import MethodContext, UsageError


class Painted:
    """A network whose layers and gradients are given: its scores are the sums of maps times gradients."""

    def __init__(self, layers):
        self.layers = layers

    @property
    def taps(self):
        return tuple(self.layers)

    def forward_tapped(self, images, visit):
        scores = torch.zeros(len(images), 2)
        for name, function in visit.items():
            maps, gradients = self.layers[name]
            scores = scores + torch.stack([torch.zeros(len(maps)), (function(maps) * gradients).sum(dim=(1, 2, 3))], 1)
        return scores


def fused(layers, **options):
    count = len(next(iter(layers.values()))[0])
    context = MethodContext(Painted(layers), torch.zeros(count, 3, 8, 8), torch.ones(count).long(), torch.empty(0))
    return FusedLayerCAM(**options)(torch.empty(0), context).numpy()


@pytest.fixture(scope="module")
def published(shared_data):
    return np.load(shared_data / "systems" / "layercam_fusion.npz")


@pytest.fixture
def layers(published):
    parts = {name: torch.from_numpy(published[name]) for name in published if name[:-1] in ("activation_", "gradient_")}
    return {str(number): (parts[f"activation_{number}"], parts[f"gradient_{number}"]) for number in range(3)}


@each(("scaled", "name"), [("paper", "paper_fused"), ("torch-cam", "torchcam_fused")])
def test_the_fused_map_is_the_published_one_by_either_rule(layers, published, scaled, name):
    np.testing.assert_allclose(fused(layers, scaled=scaled), published[name], atol=2e-6)


@each("number", [0, 1, 2])
def test_the_map_of_each_layer_is_the_published_one(layers, published, number):
    one = {str(number): layers[str(number)]}
    np.testing.assert_allclose(LayerCAM().map(*one[str(number)]), published[f"map_{number}"], atol=2e-6)
    np.testing.assert_allclose(fused(one), published[f"paper_scaled_{number}"], atol=2e-6)
    np.testing.assert_allclose(fused(one, scaled="torch-cam"), published[f"torchcam_scaled_{number}"], atol=2e-6)


def enlarged(small, size):
    """Resize (h, w) bilinearly, pixel by pixel; centres are at half a pixel, outside them nothing changes."""
    made = np.zeros(size)
    for place, _ in np.ndenumerate(made):
        y, x = (
            min(max((at + 0.5) * have / want - 0.5, 0), have - 1)
            for at, have, want in zip(place, small.shape, size, strict=True)
        )
        for (row, column), value in np.ndenumerate(small):
            made[place] += value * max(1 - abs(y - row), 0) * max(1 - abs(x - column), 0)
    return made


def test_pixel_by_pixel_for_maps_that_are_not_square_and_features_below_zero():
    draws = torch.Generator().manual_seed(0)
    layers = {
        "early": tuple(torch.randn(2, 3, 4, 6, generator=draws) for _ in range(2)),
        "late": tuple(torch.randn(2, 5, 2, 3, generator=draws) for _ in range(2)),
    }
    found = {scaled: fused(layers, scaled=scaled, gamma=1.5) for scaled in ("paper", "torch-cam", "none")}
    for image in range(2):
        maps = []
        for features, gradients in layers.values():
            a, g = features[image].double().numpy(), gradients[image].double().numpy()
            maps.append(np.maximum((np.maximum(g, 0) * a).sum(axis=0), 0))
        by_rule = {
            "paper": [np.tanh(1.5 * m / m.max()) for m in maps],
            "torch-cam": [np.tanh(1.5 * (m - m.min()) / (m.max() - m.min())) for m in maps],
            "none": maps,
        }
        for scaled, (early, late) in by_rule.items():
            expected = np.maximum(early, enlarged(late, (4, 6)))
            np.testing.assert_allclose(found[scaled][image], expected, rtol=1e-4, atol=1e-6)


def test_only_the_layers_asked_for_are_fused():
    ones = torch.ones(1, 1, 2, 2)
    layers = {"a": (ones, 0 * ones), "b": (torch.arange(4.0).reshape(1, 1, 2, 2), ones)}
    alone = fused(layers, taps=("a",))
    assert not alone.any()  # no gradient: a map of zeros, and no division by its maximum
    np.testing.assert_allclose(fused(layers, taps=("b",)), fused(layers))
    assert fused(layers, taps=("b",)).any()


def test_by_default_layers_that_are_parts_of_others_are_left_out():
    ones = torch.ones(1, 1, 2, 2)
    ramp = (torch.arange(4.0).reshape(1, 1, 2, 2), ones)
    layers = {"blocks.1.norm": (5 * ones, ones), "blocks.1": ramp, "blocks.10": ramp}
    np.testing.assert_array_equal(fused(layers, scaled="none"), fused({"blocks.1": ramp}, scaled="none"))
    assert (fused(layers, scaled="none", taps=("blocks.1.norm", "blocks.1")) == 5).all()


def test_a_layer_that_the_network_does_not_have_is_refused_by_name():
    ones = torch.ones(1, 1, 2, 2)
    with pytest.raises(UsageError, match=r"Painted has no tap 'c'\. Its taps: a"):
        fused({"a": (ones, ones)}, taps=("c",))
    context = MethodContext(SimpleNamespace(), torch.empty(0), torch.empty(0), torch.empty(0))
    with pytest.raises(UsageError, match="SimpleNamespace has no taps"):
        FusedLayerCAM()(torch.empty(0), context)
