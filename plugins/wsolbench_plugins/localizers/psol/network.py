"""A regressor beside a classifier: a body of its own, and two layers that make a box of its features."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.api import Boxes, change_network, channels_of, remove_head

_WIDTH = 512
"""Of the layer between features and box."""


class WithRegressor(nn.Module):
    """A mixin for networks: a regressor of boxes beside the classifier, which stays what it is.

    Attributes:
        regressor: The regressor.
    """

    regressor: Regressor

    def copy_body(self) -> None:
        """Give the regressor's body the weights of the classifier's."""
        trained, body = self.state_dict(), self.regressor.body
        body.load_state_dict({name: trained[name] for name in body.state_dict()})

    def localize(self, features: Any, images: Tensor, class_indices: Tensor) -> Boxes:  # noqa: ARG002
        """Return the regressor's boxes, the same for every class; see `Localizing`.

        Args:
            features: What `forward_features` returns, which are those of the classifier and are not read.
            images: Normalised images (B, 3, H, W).
            class_indices: The class of each image, which is not read.
        """
        found = self.regressor(images).double()
        return Boxes(torch.cat([found[:, :2], found[:, :2] + found[:, 2:]], dim=1))


class Regressor(nn.Module):
    """A body, global average pooling and two linear layers with a ReLU between them.

    Args:
        body: A network without its head.
        channels: Number of channels of its features.
    """

    def __init__(self, body: Any, channels: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Sequential(nn.Linear(channels, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 4))

    def forward(self, images: Tensor) -> Tensor:
        """Return x, y, width and height (B, 4) of a box in each image (B, 3, H, W), in fractions of the image."""
        features: Tensor = self.body.forward_features(images)
        numbers: Tensor = self.head(features.mean(dim=(2, 3)))
        return numbers.sigmoid()


def with_regressor(network: Any, size: int) -> Any:
    """Give a network a regressor, in place.

    Args:
        network: The network.
        size: Side of its input in pixels.

    Raises:
        UsageError: Its head reads more than its feature maps.
    """
    (channels,) = channels_of(network, size)
    body = copy.deepcopy(network)
    remove_head(body, size)
    changed = change_network(network, WithRegressor)
    changed.regressor = Regressor(body, channels)
    return changed
