"""Branches that learn where the object is from the network's own maps, and then teach each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.api import SpatialHead, Tapped, UsageError, change_network, channels_of, kept_layers, min_max
from wsolbench_plugins.localizers.spg.guidance import resize

_PLACES = {
    "resnet50_wsol": ("layer3.0", "layer3"),
    "resnet50_wsol14": ("layer3.0", "layer3"),
    "vgg16_wsol": ("features.22", "features.28"),
    "inception_v3_wsol": ("Mixed_5d", "Mixed_6d"),  # in the reference B2 reads what enters Mixed_6e
}
"""Where the published networks have the branches B1 and B2."""


class SelfProduced(nn.Module):
    """A mixin for networks: SPG's branches beside the classifier, for training only.

    The network keeps its classifier, which is linear in the pooled features, so that its class map is CAM; the
    reference has the same as a 1×1 convolution before the pool, A4. Beside it, B1 and B2 read two inner layers, share
    their second half, and C reads the features; each gives one map of the object's logits.

    Attributes:
        places: The layers that B1 and B2 read.
        side: Side of the frame in which attentions are compared, in pixels.
    """

    SPG_B_1a: nn.Sequential
    SPG_B_2a: nn.Sequential
    SPG_B_shared: nn.Sequential
    SPG_C: nn.Sequential
    places: tuple[str, str]
    side: int
    forward_features: Any
    forward_head: Any
    effective_weights: Any
    classifier_weight: Any

    def training_outputs(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return what the loss reads; the label says whose class map is the first attention.

        Args:
            images: Normalised images (B, 3, H, W).
            labels: The class of each image, int64 (B,).

        Returns:
            ``features`` (B, K, h, w); ``logits`` (B, C); ``logits_b1``, ``logits_b2``, ``logits_c`` (B, 1, ·, ·), whose
            sigmoid says where the object is; ``attention`` and ``fused_attention`` (B, 1, side, side), without
            gradient: the class map of the label in [0, 1], NaN where it is constant, and the mean of what B1 and B2
            say.
        """
        with kept_layers(self, self.places) as kept:
            features = self.forward_features(images)
        logits_b1 = self.SPG_B_shared(self.SPG_B_1a(kept[self.places[0]]))
        logits_b2 = self.SPG_B_shared(self.SPG_B_2a(kept[self.places[1]]))
        said = [resize(logits.detach(), self.side).sigmoid() for logits in (logits_b1, logits_b2)]
        return {
            "features": features,
            "logits": self.forward_head(features),
            "logits_b1": logits_b1,
            "logits_b2": logits_b2,
            "logits_c": self.SPG_C(features),
            "attention": min_max(resize(self.class_maps(features.detach(), labels), self.side)),
            "fused_attention": (said[0] + said[1]) / 2,
        }

    @torch.no_grad()
    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return maps (B, 1, h, w) whose means are the class scores up to constants, of features (B, K, h, w).

        Args:
            features: Feature maps.
            classes: The class of each image, int64 (B,).
        """
        linear = isinstance(self, SpatialHead)
        weights: Tensor = self.effective_weights(features, classes)[0] if linear else self.classifier_weight[classes]
        return (weights[:, :, None, None] * features).sum(dim=1, keepdim=True)


def with_branches(network: Any, *, size: int, name: str, key: str) -> Any:
    """Give a network the branches of SPG, in place.

    Args:
        network: The network.
        size: Side of its input in pixels.
        name: What it is called.
        key: The entry of its state dict whose first dimension is the number of classes.

    Raises:
        UsageError: It has no class weights, or too few taps, or its head reads more than its feature maps.
    """
    if name == "vgg16_wsol":
        network.conv6 = nn.Sequential(_convolution(512, 512), nn.ReLU(inplace=True), _convolution(512, 512))
        network.fc = nn.Linear(512, len(network.state_dict()[key]))
    if getattr(network, "classifier_weight", None) is None:
        raise UsageError("needs class weights, and the network has none")
    places = _PLACES.get(name) or _places(network)
    first, second, last = channels_of(network, size, places)
    shared, own = _width(second, 1024), _width(last, 512)
    network.SPG_B_1a = nn.Sequential(_convolution(first, shared), nn.ReLU(inplace=True))
    network.SPG_B_2a = nn.Sequential(_convolution(second, shared), nn.ReLU(inplace=True))
    network.SPG_B_shared = nn.Sequential(_convolution(shared, shared), nn.ReLU(inplace=True), _logit(shared))
    network.SPG_C = nn.Sequential(_convolution(last, own), nn.ReLU(inplace=True), _logit(own))
    network.places, network.side = places, size
    return change_network(network, SelfProduced)


def _places(network: Any) -> tuple[str, str]:
    """Return the layers that B1 and B2 read: the last two taps before the last one."""
    taps = network.taps if isinstance(network, Tapped) else ()
    if len(taps) < 3:
        raise UsageError(
            "needs three taps, two for its branches and one behind them, and the network has "
            f"{', '.join(taps) or 'none'}"
        )
    return taps[-3], taps[-2]


def _width(channels: int, most: int) -> int:
    """Return the width of a branch: a power of two, at most the channels that it reads, but 64 or more."""
    return min(max(1 << (channels.bit_length() - 1), 64), most)


def _convolution(channels: int, width: int) -> nn.Conv2d:
    """Return a 3×3 convolution before a ReLU, with He's initial weights (2015) and no initial bias."""
    layer = nn.Conv2d(channels, width, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _logit(channels: int) -> nn.Conv2d:
    """Return a 1×1 convolution to one map, with Glorot's initial weights and no initial bias."""
    layer = nn.Conv2d(channels, 1, 1)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
