"""Two classifiers on one body: the second sees the features without the region that the first relies on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.api import Features, after_pooling, change_network, channels_of, min_max, remove_head

THRESHOLD = 0.7
"""The reference's default; the authors' script for CUB has 0.6."""


class TwoClassifiers(nn.Module):
    """A mixin for networks: ACoL's two classifiers in place of their own.

    A classifier is two 3×3 convolutions with ReLU and a 1×1 convolution to class maps; their means are the scores.
    Feature maps are those that the 1×1 convolution of the first classifier reads, so that its weights are class
    weights, and CAM is the class map of the first classifier. What the body gives stands beside them.

    Attributes:
        classifier_A: The first; its scores are those of the network.
        classifier_B: The second, with the threshold.
    """

    classifier_A: nn.Sequential  # noqa: N815  # as in files of the reference
    classifier_B: nn.Sequential  # noqa: N815

    @property
    def threshold(self) -> Tensor:
        """Cells at or above it, of the first classifier's map of a class scaled to [0, 1], are erased.

        It is saved with the weights, because the second map depends on it at test time too.
        """
        return self.get_buffer("classifier_B.threshold")

    def forward_features(self, images: Tensor) -> Features:
        """Return the hidden maps (B, K, h, w) of the first classifier, and beside them the body's (B, K', h, w)."""
        body: Tensor = super().forward_features(images)  # type: ignore[misc]
        return Features(self.classifier_A[:-1](body), (body,))

    def forward_head(self, features: Features) -> Tensor:
        """Return the logits (B, C) of the first classifier."""
        logits: Tensor = self.classifier_A[-1](features.maps).mean(dim=(2, 3))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of images (B, 3, H, W)."""
        return self.forward_head(self.forward_features(images))

    @property
    def classifier_weight(self) -> Tensor:
        """The weights (C, K) of the 1×1 convolution of the first classifier."""
        return self._classes.weight.flatten(1)

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the weights (B, K) and constants (B,) of the class scores: the raw ones."""
        return after_pooling(self._classes, class_indices)

    @property
    def _classes(self) -> nn.Conv2d:
        layer = self.classifier_A[-1]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def training_outputs(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return what the loss reads, and what it is made of; the label says which map of the first is erased.

        Args:
            images: Normalised images (B, 3, H, W).
            labels: The class of each image, int64 (B,).

        Returns:
            ``logits`` and ``logits_b`` (B, C); ``maps`` and ``maps_b``, their class maps (B, C, h, w); ``features``
            (B, K, h, w); ``attention`` (B, 1, h, w), the first map of the label in [0, 1], NaN where it is constant;
            ``erased`` (B, 1, h, w), 1 where the second classifier sees zeros.
        """
        features = self.forward_features(images)
        maps = self.classifier_A[-1](features.maps)
        attention = attention_of(maps, labels)
        erased = attention >= self.threshold
        maps_b = self.classifier_B(erase(features.rest[0], erased))
        return {
            "features": features.maps,
            "logits": maps.mean(dim=(2, 3)),
            "logits_b": maps_b.mean(dim=(2, 3)),
            "maps": maps,
            "maps_b": maps_b,
            "attention": attention,
            "erased": erased.to(maps.dtype),
        }

    def localize(self, features: Features, images: Tensor, class_indices: Tensor) -> Tensor:  # noqa: ARG002
        """Return the larger of both maps of the class (B, h, w), each scaled to [0, 1]; a constant one counts as 0.

        Args:
            features: What `forward_features` returns.
            images: Normalised images (B, 3, H, W), which are not read again.
            class_indices: The class of each image, int64 (B,); it also decides what the second classifier does not see.
        """
        first = attention_of(self.classifier_A[-1](features.maps), class_indices)
        body = erase(features.rest[0], first >= self.threshold)
        second = attention_of(self.classifier_B(body), class_indices)
        return torch.maximum(first.nan_to_num(0), second.nan_to_num(0))[:, 0]


def attention_of(maps: Tensor, classes: Tensor) -> Tensor:
    """Return the map (B, 1, h, w) of each image's class, scaled to [0, 1], without gradient; NaN where it is constant.

    Args:
        maps: Class maps (B, C, h, w).
        classes: The class of each image, int64 (B,).
    """
    return min_max(maps.detach()[torch.arange(len(maps), device=maps.device), classes])[:, None]


def erase(body: Tensor, erased: Tensor) -> Tensor:
    """Return feature maps (B, K, h, w) with 0 in all channels of the cells (B, 1, h, w) that are erased."""
    return body.where(~erased, 0)


def with_two_classifiers(network: Any, *, size: int, name: str, key: str) -> Any:
    """Give a network two classifiers in place of its own, in place.

    Args:
        network: The network.
        size: Side of its input in pixels.
        name: What it is called.
        key: The entry of its state dict whose first dimension is the number of classes.

    Raises:
        UsageError: Its head reads more than its feature maps.
    """
    num_classes = len(network.state_dict()[key])
    if name == "vgg16_wsol":
        _shape_vgg(network)
    if name == "inception_v3_wsol":
        network.dropout = 0.0
        network.SPG_A3_1b = network.SPG_A3_2b = nn.Identity()
    remove_head(network, size)
    (channels,) = channels_of(network, size)
    network.classifier_A = _classifier(channels, num_classes)
    network.classifier_B = _classifier(channels, num_classes)
    network.classifier_B.register_buffer("threshold", torch.tensor(THRESHOLD))
    return change_network(network, TwoClassifiers)


def _shape_vgg(network: Any) -> None:
    """Give VGG-16 the pools of ACoL: 3×3, two more of stride 1, and an average over 3×3 in place of its last layer."""
    layers: list[nn.Module] = []
    convolutions = 0
    for layer in network.features:
        layers.append(nn.MaxPool2d(3, stride=2, padding=1) if isinstance(layer, nn.MaxPool2d) else layer)
        convolutions += isinstance(layer, nn.Conv2d)
        if isinstance(layer, nn.ReLU) and convolutions in (10, 13):
            layers.append(nn.MaxPool2d(3, stride=1, padding=1))
    network.features = nn.Sequential(*layers)
    network.conv6, network.relu6 = nn.Identity(), nn.AvgPool2d(3, stride=1, padding=1)


def _classifier(channels: int, num_classes: int) -> nn.Sequential:
    """Return a classifier on maps of a number of channels, with He's initial weights (2015) before ReLUs, no biases."""
    width = width_of(channels)
    layers = nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, num_classes, 1),
    )
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu" if layer.kernel_size == (3, 3) else "linear")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return layers


def width_of(channels: int) -> int:
    """Return the width of a classifier: the published 1,024 from 512 channels on, else a power of two of 64 or more."""
    return 1024 if channels >= 512 else max(1 << (channels.bit_length() - 1), 64)
