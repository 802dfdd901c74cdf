"""Small vision transformers: a literal forward pass, and position embeddings of another size."""

import pytest
import torch
from torch.nn import functional as F

from wsolbench.contract.backbones import class_weights


def literal(network, images, heads):
    """Return the logits and the attention of each block, from the entries of the state dict."""
    w, tokens = network.state_dict(), images
    for conv in (0, 3, 6):
        stem = f"patch_embed.backbone.{conv + 1}"
        tokens = F.conv2d(tokens, w[f"patch_embed.backbone.{conv}.weight"], stride=2, padding=1)
        statistics = (w[f"{stem}.running_mean"], w[f"{stem}.running_var"])
        tokens = F.batch_norm(tokens, *statistics, w[f"{stem}.weight"], w[f"{stem}.bias"]).relu()
    tokens = F.conv2d(tokens, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"]).flatten(2).mT
    tokens = torch.cat([w["cls_token"].expand(len(images), -1, -1), tokens], dim=1) + w["pos_embed"]
    found = []

    def norm(name):
        return F.layer_norm(tokens, tokens.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    def linear(name, values):
        return F.linear(values, w[f"{name}.weight"], w[f"{name}.bias"])

    for block in (f"blocks.{number}" for number in range(4)):
        q, k, v = (
            linear(f"{block}.attn.qkv", norm(f"{block}.norm1")).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        )
        found.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1))
        tokens = tokens + linear(f"{block}.attn.proj", (found[-1] @ v).transpose(1, 2).flatten(2))
        tokens = tokens + linear(f"{block}.mlp.fc2", F.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2"))))
    return linear("head", norm("norm")[:, 0]), found


@pytest.mark.parametrize(("name", "size", "heads"), [("vit_nano", 96, 3), ("vit_micro", 64, 4)])
@torch.no_grad()
def test_it_is_a_vision_transformer_of_patches_of_eight_pixels(registry, name, size, heads):
    spec = registry.backbones.get(name).spec
    assert spec.input.size == size
    network, images = spec.build(5).eval(), torch.randn(2, 3, size, size)
    logits, attention = literal(network, images, heads)
    features = network.forward_features(images)
    torch.testing.assert_close(network.forward_head(features), logits)
    shown = network.forward_attention(images)
    assert (shown.grid, shown.class_token) == ((size // 8, size // 8), True)
    assert tuple(features.maps.shape[2:]) == shown.grid
    for ours, theirs in zip(shown.weights, attention, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert class_weights(network) is None


def test_weights_are_read_for_images_of_another_size(registry):
    spec = registry.backbones.get("vit_micro").spec
    state = spec.build(3).state_dict()
    larger = spec.at_size(96)
    network = larger.build(3)
    network.load_state_dict(larger.convert_weights(state))
    assert network.forward_features(torch.zeros(1, 3, 96, 96)).maps.shape == (1, 96, 12, 12)
    positions = state["pos_embed"]
    assert torch.equal(network.pos_embed[:, 0], positions[:, 0])
    rows = positions[:, 1:].mT.unflatten(2, (8, 8))
    expected = F.interpolate(rows, (12, 12), mode="bicubic", antialias=True)
    torch.testing.assert_close(network.pos_embed[:, 1:], expected.flatten(2).mT)
