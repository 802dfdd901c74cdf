"""A convolutional classifier on the patch tokens, and maps that couple its class maps with the attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.api import (
    Attention,
    Attentive,
    Features,
    Tapped,
    UsageError,
    as_before,
    change_network,
    kept_layers,
    remove_head,
    tap_maps,
    without_memory,
)


class SemanticHead(nn.Module):
    """A mixin for networks of tokens: TS-CAM's classifier in place of their own.

    Features are the patch tokens of the last tap, which stands behind the last norm. A 3×3 convolution makes a semantic
    map of each class from them, and its mean is the score. The class token is not classified any more; its attention
    to the patches stands beside the features.

    Attributes:
        semantic: The convolution.
        tokens: The tap of the patch tokens.
    """

    semantic: nn.Conv2d
    tokens: str
    taps: tuple[str, ...]

    def forward_features(self, images: Tensor) -> Features:
        """Return the patch tokens (B, K, h, w), and beside them the attention (B, h, w) of the class token to them."""
        with as_before(self), kept_layers(self, [self.tokens]) as kept:
            attention = self.forward_attention(images)
        return Features(patches_of(kept[self.tokens], attention.grid), (fused(attention),))

    def forward_head(self, features: Features) -> Tensor:
        """Return the logits (B, C)."""
        logits: Tensor = self.semantic(features.maps).mean(dim=(2, 3))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of images (B, 3, H, W)."""
        return self.forward_head(self.forward_features(images))

    def forward_attention(self, images: Tensor) -> Attention:
        """Return the attention of every block on images (B, 3, H, W), as without the system."""
        with as_before(self):
            attention: Attention = self.forward_attention(images)
        return attention

    def forward_tapped(self, images: Tensor, visit: Any) -> Tensor:
        """Return the logits (B, C) of images (B, 3, H, W), and show the maps of layers to functions on the way."""
        patches: list[Tensor] = []

        def keep(maps: Tensor) -> Tensor:
            patches.append(visit[self.tokens](maps) if self.tokens in visit else maps)
            return patches[0]

        with as_before(self):
            self.forward_tapped(images, {**visit, self.tokens: keep})
        return self.forward_head(Features(patches[0], ()))

    @property
    def feature_layer(self) -> str:
        """The layer whose maps are the features."""
        return self.tokens

    @property
    def classifier_weight(self) -> None:
        """None: a kernel of the classifier reads 3×3 patches."""
        return None

    def training_outputs(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Return what the loss reads; the attention is not computed.

        Args:
            images: Normalised images (B, 3, H, W).
            labels: The class of each image, int64 (B,).

        Returns:
            ``logits`` (B, C), ``features`` (B, K, h, w), and ``semantic``, the semantic maps (B, C, h, w).
        """
        with as_before(self):
            patches = tap_maps(self, images, [self.tokens])[self.tokens]
        semantic = self.semantic(patches)
        return {"logits": semantic.mean(dim=(2, 3)), "features": patches, "semantic": semantic}

    def localize(self, features: Features, images: Tensor, class_indices: Tensor) -> Tensor:  # noqa: ARG002
        """Return the attention times the semantic map of the class (B, h, w), which may be negative.

        Args:
            features: What `forward_features` returns.
            images: Normalised images (B, 3, H, W), which are not read again.
            class_indices: The class of each image, int64 (B,).
        """
        (attention,) = features.rest
        return attention * self.semantic_maps(features.maps, class_indices).to(attention.dtype)

    def semantic_maps(self, patches: Tensor, class_indices: Tensor) -> Tensor:
        """Return the semantic map (B, h, w) of one class of each image; the maps of other classes are not computed.

        Args:
            patches: Patch tokens (B, K, h, w).
            class_indices: The class of each image, int64 (B,).
        """
        assert self.semantic.bias is not None
        kernels, biases = self.semantic.weight[class_indices], self.semantic.bias[class_indices]
        joined = patches.flatten(0, 1)[None]
        return F.conv2d(joined, kernels, biases, padding=1, groups=len(patches))[0]


def fused(attention: Attention) -> Tensor:
    """Return the attention (B, h, w) of the class token to the patches: the mean of heads, the sum of blocks.

    It is at least in single precision. What the token pays to itself is left out.
    """
    rows = [
        attention.to_patches(weights.to(torch.promote_types(weights.dtype, torch.float32)).mean(dim=1))
        for weights in attention.weights
    ]
    return torch.stack(rows).sum(dim=0)


def patches_of(output: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the patch tokens (B, K, h, w) of the output of a layer, which may be maps or tokens behind others.

    Args:
        output: Maps (B, K, h, w) or tokens (B, N, K).
        grid: Height and width of the patches.
    """
    return output if output.ndim == 4 else output[:, -grid[0] * grid[1] :].mT.reshape(len(output), -1, *grid)


def with_semantic_head(network: Any, *, size: int, key: str, mixin: type[SemanticHead] = SemanticHead) -> Any:
    """Give a network of tokens a convolutional classifier of its patches in place of its own, in place.

    Args:
        network: The network.
        size: Side of its input in pixels.
        key: The entry of its state dict whose first dimension is the number of classes.
        mixin: What is put before its class.

    Raises:
        UsageError: It has no attention, no class token or no maps of its patches.
    """
    if not (_is_attentive(network) and network.taps):
        raise UsageError("needs the attention of a network of tokens, and this one has none")
    if key not in network.state_dict():
        raise UsageError("needs a network with a classifier")
    num_classes, tap = len(network.state_dict()[key]), network.taps[-1]
    channels = _channels(network, tap, size)
    remove_head(network, size, tap)
    network.tokens = tap
    network.semantic = nn.Conv2d(channels, num_classes, 3, padding=1)
    return change_network(network, mixin)


def _is_attentive(network: Any) -> bool:
    return isinstance(network, Attentive) and isinstance(network, Tapped)


def _channels(network: Any, tap: str, size: int) -> int:
    """Return the number of channels of the patches at a tap. Raises ``UsageError`` where they cannot be classified."""

    def run(network: Any) -> Any:
        with kept_layers(network, [tap]) as kept:
            return network.forward_attention(torch.zeros(2, 3, size, size, device="meta")), kept.get(tap)

    (attention, output), _ = without_memory(network, run)
    if not attention.class_token or attention.prefix == 0:
        raise UsageError("needs a class token that is classified; this network pools its patches")
    patches = None if output is None or output.ndim not in (3, 4) else patches_of(output, attention.grid)
    if patches is None or tuple(patches.shape[2:]) != attention.grid:
        raise UsageError(f"needs patches on the grid of the attention at the last tap, '{tap}', which has none")
    return int(patches.shape[1])
