"""A large depthwise kernel with dilated ones beside it (Ding et al., CVPR 2024, section 3.1)."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

Branches: TypeAlias = tuple[tuple[int, int], ...]
"""Size and dilation of kernels."""


class DilatedReparamBlock(nn.Module):
    """A large depthwise kernel and small dilated ones in parallel, which can be merged into a single kernel.

    Args:
        channels: Number of input and output channels.
        kernel: Side of the large kernel.
        branches: Size and dilation of every kernel beside it.
    """

    def __init__(self, channels: int, kernel: int, branches: Branches) -> None:
        super().__init__()
        self.lk_origin = depthwise(channels, kernel)
        self.origin_bn: nn.BatchNorm2d | None = nn.BatchNorm2d(channels)
        self.branches = branches
        for size, dilation in self.branches:
            self.add_module(f"dil_conv_k{size}_{dilation}", depthwise(channels, size, dilation))
            self.add_module(f"dil_bn_k{size}_{dilation}", nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        out: Tensor = self.lk_origin(x)
        if self.origin_bn is not None:
            out = self.origin_bn(out)
        for size, dilation in self.branches:
            conv, bn = self._branch(size, dilation)
            out = out + bn(conv(x))
        return out

    def _branch(self, size: int, dilation: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
        conv, bn = (self.get_submodule(f"dil_{part}_k{size}_{dilation}") for part in ("conv", "bn"))
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(bn, nn.BatchNorm2d)
        return conv, bn

    @torch.no_grad()
    def reparameterize(self) -> None:
        """Replace the branches by one convolution of the large kernel's size; a second call has no effect."""
        if self.origin_bn is None:
            return
        fuse(self.lk_origin, self.origin_bn)
        self.origin_bn = None
        kernel = self.lk_origin.kernel_size[0]
        for size, dilation in self.branches:
            conv, bn = self._branch(size, dilation)
            fuse(conv, bn)
            reach = dilation * (size // 2)
            taps = slice(kernel // 2 - reach, kernel // 2 + reach + 1, dilation)
            self.lk_origin.weight[:, :, taps, taps] += conv.weight
            self.lk_origin.bias += conv.bias  # type: ignore[operator]
            delattr(self, f"dil_conv_k{size}_{dilation}")
            delattr(self, f"dil_bn_k{size}_{dilation}")
        self.branches = ()


@torch.no_grad()
def fuse(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> None:
    """Fuse a norm into the convolution before it."""
    conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics(bn), bn.eps, bn.weight, bn.bias)


def statistics(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the running mean and variance of a norm."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    return bn.running_mean, bn.running_var


def depthwise(channels: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    """Return a depthwise convolution with "same" padding and no bias."""
    padding = dilation * (kernel // 2)
    return nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=channels, bias=False)
