"""Context embeddings beside a classifier: what the foreground and the background of each class look like."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.api import Features, UsageError, change_network, min_max
from wsolbench_plugins.localizers.cream.clustering import posteriors

STEPS, TEMPERATURE = 2, 0.2
"""Those of a network before its training, which the options of the system replace."""


class ContextEmbeddings(nn.Module):
    """A mixin for networks: two embeddings of each class, which are no parameters, and the map that they lead to.

    Attributes:
        cream_foreground: The embeddings (C, K) of the foreground of each class; 0 for a class without one.
        cream_background: Those of the background.
        cream_steps: Steps of expectation maximization at test time.
        cream_temperature: Variance of both components.
    """

    cream_foreground: Tensor
    cream_background: Tensor
    cream_steps: Tensor
    cream_temperature: Tensor
    classifier_weight: Tensor

    @torch.no_grad()
    def remember(self, features: Tensor, labels: Tensor, *, momentum: float, threshold: float) -> None:
        """Move the embeddings of the classes of images towards their cells, one image after another.

        The first image of a class sets them. An image whose class map is constant changes nothing.

        Args:
            features: Feature maps (B, K, h, w).
            labels: The class of each image, int64 (B,).
            momentum: The part of the embeddings that stays.
            threshold: Cells at or above it, of the class map scaled to [0, 1], are foreground, the others background.
        """
        maps = self.class_maps(features, labels)
        chosen = torch.stack([maps >= threshold, maps < threshold], dim=1).flatten(2).to(features.dtype)
        means = torch.einsum("ban,bkn->bak", chosen, cells_of(features)) / chosen.sum(dim=2)[:, :, None].clamp(min=1)
        constant = maps.isnan().flatten(1).any(dim=1).tolist()
        for label, image, is_constant in zip(labels.tolist(), means, constant, strict=True):
            if not is_constant:
                for embeddings, mean in zip((self.cream_foreground, self.cream_background), image, strict=True):
                    own = embeddings[label]
                    own.copy_(own.lerp(mean.to(own.dtype), 1 - momentum) if own.any() else mean)

    def localize(self, features: Any, images: Tensor, class_indices: Tensor) -> Tensor:  # noqa: ARG002
        """Return the probability (B, h, w) that a cell is foreground; see `Localizing`.

        It is the class map, scaled to [0, 1], for a class without embeddings; 0 where that is constant.

        Args:
            features: What ``forward_features`` returns.
            images: Normalised images (B, 3, H, W), which are not read again.
            class_indices: The class of each image, int64 (B,).
        """
        maps = (features.maps if isinstance(features, Features) else features).float()
        class_maps = self.class_maps(maps, class_indices).nan_to_num(0)
        centres = torch.stack([self.cream_foreground[class_indices], self.cream_background[class_indices]], dim=1)
        found = posteriors(cells_of(maps), centres.float(), int(self.cream_steps), float(self.cream_temperature))
        foreground = calibrated(found, class_maps.flatten(1)).reshape(class_maps.shape)
        known = centres.any(dim=2).all(dim=1)
        return torch.where(known[:, None, None], foreground, class_maps)

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the CAM (B, h, w) of the class of each image, scaled to [0, 1]; NaN where it is constant.

        Args:
            features: Feature maps (B, K, h, w), float32.
            classes: The class of each image, int64 (B,).
        """
        return min_max(torch.einsum("bkhw,bk->bhw", features, self.classifier_weight[classes].float()))


def cells_of(features: Tensor) -> Tensor:
    """Return the cells (B, K, N) of feature maps (B, K, h, w), those of an image divided by their largest norm."""
    cells = features.flatten(2)
    largest: Tensor = cells.norm(dim=1).amax(dim=1)
    return cells / largest.where(largest > 0, 1)[:, None, None]


def calibrated(found: Tensor, class_maps: Tensor) -> Tensor:
    """Return the probabilities (B, N) of the component that is the foreground: the one where the class map is higher.

    Clustering knows no class, so that the components may change places.

    Args:
        found: The probability (B, 2, N) of each component in each cell, the foreground's first.
        class_maps: Class maps (B, N).
    """
    mass = found.sum(dim=2).clamp(min=torch.finfo(found.dtype).tiny)
    means = torch.einsum("ban,bn->ba", found, class_maps) / mass
    swapped = means[:, 1] > means[:, 0]
    return found[:, 1].where(swapped[:, None], found[:, 0])


def with_embeddings(network: Any) -> Any:
    """Give a network embeddings of its classes, in place.

    Args:
        network: The network.

    Raises:
        UsageError: It has no class weights.
    """
    weights = getattr(network, "classifier_weight", None)
    if weights is None:
        raise UsageError("needs class weights, and the network has none")
    for name in ("cream_foreground", "cream_background"):
        network.register_buffer(name, torch.zeros(weights.shape))
    network.register_buffer("cream_steps", torch.tensor(STEPS))
    network.register_buffer("cream_temperature", torch.tensor(TEMPERATURE))
    return change_network(network, ContextEmbeddings)
