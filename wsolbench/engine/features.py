"""The one forward pass: images of a split through a network, as a stream of features and logits.

Localization, the fit of methods, the accuracy of a network in training and every analysis read this stream.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wsolbench.contract import Features, ImageSplit
from wsolbench.contract.backbones import maps_and_rest, with_rest
from wsolbench.engine.stream import stream_batches
from wsolbench.host.settings import guarding
from wsolbench.networks.network import Network

__all__ = ["FeatureBatch", "stream_features"]


@dataclass(frozen=True)
class FeatureBatch:
    """What a network makes of some images of a split.

    Attributes:
        indices: Positions in the split, (B,).
        images: Normalised float32 inputs (B, 3, H, W).
        labels: Class indices int64 (B,).
        features: The tapped feature maps (B, K, h, w).
        logits: The scores (B, C).
        rest: What the head reads beside the feature maps; None if it reads nothing else.
    """

    indices: NDArray[np.int64]
    images: Tensor
    labels: Tensor
    features: Tensor
    logits: Tensor
    rest: tuple[Tensor, ...] | None = None

    @property
    def head_input(self) -> Tensor | Features:
        """What ``forward_head`` reads: the feature maps, with the rest if there is one."""
        return with_rest(self.features, self.rest)


def stream_features(
    network: Network,
    images: ImageSplit,
    *,
    batch_size: int,
    workers: int,
    order: Sequence[int] | NDArray[np.int64] | None = None,
    observe: Callable[[int, NDArray[np.uint8]], None] | None = None,
    gradients: bool = False,
) -> Generator[FeatureBatch, None, None]:
    """Yield features and logits of the images of a split, every image once.

    Args:
        network: What computes them, in eval mode.
        images: The split.
        batch_size: Images in a forward pass; the last may have fewer.
        workers: Threads that load images.
        order: Positions in the split; all of them, in their order, by default.
        observe: Called by the threads with the position and the original pixels of every image.
        gradients: Whether features, but not logits, are differentiable with respect to ``FeatureBatch.images``.

    Raises:
        DataError: An image cannot be read.
        PluginError: The network fails.
    """
    stream = stream_batches(
        images,
        network.spec.input,
        batch_size=batch_size,
        workers=workers,
        device=network.device,
        order=order,
        observe=observe,
    )
    with closing(stream) as batches:
        for batch in batches:
            inputs = batch.images.requires_grad_() if gradients else batch.images
            first = images.ids[batch.indices[0]]
            with guarding(network.offer.provider, f"in '{network.spec.name}' on the images from '{first}' on"):
                features, logits = network.forward(inputs, gradients=gradients)
            maps, rest = maps_and_rest(features)
            yield FeatureBatch(batch.indices, inputs, batch.labels, maps, logits, rest)
