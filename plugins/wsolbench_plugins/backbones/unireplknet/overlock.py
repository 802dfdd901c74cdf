"""OverLoCK (Lou & Yu, "OverLoCK: An Overview-first-Look-Closely-next ConvNet with Context-Mixing Dynamic Kernels").

CVPR 2025, written from the paper's description. State-dict keys are those of the published checkpoints without their
auxiliary head, both in the training form (with parallel dilated branches) and in the merged form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from timm.layers import DropPath, LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.api import after_pooling, visit_layers
from wsolbench_plugins.backbones.unireplknet.dilated import Branches, DilatedReparamBlock
from wsolbench_plugins.backbones.unireplknet.network import trunc_normal

BRANCHES: dict[int, Branches] = {
    7: ((5, 1), (3, 1), (3, 2), (3, 3)),
    9: ((5, 1), (7, 1), (5, 2), (3, 3), (3, 4)),
    11: ((5, 1), (7, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    13: ((5, 1), (7, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    15: ((5, 1), (7, 1), (7, 2), (3, 3), (3, 5), (3, 7)),
    17: ((5, 1), (7, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
}
"""Size and dilation of the branches parallel to a large kernel, by its size."""
SMALL_KERNEL = 5
"""Side of the small dynamic kernels."""
REGIONS = 7
"""Height and width of the grid of regions whose affinities make the dynamic kernels."""
PROJECTED = 1024
"""Number of channels before the classifier."""


class LayerScale(nn.Module):
    """A factor and a constant a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        return x * self.weight[:, 0] + self.bias[:, None, None]


