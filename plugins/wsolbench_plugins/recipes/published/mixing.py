"""Mixup and CutMix: a whole batch of images is mixed with another at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class MixedLabels(NamedTuple):
    """Labels (B,) of both images, and the fraction of the first image in the mixture, from 0 to 1."""

    labels: Tensor
    partners: Tensor
    share: float


def numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """Return a numpy generator seeded by torch's next draw: torch's generator has no beta distribution."""
    return np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))


def mixup(images: Tensor, partners: Tensor, alpha: float, generator: np.random.Generator) -> tuple[Tensor, float]:
    """Return ``λ images + (1 − λ) partners`` (B, 3, H, W), λ ~ Beta(α, α), and λ (Zhang et al., ICLR 2018)."""
    share = generator.beta(alpha, alpha)
    return torch.lerp(partners, images, share), share


def cutmix(images: Tensor, partners: Tensor, alpha: float, generator: np.random.Generator) -> tuple[Tensor, float]:
    """Replace a rectangle of images (B, 3, H, W) by that of their partners; return them and the fraction that stays.

    The rectangle has the image's aspect and 1 − λ of its area, λ ~ Beta(α, α), before it is cut at the image's borders;
    its sides are rounded down to even numbers of pixels.

    Source:
        Yun et al., ICCV 2019, section 3.1; sides as in clovaai/wsolevaluation, ``wsol/method/cutmix.py``, and in timm.
    """
    height, width = images.shape[2:]
    side = math.sqrt(1 - generator.beta(alpha, alpha))
    y0, y1 = _interval(height, side, generator)
    x0, x1 = _interval(width, side, generator)
    mixed = images.clone()
    mixed[:, :, y0:y1, x0:x1] = partners[:, :, y0:y1, x0:x1]
    return mixed, 1 - (y1 - y0) * (x1 - x0) / (height * width)


def _interval(length: int, share: float, generator: np.random.Generator) -> tuple[int, int]:
    """Draw the start and end of an interval: a fraction of the length around a random pixel, cut at both ends."""
    half, centre = int(length * share) // 2, int(generator.integers(length))
    return max(centre - half, 0), min(centre + half, length)


def cross_entropy(logits: Tensor, targets: Tensor | MixedLabels, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of logits (B, C) for labels (B,), or for two labels an image by their fractions."""
    if isinstance(targets, Tensor):
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)
    first = F.cross_entropy(logits, targets.labels, label_smoothing=smoothing)
    second = F.cross_entropy(logits, targets.partners, label_smoothing=smoothing)
    return targets.share * first + (1 - targets.share) * second
