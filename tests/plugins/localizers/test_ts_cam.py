"""TS-CAM and SCM: literal forms of their formulas, the reference's outputs, and networks that they cannot train."""

import math

import numpy as np
import pytest
import torch
from published import Published
from torch import nn
from torch.nn import functional as F
from wsolbench_plugins.localizers.ts_cam import SCM
from wsolbench_plugins.localizers.ts_cam.calibration import (
    CalibratedHead,
    Calibration,
    inverse,
    laplacian,
    shrunk,
    with_calibration,
)
from wsolbench_plugins.localizers.ts_cam.network import with_semantic_head

from wsolbench.contract import Features
from wsolbench.errors import UsageError
from wsolbench.testing.toys import DeepToy

IMAGES = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([2, 0, 2])


@pytest.fixture
def built(registry):
    """Return what builds a network by its name."""

    def build(name, classes=4):
        torch.manual_seed(0)
        return registry.backbones.get(name).spec.build(classes).eval()

    return build


def literal(network, patches, rows):
    """Return logits and maps of `CLASSES`, patch by patch.

    Args:
        network: It holds the convolution.
        patches: Patch tokens (B, K, h, w).
        rows: What the class token pays to the patches (blocks, B, heads, h, w).
    """
    kernel, bias = network.semantic.weight.double(), network.semantic.bias.double()
    padded = F.pad(patches.double(), [1, 1, 1, 1])
    count, _, height, width = patches.shape
    semantic = torch.empty(count, len(kernel), height, width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            seen = padded[:, None, :, row : row + 3, column : column + 3]
            semantic[:, :, row, column] = (seen * kernel).sum(dim=(2, 3, 4)) + bias
    attention = torch.zeros(count, height, width, dtype=torch.float64)
    for block in rows.double():
        for head in range(block.shape[1]):
            attention += block[:, head] / block.shape[1]
    maps = torch.stack([attention[i] * semantic[i, label] for i, label in enumerate(CLASSES.tolist())])
    return semantic.mean(dim=(2, 3)).float(), maps.float()


@torch.no_grad()
def test_maps_couple_the_attention_of_all_blocks_with_class_maps(built):
    network, base = built("ts-cam:vit_micro"), built("vit_micro")
    base.load_state_dict(network.state_dict(), strict=False)
    images = torch.randn(3, 3, 64, 64)
    attention = base.forward_attention(images)
    rows = torch.stack([weights[:, :, 0, 1:].unflatten(2, (8, 8)) for weights in attention.weights])
    patches = []
    base.forward_tapped(images, {"norm": lambda maps: patches.append(maps) or maps})
    logits, maps = literal(network, patches[0], rows)

    features = network.forward_features(images)
    torch.testing.assert_close(features.maps, patches[0])
    torch.testing.assert_close(network.forward_head(features), logits)
    torch.testing.assert_close(network.localize(features, images, CLASSES), maps)
    assert maps.min() < 0  # they are not clipped
    torch.testing.assert_close(network(images), logits)
    torch.testing.assert_close(network.training_outputs(images, CLASSES)["logits"], logits)
    for ours, theirs in zip(network.forward_attention(images).weights, attention.weights, strict=True):
        assert torch.equal(ours, theirs)
    assert network.classifier_weight is None
    assert network.feature_layer == "norm"


@torch.no_grad()
def test_layers_are_tapped_on_the_way_to_the_new_scores(built):
    network, images, found = built("ts-cam:vit_micro"), torch.randn(2, 3, 64, 64), {}
    assert network.taps == built("vit_micro").taps
    logits = network.forward_tapped(images, {"blocks.1": lambda maps: found.setdefault("blocks.1", maps)})
    torch.testing.assert_close(logits, network(images))
    assert found["blocks.1"].shape == (2, 96, 8, 8)
    patches = torch.randn(2, 96, 8, 8)
    logits = network.forward_tapped(images, {"norm": lambda _: patches})
    torch.testing.assert_close(logits, network.forward_head(Features(patches, ())))


def test_any_network_with_attention_and_a_class_token_is_served():
    network = with_semantic_head(DeepToy(), size=48, key="head.weight")
    assert not network.head.state_dict()
    features = network.forward_features(IMAGES)
    torch.testing.assert_close(features.maps, network.layers(network.conv(IMAGES)))
    assert network.localize(features, IMAGES, CLASSES).shape == (3, 6, 6)


class PoolsCells(DeepToy):
    """Its head pools the cells."""

    def forward_attention(self, images):
        attention = super().forward_attention(images)
        return type(attention)(attention.weights, attention.prefix, attention.grid, class_token=False)


class Smaller(DeepToy):
    """Its last tap has another grid than the attention."""

    def __init__(self):
        super().__init__()
        self.layers[1] = nn.Conv2d(6, 6, 3, stride=2, padding=1)

    def forward_attention(self, images):
        attention, features = super().forward_attention(images), self.conv(images)
        return type(attention)(attention.weights, 1, tuple(features.shape[2:]))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Linear(3, 2), "needs the attention of a network of tokens, and this one has none"),
        (PoolsCells(), "needs a class token that is classified; this network pools its patches"),
        (Smaller(), r"needs patches on the grid of the attention at the last tap, 'layers\.1', which has none"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused(network, words):
    with pytest.raises(UsageError, match=f"^{words}"):
        with_semantic_head(network, size=48, key="head.weight")


@pytest.mark.parametrize("system", ["ts-cam", "scm"])
def test_a_network_without_attention_is_one_line(cli, system):
    said = f"the system '{system}' cannot train 'resnet_nano': needs the attention of a network of tokens"
    assert cli("describe", f"{system}:resnet_nano").refused(said, f"it trains, for example, '{system}:vit_micro'")


# ------------------------------------------------------------------------------------------------------------- weights


def test_files_of_the_authors_and_of_scm_are_read(registry, built):
    spec = registry.backbones.get("ts-cam:vit_micro").spec
    own = built("ts-cam:vit_micro").state_dict()
    theirs = {name.replace("semantic.", "head."): value for name, value in own.items()}
    assert spec.convert_weights(theirs).keys() == own.keys()
    assert spec.convert_weights(own).keys() == own.keys()
    assert spec.convert_weights(built("scm:vit_micro").state_dict()).keys() == own.keys()
    larger = spec.at_size(96)
    network = larger.build(4)
    network.load_state_dict(larger.convert_weights(theirs))
    assert network.forward_features(torch.zeros(1, 3, 96, 96)).maps.shape == (1, 96, 12, 12)


@pytest.mark.slow
@torch.no_grad()
def test_it_agrees_with_the_reference(registry, shared_data):
    published = Published(shared_data, "deit_tiny_tscam")
    spec = registry.backbones.get("ts-cam:timm:deit_tiny_patch16_224").spec
    network = spec.build(10).eval()
    network.load_state_dict(spec.convert_weights(published.weights()))
    i = np.arange(3 * 224 * 224, dtype=np.float64)
    waves = np.sin(0.05 * i) + np.sin(0.0007 * i) + np.cos(0.31 * i)
    images = torch.from_numpy(waves.astype(np.float32).reshape(1, 3, 224, 224))
    features = network.forward_features(images)
    assert published.agrees("patch_tokens", features.maps.flatten(2).mT, 1e-4)
    assert published.agrees("semantic_map", network.semantic(features.maps), 1e-4)
    assert published.agrees("fused_attention", features.rest[0], 1e-4)
    assert published.agrees("logits", network.forward_head(features), 1e-4)
    every = [network.localize(features, images, torch.tensor([label])) for label in range(10)]
    assert published.agrees("map_class3", every[3], 1e-4)
    assert published.agrees("all_maps", torch.stack(every, dim=1), 1e-4)
    attention = network.forward_attention(images).weights
    assert published.agrees("attention_block0", attention[0], 1e-4)
    rows = [weights.mean(dim=1)[0, 0] for weights in attention]
    assert published.agrees("attention_rows", torch.stack(rows), 1e-4)
    assert published.agrees("train_logits", network.train().training_outputs(images, None)["logits"], 1e-3)


# ----------------------------------------------------------------------------------------------------------------- SCM


def flow_of(semantic, rate):
    """Return M of one image (C, h, w), entry by entry."""
    channels, height, width = semantic.shape
    values = semantic.reshape(channels, -1).T
    flow = np.zeros((height * width, height * width))
    for one in range(height * width):
        for other in range(height * width):
            near = abs(one // width - other // width) + abs(one % width - other % width)
            cosine = values[one] @ values[other] / (np.linalg.norm(values[one]) * np.linalg.norm(values[other]))
            if near == 1:
                flow[one, other] = -(rate * cosine - 1)
                flow[one, one] += rate * 1 - 1
    return flow


def inverted(flow, steps):
    """Return what the steps give, by singular values: σ becomes (1 - (1 - σ² / s)^(2^steps)) / σ."""
    values, vectors = np.linalg.eigh(flow)
    start = max(np.abs(flow).sum(axis=1).max() ** 2, 64)
    safe = np.where(np.abs(values) > 1e-12, values, 1)
    return vectors @ np.diag((1 - (1 - values**2 / start) ** (2**steps)) / safe) @ vectors.T


def calibrated(semantic, attention, layers, steps):
    """Return semantic maps (C, h, w) and attention (h, w) after layers of (rate, threshold)."""
    for rate, threshold in layers:
        spread = (inverted(flow_of(semantic, rate), steps) @ attention.ravel()).reshape(attention.shape)
        limit = threshold * spread.max()
        reached = np.array([[value - limit * math.tanh(value / limit) for value in row] for row in spread])
        semantic, attention = semantic * (1 + reached), attention + reached
    return semantic, attention


def test_layers_of_scm_spread_attention_as_their_formulas_say():
    draws = np.random.default_rng(0)
    semantic, attention = draws.normal(0.5, 1, (2, 3, 4, 5)), draws.uniform(0, 2, (2, 4, 5))
    layers, rates = [Calibration().double() for _ in range(2)], [(1.5, 0.3), (2.5, 0.6)]
    found = (torch.from_numpy(semantic), torch.from_numpy(attention))
    with torch.no_grad():
        for layer, (rate, threshold) in zip(layers, rates, strict=True):
            layer.rate.fill_(rate)
            layer.threshold.fill_(threshold)
            found = layer(*found, 4)
    for image in range(2):
        maps, spread = calibrated(semantic[image], attention[image], rates, 4)
        np.testing.assert_allclose(found[0][image], maps, rtol=1e-9)
        np.testing.assert_allclose(found[1][image], spread, rtol=1e-9)


def test_many_steps_are_the_inverse_and_of_the_grid_the_pseudo_inverse():
    flow = flow_of(np.random.default_rng(1).normal(size=(3, 3, 4)), 2.0)
    np.testing.assert_allclose(inverse(torch.from_numpy(flow)[None], 60)[0], np.linalg.inv(flow), rtol=1e-6, atol=1e-8)
    grid = flow_of(np.ones((3, 3, 4)), 2.0)
    ours = laplacian(3, 4, torch.device("cpu")).double()
    np.testing.assert_allclose(ours, grid)
    np.testing.assert_allclose(inverse(ours[None], 20)[0], np.linalg.pinv(grid), atol=1e-8)


def test_small_and_constant_values_are_finite():
    assert torch.equal(shrunk(torch.zeros(1, 2, 2), torch.tensor(0.5)), torch.zeros(1, 2, 2))
    maps, attention = Calibration()(torch.zeros(1, 3, 4, 4), torch.ones(1, 4, 4), 5)
    assert maps.isfinite().all()
    assert attention.isfinite().all()


def test_scm_differs_from_ts_cam_in_training_only(built):
    network, plain = built("scm:vit_micro"), built("ts-cam:vit_micro")
    plain.load_state_dict(network.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for each in (network, plain):
            for block in each.blocks:
                block.attn.qkv.weight.mul_(12)  # so that patches get different attention
        features = network.train().eval().forward_features(images)
        assert torch.equal(network.forward_head(features), plain(images))
        classes = CLASSES[:2]
        theirs = plain.localize(plain.forward_features(images), images, classes)
        assert torch.equal(network.localize(features, images, classes), theirs)

    outputs = SCM(steps=4).forward(network, images, classes)
    attention = features.rest[0].double().numpy()
    for image in range(2):
        semantic = network.semantic(features.maps)[image].detach().double().numpy()
        relative = attention[image] / attention[image].mean()
        maps, _ = calibrated(semantic, relative, [(2.0, 0.5)] * 4, 4)
        np.testing.assert_allclose(outputs["logits"][image].detach(), maps.mean(axis=(1, 2)), rtol=1e-3, atol=1e-5)
    assert not torch.allclose(outputs["logits"], plain(images), rtol=1e-2)
    outputs["logits"].sum().backward()
    assert len(network.calibration) == 4
    assert all(layer.rate.grad != 0 and layer.threshold.grad != 0 for layer in network.calibration)
    assert isinstance(network, CalibratedHead)
    assert (
        with_calibration(DeepToy(), size=48, key="head.weight")
        .training_outputs(IMAGES, CLASSES)["logits"]
        .isfinite()
        .all()
    )
