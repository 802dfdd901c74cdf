"""Small vision transformers, built by timm, that learn from some thousand images within minutes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from timm.layers import HybridEmbed, resample_abs_pos_embed
from timm.models import vision_transformer
from torch import Tensor, nn

from wsolbench_plugins.backbones.timm_networks.adapters import as_backbone
from wsolbench_plugins.backbones.timm_networks.anatomy import Anatomy
from wsolbench_plugins.backbones.timm_networks.layouts import Layout

STRIDE = 8
"""Side of a patch in pixels."""

_SHAPES = {
    "vit_nano": {"embed_dim": 72, "depth": 4, "num_heads": 3},
    "vit_micro": {"embed_dim": 96, "depth": 4, "num_heads": 4},
}


def small_vit(name: str, num_classes: int, *, image_size: int) -> Any:
    """Return a vision transformer with a class token and patches of 8×8 pixels.

    Three convolutions of stride 2 with batch norm make the patches, in place of one of stride 8: a transformer then
    learns from fewer images and epochs (Xiao et al., NeurIPS 2021).

    Args:
        name: ``vit_nano`` or ``vit_micro``.
        num_classes: Number of classes.
        image_size: Side of its square input in pixels, a multiple of 8.
    """
    shape = _SHAPES[name]
    depth = shape["depth"]
    network = vision_transformer.VisionTransformer(
        img_size=image_size,
        patch_size=1,
        num_classes=num_classes,
        embed_layer=partial(HybridEmbed, _stem(shape["embed_dim"] // 4)),
        **shape,
    )
    layers = (layer for block in range(depth) for layer in (f"blocks.{block}.norm1", f"blocks.{block}"))
    tap = f"blocks.{depth - 1}.norm1"
    return as_backbone(network, Anatomy(Layout("BNC", 1), tap, linear=False, taps=(*layers, "norm")))


def _stem(width: int) -> nn.Sequential:
    """Return three convolutions of stride 2, whose widths double from a first one."""
    layers: list[nn.Module] = []
    for before, after in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def resized(state: Mapping[str, Tensor], *, image_size: int) -> dict[str, Tensor]:
    """Return weights whose position embeddings are for images of a size.

    Args:
        state: Those of `small_vit`, for images of any size.
        image_size: Side of the input in pixels.
    """
    side = image_size // STRIDE
    positions = state.get("pos_embed")
    if positions is None or positions.shape[1] == 1 + side**2:
        return dict(state)
    with torch.no_grad():
        return {**state, "pos_embed": resample_abs_pos_embed(positions, [side, side], num_prefix_tokens=1)}
