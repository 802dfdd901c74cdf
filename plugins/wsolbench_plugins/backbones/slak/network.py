"""SLaK (Liu et al., "More ConvNets in the 2020s: Scaling up Kernels Beyond 51x51 using Sparsity", ICLR 2023).

Written from the paper's description; state-dict keys are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from timm.layers import DropPath, LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from wsolbench.api import ConvNeXtLike

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


class Block(nn.Module):
    """``x + drop(γ · pwconv2(gelu(pwconv1(norm(large_kernel(x))))))``: ConvNeXt's block with a decomposed kernel."""

    def __init__(self, channels: int, kernel: int, short: int, layer_scale: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale))
        self.large_kernel = DecomposedKernel(channels, kernel, short)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        y = self.norm(self.large_kernel(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        out: Tensor = x + self.drop_path(y.permute(0, 3, 1, 2))
        return out


class SLaK(ConvNeXtLike, nn.Module):
    """The network: patch stem, stages with down-sampling between them, global pool, layer norm, linear head.

    Features are tapped before pooling.

    Args:
        num_classes: Number of classes of the head.
        channels: Number of channels of each stage; in the paper, the base widths times 1.3, rounded down.
        depths: Number of blocks of each stage.
        kernels: Long side of the decomposed kernel of each stage.
        short_kernel: Short side of the decomposed kernels.
        strides: Patch side and stride of the stem and of the down-sampling before each further stage.
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
        layer_scale: float = 1e-6,
        stem: Literal["patch", "overlap"] = "patch",
        he_init: bool = False,
    ) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList([_stem(stem, channels[0], strides[0])])
        for narrow, wide, stride in zip(channels[:-1], channels[1:], strides[1:], strict=True):
            norm = LayerNorm2d(narrow, eps=NORM_EPS)
            self.downsample_layers.append(nn.Sequential(norm, nn.Conv2d(narrow, wide, stride, stride)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, kernel, short_kernel, layer_scale) for _ in range(depth)))
            for width, depth, kernel in zip(channels, depths, kernels, strict=True)
        )
        self.norm = nn.LayerNorm(channels[-1], eps=NORM_EPS)
        self.head = nn.Linear(channels[-1], num_classes)
        self.apply(_trunc_normal)
        if he_init:
            self.downsample_layers.apply(_he_normal)
            self.stages.apply(_he_normal)

    def reparameterize(self) -> None:
        """Merge the branches and norms of every decomposed kernel; published weights are never in this form."""
        for module in self.modules():
            if isinstance(module, DecomposedKernel):
                module.reparameterize()


def _stem(kind: str, channels: int, stride: int) -> nn.Sequential:
    if kind == "patch":
        return nn.Sequential(nn.Conv2d(3, channels, stride, stride), LayerNorm2d(channels, eps=NORM_EPS))
    first = nn.Conv2d(3, channels // 2, 3, stride=2, padding=1)
    second = nn.Conv2d(channels // 2, channels, 3, stride=stride // 2, padding=1)
    return nn.Sequential(first, nn.GELU(), second, LayerNorm2d(channels, eps=NORM_EPS))


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
