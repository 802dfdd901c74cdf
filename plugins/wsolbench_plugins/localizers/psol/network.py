"""A regressor beside a classifier: a body of its own, and two layers that make a box of its features."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.api import Boxes, Layered, StochasticDepth, change_network, channels_of, remove_head

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


class _TwoDepths(WithRegressor):
    """Of a network with stochastic depth, both bodies have it, each from its first block to its last."""

    def set_drop_path(self, rate: float) -> None:
        """Set the probabilities of skipping a block; see `StochasticDepth`."""
        with _without_regressor(self):
            super().set_drop_path(rate)  # type: ignore[misc]
        self.regressor.body.set_drop_path(rate)


class _TwiceNumbered(WithRegressor):
    """Of a network that numbers its layers, those of the regressor's body have the same numbers, its head the last."""

    def layer_ids(self) -> dict[str, int]:
        """Return the layer of every name of ``named_parameters``; see `Layered`."""
        with _without_regressor(self):
            own: Mapping[str, int] = super().layer_ids()  # type: ignore[misc]
        last = max(own.values())
        return {name: own.get(name.removeprefix("regressor.body."), last) for name, _ in self.named_parameters()}


@contextmanager
def _without_regressor(network: WithRegressor) -> Iterator[None]:
    """A context in which a network has no regressor, so that its own methods walk over its own layers."""
    regressor = network.regressor
    del network.regressor
    try:
        yield
    finally:
        network.regressor = regressor


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
    for trait, mixin in ((StochasticDepth, _TwoDepths), (Layered, _TwiceNumbered)):
        changed = change_network(changed, mixin) if isinstance(changed, trait) else changed
    changed.regressor = Regressor(body, channels)
    return changed
