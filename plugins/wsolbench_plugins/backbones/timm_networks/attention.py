"""The attention of timm's networks of tokens, whose fused attention does not show its weights."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from typing import Any

import torch
from timm.layers import Attention as PlainAttention
from timm.layers import AttentionRope
from timm.models import beit, eva, vision_transformer_relpos
from torch import Tensor, nn

from wsolbench.api import Attention
from wsolbench_plugins.backbones.timm_networks.layouts import grid_of

_KNOWN = (
    PlainAttention,
    AttentionRope,
    beit.Attention,
    eva.EvaAttention,
    vision_transformer_relpos.RelPosAttention,
)
"""Layers whose weights are a softmax over all tokens; where they are not fused, these pass a dropout ``attn_drop``."""


def shows_attention(network: Any) -> bool:
    """Return whether all blocks of a network attend among the same tokens by known layers."""
    blocks = list(getattr(network, "blocks", None) or [])
    return bool(blocks) and all(isinstance(getattr(block, "attn", None), _KNOWN) for block in blocks)


class Attending:
    """A mixin for networks that `shows_attention` finds."""

    anatomy: Any
    blocks: Any
    headless: bool
    timms_features: Any

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # hooks of one pass must not be compiled into the next
    def forward_attention(self, images: Tensor) -> Attention:
        """Return the attention of every block on normalised images (B, 3, H, W).

        The weights are computed beside the pass, which stays the network's own.
        """
        found: list[Tensor] = []

        def compute(layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
            found.append(_weights(layer, inputs, options))

        with ExitStack() as hooks:
            for block in self.blocks:
                hooks.enter_context(block.attn.register_forward_pre_hook(compute, with_kwargs=True))
            self.timms_features(images)
        prefix = int(getattr(self, "num_prefix_tokens", 0))
        grid = grid_of(found[0].shape[-1] - prefix, images)
        assert grid is not None
        class_token = self.headless or self.anatomy.tap is not None
        return Attention(tuple(found), prefix, grid, class_token)


def _weights(layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Tensor:
    """Return the weights (B, heads, N, N) of an attention layer that is not changed: a copy of it computes them."""
    recorder, twin = _Recorder(), copy.copy(layer)
    twin.__dict__["_modules"] = {**layer._modules, "attn_drop": recorder}
    twin.__dict__["fused_attn"] = False
    twin.forward(*inputs, **options)  # not called as a module: it shares the hooks of the layer
    return recorder.weights


class _Recorder(nn.Module):
    """In the place of the dropout of the weights: passes them on, and keeps them."""

    weights: Tensor

    def forward(self, weights: Tensor) -> Tensor:
        """Return the weights as they are."""
        self.weights = weights
        return weights
