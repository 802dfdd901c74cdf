"""RepLKNet (Ding et al., "Scaling Up Your Kernels to 31x31", CVPR 2022), written from the paper's description.

State-dict keys are those of the published checkpoints, both in the training form (with separate branches for large and
small kernel) and in the merged form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from wsolbench.api import after_batch_norm, visit_layers


class ConvBN(nn.Sequential):
    """Convolution with "same" padding and no bias, batch norm, and a ReLU if ``act`` is set."""

    conv: nn.Conv2d
    bn: nn.Module

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = False
    ) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(outputs))
        if act:
            self.add_module("act", nn.ReLU())

    def fused(self) -> tuple[Tensor, Tensor]:
        """Return kernel and bias of the single convolution that equals this one followed by its norm in eval mode."""
        conv, bn = self.conv, self.bn
        if not isinstance(bn, nn.BatchNorm2d):
            assert conv.bias is not None
            return conv.weight, conv.bias
        assert bn.running_mean is not None
        assert bn.running_var is not None
        return fuse_conv_bn_weights(conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)

    @torch.no_grad()
    def fuse(self, before: nn.Module | None = None) -> None:
        """Fuse the norm after the convolution into it, and the norm before it if given; a second call has no effect.

        Args:
            before: A norm ``s x + t`` whose output is the input of this 1×1 convolution:
                ``W (s x + t) + b = (W s) x + (W t + b)``. A larger kernel would also see padding, which has no t.
        """
        weight, bias = self.fused()
        if isinstance(before, nn.BatchNorm2d):
            assert before.running_mean is not None
            assert before.running_var is not None
            scale = before.weight / torch.sqrt(before.running_var + before.eps)
            bias = bias + weight[:, :, 0, 0] @ (before.bias - before.running_mean * scale)
            weight = weight * scale[:, None, None]
        self.conv.weight, self.conv.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.bn = nn.Identity()


class LargeKernelConv(nn.Module):
    """A large depthwise kernel and a small one in parallel, which can be merged into a single kernel.

    Args:
        channels: Number of input and output channels.
        kernel: Side of the large kernel.
        small_kernel: Side of the small kernel, or None for no second branch.
    """

    def __init__(self, channels: int, kernel: int, small_kernel: int | None) -> None:
        super().__init__()
        self.lkb_origin: ConvBN | None = ConvBN(channels, channels, kernel, groups=channels)
        self.small_conv: ConvBN | None = None
        self.lkb_reparam: nn.Conv2d | None = None
        if small_kernel is not None:
            self.small_conv = ConvBN(channels, channels, small_kernel, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        if self.lkb_reparam is not None:
            merged: Tensor = self.lkb_reparam(x)
            return merged
        assert self.lkb_origin is not None
        out: Tensor = self.lkb_origin(x)
        return out if self.small_conv is None else out + self.small_conv(x)

    @torch.no_grad()
    def reparameterize(self) -> None:
        """Replace the branches by one convolution of the large kernel's size; a second call has no effect."""
        if self.lkb_origin is None:
            return
        weight, bias = self.lkb_origin.fused()
        if self.small_conv is not None:
            small_weight, small_bias = self.small_conv.fused()
            margin = (weight.shape[-1] - small_weight.shape[-1]) // 2
            weight = weight + F.pad(small_weight, [margin] * 4)
            bias = bias + small_bias
        channels, _, kernel, _ = weight.shape
        merged = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels).to(weight)
        merged.weight.copy_(weight)
        merged.bias.copy_(bias)  # type: ignore[union-attr]
        self.lkb_reparam = merged
        self.lkb_origin = self.small_conv = None


class LargeKernelBlock(nn.Module):
    """``x + drop(pw2(relu(large_kernel(pw1(bn(x))))))``."""

    def __init__(self, channels: int, inner: int, kernel: int, small_kernel: int | None) -> None:
        super().__init__()
        self.pw1 = ConvBN(channels, inner, 1, act=True)
        self.pw2 = ConvBN(inner, channels, 1)
        self.large_kernel = LargeKernelConv(inner, kernel, small_kernel)
        self.prelkb_bn: nn.Module = nn.BatchNorm2d(channels)
        self.drop_path: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        out: Tensor = x + self.drop_path(self.pw2(F.relu(self.large_kernel(self.pw1(self.prelkb_bn(x))))))
        return out

    def fuse(self) -> None:
        """Fuse every norm into the adjacent convolution."""
        self.pw1.fuse(before=self.prelkb_bn)
        self.prelkb_bn = nn.Identity()
        self.pw2.fuse()


