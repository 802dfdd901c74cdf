"""Sums over deep descriptors, the features of single cells, from which their first principal axis follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Descriptors"]


@dataclass(frozen=True)
class Descriptors:
    """Summary of descriptors (n, K), in float64: 8 K² bytes, however many they are.

    Two summaries are merged without cancellation, because squares are of deviations from the mean.

    Args:
        count: n.
        mean: Mean of the descriptors, (K,).
        scatter: Sum of the outer products of their deviations from the mean, (K, K).

    Source:
        Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Descriptors:
        """Summarise the descriptors of features (B, K, h, w), one a cell."""
        descriptors = features.double().permute(0, 2, 3, 1).flatten(0, 2)
        mean = descriptors.mean(dim=0)
        deviation = descriptors - mean
        return cls(len(descriptors), mean, deviation.mT @ deviation)

    def merged(self, other: Descriptors) -> Descriptors:
        """Return the summary of both sets of descriptors together."""
        count = self.count + other.count
        apart = other.mean - self.mean
        return Descriptors(
            count,
            self.mean + other.count / count * apart,
            self.scatter + other.scatter + self.count * other.count / count * apart.outer(apart),
        )

    def first_axis(self) -> Tensor:
        """Return the first principal axis (K,), of length 1, with the sign that makes its largest entry positive."""
        import torch

        axis: Tensor = torch.linalg.eigh(self.scatter / self.count).eigenvectors[:, -1]
        return -axis if axis[axis.abs().argmax()] < 0 else axis
