"""The terms of BridgeGAP's loss, and the dropout between its two passes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from wsolbench.api import min_max


def drop_cells(maps: Tensor, threshold: float, rate: float) -> Tensor:
    """Return maps (B, K, h, w) with 0 in all channels of some of the most active cells.

    Args:
        maps: Feature maps.
        threshold: Cells whose mean over the channels is above this share of the image's largest may be dropped.
        rate: Probability that such a cell is.
    """
    attention = maps.mean(dim=1, keepdim=True)
    active = attention > threshold * attention.amax(dim=(2, 3), keepdim=True)
    drawn = torch.rand(attention.shape).to(maps.device) < rate  # on the CPU, whose generator an interruption keeps
    return maps.masked_fill(active & drawn, 0)


def own_cosines(features: Tensor, weights: Tensor) -> Tensor:
    """Return the cosine (B, h, w) between the features of each cell and the weights of one class.

    Args:
        features: Feature maps (B, K, h, w); a cell of zeros has the cosine 0.
        weights: The weights of the class of each image, (B, K).
    """
    return torch.einsum("bkhw,bk->bhw", F.normalize(features, dim=1), F.normalize(weights, dim=1))


@torch.no_grad()
def largest_cosines(features: Tensor, weights: Tensor) -> Tensor:
    """Return the largest cosine (B, h, w) between the features of each cell and the weights (C, K) of any class."""
    found = torch.einsum("bkhw,ck->bchw", F.normalize(features, dim=1), F.normalize(weights, dim=1))
    return found.amax(dim=1)


def similarity(cosine: Tensor, features: Tensor, *, foreground: float, background: float) -> Tensor:
    """Return the mean cosine of cells of small norm less that of cells of large norm, a scalar.

    Args:
        cosine: Cosines (B, h, w) with the weights of the image's class.
        features: Feature maps (B, K, h, w); an image whose cells all have one norm has no cell of either kind.
        foreground: Norms above it, scaled to [0, 1] in the image, are large.
        background: Norms below it are small.
    """
    norms = min_max(features.detach().norm(dim=1))
    return _difference(cosine, norms < background, norms > foreground)


def norm(features: Tensor, cosine: Tensor) -> Tensor:
    """Return the mean norm, scaled to [0, 1] in the image, of cells of negative cosine less that of positive ones.

    Args:
        features: Feature maps (B, K, h, w); an image whose cells all have one norm adds 0.
        cosine: Cosines (B, h, w), which choose cells.
    """
    norms = features.norm(dim=1)
    low, high = norms.amin(dim=(1, 2), keepdim=True), norms.amax(dim=(1, 2), keepdim=True)
    scaled = (norms - low) / (high - low).where(high > low, 1)
    return _difference(scaled, cosine < 0, cosine > 0)


def _difference(maps: Tensor, some: Tensor, others: Tensor) -> Tensor:
    """Return the mean of maps (B, h, w) over some cells of an image less that over others, and its mean over images."""
    return (_means(maps, some) - _means(maps, others)).mean()


def _means(maps: Tensor, cells: Tensor) -> Tensor:
    """Return the mean (B,) of each map over some of its cells, 0 where there are none."""
    return maps.where(cells, 0).sum(dim=(1, 2)) / cells.sum(dim=(1, 2)).clamp(min=1)