class ConvFFN(nn.Module):
    """``x + drop(pw2(gelu(pw1(bn(x)))))`` with the exact (erf) GELU."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.preffn_bn: nn.Module = nn.BatchNorm2d(channels)
        self.pw1 = ConvBN(channels, inner, 1)
        self.pw2 = ConvBN(inner, channels, 1)
        self.drop_path: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        out: Tensor = x + self.drop_path(self.pw2(F.gelu(self.pw1(self.preffn_bn(x)))))
        return out

    def fuse(self) -> None:
        """Fuse every norm into the adjacent convolution."""
        self.pw1.fuse(before=self.preffn_bn)
        self.preffn_bn = nn.Identity()
        self.pw2.fuse()


class Stage(nn.Module):
    """Large-kernel blocks (even index) alternating with feed-forward blocks (odd index)."""

    def __init__(
        self, channels: int, depth: int, kernel: int, small_kernel: int | None, dw_ratio: float, ffn_ratio: float
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            self.blocks.append(LargeKernelBlock(channels, int(channels * dw_ratio), kernel, small_kernel))
            self.blocks.append(ConvFFN(channels, int(channels * ffn_ratio)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        for block in self.blocks:
            x = block(x)
        return x


class RepLKNet(nn.Module):
    """The network: stem (÷4), stages with transitions between them, batch norm, global average pool, linear head.

    Features are tapped before the final batch norm, where the large-kernel paper takes its CAMs.

    Args:
        num_classes: Number of classes of the head.
        channels: Number of channels of each stage.
        depths: Number of large-kernel blocks of each stage; a feed-forward block follows each of them.
        kernels: Side of the large kernel of each stage.
        small_kernel: Side of the parallel small kernel, or None.
        strides: Stride of each transition between stages.
        dw_ratio: Number of channels inside a large-kernel block, as a multiple of the stage's.
        ffn_ratio: Number of channels inside a feed-forward block, as a multiple of the stage's.
        drop_path_rate: Stochastic depth rate of the last block; the rates grow linearly from 0.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        channels: Sequence[int],
        depths: Sequence[int],
        kernels: Sequence[int],
        small_kernel: int | None = 5,
        strides: Sequence[int] = (2, 2, 2),
        dw_ratio: float = 1.0,
        ffn_ratio: float = 4.0,
        drop_path_rate: float = 0.3,
    ) -> None:
        super().__init__()
        first, last = channels[0], channels[-1]
        self.stem = nn.ModuleList(
            [
                ConvBN(3, first, 3, stride=2, act=True),
                ConvBN(first, first, 3, groups=first, act=True),
                ConvBN(first, first, 1, act=True),
                ConvBN(first, first, 3, stride=2, groups=first, act=True),
            ]
        )
        self.stages = nn.ModuleList()
        self.transitions = nn.ModuleList()
        for index, (width, depth, kernel) in enumerate(zip(channels, depths, kernels, strict=True)):
            self.stages.append(Stage(width, depth, kernel, small_kernel, dw_ratio, ffn_ratio))
            if index + 1 < len(channels):
                wider, stride = channels[index + 1], strides[index]
                self.transitions.append(
                    nn.Sequential(
                        ConvBN(width, wider, 1, act=True),
                        ConvBN(wider, wider, 3, stride=stride, groups=wider, act=True),
                    )
                )
        self.norm = nn.BatchNorm2d(last)
        self.head = nn.Linear(last, num_classes)
        if drop_path_rate > 0:
            self.set_drop_path(drop_path_rate)

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last stage's maps (B, K, h, w), before the final norm."""
        x = images
        for unit in self.stem:
            x = unit(x)
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index < len(self.transitions):
                x = self.transitions[index](x)
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        logits: Tensor = self.head(self.norm(features).mean(dim=(2, 3)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of images (B, 3, H, W)."""
        return self.forward_head(self.forward_features(images))

    @property
    def taps(self) -> tuple[str, ...]:
        """The stages."""
        return tuple(f"stages.{number}" for number in range(len(self.stages)))

    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the logits (B, C), and show the maps (B, K, h, w) of stages to functions on the way."""
        return visit_layers(self, images, visit)

    @property
    def classifier_weight(self) -> Tensor:
        """The raw head weights (C, K), without the scale of the final batch norm."""
        return self.head.weight

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the weights (B, K) and constants (B,) of the class scores, with the final batch norm."""
        return after_batch_norm(self.norm, self.head, class_indices)

    def set_drop_path(self, rate: float) -> None:
        """Set the stochastic depth rate of the last large-kernel and feed-forward block; rates grow linearly from 0."""
        from timm.layers import (
            DropPath,
        )  # here, because importing timm takes longer than a hundred images of a small net

        blocks = [module for module in self.modules() if isinstance(module, LargeKernelBlock | ConvFFN)]
        last = max(len(blocks) // 2 - 1, 1)
        for index, block in enumerate(blocks):
            block.drop_path = DropPath(rate * (index // 2) / last).train(self.training)

    def layer_ids(self) -> dict[str, int]:
        """Return parameter -> layer number as published, with four blocks of the long third stage as one layer.

        The stem has the number 0, the four stages have 1, 2, 3 to 11, and 12; norm and head have 13. A transition has
        the number of the last layer of the stage before it.
        """
        return {name: _layer_number(name) for name, _ in self.named_parameters()}

    def reparameterize(self) -> None:
        """Merge every small kernel and its batch norm into the large kernel."""
        for module in self.modules():
            if isinstance(module, LargeKernelConv):
                module.reparameterize()

    def fuse(self) -> None:
        """Merge the kernels and fuse every norm except the final one, which lies between features and head."""
        self.reparameterize()
        for module in self.modules():
            if isinstance(module, LargeKernelBlock | ConvFFN):
                module.fuse()
        for module in (*self.stem.modules(), *self.transitions.modules()):
            if isinstance(module, ConvBN):
                module.fuse()


def _layer_number(name: str) -> int:
    place = re.match(r"(stem|stages|transitions)\.(\d+)(?:\.blocks\.(\d+))?", name)
    if place is None:
        return 13
    part, stage, block = place[1], int(place[2]), int(place[3] or 0)
    if part == "stem":
        return 0
    return (1, 2, 11)[stage] if part == "transitions" else (1, 2, 3 + block // 4, 12)[stage]
