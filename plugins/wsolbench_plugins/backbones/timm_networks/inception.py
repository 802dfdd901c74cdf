"""Inception-v3 as WSOL uses it (Choe et al., CVPR 2020, after Zhang et al., ECCV 2018)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.api import after_pooling, visit_layers

_BODY = re.compile("Conv2d_|Mixed_[56]")
"""What of the published network is kept: everything before its last three blocks."""


class InceptionWSOL(nn.Module):
    """Inception-v3 up to its block 6e, with maps of an eighth of the image, two convolutions and a 1×1 classifier.

    Block 6a has stride 1. The first convolution and the two pools are padded, and the pools round up, so that the maps
    are 28×28 at 224. Features are tapped after the second convolution, before pooling.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.dropout = 0.5
        published: Any = timm.create_model("inception_v3", num_classes=0, aux_logits=False)
        for name, module in published.named_children():
            if _BODY.match(name):
                self.add_module(name, module)
        published.Conv2d_1a_3x3.conv.padding = (1, 1)
        for branch in (published.Mixed_6a.branch3x3, published.Mixed_6a.branch3x3dbl_3):
            branch.conv.stride, branch.conv.padding = (1, 1), (1, 1)
        self.SPG_A3_1b = nn.Sequential(nn.Conv2d(768, 1024, 3, padding=1), nn.ReLU())
        self.SPG_A3_2b = nn.Sequential(nn.Conv2d(1024, 1024, 3, padding=1), nn.ReLU())
        self.SPG_A4 = nn.Conv2d(1024, num_classes, 1)
        for part in (self.SPG_A3_1b, self.SPG_A3_2b, self.SPG_A4):
            for name, parameter in part.named_parameters():
                nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.xavier_uniform_(parameter)

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the feature maps (B, 1024, H/8, W/8), never negative; `dropout` of them are dropped in training."""
        x = images
        for name, block in self.named_children():  # in their order
            if name in ("Conv2d_3b_1x1", "Mixed_5b"):
                x = F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)
            if _BODY.match(name):
                x = _mixed_6a(block, x) if name == "Mixed_6a" else block(x)
        x = self.SPG_A3_1b(F.dropout(x, self.dropout, self.training))
        x = self.SPG_A3_2b(F.dropout(x, self.dropout, self.training))
        return F.dropout(x, self.dropout, self.training)

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        return F.linear(features.mean(dim=(2, 3)), self.classifier_weight, self.SPG_A4.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        return self.forward_head(self.forward_features(images))

    taps = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "SPG_A3_2b")
    """The layers that timm lists as stages of Inception-v3, as far as they are kept, and the features."""

    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the logits (B, C), and show the maps (B, K, h, w) of layers to functions on the way."""
        return visit_layers(self, images, visit)

    @property
    def classifier_weight(self) -> Tensor:
        """The weights (C, K) of the 1×1 convolution, which is linear and so may follow the pool."""
        return self.SPG_A4.weight.flatten(1)

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the weights (B, K) and constants (B,) of the class scores: the raw ones."""
        return after_pooling(self.SPG_A4, class_indices)


def _mixed_6a(block: Any, x: Tensor) -> Tensor:
    """Return the output of block 6a with stride 1, whose pool would halve the maps otherwise."""
    twice = block.branch3x3dbl_3(block.branch3x3dbl_2(block.branch3x3dbl_1(x)))
    return torch.cat([block.branch3x3(x), twice, F.max_pool2d(x, 3, stride=1, padding=1)], dim=1)


def body_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries of a published Inception-v3 that a training starts from.

    Raises:
        ValueError: It is none.
    """
    body = {name: value for name, value in state.items() if _BODY.match(name)}
    if "Mixed_6e.branch_pool.conv.weight" not in body:
        raise ValueError(
            "it holds no Inception-v3, whose entries have names such as 'Mixed_6e.branch_pool.conv.weight'"
        )
    return body
