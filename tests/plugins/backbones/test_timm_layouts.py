"""Where the features of a timm network are: one small network of each layout against timm's own forward pass.

The reference is literal: an untouched network of timm's, a forward hook on the layer that the features should come
from, and plain autograd.
"""

import copy
from contextlib import ExitStack
from functools import cache

import pytest
import timm
import torch
from timm.layers import set_fused_attn
from timm.models.beit import Beit
from timm.models.cait import Cait
from timm.models.eva import Eva
from timm.models.levit import NormLinear
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_relpos import VisionTransformerRelPos
from torch.nn import functional as F
from wsolbench_plugins.backbones.timm_networks.adapters import as_backbone
from wsolbench_plugins.backbones.timm_networks.anatomy import dissect
from wsolbench_plugins.backbones.timm_networks.classifiers import affine

from wsolbench.api import Attentive, Features, LinearHead, SpatialHead

TOKENS = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2, "num_classes": 5}
CHANNELS_LAST = "channels last"
CASES = {
    "mambaout": (lambda: timm.create_model("test_mambaout", num_classes=5), None, CHANNELS_LAST),
    "swin": (
        lambda: SwinTransformer(
            img_size=32, patch_size=4, embed_dim=12, depths=(1, 2), num_heads=(2, 2), window_size=4, num_classes=5
        ),
        None,
        CHANNELS_LAST,
    ),
    "vit": (lambda: VisionTransformer(**TOKENS), "blocks.2.norm1", 1),
    "registers, no position of the class": (
        lambda: VisionTransformer(**TOKENS, reg_tokens=4, no_embed_class=True, init_values=0.1, qk_norm=True),
        "blocks.2.norm1",
        5,
    ),
    "mean of the patches": (lambda: VisionTransformer(**TOKENS, global_pool="avg"), None, 1),
    "attention pool": (lambda: VisionTransformer(**TOKENS, global_pool="map", class_token=False), None, 0),
    "rotary positions": (
        lambda: Eva(**TOKENS, global_pool="token", use_rot_pos_emb=True, num_reg_tokens=2),
        "blocks.2.norm1",
        3,
    ),
    "mixed rotary positions": (
        lambda: Eva(**TOKENS, global_pool="token", use_rot_pos_emb=True, rope_type="mixed", no_embed_class=True),
        "blocks.2.norm1",
        1,
    ),
    "shared relative positions": (
        lambda: Beit(**TOKENS, global_pool="token", use_shared_rel_pos_bias=True, use_abs_pos_emb=False),
        "blocks.2.norm1",
        1,
    ),
    "relative positions": (
        lambda: VisionTransformerRelPos(**TOKENS, global_pool="token", class_token=True, shared_rel_pos=True),
        "blocks.2.norm1",
        1,
    ),
    "class attention": (lambda: Cait(**TOKENS), "blocks_token_only.1.norm1", 1),
}
"""Name -> network, the layer that its features come from (None: timm's ``forward_features``), and what comes before
the patches in the tokens of that layer."""


def pair(name, num_classes=None):
    """Return a network of timm's and the backbone with the same weights, none of which is zero."""
    _, layer, prefix = CASES[name]
    network, anatomy = built(name)
    network = copy.deepcopy(network)
    if num_classes == 0:
        network.reset_classifier(0)
    return network, as_backbone(copy.deepcopy(network), anatomy), layer, prefix


@cache
def built(name):
    """Return a network and its anatomy."""
    build = CASES[name][0]
    with torch.device("meta"):
        anatomy = dissect(build().eval(), size_of(name))
    torch.manual_seed(0)
    network = build().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return network, anatomy


def size_of(name):
    return 64 if name == "mambaout" else 32


def images_of(name):
    size = size_of(name)
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def reference(network, images, layer, prefix):
    """Return logits, maps (B, K, h, w) and the gradients of the first class score with respect to them."""
    kept = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        kept.append(output)

    if layer is None:
        tapped = network.forward_features(images)
        tapped.retain_grad()
        logits = network.forward_head(tapped)
    else:
        with network.get_submodule(layer).register_forward_hook(keep):
            logits = network(images)
        (tapped,) = kept
    logits[:, 0].sum().backward()
    return logits.detach(), as_maps(tapped.detach(), prefix), as_maps(tapped.grad, prefix)


def as_maps(output, prefix):
    if prefix is None:
        return output
    if prefix == CHANNELS_LAST:
        return output.permute(0, 3, 1, 2)
    patches = output[:, prefix:]
    side = round(patches.shape[1] ** 0.5)
    return patches.reshape(len(patches), side, side, -1).permute(0, 3, 1, 2)


def split(features):
    return (features.maps, features.rest) if isinstance(features, Features) else (features, None)


