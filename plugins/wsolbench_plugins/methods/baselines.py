"""Baselines that say what a number is worth: ``full-image``, ``centred-box`` and ``mean-feature``.

A score means little before one knows what no localization at all would get, as Choe et al., "Evaluating Weakly
Supervised Object Localization Methods Right", CVPR 2020, show with their centre baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsolbench.api import MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 224  # of the evaluation frame: maps of this size are not resized


@dataclass(frozen=True)
class FullImage:
    """A map whose largest contour is the whole image at every τ: one everywhere but in the middle pixel."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return the same raw map (B, 224, 224) for every image."""
        maps = features.new_ones(len(features), SIDE, SIDE)
        maps[:, SIDE // 2, SIDE // 2] = 0
        return maps


@dataclass(frozen=True)
class CentredBox:
    """A pyramid: at τ, the box is centred and 1 - τ of the image wide and high.

    So the threshold that train-fullsup chooses is the size of the box, and nothing of the image is looked at.
    """

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return the same raw map (B, 224, 224) for every image."""
        import torch

        middle = (SIDE - 1) / 2
        distance = (torch.arange(SIDE, device=features.device, dtype=torch.float64) - middle).abs()
        pyramid = -torch.maximum(distance[:, None], distance[None, :])
        return pyramid.expand(len(features), SIDE, SIDE)


@dataclass(frozen=True)
class MeanFeature:
    """The mean of all feature maps: what the network activates on, whatever the class."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return raw maps (B, h, w) of features (B, K, h, w)."""
        return features.mean(dim=1)


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the baselines."""
    source = "baseline; compare the centre baseline of Choe et al., CVPR 2020"
    return [
        MethodSpec("full-image", FullImage, source, reads_network=False),
        MethodSpec("centred-box", CentredBox, source, reads_network=False),
        MethodSpec("mean-feature", MeanFeature, source),
    ]
