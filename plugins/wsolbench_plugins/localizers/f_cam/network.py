"""A decoder beside the classifier: two maps of the size of the input, from the taps of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.api import InputConfig, Tapped, UsageError, change_network, without_memory

_FULL_WIDTH, _MOST = 16, 256
"""Width of the decoder at the input's resolution; it doubles where the side is halved, up to the other number."""


class Decoded(nn.Module):
    """A mixin for networks: a decoder beside the classifier.

    Attributes:
        decoder: The decoder, which alone the second stage trains.
        decoder_taps: The layers that it reads, from the smallest maps to the largest.
        colour_scale: For each channel, by what normalised images are multiplied so that colours differ by 0 to 255.
    """

    decoder: Decoder
    decoder_taps: tuple[str, ...]
    colour_scale: tuple[float, ...]
    forward_tapped: Any

    def decoded(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (B, C), and those of background and foreground (B, 2, H, W), from one pass.

        Only the decoder has gradients.
        """
        with torch.no_grad():
            logits, taps = _logits_and_taps(self, images, self.decoder_taps)
        return logits, self.decoder([taps[name] for name in self.decoder_taps], images.shape[2:])

    def localize(self, features: Any, images: Tensor, class_indices: Tensor) -> Tensor:  # noqa: ARG002
        """Return the probability of the foreground (B, H, W), the same for every class; see `Localizing`.

        Args:
            features: What `forward_features` returns, which are not read.
            images: Normalised images (B, 3, H, W).
            class_indices: The class of each image, which is not read.
        """
        _, maps = self.decoded(images)
        return maps.float().softmax(dim=1)[:, 1]


class Decoder(nn.Module):
    """The expanding half of a U-Net: maps are enlarged step by step, and joined with a tap where there is one.

    Args:
        taps: Channels and side of each tap, from the smallest maps to the largest.
        size: Side of the input in pixels.
    """

    def __init__(self, taps: Sequence[tuple[int, int]], size: int) -> None:
        super().__init__()
        steps = list(steps_of([side for _, side in taps], size))
        self.joined = tuple(joined for _, joined in steps)
        self.blocks = nn.ModuleList()
        channels = taps[0][0]
        for side, joined in steps:
            width = width_of(side, size)
            self.blocks.append(_block(channels + (0 if joined is None else taps[joined][0]), width))
            channels = width
        self.maps = nn.Conv2d(channels, 2, 3, padding=1)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the logits (B, 2, H, W) of background and foreground.

        Args:
            taps: Feature maps (B, K, h, w), from the smallest to the largest.
            size: H and W.
        """
        maps = taps[0]
        for number, (block, joined) in enumerate(zip(self.blocks, self.joined, strict=True), start=1):
            if joined is not None:
                maps = torch.cat([F.interpolate(maps, taps[joined].shape[2:]), taps[joined]], dim=1)
            elif number < len(self.blocks):
                maps = F.interpolate(maps, scale_factor=2)
            else:
                maps = F.interpolate(maps, tuple(size))
            maps = block(maps)
        logits: Tensor = self.maps(maps)
        return logits


def steps_of(sides: Sequence[int], size: int) -> Iterator[tuple[int, int | None]]:
    """Yield the steps of a decoder: the side after it, and which tap is joined there, None for no tap.

    A step about doubles the side; where taps are further apart, or the input is from the last of them, there are steps
    between.

    Args:
        sides: Side of each tap, from the smallest to the largest.
        size: Side of the input.
    """
    side = sides[0]
    aims: Sequence[tuple[int, int | None]] = [*((each, number) for number, each in enumerate(sides)), (size, None)]
    for aim, joined in aims[1:]:
        while aim >= 3 * side:
            side *= 2
            yield side, None
        if aim > side:
            yield aim, joined
        side = aim


def width_of(side: int, size: int) -> int:
    """Return the width of a decoder where its maps have a side: 16 at the size of the input, twice that at half of it.

    It is that of the published decoder from 1/16 of the input on, at most 256.
    """
    return min(_FULL_WIDTH * max(round(size / side), 1), _MOST)


def _block(channels: int, width: int) -> nn.Sequential:
    """Return two 3×3 convolutions with norms and ReLUs."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def with_decoder(network: Any, config: InputConfig) -> Any:
    """Give a network a decoder, in place.

    Args:
        network: The network.
        config: Its input.

    Raises:
        UsageError: It has no taps.
    """
    if not isinstance(network, Tapped) or not network.taps:
        raise UsageError("needs taps, and the network has none")
    size = config.size

    def taps_of(network: Any) -> Mapping[str, Tensor]:
        return _logits_and_taps(network, torch.zeros(2, 3, size, size, device="meta"), network.taps)[1]

    taps, _ = without_memory(network, taps_of)
    chosen = last_of_each_size({name: maps.shape[-1] for name, maps in taps.items()})
    changed = change_network(network, Decoded)
    changed.decoder = Decoder([(taps[name].shape[1], taps[name].shape[-1]) for name in chosen], size)
    changed.decoder_taps = chosen
    changed.colour_scale = tuple(255 * std for std in config.std)
    return changed


def last_of_each_size(sides: Mapping[str, int]) -> tuple[str, ...]:
    """Return layers from the smallest maps to the largest: of those of one size the last.

    Args:
        sides: Name of a layer -> side of its maps, from the image to the head.
    """
    chosen: list[str] = []
    for name in reversed(list(sides)):
        if not chosen or sides[name] > sides[chosen[-1]]:
            chosen.append(name)
    return tuple(chosen)


def _logits_and_taps(network: Any, images: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the logits (B, C) of images, and the feature maps (B, K, h, w) of taps, from one pass."""
    taps: dict[str, Tensor] = {}

    def keep(name: str, maps: Tensor) -> Tensor:
        taps[name] = maps.clone()  # the next layer may work in place
        return maps

    logits: Tensor = network.forward_tapped(images, {name: partial(keep, name) for name in names})
    return logits, taps