def head(backbone, maps, rest):
    return backbone.forward_head(maps if rest is None else Features(maps, rest))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_features_head_and_gradients_are_timms(name):
    network, backbone, layer, prefix = pair(name)
    images = images_of(name)
    logits, maps, gradients = reference(network, images, layer, prefix)
    assert list(backbone.state_dict()) == list(network.state_dict())
    ours, rest = split(backbone.forward_features(images))
    assert torch.equal(ours, maps)
    assert torch.equal(head(backbone, ours, rest), logits)
    assert torch.equal(backbone(images), logits)
    leaf = ours.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(head(backbone, leaf, rest)[:, 0].sum(), leaf)
    assert gradients.abs().max() > 1e-6
    torch.testing.assert_close(slopes, gradients, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_class_weights_where_the_score_is_linear_in_the_pooled_maps(name):
    network, backbone, *_ = pair(name)
    linear = {"swin", "mean of the patches"}
    assert isinstance(backbone, LinearHead) == isinstance(backbone, SpatialHead) == (name in linear)
    if name in linear:
        maps, _ = split(backbone.forward_features(images_of(name)))
        weights, constants = backbone.effective_weights(maps, torch.tensor([3, 1]))
        scores = (weights * maps.mean(dim=(2, 3))).sum(1) + constants
        torch.testing.assert_close(scores, network(images_of(name))[[0, 1], [3, 1]])


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_every_tap_is_shown_once_and_can_be_changed(name):
    network, backbone, layer, prefix = pair(name)
    images = images_of(name)
    seen = {}

    def look(tap):
        def show(maps):
            assert tap not in seen
            seen[tap] = maps
            return maps

        return show

    assert torch.equal(backbone.forward_tapped(images, {tap: look(tap) for tap in backbone.taps}), network(images))
    assert tuple(seen) == backbone.taps  # in the order of the pass
    for tap, maps in seen.items():
        assert maps.ndim == 4, tap
        assert maps.shape[2] == maps.shape[3], tap
    if layer is not None:
        assert torch.equal(seen[layer], split(backbone.forward_features(images))[0])
        zeroed = backbone.forward_tapped(images, {layer: torch.zeros_like})

        def zero(_module, _inputs, output):
            return torch.cat([output[:, :prefix], torch.zeros_like(output[:, prefix:])], dim=1)

        with network.get_submodule(layer).register_forward_hook(zero):
            assert torch.equal(zeroed, network(images))
    assert torch.equal(backbone(images), network(images))  # no hook remains


@pytest.mark.parametrize("name", [name for name in CASES if name not in {"mambaout", "swin"}])
@torch.no_grad()
def test_attention_is_that_of_timms_layers_where_they_are_not_fused(name):
    network, backbone, _, prefix = pair(name)
    assert isinstance(backbone, Attentive) == (name != "class attention")
    if name == "class attention":
        return
    set_fused_attn(False)
    try:
        plain = CASES[name][0]().eval()
    finally:
        set_fused_attn(True)
    plain.load_state_dict(network.state_dict())
    expected = []
    with ExitStack() as hooks:
        for block in plain.blocks:
            keep = lambda _module, inputs: expected.append(inputs[0])  # noqa: E731
            hooks.enter_context(block.attn.attn_drop.register_forward_pre_hook(keep))
        plain(images_of(name))
    shown = backbone.forward_attention(images_of(name))
    assert (shown.prefix, shown.grid, len(shown.weights)) == (prefix, (4, 4), 3)
    assert shown.class_token == (name not in {"mean of the patches", "attention pool"})
    for ours, theirs in zip(shown.weights, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(ours.sum(-1), torch.ones(2, 2, prefix + 16))
    assert torch.equal(backbone(images_of(name)), network(images_of(name)))


@pytest.mark.parametrize("name", ["vit", "mean of the patches", "swin"])
@torch.no_grad()
def test_without_a_classifier_the_features_are_the_last_patch_tokens(name):
    network, backbone, _, prefix = pair(name, num_classes=0)
    images = images_of(name)
    maps, rest = split(backbone.forward_features(images))
    last = CHANNELS_LAST if name == "swin" else prefix
    assert torch.equal(maps, as_maps(network.forward_features(images), last))
    assert head(backbone, maps, rest).shape == backbone(images).shape == (2, 0)
    assert not isinstance(backbone, LinearHead)


@torch.no_grad()
def test_a_pair_of_classifiers_behind_batch_norms_has_the_mean_of_their_weights():
    pair_of_heads = NormLinear(6, 5).eval(), NormLinear(6, 5).eval()
    for one in pair_of_heads:
        one.bn.running_mean.normal_()
        one.bn.running_var.uniform_(0.5, 2)
        one.bn.weight.normal_()
    pooled = torch.randn(3, 6)
    expected = (pair_of_heads[0](pooled) + pair_of_heads[1](pooled)) / 2
    torch.testing.assert_close(F.linear(pooled, *affine(pair_of_heads)), expected)


def test_stochastic_depth_reaches_both_branches_of_a_block():
    _, backbone, *_ = pair("vit")
    backbone.set_drop_path(0.2)
    rates = [(block.drop_path1.drop_prob, block.drop_path2.drop_prob) for block in backbone.blocks]
    assert rates == [(0.0, 0.0), (0.1, 0.1), (0.2, 0.2)]
