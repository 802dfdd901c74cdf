"""A network whose features are the maps of one of its layers (``--tap``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.contract import Attention, Attentive, Features, Tapped
from wsolbench.contract.taps import check_taps, tap_maps
from wsolbench.errors import UsageError

__all__ = ["TapView", "tapped_at"]


def tapped_at(network: Any, name: str, *, size: int, called: str) -> Any:
    """Return a backbone whose features are those of a tap of a network: the network itself where they are its own.

    Args:
        network: The network in eval mode.
        name: The tap.
        size: Side of its square input in pixels.
        called: What the network is called, for messages.

    Raises:
        UsageError: The network has no taps, or none of that name.
    """
    if not isinstance(network, Tapped):
        raise UsageError(f"--tap {name}: '{called}' has no taps; omit the option")
    check_taps(network, [name], f"--tap {name}: '{called}'")
    if _is_own(network, name, size):
        return network
    return AttentiveTapView(network, name) if isinstance(network, Attentive) else TapView(network, name)


@torch.no_grad()
def _is_own(network: Any, name: str, size: int) -> bool:
    """Return whether a tap has the maps that the network's own head reads, found out on one image."""
    device = next((parameter.device for parameter in network.parameters()), None)
    image = torch.linspace(-1, 1, 3 * size**2, device=device).reshape(1, 3, size, size)
    own = network.forward_features(image)
    own = own.maps if isinstance(own, Features) else own
    maps = tap_maps(network, image, [name])[name]
    return maps.shape == own.shape and torch.allclose(maps, own, rtol=1e-5, atol=1e-6)


class TapView(nn.Module):
    """A backbone whose features are the maps of a layer of a network, and whose head is all that comes after.

    The head runs the whole network again on the images, with other maps in the place of the layer's. So it is exact
    for every network, also where later layers read more than these maps, and takes the time of a second pass. Such
    features have no class weights.

    Args:
        network: A `Tapped` network.
        name: One of its taps.
    """

    def __init__(self, network: Any, name: str) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.training = network.training

    def forward_features(self, images: Tensor) -> Features:
        """Return the maps (B, K, h, w) of the layer, and the images (B, 3, H, W) that the head runs on."""
        return Features(tap_maps(self.network, images, [self.name])[self.name], (images,))

    def forward_head(self, features: Features) -> Tensor:
        """Return the logits (B, C) of the network with these maps in the place of the layer's."""
        (images,) = features.rest
        logits: Tensor = self.network.forward_tapped(images, {self.name: lambda _: features.maps})
        return logits

    @property
    def taps(self) -> tuple[str, ...]:
        """The taps of the network."""
        names: tuple[str, ...] = self.network.taps
        return names

    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the logits (B, C) of the network, and show its layers; see `Tapped`."""
        logits: Tensor = self.network.forward_tapped(images, visit)
        return logits


class AttentiveTapView(TapView):
    """The same for a network of tokens, whose attention does not depend on the tap."""

    def forward_attention(self, images: Tensor) -> Attention:
        """Return the attention of every block of the network."""
        attention: Attention = self.network.forward_attention(images)
        return attention
