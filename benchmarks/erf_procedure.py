"""What the published script for effective receptive fields does, told in our words: the yardstick of `erf.py`.

The network is as it was trained, with all branches and norms, in PyTorch's usual memory layout, and its parameters take
part in autograd. The map of an image is averaged into those before it; squares are summed one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["find_square", "mean_gradient", "scaled"]


def mean_gradient(forward_features: Callable[[Tensor], Tensor], images: Iterable[Tensor]) -> NDArray[np.float64]:
    """Return the mean over images of the centre's positive gradient (H, W).

    Args:
        forward_features: Returns the last maps (1, K, h, w) of an image.
        images: Normalised images (1, 3, H, W).
    """
    mean, count = np.zeros(()), 0
    for image in images:
        sample = image.clone().requires_grad_()
        outputs = forward_features(sample)
        centre = torch.nn.functional.relu(outputs[:, :, outputs.shape[2] // 2, outputs.shape[3] // 2]).sum()
        gradient = torch.autograd.grad(centre, sample)[0]
        of_image = torch.nn.functional.relu(gradient).sum((0, 1)).numpy()
        if np.isnan(np.sum(of_image)):
            continue
        mean, count = (mean * count + of_image) / (count + 1), count + 1
    return mean


def scaled(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the contributions (H, W): logarithms, with 1 as the largest."""
    contributions = np.log10(mean + 1)
    relative: NDArray[np.float64] = contributions / np.max(contributions)
    return relative


def find_square(contributions: NDArray[np.float64], share: float) -> tuple[int, float] | None:
    """Return side and area ratio of the smallest square that holds more than a share; None if there is none."""
    height, width = contributions.shape
    total = np.sum(contributions)
    for i in range(1, height // 2):
        rows = slice(height // 2 - i, height // 2 + i + 1)
        columns = slice(width // 2 - i, width // 2 + i + 1)
        if np.sum(contributions[rows, columns]) / total > share:
            side = 2 * i + 1
            return side, side * side / (height * width)
    return None
