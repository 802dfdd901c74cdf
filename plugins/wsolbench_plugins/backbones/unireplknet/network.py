"""UniRepLKNet (Ding et al., CVPR 2024), written from the paper's description.

State-dict keys are those of the published checkpoints, both in the training form (with parallel dilated branches) and
in the merged form.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers import DropPath, LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_linear_bn_weights

from wsolbench.api import ConvNeXtLike
from wsolbench_plugins.backbones.unireplknet.dilated import Branches, DilatedReparamBlock, depthwise, fuse, statistics

NORM_EPS = 1e-6
BRANCHES: dict[int, Branches] = {
    7: ((5, 1), (3, 2), (3, 3)),
    9: ((5, 1), (5, 2), (3, 3), (3, 4)),
    11: ((5, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    13: ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    15: ((5, 1), (7, 2), (3, 3), (3, 5), (3, 7)),
    17: ((5, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
}
"""Size and dilation of the branches parallel to a large kernel, by its size. Smaller kernels have no branches."""


class SqueezeExcite(nn.Module):
    """Channels times gates between 0 and 1, which two layers compute from the channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        gates: Tensor = self.up(F.relu(self.down(x.mean(dim=(2, 3), keepdim=True))))
        return x * gates.sigmoid()


class GlobalResponseNorm(nn.Module):
    """``(γ n + 1) x + β``: n is a channel's norm over all positions, divided by its mean over the channels.

    It is the layer of ConvNeXt V2 (Woo et al., CVPR 2023). The merged form has no β.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta: nn.Parameter | None = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, h, w, C) to (B, h, w, C)."""
        norms = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        out: Tensor = (self.gamma * (norms / (norms.mean(dim=-1, keepdim=True) + NORM_EPS)) + 1) * x
        return out if self.beta is None else out + self.beta


class ToChannelsLast(nn.Module):
    """(B, C, h, w) to (B, h, w, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Move the channels to the end."""
        return x.permute(0, 2, 3, 1)


class ToChannelsFirst(nn.Module):
    """(B, h, w, C) to (B, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """Move the channels to the second place."""
        return x.permute(0, 3, 1, 2)


class Block(nn.Module):
    """``x + drop(γ · pwconv2(act(pwconv1(se(norm(dwconv(x)))))))``; the last part of ``pwconv2`` is a batch norm."""

    def __init__(self, channels: int, kernel: int, layer_scale: float) -> None:
        super().__init__()
        branches = BRANCHES.get(kernel)
        self.gamma: nn.Parameter | None = nn.Parameter(torch.full((channels,), layer_scale))
        self.dwconv = DilatedReparamBlock(channels, kernel, branches) if branches else depthwise(channels, kernel)
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        self.se = SqueezeExcite(channels)
        self.pwconv1 = nn.Sequential(ToChannelsLast(), nn.Linear(channels, 4 * channels))
        self.act = nn.Sequential(nn.GELU(), GlobalResponseNorm(4 * channels))
        self.pwconv2 = nn.Sequential(
            nn.Linear(4 * channels, channels, bias=False), ToChannelsFirst(), nn.BatchNorm2d(channels)
        )
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        y = self.pwconv2(self.act(self.pwconv1(self.se(self.norm(self.dwconv(x))))))
        if self.gamma is not None:
            y = self.gamma[:, None, None] * y
        out: Tensor = x + self.drop_path(y)
        return out

    def reparameterize(self) -> None:
        """Merge the kernels, and fuse both norms, γ, and the β of the response norm; a second call has no effect."""
        if isinstance(self.dwconv, DilatedReparamBlock):
            self.dwconv.reparameterize()
        if isinstance(self.norm, nn.BatchNorm2d):
            conv = self.dwconv.lk_origin if isinstance(self.dwconv, DilatedReparamBlock) else self.dwconv
            fuse(conv, self.norm)
            self.norm = nn.Identity()
        if self.gamma is not None:
            self._fuse_second_layer(self.gamma)

    @torch.no_grad()
    def _fuse_second_layer(self, gamma: Tensor) -> None:
        linear, bn, response = self.pwconv2[0], self.pwconv2[2], self.act[1]
        assert isinstance(linear, nn.Linear)
        assert isinstance(bn, nn.BatchNorm2d)
        assert isinstance(response, GlobalResponseNorm)
        assert response.beta is not None
        weight, bias = fuse_linear_bn_weights(
            linear.weight, linear.weight @ response.beta.flatten(), *statistics(bn), bn.eps, bn.weight, bn.bias
        )
        linear.weight, linear.bias = nn.Parameter(weight * gamma[:, None]), nn.Parameter(bias * gamma)
        del self.pwconv2[2]
        response.beta = self.gamma = None


class UniRepLKNet(ConvNeXtLike, nn.Module):
    """The network: stem (÷4), stages with down-sampling between them, global pool, layer norm, linear head.

    Features are tapped before pooling.

    Args:
        num_classes: Number of classes of the head.
        channels: Number of channels of each stage.
        kernels: Side of the depthwise kernel of every block, stage by stage.
        strides: Stride of the down-sampling before each stage but the first.
        layer_scale: Initial γ of every block.
        he_init: Draw the weights before the head from He's normal (2015), which narrow networks need: with a standard
            deviation of 0.02 and few channels, the inputs of every GELU are near 0, where it is almost linear.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        channels: Sequence[int],
        kernels: Sequence[Sequence[int]],
        strides: Sequence[int] = (2, 2, 2),
        layer_scale: float = 1e-6,
        he_init: bool = False,
    ) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList([_stem(channels[0])])
        for narrow, wide, stride in zip(channels[:-1], channels[1:], strides, strict=True):
            conv = nn.Conv2d(narrow, wide, 3, stride, padding=1)
            self.downsample_layers.append(nn.Sequential(conv, LayerNorm2d(wide, eps=NORM_EPS)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, kernel, layer_scale) for kernel in stage))
            for width, stage in zip(channels, kernels, strict=True)
        )
        self.norm = nn.LayerNorm(channels[-1], eps=NORM_EPS)
        self.head = nn.Linear(channels[-1], num_classes)
        self.apply(trunc_normal)
        if he_init:
            self.downsample_layers.apply(_he_normal)
            self.stages.apply(_he_normal)

    def reparameterize(self) -> None:
        """Merge the branches, and fuse every norm of the blocks, as weights for inference are saved."""
        for module in self.modules():
            if isinstance(module, Block):
                module.reparameterize()


def _stem(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, channels // 2, 3, stride=2, padding=1),
        LayerNorm2d(channels // 2, eps=NORM_EPS),
        nn.GELU(),
        nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1),
        LayerNorm2d(channels, eps=NORM_EPS),
    )


def trunc_normal(module: nn.Module) -> None:
    """Initialise weights from a truncated normal with standard deviation 0.02, as published."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _he_normal(module: nn.Module) -> None:
    """Initialise weights from a normal with standard deviation √(2 / fan-in)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