class ResidualDepthwise(nn.Conv2d):
    """``x + depthwise(x)`` with a 3×3 kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        return x + super().forward(x)


class SqueezeExcite(nn.Module):
    """Channels times gates between 0 and 1, which two layers compute from the channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(16, channels // 8)
        self.proj = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, inner, 1),
            nn.GELU(),
            nn.Conv2d(inner, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        out: Tensor = x * self.proj(x)
        return out


class GlobalResponseNorm(nn.Module):
    """``(γ n + 1) x + β``: n is a channel's norm over all positions, divided by its mean over the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        norms = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        out: Tensor = (self.gamma * (norms / (norms.mean(dim=1, keepdim=True) + 1e-6)) + 1) * x + self.beta
        return out


class BaseBlock(nn.Module):
    """A block of the base and overview networks: ``scale(x) + proj(x)`` after a residual 3×3 kernel."""

    def __init__(self, channels: int, kernel: int, mlp_ratio: int, *, scaled: bool) -> None:
        super().__init__()
        inner = channels * mlp_ratio
        self.dwconv = ResidualDepthwise(channels)
        self.proj = nn.Sequential(
            LayerNorm2d(channels),
            DilatedReparamBlock(channels, kernel, BRANCHES[kernel]),
            nn.BatchNorm2d(channels),
            SqueezeExcite(channels),
            nn.Conv2d(channels, inner, 1),
            nn.GELU(),
            ResidualDepthwise(inner),
            GlobalResponseNorm(inner),
            nn.Conv2d(inner, channels, 1),
            DropPath(),
        )
        self.ls = LayerScale(channels) if scaled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        x = self.dwconv(x)
        out: Tensor = self.ls(x) + self.proj(x)
        return out


class FocusBlock(nn.Module):
    """A block of the focus network: its kernels are computed for every position from maps and context.

    Args:
        channels: Number of channels C of the maps.
        context: Number of channels of the context.
        kernel: Side of the large dynamic kernels; half of the channels have small ones.
        heads: Number of kernels of each size at a position.
        mlp_ratio: Number of channels inside the feed-forward part, as a multiple of C.
        first: Whether it is the first of all, whose context has nothing to be mixed with.
    """

    def __init__(self, channels: int, context: int, kernel: int, heads: int, mlp_ratio: int, *, first: bool) -> None:
        super().__init__()
        both, inner = channels + context, channels * mlp_ratio
        self.kernel, self.heads, self.channels = kernel, heads, channels
        self.scale = float((channels // heads) ** -0.5)
        self.x_scale = None if first else LayerScale(context)
        self.h_scale = None if first else LayerScale(context)
        self.dwconv1 = ResidualDepthwise(both)
        self.norm1 = LayerNorm2d(both)
        self.fusion = nn.Sequential(
            nn.Conv2d(both, both, 3, padding=1, groups=both),
            nn.BatchNorm2d(both),
            nn.GELU(),
            nn.Conv2d(both, channels, 1),
            GlobalResponseNorm(channels),
        )
        self.weight_query = _conv_bn(channels, channels // 2, 1)
        self.weight_key = nn.Sequential(nn.AdaptiveAvgPool2d(REGIONS), *_conv_bn(context, channels // 2, 1))
        self.weight_proj = nn.Conv2d(REGIONS**2, kernel**2 + SMALL_KERNEL**2, 1)
        self.dyconv_proj = _conv_bn(channels, channels, 1)
        self.lepe = nn.Sequential(DilatedReparamBlock(channels, kernel, BRANCHES[kernel]), nn.BatchNorm2d(channels))
        self.se_layer = SqueezeExcite(channels)
        self.gate = nn.Sequential(*_conv_bn(channels, channels, 1), nn.SiLU())
        self.proj = nn.Sequential(nn.BatchNorm2d(channels), nn.Conv2d(channels, both, 1))
        self.dwconv2 = ResidualDepthwise(both)
        self.norm2 = LayerNorm2d(both)
        self.mlp = nn.Sequential(
            nn.Conv2d(both, inner, 1),
            nn.GELU(),
            ResidualDepthwise(inner),
            GlobalResponseNorm(inner),
            nn.Conv2d(inner, both, 1),
        )
        self.ls1, self.ls2 = LayerScale(both), LayerScale(both)
        self.drop_path = DropPath()
        self.rpb1 = nn.Parameter(torch.zeros(heads, 2 * SMALL_KERNEL - 1, 2 * SMALL_KERNEL - 1))
        self.rpb2 = nn.Parameter(torch.zeros(heads, 2 * kernel - 1, 2 * kernel - 1))

    def forward(self, x: Tensor, context: Tensor, overview: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (B, C, h, w) and context (B, D, h, w) of maps, context and the context of the overview."""
        if self.x_scale is not None and self.h_scale is not None:
            context = self.x_scale(context) + self.h_scale(overview)
        both = self.dwconv1(torch.cat([x, context], dim=1))
        normed = self.norm1(both)
        x = self.fusion(normed)
        mixed = self.dyconv_proj(self._convolve(x, normed)) + self.lepe(x)
        out = self.proj(self.gate(x) * self.se_layer(mixed))
        both = self.dwconv2(self.ls1(both) + self.drop_path(out))
        both = self.ls2(both) + self.drop_path(self.mlp(self.norm2(both)))
        return both[:, : self.channels], both[:, self.channels :]

    def _convolve(self, x: Tensor, normed: Tensor) -> Tensor:
        """Apply the dynamic kernels to maps (B, C, h, w); maps smaller than the kernel are enlarged on the way."""
        height, width = x.shape[2:]
        small = min(height, width) < self.kernel
        if small:
            size = (self.kernel, int(self.kernel / height * width))
            size = size if height < width else (int(self.kernel / width * height), self.kernel)
            x, normed = (F.interpolate(each, size=size, mode="bilinear", align_corners=False) for each in (x, normed))
        kernels = self._kernels(normed)  # (B, heads, h w, sizes)
        values = x.reshape(len(x), 2, self.heads, -1, x.shape[2] * x.shape[3]).transpose(3, 4)
        sizes = (SMALL_KERNEL, self.kernel)
        parts = torch.split(kernels, [size**2 for size in sizes], dim=-1)
        halves = [
            _mix(part, values[:, place], bias, size, (x.shape[2], x.shape[3]))
            for place, (part, bias, size) in enumerate(zip(parts, (self.rpb1, self.rpb2), sizes, strict=True))
        ]
        out = torch.stack(halves, dim=1).transpose(3, 4).reshape(x.shape)
        return F.adaptive_avg_pool2d(out, (height, width)) if small else out

    def _kernels(self, normed: Tensor) -> Tensor:
        """Return the entries of both kernels before their softmax, (B, heads, h w, both sizes)."""
        maps, context = normed[:, : self.channels], normed[:, self.channels :]
        queries, keys = (
            each.reshape(len(each), self.heads, -1, each.shape[2] * each.shape[3])
            for each in (self.weight_query(maps) * self.scale, self.weight_key(context))
        )
        affinities = torch.einsum("bgcn,bgcl->blgn", queries, keys)
        entries: Tensor = self.weight_proj(affinities)
        return entries.permute(0, 2, 3, 1)


def _mix(entries: Tensor, values: Tensor, bias: Tensor, kernel: int, size: tuple[int, int]) -> Tensor:
    """Return weighted means of values over windows; those of positions near the border are shifted into the map.

    Args:
        entries: The weights before their softmax, (B, heads, h w, kernel²).
        values: (B, heads, h w, channels).
        bias: Added to the weights by the distance of a value, (heads, 2 kernel - 1, 2 kernel - 1).
        kernel: Side of a window.
        size: h and w, at least `kernel`.
    """
    rows, columns = (_window(length, kernel, entries.device) for length in size)  # (h, kernel), (w, kernel)
    away = [
        window - torch.arange(length, device=window.device)[:, None] + kernel - 1
        for window, length in zip((rows, columns), size, strict=True)
    ]
    places = (rows[:, None, :, None] * size[1] + columns[None, :, None, :]).reshape(-1, kernel**2)
    biases = bias[:, away[0][:, None, :, None], away[1][None, :, None, :]].reshape(len(bias), -1, kernel**2)
    weights = (entries + biases).softmax(dim=-1)
    dense = weights.new_zeros(*weights.shape[:3], size[0] * size[1])
    return dense.scatter(-1, places.expand(weights.shape), weights) @ values.to(weights)


def _window(length: int, kernel: int, device: torch.device) -> Tensor:
    """Return the places that the window of each place covers, (length, kernel)."""
    start = (torch.arange(length, device=device) - kernel // 2).clamp(0, length - kernel)
    return start[:, None] + torch.arange(kernel, device=device)


class ContextDownsample(nn.Module):
    """Maps and context at half the size."""

    def __init__(self, channels: int, wider: int, context: int) -> None:
        super().__init__()
        self.x_proj = _conv_bn(channels, wider, 3, stride=2)
        self.h_proj = _conv_bn(context, context, 3, stride=2)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, h, w) and (B, D, h, w) to those of half the height and width."""
        return self.x_proj(x), self.h_proj(context)


class OverLoCK(nn.Module):
    """The network: a base, an overview that looks at the whole, and a focus network guided by it.

    Features are tapped behind the projection, right before the pool.

    Args:
        num_classes: Number of classes of the head.
        channels: Number of channels of each stage.
        depths: Number of blocks of base (three stages) and overview (the fourth).
        focus_depths: Number of blocks of the two stages of the focus network.
        focus_heads: Number of dynamic kernels of each size at a position, of these two.
        kernels: Side of the large kernel of each stage.
        mlp_ratio: Number of channels inside a block of the base, as a multiple of the stage's.
        focus_mlp_ratio: The same, of the focus network.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        channels: Sequence[int],
        depths: Sequence[int],
        focus_depths: Sequence[int],
        focus_heads: Sequence[int],
        kernels: Sequence[int] = (17, 15, 13, 7),
        mlp_ratio: int = 4,
        focus_mlp_ratio: int = 3,
    ) -> None:
        super().__init__()
        context = channels[3] // 4
        self.patch_embed1 = _stem(channels[0])
        self.patch_embed2 = _conv_bn(channels[0], channels[1], 3, stride=2)
        self.patch_embed3 = _conv_bn(channels[1], channels[2], 3, stride=2)
        self.patch_embed4 = _conv_bn(channels[2], channels[3], 3, stride=2)
        self.high_level_proj = nn.Conv2d(channels[3], context, 1)
        self.patch_embedx = ContextDownsample(channels[2], channels[3], context)
        self.blocks1, self.blocks2, self.blocks3, self.blocks4 = (
            nn.ModuleList(BaseBlock(width, kernel, mlp_ratio, scaled=stage >= 2) for _ in range(depths[stage]))
            for stage, (width, kernel) in enumerate(zip(channels, kernels, strict=True))
        )
        self.sub_blocks3, self.sub_blocks4 = (
            nn.ModuleList(
                FocusBlock(
                    *(channels[stage], context, kernels[stage], 2 * heads, focus_mlp_ratio),
                    first=stage == 2 and number == 0,
                )
                for number in range(depth)
            )
            for stage, heads, depth in zip((2, 3), focus_heads, focus_depths, strict=True)
        )
        self.head = nn.Sequential(
            *_conv_bn(channels[3] + context, PROJECTED, 1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(PROJECTED, num_classes, 1),
        )
        self.apply(trunc_normal)

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the maps (B, K, h, w) right before the pool."""
        x = self.patch_embed1(images)
        for block in self.blocks1:
            x = block(x)
        x = self.patch_embed2(x)
        for block in self.blocks2:
            x = block(x)
        x = self.patch_embed3(x)
        for block in self.blocks3:
            x = block(x)
        seen = self.patch_embed4(x)
        for block in self.blocks4:
            seen = block(seen)
        x = self._look_closely(x, self.high_level_proj(seen))
        features: Tensor = self.head[:3](x)
        return features

    def _look_closely(self, x: Tensor, overview: Tensor) -> Tensor:
        """Return the maps and context of the focus network side by side, (B, C + D, h, w)."""
        enlarged = F.interpolate(overview, size=x.shape[2:], mode="bilinear", align_corners=False)
        context = enlarged
        for block in self.sub_blocks3:
            x, context = block(x, context, enlarged)
        x, context = self.patch_embedx(x, context)
        for block in self.sub_blocks4:
            x, context = block(x, context, overview)
        return torch.cat([x, context], dim=1)

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        logits: Tensor = self.head[3:](features).flatten(1)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of images (B, 3, H, W)."""
        return self.forward_head(self.forward_features(images))

    @property
    def taps(self) -> tuple[str, ...]:
        """The last blocks of the base's stages and of the overview."""
        stages = (self.blocks1, self.blocks2, self.blocks3, self.blocks4)
        return tuple(f"blocks{number}.{len(stage) - 1}" for number, stage in enumerate(stages, start=1))

    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the logits (B, C), and show the maps (B, K, h, w) of stages to functions on the way."""
        return visit_layers(self, images, visit)

    @property
    def classifier_weight(self) -> Tensor:
        """The weights (C, K) of the classifier behind the pool."""
        weight: Tensor = self.head[4].weight  # type: ignore[assignment]
        return weight.flatten(1)

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the weights (B, K) and constants (B,) of the class scores: the raw ones."""
        classifier = self.head[4]
        assert isinstance(classifier, nn.Conv2d)
        return after_pooling(classifier, class_indices)

    def set_drop_path(self, rate: float) -> None:
        """Set the stochastic depth rate of the last block; the rates grow linearly from 0."""
        drops = [module for module in self.modules() if isinstance(module, DropPath)]  # in the order of the pass
        for index, drop in enumerate(drops):
            drop.drop_prob = rate * index / (len(drops) - 1)

    def reparameterize(self) -> None:
        """Merge the dilated kernels into the large ones."""
        for module in self.modules():
            if isinstance(module, DilatedReparamBlock):
                module.reparameterize()


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def _stem(channels: int) -> nn.Sequential:
    return nn.Sequential(
        *_conv_bn(3, channels // 2, 3, stride=2),
        nn.GELU(),
        *_conv_bn(channels // 2, channels // 2, 3),
        nn.GELU(),
        *_conv_bn(channels // 2, channels, 3, stride=2),
        nn.GELU(),
        *_conv_bn(channels, channels, 3),
    )
