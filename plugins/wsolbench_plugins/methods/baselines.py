"""Baselines that say what a number is worth: boxes that look at nothing, noise, an image saliency, the mean feature.

A score means little before one knows what no localization at all would get, as Choe et al., "Evaluating Weakly
Supervised Object Localization Methods Right", CVPR 2020, show with their centre baseline.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.api import MethodContext, MethodSpec, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FullImage:
    """A map whose largest contour is the whole image at every τ: one everywhere but in the middle pixel."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return the same raw map (B, 224, 224) for every image."""
        from wsolbench.api import FRAME

        maps = features.new_ones(len(features), FRAME, FRAME)  # a map of the frame's size is not resized
        maps[:, FRAME // 2, FRAME // 2] = 0
        return maps


@dataclass(frozen=True)
class CentredBox:
    """A pyramid: at τ, the box is centred and 1 - τ of the image wide and high.

    So the threshold that train-fullsup chooses is the size of the box, and nothing of the image is looked at.
    """

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return the same raw map (B, 224, 224) for every image."""
        import torch

        from wsolbench.api import FRAME

        middle = (FRAME - 1) / 2
        distance = (torch.arange(FRAME, device=features.device, dtype=torch.float64) - middle).abs()
        pyramid = -torch.maximum(distance[:, None], distance[None, :])
        return pyramid.expand(len(features), FRAME, FRAME)


@dataclass(frozen=True)
class Noise:
    """Uniform noise of [0, 1), one value a cell of the feature map: what chance gets at a network's resolution.

    A draw hangs on the seed and on the image's pixels as the network is given them, so it is the same in every batch
    and order. Of the network it takes the size of the feature maps alone, but with that size the score changes.

    Args:
        seed: A whole number, not negative.

    Raises:
        UsageError: If the seed is negative.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"the method 'noise': option 'seed' takes a whole number from 0 on, not {self.seed}")

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, h, w), float64, of the size of the features (B, K, h, w)."""
        import torch

        height, width = features.shape[2:]
        # rounded, because devices may normalise pixels differently in the last bit
        pixels = context.images.mul(1000).round().int().cpu().numpy()
        draws = [self._generator(image).random((height, width)) for image in pixels]
        return torch.from_numpy(np.stack(draws)).to(features.device)

    def _generator(self, pixels: NDArray[Any]) -> np.random.Generator:
        digest = hashlib.sha256(pixels.tobytes()).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest, "big")])


@dataclass(frozen=True)
class CentreSurround:
    """``Σ_c,s ‖G_c * I - G_s * I‖``: how far the colours of a place are from those around it, over six pairs of scales.

    Itti, Koch & Niebur, "A Model of Saliency-Based Visual Attention for Rapid Scene Analysis", PAMI 1998, eq. 1-3, with
    their scales: centres c are levels 2, 3 and 4 of a Gaussian pyramid, surrounds s lie 3 and 4 levels above. Left out
    are orientations and the weighting of maps by their peaks; colours differ by the length of their difference, not in
    opponent pairs. No network is asked: its classes and weights play no part.

    Images come normalised by a mean and a standard deviation that are not told. Every colour channel is therefore
    centred and divided by its own deviation over the image, so that any such numbers drop out (and with them the
    image's brightness, contrast and tint). The blurs are shares of its width and height, those of the levels in an
    image of 640 pixels, so that the network's input size drops out, but for what a smaller one cannot resolve.
    """

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return raw maps (B, H, W), float64, of images (B, 3, H, W)."""
        import torch

        return torch.stack([_centre_surround(_standardised(image.double())) for image in context.images])


def _standardised(image: Tensor) -> Tensor:
    """Return an image (3, H, W) whose channels have mean 0 and deviation 1, or are 0 where they are flat."""
    centred = image - image.mean(dim=(1, 2), keepdim=True)
    deviations = centred.std(dim=(1, 2), correction=0, keepdim=True)
    return centred / deviations.where(deviations > 0, 1)


def _centre_surround(image: Tensor) -> Tensor:
    """Return the map (H, W) of an image (3, H, W)."""
    # binomial filters of variance 1 add up to a deviation of 2^level / √3 pixels at a level of a pyramid
    blurred = {level: _blurred(image, 2**level / math.sqrt(3) / 640) for level in range(2, 9)}
    pairs = [(centre, centre + step) for centre in (2, 3, 4) for step in (3, 4)]
    saliency: Tensor = sum((blurred[c] - blurred[s]).square().sum(dim=0).sqrt() for c, s in pairs)  # type: ignore[assignment]
    return saliency


def _blurred(image: Tensor, share: float) -> Tensor:
    """Blur an image (3, H, W) with Gaussians of this share of its height and width, normalised anew at the border."""
    rows, columns = (_gaussians(size, share * size, image) for size in image.shape[1:])
    return rows @ image @ columns.mT


def _gaussians(size: int, deviation: float, like: Tensor) -> Tensor:
    """Return a matrix (size, size) whose row i holds the weights of the pixels around pixel i; they sum to 1."""
    import torch

    places = torch.arange(size, dtype=like.dtype, device=like.device)
    weights = torch.exp(-0.5 * ((places[:, None] - places) / deviation).square())
    return weights / weights.sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class MeanFeature:
    """The mean of all feature maps: what the network activates on, whatever the class."""

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
