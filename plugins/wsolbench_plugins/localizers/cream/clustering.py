"""Soft clustering of the cells of an image: expectation maximization of a mixture of two Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor


def posteriors(cells: Tensor, centres: Tensor, steps: int, temperature: float) -> Tensor:
    """Return the probability (B, 2, N) of each component in each cell, after steps of expectation maximization.

    Both components have the same variance in every direction, which stays as it is; their shares start at one half.
    A component that no cell belongs to any more stays empty.

    Args:
        cells: The cells (B, K, N) of images.
        centres: Where the components start, (B, 2, K).
        steps: How often centres and shares are estimated anew; with 0 the probabilities are those of the start.
        temperature: The variance.
    """
    shares = centres.new_full(centres.shape[:2], 0.5)
    found = expected(cells, centres, shares, temperature)
    for _ in range(steps):
        centres, shares = estimated(cells, found)
        found = expected(cells, centres, shares, temperature)
    return found


def expected(cells: Tensor, centres: Tensor, shares: Tensor, temperature: float) -> Tensor:
    """Return the probability (B, 2, N) of each component in each cell.

    Args:
        cells: The cells (B, K, N).
        centres: The centres (B, 2, K).
        shares: The share of each component, (B, 2).
        temperature: The variance.
    """
    near = centres @ cells - centres.square().sum(dim=2, keepdim=True) / 2  # the norm of a cell is the same for both
    return (near / temperature + shares.log()[:, :, None]).softmax(dim=1)


def estimated(cells: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centres (B, 2, K) and shares (B, 2) that are the most likely with given probabilities.

    Args:
        cells: The cells (B, K, N).
        found: The probability (B, 2, N) of each component in each cell.
    """
    mass = found.sum(dim=2)
    sums = torch.einsum("ban,bkn->bak", found, cells)
    return sums / mass.clamp(min=torch.finfo(mass.dtype).tiny)[:, :, None], mass / found.shape[2]
