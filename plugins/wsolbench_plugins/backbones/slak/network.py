"""SLaK (Liu et al., "More ConvNets in the 2020s: Scaling up Kernels Beyond 51x51 using Sparsity", ICLR 2023).

Written from the paper's description; state-dict keys are those of the published checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from wsolbench.api import after_layer_norm, visit_layers

NORM_EPS = 1e-6


class ConvBN(nn.Sequential):
    """Depthwise convolution with "same" padding and no bias, then batch norm."""

    conv: nn.Conv2d
    bn: nn.Module

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.add_module("conv", nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels, bias=False))
        self.add_module("bn", nn.BatchNorm2d(channels))

    def fuse(self) -> None:
        """Fuse the norm into the convolution."""
        conv, bn = self.conv, self.bn
        if isinstance(bn, nn.BatchNorm2d):
            assert bn.running_mean is not None
            assert bn.running_var is not None
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
            )
            self.bn = nn.Identity()


class DecomposedKernel(nn.Module):
    """A large square kernel as the sum of a tall, a wide and a small one.

    Args:
        channels: Number of input and output channels.
        kernel: Long side K of the K×N and N×K branches.
        short: Short side N; there is an N×N branch if N < K.
    """

    def __init__(self, channels: int, kernel: int, short: int) -> None:
        super().__init__()
        self.LoRA1 = ConvBN(channels, (kernel, short))
        self.LoRA2 = ConvBN(channels, (short, kernel))
        self.small_conv = ConvBN(channels, (short, short)) if short < kernel else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        out: Tensor = self.LoRA1(x) + self.LoRA2(x)
        return out if self.small_conv is None else out + self.small_conv(x)

    @torch.no_grad()
    def reparameterize(self) -> None:
        """Fuse the norms, and merge the small kernel into the tall one; a second call has no effect.

        Tall and wide kernel stay separate: one K×K kernel would cost K/2N times as much.
        """
        for branch in (self.LoRA1, self.LoRA2, self.small_conv):
            if branch is not None:
                branch.fuse()
        if self.small_conv is not None:
            tall, small = self.LoRA1.conv, self.small_conv.conv
            margin = (tall.kernel_size[0] - small.kernel_size[0]) // 2
            tall.weight += F.pad(small.weight, (0, 0, margin, margin))
            tall.bias += small.bias  # type: ignore[operator]
            self.small_conv = None


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """``x + drop(γ · pwconv2(gelu(pwconv1(norm(large_kernel(x))))))``: ConvNeXt's block with a decomposed kernel."""

    def __init__(self, channels: int, kernel: int, short: int, drop_path: float, layer_scale: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale))
        self.large_kernel = DecomposedKernel(channels, kernel, short)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        y = self.norm(self.large_kernel(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        out: Tensor = x + self.drop_path(y.permute(0, 3, 1, 2))
        return out


class SLaK(nn.Module):
    """The network: patch stem, stages with down-sampling between them, global pool, layer norm, linear head.

    Features are tapped before pooling.

    Args:
        num_classes: Number of classes of the head.
        channels: Number of channels of each stage; in the paper, the base widths times 1.3, rounded down.
        depths: Number of blocks of each stage.
        kernels: Long side of the decomposed kernel of each stage.
        short_kernel: Short side of the decomposed kernels.
        strides: Patch side and stride of the stem and of the down-sampling before each further stage.
        drop_path_rate: Stochastic depth rate of the last block; the rates grow linearly from 0.
        layer_scale: Initial γ of every block.
        stem: ``patch`` is the paper's; ``overlap`` has two 3×3 convolutions of stride 2 with a GELU between them.
        he_init: Draw the weights before the head from He's normal (2015), which narrow networks need: with a standard
            deviation of 0.02 and few channels, the inputs of every GELU are near 0, where it is almost linear, and
            the network learns nothing for epochs.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        channels: Sequence[int],
        depths: Sequence[int],
        kernels: Sequence[int],
        short_kernel: int = 5,
        strides: Sequence[int] = (4, 2, 2, 2),
        drop_path_rate: float = 0.0,
        layer_scale: float = 1e-6,
        stem: Literal["patch", "overlap"] = "patch",
        he_init: bool = False,
    ) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList([_stem(stem, channels[0], strides[0])])
        for narrow, wide, stride in zip(channels[:-1], channels[1:], strides[1:], strict=True):
            self.downsample_layers.append(nn.Sequential(ChannelNorm(narrow), nn.Conv2d(narrow, wide, stride, stride)))
        last = max(sum(depths) - 1, 1)
        rates = iter([drop_path_rate * index / last for index in range(sum(depths))])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, kernel, short_kernel, next(rates), layer_scale) for _ in range(depth)))
            for width, depth, kernel in zip(channels, depths, kernels, strict=True)
        )
        self.norm = nn.LayerNorm(channels[-1], eps=NORM_EPS)
        self.head = nn.Linear(channels[-1], num_classes)
        self.apply(_trunc_normal)
        if he_init:
            self.downsample_layers.apply(_he_normal)
            self.stages.apply(_he_normal)

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last stage's maps (B, K, h, w)."""
        x = images
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        logits: Tensor = self.head(self.norm(features.mean(dim=(2, 3))))
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
        """The raw head weights (C, K), without the layer norm between pool and head."""
        return self.head.weight

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights (B, K) and constants (B,) of the class scores, with the layer norm."""
        return after_layer_norm(features, self.norm, self.head, class_indices)

    def set_drop_path(self, rate: float) -> None:
        """Set the stochastic depth rate of the last block; the rates grow linearly from 0."""
        drops = [module for module in self.modules() if isinstance(module, DropPath)]
        for index, drop in enumerate(drops):
            drop.drop_prob = rate * index / max(len(drops) - 1, 1)

    def layer_ids(self) -> dict[str, int]:
        """Return parameter -> layer number as published, with three blocks of the long third stage as one layer.

        The four stages have the numbers 1, 2, 3 to 11, and 12; norm and head have 13. Stem and down-sampling layers
        have 0, 2, 3 and 12.
        """
        return {name: _layer_number(name) for name, _ in self.named_parameters()}

    def reparameterize(self) -> None:
        """Merge the branches and norms of every decomposed kernel; published weights are never in this form."""
        for module in self.modules():
            if isinstance(module, DecomposedKernel):
                module.reparameterize()


def _layer_number(name: str) -> int:
    place = re.match(r"(stages|downsample_layers)\.(\d+)\.(\d+)", name)
    if place is None:
        return 13
    part, stage, block = place[1], int(place[2]), int(place[3])
    if part == "downsample_layers":
        return (0, 2, 3, 12)[stage]
    return (1, 2, 3 + block // 3, 12)[stage]


def _stem(kind: str, channels: int, stride: int) -> nn.Sequential:
    if kind == "patch":
        return nn.Sequential(nn.Conv2d(3, channels, stride, stride), ChannelNorm(channels))
    first = nn.Conv2d(3, channels // 2, 3, stride=2, padding=1)
    second = nn.Conv2d(channels // 2, channels, 3, stride=stride // 2, padding=1)
    return nn.Sequential(first, nn.GELU(), second, ChannelNorm(channels))


def _trunc_normal(module: nn.Module) -> None:
    """Initialise weights from a truncated normal with standard deviation 0.02, as ConvNeXt and SLaK do."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _he_normal(module: nn.Module) -> None:
    """Initialise weights from a normal with standard deviation √(2 / fan-in)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
