"""TAP: the pool cell by cell, in training and at test time, and the map of the paper."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from wsolbench_plugins.localizers.tap import TAP, network_of
from wsolbench_plugins.localizers.tap.network import with_thresholded_pool
from wsolbench_plugins.methods.cam import PositivePercentileCAM

from wsolbench.contract import BackboneSpec, Features, InputConfig, MethodContext, SpatialHead
from wsolbench.errors import UsageError
from wsolbench.testing.toys import DeepToy, ToyNetwork


def literal_pool(features, threshold):
    """Return the mean of the active cells of each channel, in numpy, of features (B, K, h, w)."""
    pooled = np.zeros(features.shape[:2])
    for image, channel in np.ndindex(*pooled.shape):
        cells = features[image, channel].flatten().tolist()
        active = [value for value in cells if value > threshold * max(cells)]
        pooled[image, channel] = sum(active) / len(active) if active else 0
    return pooled


@pytest.fixture
def network():
    torch.manual_seed(0)
    return with_thresholded_pool(ToyNetwork(), size=48)


@torch.no_grad()
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.7])
def test_the_pool_is_the_mean_of_active_cells(network, threshold):
    images = torch.randn(3, 3, 48, 48)
    features = network.forward_features(images)
    features[0, 1] = -features[0, 1].abs() - 0.1  # nowhere positive
    network.tap_threshold.fill_(threshold)
    pooled = literal_pool(features.double().numpy(), float(network.tap_threshold))
    assert pooled[0, 1] == 0
    assert np.allclose(network.pooled(features)[:, :, 0, 0], pooled, atol=1e-6)
    expected = pooled @ network.head.weight.double().numpy().T + network.head.bias.numpy()
    assert np.allclose(network.forward_head(features), expected, atol=1e-5)


def test_which_cells_are_active_has_no_gradient(network):
    features = torch.tensor([4.0, 1.0, 0.3, 2.0]).reshape(1, 1, 2, 2).requires_grad_()
    network.pooled(features).backward()
    assert features.grad.flatten().tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])


LARGER = ("replknet_nano", "slak_nano", "vgg16_wsol")


@pytest.mark.parametrize("name", ["resnet_nano", *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)])
@torch.no_grad()
def test_networks_are_pooled_in_training_and_at_test_time(registry, name):
    """Behind the pool is what was there: a linear layer, or a norm and a linear layer."""
    torch.manual_seed(0)
    network = registry.backbones.get(f"tap:{name}").spec.build(4).eval()
    base = registry.backbones.get(name).spec.build(4)
    assert network.state_dict().keys() == base.state_dict().keys() | {"tap_threshold"}
    base.load_state_dict({key: value for key, value in network.state_dict().items() if key != "tap_threshold"})
    images = torch.randn(2, 3, 48, 48)
    features = network.forward_features(images)
    pooled = torch.from_numpy(literal_pool(features.double().numpy(), float(network.tap_threshold))).float()
    logits = base.eval().forward_head(pooled[:, :, None, None])
    assert torch.allclose(network(images), logits, atol=1e-4)
    assert torch.allclose(network.forward_tapped(images, {}), logits, atol=1e-4)
    assert not torch.allclose(network(images), base(images), atol=1e-4)
    weights, constants = network.effective_weights(features, torch.tensor([3, 1]))
    scores = (weights[:, :, None, None] * features).sum(dim=1).mean(dim=(1, 2)) + constants
    assert torch.allclose(scores, logits[[0, 1], [3, 1]], atol=1e-4)


def test_the_system_pools_with_its_threshold_and_keeps_it(network):
    (stage,) = TAP(threshold=0.5).stages(7)
    assert (stage.epochs, stage.trains, stage.mixed) == (7, ("",), True)
    images = torch.randn(2, 3, 48, 48)
    logits = stage.forward(network, images, torch.tensor([0, 1]))["logits"]
    assert network.state_dict()["tap_threshold"] == 0.5
    assert torch.equal(logits, network(images))
    assert not isinstance(network, SpatialHead)  # as the toy


@torch.no_grad()
def test_the_map_of_the_paper_is_cut_at_shares_of_a_percentile(network):
    """τ of the map's own threshold rule, τ · Per_90 above the minimum, of CAM with weights clamped at 0."""
    images = torch.randn(2, 3, 48, 48)
    features = network.forward_features(images)
    context = MethodContext(network, images, torch.tensor([3, 1]), network.forward_head(features))
    maps = PositivePercentileCAM(relu=False)(features, context).numpy()
    plain = PositivePercentileCAM(relu=False, percentile=100)(features, context).numpy()
    cells = np.einsum("bkhw,bk->bhw", features, network.head.weight[[3, 1]].clamp(min=0)) / features.shape[1]
    for found, whole, small in zip(maps, plain, cells, strict=True):
        resized = cv2.resize(small.astype(np.float64), (224, 224), interpolation=cv2.INTER_CUBIC)
        assert np.allclose(whole, resized, atol=1e-6)
        level = np.percentile(whole, 90)
        for tau in (0.2, 0.35, 0.8):
            scaled = (found - found.min()) / (found.max() - found.min())
            assert np.array_equal(scaled > tau, whole - whole.min() > tau * (level - whole.min()))


def spec_of(network):
    return BackboneSpec("toy", lambda _classes: network, InputConfig(size=32), "us")


def test_networks_that_it_cannot_serve_are_refused():
    class WithToken(DeepToy):
        def forward_features(self, images):
            maps = super().forward_features(images)
            return Features(maps, (maps.mean(dim=(2, 3)),))

    class WithoutWeights(DeepToy):
        classifier_weight = None

    class Flattened(ToyNetwork):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(6 * 16, 5)

        def forward_head(self, features):
            return self.head(features.flatten(1))

    with pytest.raises(
        UsageError,
        match=r"^'toy' cannot be trained by .*: needs a head that reads nothing but the feature maps",
    ):
        network_of(spec_of(WithToken())).build(5)
    with pytest.raises(
        UsageError, match=r"^'toy' cannot be trained by .*: needs class weights, and the network has none$"
    ):
        network_of(spec_of(WithoutWeights())).build(5)
    with pytest.raises(UsageError, match=r"^'toy' cannot be trained by .*: needs a head that reads maps of any size"):
        network_of(spec_of(Flattened())).build(5)
