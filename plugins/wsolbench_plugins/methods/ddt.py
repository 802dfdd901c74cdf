"""``ddt``: deep descriptors projected onto the first principal component of those of a whole data set.

Wei et al., "Unsupervised Object Discovery and Co-Localization by Deep Descriptor Transforming", Pattern Recognition 88,
2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import validate_call

from wsolbench.api import Count, MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class DDT:
    """``max(0, ξ · (x - x̄))`` for the descriptor x (K,) of every pixel, with mean x̄ and first principal axis ξ.

    Mean and axis are those of all descriptors of the images that the method is fitted on. Classes and the classifier's
    weights are not used. As in the paper, positive values are the object; an image without a positive value has a map
    of zeros.

    The sign of ξ makes the mean of the descriptors on the border of the feature maps negative, because over a data set
    the border shows background more often than objects. If that mean is 0, the largest entry of ξ is positive. (The
    authors' code takes the sign that its library returns.)

    Unlike the paper, it is fitted once on the whole data set, not on the images of one class at a time: ξ is what
    objects of all classes have in common. If the descriptors of different classes are further apart than those of
    objects and background, ξ separates classes instead, and many maps are zero. Features have one scale, and
    resizing, threshold and box are those of the protocol.

    Args:
        fit_images: Number of images of train-weaksup that it is fitted on; None for all. Images whose features are not
            finite are omitted.
    """

    @validate_call(config={"strict": True, "defer_build": True})
    def __init__(self, *, fit_images: Count | None = 5000) -> None:
        self.fit_images = fit_images
        self._seen: _Descriptors | None = None
        self._axis: Tensor | None = None

    def partial_fit(self, features: Tensor) -> None:
        """Add the descriptors of features (B, K, h, w) to the fit."""
        features = features[features.isfinite().flatten(1).all(dim=1)]
        if len(features) > 0:
            added = _Descriptors.of(features.double())
            self._seen = added if self._seen is None else self._seen.merged(added)
            self._axis = None

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return raw maps (B, h, w), float64, of features (B, K, h, w).

        Raises:
            RuntimeError: It was fitted on no image with finite features.
        """
        import torch

        if self._seen is None:
            raise RuntimeError("it has been fitted on no image with finite features")
        if self._axis is None:
            self._axis = self._seen.first_axis()
        deviation = features.double() - self._seen.mean[:, None, None]
        return torch.einsum("k,bkhw->bhw", self._axis, deviation).clamp(min=0)


@dataclass(frozen=True)
class _Descriptors:
    """Summary of descriptors (n, K), in float64.

    Two summaries are merged without cancellation, because squares are of deviations from the mean.

    Args:
        count: n.
        mean: Mean of the descriptors, (K,).
        scatter: Sum of the outer products of their deviations from the mean, (K, K).
        border_count: Number of descriptors on the border of a feature map.
        border_mean: Mean of the descriptors on the border, (K,).

    Source:
        Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """

    count: int
    mean: Tensor
    scatter: Tensor
    border_count: int
    border_mean: Tensor

    @classmethod
    def of(cls, features: Tensor) -> _Descriptors:
        """Summarise the descriptors of features (B, K, h, w)."""
        import torch

        on_border = torch.ones(features.shape[2:], dtype=torch.bool, device=features.device)
        on_border[1:-1, 1:-1] = False
        maps = features.permute(0, 2, 3, 1)
        descriptors, border = maps.flatten(0, 2), maps[:, on_border].flatten(0, 1)
        mean = descriptors.mean(dim=0)
        deviation = descriptors - mean
        return cls(len(descriptors), mean, deviation.mT @ deviation, len(border), border.mean(dim=0))

    def merged(self, other: _Descriptors) -> _Descriptors:
        """Return the summary of both sets of descriptors together."""
        count, border_count = self.count + other.count, self.border_count + other.border_count
        apart, border_apart = other.mean - self.mean, other.border_mean - self.border_mean
        return _Descriptors(
            count,
            self.mean + other.count / count * apart,
            self.scatter + other.scatter + self.count * other.count / count * apart.outer(apart),
            border_count,
            self.border_mean + other.border_count / border_count * border_apart,
        )

    def first_axis(self) -> Tensor:
        """Return the first principal axis (K,), of length 1, with the sign that `DDT` defines."""
        import torch

        axis: Tensor = torch.linalg.eigh(self.scatter / self.count).eigenvectors[:, -1]
        at_border = axis @ (self.border_mean - self.mean)
        wrong = at_border > 0 if at_border != 0 else axis[axis.abs().argmax()] < 0
        return -axis if wrong else axis


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the method."""
    return [MethodSpec("ddt", DDT, "Wei et al., Pattern Recognition 88, 2019")]
