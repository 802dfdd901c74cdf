"""Networks that average the active cells of their feature maps only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.api import SpatialHead, UsageError, change_network, channels_of, without_memory

THRESHOLD = 0.1
"""The authors' share of the maximum of a channel."""


class ThresholdedPool(nn.Module):
    """A mixin for networks: their head reads maps of one cell, which thresholded average pooling makes.

    Their own pool leaves such maps as they are.

    Attributes:
        tap_threshold: The share of a channel's maximum above which cells are active; saved with the weights.
    """

    tap_threshold: Tensor
    forward_features: Any

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C) of feature maps (B, K, h, w)."""
        logits: Tensor = super().forward_head(self.pooled(features))  # type: ignore[misc]
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of images (B, 3, H, W)."""
        return self.forward_head(self.forward_features(images))

    def pooled(self, features: Tensor) -> Tensor:
        """Return the mean (B, K, 1, 1) of the active cells of feature maps (B, K, h, w).

        It is 0 for a channel without an active cell. Which cells are active carries no gradient.
        """
        active = features > self.tap_threshold * features.amax(dim=(2, 3), keepdim=True)
        count = active.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        return features.where(active, 0).sum(dim=(2, 3), keepdim=True) / count


class SpatialThresholdedPool(ThresholdedPool):
    """The mixin for networks that offer effective weights."""

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights (B, K) of the pooled maps in the class scores, and constants (B,); see `SpatialHead`.

        A score is a weighted sum of pooled maps. In the constants is what these differ from means over all cells by.
        """
        pooled = self.pooled(features)
        weights, constants = super().effective_weights(pooled, class_indices)  # type: ignore[misc]
        differences = (pooled - features.mean(dim=(2, 3), keepdim=True)).flatten(1)
        return weights, constants + (weights * differences).sum(dim=1)


def with_thresholded_pool(network: Any, *, size: int) -> Any:
    """Give a network another pool, in place.

    Args:
        network: The network.
        size: Side of its input in pixels.

    Raises:
        UsageError: It has no class weights, or its head reads more than its feature maps, or only maps of one size.
    """
    if getattr(network, "classifier_weight", None) is None:
        raise UsageError("needs class weights, and the network has none")
    _check_head(network, size)
    network.register_buffer("tap_threshold", torch.tensor(THRESHOLD))
    return change_network(network, SpatialThresholdedPool if isinstance(network, SpatialHead) else ThresholdedPool)


def _check_head(network: Any, size: int) -> None:
    """Refuse a network whose head cannot read maps of one cell. Raises ``UsageError``."""
    (channels,) = channels_of(network, size)
    try:
        without_memory(network, lambda network: network.forward_head(torch.zeros(2, channels, 1, 1, device="meta")))
    except RuntimeError as error:
        raise UsageError("needs a head that reads maps of any size, behind another pool") from error
