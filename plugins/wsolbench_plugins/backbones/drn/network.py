"""DRN (Yu, Koltun & Funkhouser, "Dilated Residual Networks", 2017), written from the paper's description.

State-dict keys are those of the published files.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.api import after_pooling


class Block(nn.Module):
    """A residual block of two 3×3 convolutions, or of three of which the outer ones are 1×1 (a bottleneck).

    Args:
        before: Number of input channels.
        channels: Number of channels inside; the output has as many, of a bottleneck four times as many.
        stride: Stride of the first 3×3 convolution.
        dilation: Dilation of the 3×3 convolutions.
        bottleneck: Whether it is a bottleneck.
        residual: Whether the input is added to the output; the last groups of DRN-C leave it out, to remove gridding.
    """

    def __init__(
        self, before: int, channels: int, stride: int, dilation: int, *, bottleneck: bool, residual: bool
    ) -> None:
        super().__init__()
        after = 4 * channels if bottleneck else channels
        kernels, widths = ((1, 3, 1), (channels, channels, after)) if bottleneck else ((3, 3), (channels, after))
        inputs = (before, *widths[:-1])
        self.residual = residual
        self.depth = len(kernels)
        for number, (kernel, narrow, wide) in enumerate(zip(kernels, inputs, widths, strict=True), start=1):
            step = stride if number == kernels.index(3) + 1 else 1
            spread = dilation if kernel == 3 else 1
            padding = spread * (kernel // 2)
            self.add_module(f"conv{number}", nn.Conv2d(narrow, wide, kernel, step, padding, spread, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(wide))
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C', h', w')."""
        y = x
        for number in range(1, self.depth + 1):
            y = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(y))
            y = y.relu() if number < self.depth else y
        if self.residual:
            y = y + (x if self.downsample is None else self.downsample(x))
        return y.relu()


class DRN(nn.Module):
    """The network: a 7×7 convolution, eight groups with strides 1, 2, 2, 2, then dilation, pool → 1×1 convolution.

    Features are tapped before pooling: 28×28 at 224.

    Args:
        num_classes: Number of classes.
        plain: True for DRN-D, whose first two and last two groups are plain convolutions; False for DRN-C, where they
            are residual blocks, the last two without their residual.
        depths: Number of blocks of the groups 3 to 6; the others have one.
        bottlenecks: Whether these blocks are bottlenecks.
    """

    def __init__(self, num_classes: int, *, plain: bool, depths: Sequence[int], bottlenecks: bool) -> None:
        super().__init__()
        stem: list[nn.Module] = [nn.Conv2d(3, 16, 7, padding=3, bias=False), nn.BatchNorm2d(16)]
        if plain:
            self.layer0 = nn.Sequential(*stem, nn.ReLU())
        else:
            self.conv1, self.bn1 = stem
        before = 16
        channels, strides, dilations = (16, 32, 64, 128, 256, 512, 512, 512), (1, 2, 2, 2, 1, 1, 1, 1), (1,) * 4
        groups = zip(channels, (1, 1, *depths, 1, 1), strides, (*dilations, 2, 4, 2, 1), strict=True)
        for number, (width, depth, stride, dilation) in enumerate(groups, start=1):
            inner = 3 <= number <= 6
            blocks: list[nn.Module] = []
            for place in range(depth):
                step = stride if place == 0 else 1
                if plain and not inner:
                    conv = nn.Conv2d(before, width, 3, step, dilation, dilation, bias=False)
                    blocks += [conv, nn.BatchNorm2d(width), nn.ReLU()]
                else:
                    bottleneck = inner and bottlenecks
                    blocks.append(Block(before, width, step, dilation, bottleneck=bottleneck, residual=number < 7))
                before = 4 * width if inner and bottlenecks else width
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Conv2d(before, num_classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.weight.numel():
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last group's maps (B, 512, H/8, W/8), never negative."""
        x: Tensor = self.layer0(images) if hasattr(self, "layer0") else self.bn1(self.conv1(images)).relu()
        for number in range(1, 9):
            x = self.get_submodule(f"layer{number}")(x)
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        return F.linear(features.mean(dim=(2, 3)), self.classifier_weight, self.fc.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of images (B, 3, H, W)."""
        return self.forward_head(self.forward_features(images))

    @property
    def classifier_weight(self) -> Tensor:
        """The weights (C, K) of the 1×1 convolution."""
        return self.fc.weight.flatten(1)

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the weights (B, K) and constants (B,) of the class scores: the raw ones."""
        return after_pooling(self.fc, class_indices)
