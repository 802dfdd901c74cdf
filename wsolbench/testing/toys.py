"""Small networks and a batch of features, on which the checks of methods and recipes run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from wsolbench.contract import Attention, MethodContext
from wsolbench.contract.taps import visit_layers
from wsolbench.testing.expectations import seeded

__all__ = ["CLASSES", "DeepToy", "ToyNetwork", "layers_in_train_mode", "scene"]

CLASSES = 5
"""Classes of every network that the checks build."""


class ToyNetwork(nn.Module):
    """A backbone of one convolution with stride 8."""

    def __init__(self, channels: int = 6, classes: int = CLASSES) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 8, stride=8)
        self.head = nn.Linear(channels, classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to features (B, K, H/8, W/8)."""
        features: Tensor = self.conv(images)
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """Map features (B, K, h, w) to logits (B, C)."""
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to logits (B, C)."""
        return self.forward_head(self.forward_features(images))

    @property
    def taps(self) -> tuple[str, ...]:
        """The convolution."""
        return ("conv",)

    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Map images (B, 3, H, W) to logits (B, C), and show the output of the convolution to a function."""
        return visit_layers(self, images, visit)

    def forward_attention(self, images: Tensor) -> Attention:
        """Return what two heads of cells pay to each other, after a class token that is the mean of all cells."""
        features = self.forward_features(images)
        cells = features.flatten(2).mT
        tokens = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)
        scores = tokens @ tokens.mT
        weights = torch.stack([scores, -scores], dim=1).softmax(dim=-1)
        return Attention((weights, weights.flip(1)), 1, (features.shape[2], features.shape[3]))

    @property
    def classifier_weight(self) -> Tensor:
        """The class weights (C, K)."""
        return self.head.weight


class DeepToy(ToyNetwork):
    """The toy with two more convolutions behind the first, so that it has three taps."""

    def __init__(self, channels: int = 6, classes: int = CLASSES) -> None:
        super().__init__(channels, classes)
        self.layers = nn.Sequential(*(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)))

    def forward_features(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to features (B, K, H/8, W/8)."""
        features: Tensor = self.layers(self.conv(images))
        return features

    @property
    def taps(self) -> tuple[str, ...]:
        """The convolutions."""
        return ("conv", "layers.0", "layers.1")


class LocalizingToy(ToyNetwork):
    """The toy with maps of its own; systems are checked on one without, so that theirs are not taken for the toy's."""

    def localize(self, features: Tensor, images: Tensor, class_indices: Tensor) -> Tensor:  # noqa: ARG002
        """Return the class maps (B, h, w)."""
        return torch.einsum("bkhw,bk->bhw", features, self.head.weight[class_indices])


def scene(channels: int = 6, height: int = 7, width: int = 7) -> tuple[Tensor, MethodContext]:
    """Return the features (4, K, h, w) of four random images, and the context that a method is given with them.

    Args:
        channels: Feature channels K.
        height: Rows h of the feature maps.
        width: Columns w of the feature maps.
    """
    with seeded(), torch.no_grad():
        network = LocalizingToy(channels).eval().requires_grad_(False)
        images = torch.randn(4, 3, 8 * height, 8 * width)
        features = network.forward_features(images)
        logits = network.forward_head(features)
    return features, MethodContext(network, images, torch.tensor([0, 3, 1, 3]), logits)


def layers_in_train_mode(network: nn.Module) -> int:
    """Return how many layers of a network are in train mode, the network itself among them."""
    return sum(module.training for module in network.modules())
