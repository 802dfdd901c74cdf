"""The terms of F-CAM's loss: sure pixels, sizes of regions, and pairs of pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from wsolbench_plugins.localizers.f_cam.seeds import IGNORED

_LAST, _GROWTH = 10.0, 1.01
"""The barrier's sharpness is 1 in the first epoch, grows by a factor, and ends at a number."""
_PAIRS_AT_ONCE = 2**24


def partial_cross_entropy(logits: Tensor, seeds: Tensor) -> Tensor:
    """Return the mean cross-entropy over the pixels of a batch that have a seed; 0 where none has one.

    Args:
        logits: Logits (B, 2, H, W) of background and foreground.
        seeds: What the pixels are, int64 (B, H, W).
    """
    count = (seeds != IGNORED).sum().clamp(min=1)
    return F.cross_entropy(logits, seeds, ignore_index=IGNORED, reduction="sum") / count


def sharpness(epoch: int) -> float:
    """Return the sharpness of the barrier in an epoch, counted from 1."""
    return float(min(_GROWTH ** (epoch - 1), _LAST))


def sizes(regions: Tensor, sharpness: float) -> Tensor:
    """Return the sum over both regions of the barrier of their size, a mean over images.

    Args:
        regions: Probabilities (B, 2, H, W); the size of a region is their sum over its pixels.
        sharpness: t of the barrier.
    """
    return barrier(-regions.sum(dim=(2, 3)), sharpness).sum(dim=1).mean()


def barrier(values: Tensor, sharpness: float) -> Tensor:
    """Return the extended log-barrier of values, which should be below 0 (Kervadec et al., 2019).

    It is −log(−z)/t up to z = −1/t², and goes on from there as a line, of the same slope t.

    Args:
        values: z, of any shape.
        sharpness: t.
    """
    joint = -1 / sharpness**2
    line = sharpness * values - math.log(-joint) / sharpness + 1 / sharpness
    curve = -(-values.where(values <= joint, joint)).log() / sharpness
    return curve.where(values <= joint, line)


def pairs(regions: Tensor, colours: Tensor, *, colour: float, distance: float) -> Tensor:
    """Return how much pixels that are near each other and of like colour differ in their region, a mean over images.

    It is the dense-CRF loss Σ_k Σ_ij S_ki W_ij (1 − S_kj) of Tang et al. (ECCV 2018), with
    W_ij = exp(−‖p_i − p_j‖² / 2 distance² − ‖c_i − c_j‖² / 2 colour²), over all pairs of pixels, a pixel and itself
    included.

    Args:
        regions: Probabilities S (B, 2, H, W), which add up to 1.
        colours: Colours c (B, 3, H, W) from 0 to 255, up to a constant.
        colour: Standard deviation of colours.
        distance: Standard deviation of places p, in pixels.
    """
    height, width = regions.shape[2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=colours.device), torch.arange(width, device=colours.device), indexing="ij"
    )
    places = torch.stack([rows, columns]).flatten(1).T / distance
    found = [
        _pairs_of(probabilities.flatten(1).T, torch.cat([places, own.flatten(1).T / colour], dim=1).to(regions.dtype))
        for probabilities, own in zip(regions, colours, strict=True)
    ]
    return torch.stack(found).mean()


def _pairs_of(regions: Tensor, points: Tensor) -> Tensor:
    """Return the sum over all pairs of pixels of an image.

    No part of W is kept for the gradient, which is −2 W S: the sum Σ_ij W_ij, from which S W S is taken, is a constant.

    Args:
        regions: Probabilities S (N, 2).
        points: Places and colours (N, 5), scaled by their standard deviations.
    """
    with torch.no_grad():
        centred = points - points.mean(dim=0)
        half_squares = centred.square().sum(dim=1) / 2
        seen = torch.cat([regions, regions.new_ones(len(regions), 1)], dim=1)
        step = max(_PAIRS_AT_ONCE // len(points), 1)
        parts = []
        for start in range(0, len(points), step):
            some = slice(start, start + step)
            exponents = torch.addmm(-half_squares, centred[some], centred.T).sub_(half_squares[some, None])
            parts.append(exponents.clamp_(max=0).exp_() @ seen)
        weighted = torch.cat(parts)
        alike, whole = weighted[:, :2], weighted[:, 2].sum()
    inner = (regions * alike).sum()
    return whole - 2 * inner + inner.detach()
