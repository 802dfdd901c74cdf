"""The gradient family on networks of tokens against the package that people use, called as its documentation says."""

import pytest
import timm
import torch
from test_gradients import METHODS
from torch import nn
from wsolbench_plugins.backbones.timm_networks import zoo

from wsolbench.api import MethodContext
from wsolbench.contract.backbones import maps_and_rest
from wsolbench.networks.taps import tapped_at


def tokens_to_maps(prefix, side):
    """Return the reshape transform of the package's documentation for a ViT."""

    def transform(tokens):
        return tokens[:, prefix:].reshape(len(tokens), side, side, tokens.shape[2]).permute(0, 3, 1, 2)

    return transform


def channels_first(maps):
    return maps.permute(0, 3, 1, 2)


VIT, SWIN, LAST_NORM1 = "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "layers.3.blocks.1.norm1"
SMALL_VIT = {"depth": 2, "embed_dim": 48, "num_heads": 3}
SMALL_SWIN = {"embed_dim": 12, "depths": (1, 1, 1, 2), "num_heads": (1, 2, 3, 6)}
SMALL = {
    "vit": (VIT, SMALL_VIT, None, "blocks.1.norm1", tokens_to_maps(1, 14)),
    "swin tapped before its last attention": (SWIN, SMALL_SWIN, LAST_NORM1, LAST_NORM1, channels_first),
}
FULL = {
    "vit": (VIT, {}, None, "blocks.11.norm1", tokens_to_maps(1, 14)),
    "vit tapped in the middle": (VIT, {}, "blocks.5", "blocks.5", tokens_to_maps(1, 14)),
    "deit": ("deit_tiny_patch16_224", {}, None, "blocks.11.norm1", tokens_to_maps(1, 14)),
    "deit, two tokens": ("deit_tiny_distilled_patch16_224", {}, None, "blocks.11.norm1", tokens_to_maps(2, 14)),
    "swin": (SWIN, {}, None, "norm", channels_first),
    "swin tapped before its last attention": (SWIN, {}, LAST_NORM1, LAST_NORM1, channels_first),
}
"""Network, options, tap, and the layer and reshape transform that the package is given."""


def networks(name, options, tap):
    """Return our backbone and timm's network with the same random weights, in double precision."""
    torch.manual_seed(0)
    ours = zoo.find(name).build(7, **options)
    for module in ours.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    timms = timm.create_model(name, num_classes=7, **options)
    timms.load_state_dict(ours.state_dict())
    ours, timms = ours.eval().requires_grad_(False), timms.double().eval()
    return (ours if tap is None else tapped_at(ours, tap, size=224, called=name)).double(), timms


def raw_map_of_the_package(name, network, layer, transform, images, classes):
    """Return the map of a class of the package before it is resized."""
    package = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets, layer = [ClassifierOutputTarget(index) for index in classes.tolist()], network.get_submodule(layer)
    with getattr(package, name)(model=network, target_layers=[layer], reshape_transform=transform) as cam:
        cam(images, targets)
        activations, gradients = (found[0].numpy() for found in (seen(cam, "activations"), seen(cam, "gradients")))
        return torch.from_numpy(cam.get_cam_image(images, layer, targets, activations, gradients, False)).clamp(min=0)


def seen(cam, what):
    return [values.detach() for values in getattr(cam.activations_and_grads, what)]


def check(case, count):
    name, options, tap, layer, transform = case
    ours, timms = networks(name, options, tap)
    images = torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        features = ours.forward_features(images)
        logits = ours.forward_head(features)
        torch.testing.assert_close(logits, timms(images), rtol=1e-9, atol=1e-9)
    maps, rest = maps_and_rest(features)
    context = MethodContext(ours, images, logits.argmax(dim=1), logits, rest)
    for method, ours_of_method in METHODS.items():
        expected = raw_map_of_the_package(method, timms, layer, transform, images, context.class_indices)
        found = ours_of_method(maps, context)
        assert expected.amax() > 0, method
        largest = float(expected.amax())
        assert float((found - expected).abs().amax()) < 1e-5 * largest, method


@pytest.mark.parametrize("case", SMALL)
def test_small_networks_equal_the_package(case):
    check(SMALL[case], 2)


@pytest.mark.slow
@pytest.mark.parametrize("case", FULL)
def test_full_networks_equal_the_package(case):
    check(FULL[case], 1)
