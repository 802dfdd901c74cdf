"""SCM's layers between semantic maps and scores, in training only: attention spreads on the grid of the patches."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench_plugins.localizers.ts_cam.network import SemanticHead, with_semantic_head

LAYERS = 4
"""The published number."""

_LEAST = 64.0
"""Least divisor of the first step to an inverse: the square of the norm of the Laplacian of a grid, 8. So a matrix that
is smaller than that does not make attention explode."""


class Calibration(nn.Module):
    """One layer: the attention spreads between neighbours that look alike, and what it reaches is strengthened.

    ``M = (D - A) ⊙ (rate · E - 1)``, where E are the cosines between the semantic values of patches, A says which
    patches are neighbours on the grid and D how many each has. At a rate of 2, M is the Laplacian of the grid where all
    patches are alike. The spread attention is M⁻¹ times the attention, without what is small beside its maximum.

    Attributes:
        rate: How much the semantic values count.
        threshold: The share of the maximum below which spread attention shrinks to almost nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(2.0))
        self.threshold = nn.Parameter(torch.tensor(0.5))

    def forward(self, semantic: Tensor, attention: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Return both with what the attention reaches added to them.

        Args:
            semantic: Semantic maps (B, C, h, w).
            attention: Attention of the class token (B, h, w).
            steps: Number of steps to the inverse.
        """
        reached = shrunk(self.spread(semantic, attention, steps), self.threshold)
        return semantic * (1 + reached[:, None]), attention + reached

    def spread(self, semantic: Tensor, attention: Tensor, steps: int) -> Tensor:
        """Return the attention (B, h, w) after it has spread."""
        values = F.normalize(semantic.flatten(2), dim=1)
        _, height, width = attention.shape
        flow = laplacian(height, width, attention.device) * (self.rate * values.mT @ values - 1)
        reached: Tensor = inverse(flow, steps) @ attention.flatten(1)[..., None]
        return reached.reshape(attention.shape)


def laplacian(height: int, width: int, device: torch.device) -> Tensor:
    """Return D - A (h·w, h·w) of a grid of cells, each with up to four neighbours."""
    return _laplacian(height, width).to(device)


@cache
def _laplacian(height: int, width: int) -> Tensor:
    rows, columns = torch.arange(height), torch.arange(width)
    distance = (rows[:, None] - rows).abs()[:, None, :, None] + (columns[:, None] - columns).abs()[None, :, None, :]
    adjacent = (distance == 1).float().reshape(height * width, height * width)
    return adjacent.sum(dim=1).diag() - adjacent


def inverse(matrix: Tensor, steps: int) -> Tensor:
    """Return the approximate inverse of symmetric matrices (B, N, N) by Newton-Schulz steps, X ← X (2 I - M X).

    It starts at M / (‖M‖₁ ‖M‖∞), from where it converges for every M (Ben-Israel & Cohen, 1966), of a singular one to
    the pseudo-inverse; of a small M it starts lower. With few steps, directions in which M is small are inverted in
    part only.
    """
    largest = matrix.abs().sum(dim=2).amax(dim=1)
    found = matrix / largest.square().clamp(min=_LEAST)[:, None, None]
    for _ in range(steps):
        found = 2 * found - found @ matrix @ found
    return found


def relative(attention: Tensor) -> Tensor:
    """Return attention (B, h, w) divided by its mean, so that it depends neither on the grid nor on the blocks."""
    return attention / attention.mean(dim=(1, 2), keepdim=True)


def shrunk(values: Tensor, threshold: Tensor) -> Tensor:
    """Return maps (B, h, w) less t · tanh(value / t), where t is a share of their maximum: small values vanish."""
    limit = (threshold * values.amax(dim=(1, 2), keepdim=True)).clamp(min=torch.finfo(values.dtype).eps)
    return values - limit * (values / limit).tanh()


class CalibratedHead(SemanticHead):
    """TS-CAM's classifier with layers of calibration before its scores in training; at test time they are not used.

    Attributes:
        calibration: The layers.
    """

    calibration: nn.ModuleList

    def training_outputs(self, images: Tensor, labels: Tensor, steps: int = 5) -> dict[str, Tensor]:  # noqa: ARG002
        """Return what the loss reads.

        Args:
            images: Normalised images (B, 3, H, W).
            labels: The class of each image, int64 (B,).
            steps: Number of steps to each inverse.

        Returns:
            ``logits`` (B, C), the means of ``calibrated``, the calibrated semantic maps (B, C, h, w); ``features``
            (B, K, h, w), ``semantic`` (B, C, h, w), ``attention`` (B, h, w), whose mean is 1, and
            ``calibrated_attention`` (B, h, w).
        """
        features = self.forward_features(images)
        semantic, attention = self.semantic(features.maps), relative(features.rest[0])
        calibrated, spread = self.calibrated(semantic, attention, steps)
        return {
            "logits": calibrated.mean(dim=(2, 3)),
            "features": features.maps,
            "semantic": semantic,
            "attention": attention,
            "calibrated": calibrated,
            "calibrated_attention": spread,
        }

    def calibrated(self, semantic: Tensor, attention: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Return semantic maps (B, C, h, w) and attention (B, h, w) after all layers, at least in single precision."""
        semantic = semantic.to(attention.dtype)
        with torch.autocast(semantic.device.type, enabled=False):
            for layer in self.calibration:
                semantic, attention = layer(semantic, attention, steps)
        return semantic, attention


def with_calibration(network: Any, *, size: int, key: str) -> Any:
    """Give a network of tokens TS-CAM's classifier and layers of calibration, in place; see `with_semantic_head`."""
    changed = with_semantic_head(network, size=size, key=key, mixin=CalibratedHead)
    changed.calibration = nn.ModuleList(Calibration() for _ in range(LAYERS))
    return changed
