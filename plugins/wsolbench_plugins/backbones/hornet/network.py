"""HorNet (Rao et al., "HorNet: Efficient High-Order Spatial Interactions with Recursive Gated Convolutions", 2022).

Written from the paper's description; state-dict keys are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from timm.layers import DropPath, LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.api import ConvNeXtLike

NORM_EPS = 1e-6
GATE_SCALE = 1 / 3
"""The paper's 1/α, which scales every gate."""


class GlobalLocalFilter(nn.Module):
    """A 3×3 depthwise kernel on one half of the channels, and a filter as large as the map on the other half.

    The large filter multiplies the 2-D Fourier transform of its half by learned complex weights, which is a circular
    convolution (Rao et al., "Global Filter Networks for Image Classification", NeurIPS 2021). For maps of another size,
    the weights are resized.

    Args:
        channels: Number of input and output channels, even.
        side: Height and width of the maps for which the weights are stored.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        half = channels // 2
        # Real and imaginary parts. The transform of a real map has side // 2 + 1 columns; the others mirror them.
        self.complex_weight = nn.Parameter(torch.empty(half, side, side // 2 + 1, 2))
        self.dw = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.pre_norm = LayerNorm2d(channels, eps=NORM_EPS)
        self.post_norm = LayerNorm2d(channels, eps=NORM_EPS)
        nn.init.trunc_normal_(self.complex_weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w); in the output, channels of the two halves alternate."""
        near, far = self.pre_norm(x).chunk(2, dim=1)
        near = self.dw(near)
        far = self._filtered(far).to(near.dtype)
        out: Tensor = self.post_norm(torch.stack([near, far], dim=2).flatten(1, 2))
        return out

    def _filtered(self, x: Tensor) -> Tensor:
        precise = torch.promote_types(x.dtype, torch.float32)  # half precision is inexact and supports sides of 2ⁿ only
        spectrum = torch.fft.rfft2(x.to(precise), norm="ortho")
        weight = self._weight_for(spectrum.shape[2], spectrum.shape[3], precise)
        out: Tensor = torch.fft.irfft2(spectrum * weight, s=x.shape[2:], norm="ortho")
        return out

    def _weight_for(self, height: int, width: int, dtype: torch.dtype) -> Tensor:
        """Return the complex weights (C/2, height, width) for a spectrum of this size."""
        weight = self.complex_weight.to(dtype)
        if weight.shape[1:3] != (height, width):
            parts = weight.permute(3, 0, 1, 2)
            parts = F.interpolate(parts, size=(height, width), mode="bilinear", align_corners=True)
            weight = parts.permute(1, 2, 3, 0)
        return torch.view_as_complex(weight.contiguous())  # a channels_last network stores this parameter differently


class RecursiveGatedConv(nn.Module):
    """gⁿConv (section 3.1): the channels are gated by their neighbourhood n times, and widen from gate to gate.

    ``p₀, q₀ … qₙ₋₁ = split(proj_in(x))`` and ``pₖ₊₁ = dwconv(q)ₖ/α · gₖ(pₖ)`` with g₀ the identity and the others 1×1
    convolutions; the result is ``proj_out(pₙ)``. Gate k has C/2ⁿ⁻ᵏ⁻¹ channels.

    Args:
        channels: Number C of input and output channels.
        order: Number n of gates.
        filter_side: Side of the maps for which a `GlobalLocalFilter` is made, or None for a 7×7 depthwise kernel.
    """

    def __init__(self, channels: int, order: int, filter_side: int | None) -> None:
        super().__init__()
        self.widths = [channels // 2**step for step in reversed(range(order))]
        gates = sum(self.widths)
        self.proj_in = nn.Conv2d(channels, self.widths[0] + gates, 1)
        self.dwconv: nn.Module
        if filter_side is None:
            self.dwconv = nn.Conv2d(gates, gates, 7, padding=3, groups=gates)
        else:
            self.dwconv = GlobalLocalFilter(gates, filter_side)
        self.proj_out = nn.Conv2d(channels, channels, 1)
        self.pws = nn.ModuleList(nn.Conv2d(narrow, wide, 1) for narrow, wide in pairwise(self.widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        p, q = self.proj_in(x).split([self.widths[0], sum(self.widths)], dim=1)
        first, *gates = (GATE_SCALE * self.dwconv(q)).split(self.widths, dim=1)
        p = p * first
        for widen, gate in zip(self.pws, gates, strict=True):
            p = widen(p) * gate
        out: Tensor = self.proj_out(p)
        return out


class Block(nn.Module):
    """``x + drop(γ₁ · gnconv(norm1(x)))``, then ``x + drop(γ₂ · pwconv2(gelu(pwconv1(norm2(x)))))``."""

    def __init__(self, channels: int, order: int, filter_side: int | None, layer_scale: float) -> None:
        super().__init__()
        self.gamma1 = nn.Parameter(torch.full((channels,), layer_scale))
        self.gamma2 = nn.Parameter(torch.full((channels,), layer_scale))
        self.norm1 = LayerNorm2d(channels, eps=NORM_EPS)
        self.gnconv = RecursiveGatedConv(channels, order, filter_side)
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        x = x + self.drop_path(self.gamma1[:, None, None] * self.gnconv(self.norm1(x)))
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm2(x.permute(0, 2, 3, 1)))))
        out: Tensor = x + self.drop_path((self.gamma2 * y).permute(0, 3, 1, 2))
        return out


class HorNet(ConvNeXtLike, nn.Module):
    """The network: patch stem (÷4), stages with down-sampling (÷2) between them, global pool, layer norm, linear head.

    Features are tapped before pooling. Images may have any size.

    Args:
        num_classes: Number of classes of the head.
        channels: Number of channels of each stage.
        depths: Number of blocks of each stage.
        orders: Order n of each stage's gated convolutions.
        filter_sides: Side of the maps for which each stage's global filters are made, or None for a stage whose gated
            convolutions have 7×7 kernels.
        layer_scale: Initial γ₁ and γ₂ of every block.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        channels: Sequence[int],
        depths: Sequence[int] = (2, 3, 18, 2),
        orders: Sequence[int] = (2, 3, 4, 5),
        filter_sides: Sequence[int | None] = (None, None, None, None),
        layer_scale: float = 1e-6,
    ) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, channels[0], 4, 4), LayerNorm2d(channels[0], eps=NORM_EPS))
        self.downsample_layers = nn.ModuleList([stem])
        for narrow, wide in pairwise(channels):
            norm = LayerNorm2d(narrow, eps=NORM_EPS)
            self.downsample_layers.append(nn.Sequential(norm, nn.Conv2d(narrow, wide, 2, 2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, order, side, layer_scale) for _ in range(depth)))
            for width, depth, order, side in zip(channels, depths, orders, filter_sides, strict=True)
        )
        self.norm = nn.LayerNorm(channels[-1], eps=NORM_EPS)
        self.head = nn.Linear(channels[-1], num_classes)
        self.apply(_trunc_normal)


def _trunc_normal(module: nn.Module) -> None:
    """Initialise weights from a truncated normal with standard deviation 0.02, as ConvNeXt does."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
