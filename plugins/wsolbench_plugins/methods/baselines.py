"""Baselines for comparison: boxes that ignore the image, noise, an image saliency and the mean feature.

A score means little without the score of a method that localizes nothing, as the centre baseline of Choe et al.,
"Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020, shows.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from wsolbench.api import MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FullImage:
    """A map whose largest contour is the whole image at every τ: 0 in the middle pixel, 1 elsewhere."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return the same raw map (B, 224, 224) for every image."""
        from wsolbench.api import FRAME

        maps = features.new_ones(len(features), FRAME, FRAME)  # a map of the frame's size is not resized
        maps[:, FRAME // 2, FRAME // 2] = 0
        return maps


@dataclass(frozen=True)
class CentredBox:
    """A pyramid: at τ, the box is centred, and its sides are 1 - τ of the image's.

    The threshold chosen on train-fullsup thus chooses the size of the box. The image is not used.
    """

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return the same raw map (B, 224, 224) for every image."""
        import torch

        from wsolbench.api import FRAME

        middle = (FRAME - 1) / 2
        distance = (torch.arange(FRAME, device=features.device, dtype=torch.float64) - middle).abs()
        pyramid = -torch.maximum(distance[:, None], distance[None, :])
        return pyramid.expand(len(features), FRAME, FRAME)


@checked_dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class Noise:
    """Uniform noise in [0, 1), one value for each cell of the feature map: chance at the network's resolution.

    A draw depends on the seed and on the pixels of the network's input only, so it is the same in every batch and
    order. The map depends on the network only through the size of the feature maps, but the score changes with it.

    Args:
        seed: Seed of the draws.
    """

    seed: Annotated[int, Field(ge=0)] = 0

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, h, w), float64, of the size of the features (B, K, h, w)."""
        import torch

        height, width = features.shape[2:]
        # rounded because devices may differ in the last bit of normalised pixels
        pixels = context.images.mul(1000).round().int().cpu().numpy()
        draws = [self._generator(image).random((height, width)) for image in pixels]
        return torch.from_numpy(np.stack(draws)).to(features.device)

    def _generator(self, pixels: NDArray[Any]) -> np.random.Generator:
        digest = hashlib.sha256(pixels.tobytes()).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest, "big")])


@dataclass(frozen=True)
class CentreSurround:
    """``Σ_c,s ‖G_c * I - G_s * I‖``: contrast in colour between a place and its surround, over six pairs of scales.

    The scales are those of the paper: centres c are levels 2, 3 and 4 of a Gaussian pyramid, and surrounds s are 3 and
    4 levels above. Orientation maps and the weighting of maps by their peaks are omitted. Two colours are compared by
    the length of their difference, not in opponent pairs. The network, its classes and its weights are not used.

    Images come normalised by a mean and a standard deviation that a method does not know. Every colour channel is
    therefore standardised over the image, which removes both numbers, and the image's brightness, contrast and tint.
    The blurs are fractions of width and height: those of the levels in an image of 640 pixels. The map thus depends on
    the network's input size only through details that a smaller input cannot resolve.

    Source:
        Itti, Koch & Niebur, "A Model of Saliency-Based Visual Attention for Rapid Scene Analysis", PAMI 1998, eq. 1-3.
    """

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return raw maps (B, H, W), float64, of images (B, 3, H, W)."""
        import torch

        return torch.stack([_centre_surround(_standardised(image.double())) for image in context.images])


def _standardised(image: Tensor) -> Tensor:
    """Return an image (3, H, W) whose channels have mean 0 and standard deviation 1; constant channels become 0."""
    centred = image - image.mean(dim=(1, 2), keepdim=True)
    deviations = centred.std(dim=(1, 2), correction=0, keepdim=True)
    return centred / deviations.where(deviations > 0, 1)


def _centre_surround(image: Tensor) -> Tensor:
    """Return the map (H, W) of an image (3, H, W)."""
    # repeated binomial filters of variance 1 have a standard deviation of 2^level / √3 pixels at a level of a pyramid
    blurred = {level: _blurred(image, 2**level / math.sqrt(3) / 640) for level in range(2, 9)}
    pairs = [(centre, centre + step) for centre in (2, 3, 4) for step in (3, 4)]
    saliency: Tensor = sum((blurred[c] - blurred[s]).square().sum(dim=0).sqrt() for c, s in pairs)  # type: ignore[assignment]
    return saliency


def _blurred(image: Tensor, fraction: float) -> Tensor:
    """Blur an image (3, H, W); the standard deviations are a fraction of its height and width."""
    rows, columns = (_gaussians(size, fraction * size, image) for size in image.shape[1:])
    return rows @ image @ columns.mT


def _gaussians(size: int, deviation: float, like: Tensor) -> Tensor:
    """Return a matrix (size, size) whose row i holds Gaussian weights around pixel i; every row sums to 1."""
    import torch

    places = torch.arange(size, dtype=like.dtype, device=like.device)
    weights = torch.exp(-0.5 * ((places[:, None] - places) / deviation).square())
    return weights / weights.sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class MeanFeature:
    """The mean of all feature maps: the activation of the network, whatever the class."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return raw maps (B, h, w) of features (B, K, h, w)."""
        return features.mean(dim=1)


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the baselines."""
    source = "baseline; compare the centre baseline of Choe et al., CVPR 2020"
    return [
        MethodSpec("full-image", FullImage, source, reads_network=False),
        MethodSpec("centred-box", CentredBox, source, reads_network=False),
        MethodSpec("mean-feature", MeanFeature, source),
        MethodSpec("noise", Noise, source),
        MethodSpec("centre-surround", CentreSurround, "after Itti et al., PAMI 1998, eq. 1-3", reads_network=False),
    ]
