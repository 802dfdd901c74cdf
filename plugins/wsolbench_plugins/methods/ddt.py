"""``ddt``: deep descriptors projected on the first principal component of those of a whole data set.

Wei et al., "Unsupervised Object Discovery and Co-Localization by Deep Descriptor Transforming", Pattern Recognition 88,
2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsolbench.api import MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class DDT:
    """``max(0, ξ · (x - x̄))`` of every pixel's descriptor x (K,); x̄ is their mean, ξ their covariance's first axis.

    Mean and covariance are those of all descriptors of the images that it is fitted on; neither a class nor the
    classifier's weights take part. As in the paper, what is positive is the object, and an image without a positive
    value shows none: its map is zero.

    The sign of ξ is the one for which the descriptors on the border of the feature maps are negative in their mean,
    because over a data set objects fill the border less than the background does; at a draw its largest entry is
    positive. (The authors' code takes the sign that its library returns.)

    Unlike the paper it goes through the data set once, not through the images of one class at a time: ξ is what objects
    of all classes have in common. Where descriptors of different classes are further apart than objects and background,
    ξ tells classes apart instead, and many maps are zero. The features are those of the network at hand, at one scale,
    and resizing, threshold and box are the harness's.

    Args:
        fit_images: How many images of train-weaksup it is fitted on; ``none`` for all. Those whose features are not
            finite are left out.
    """

    def __init__(self, *, fit_images: int | None = 5000) -> None:
        self.fit_images = fit_images
        self._seen: _Descriptors | None = None
        self._axis: Tensor | None = None

    def partial_fit(self, features: Tensor) -> None:
        """Take in the descriptors of features (B, K, h, w)."""
        features = features[features.isfinite().flatten(1).all(dim=1)]
        if len(features) > 0:
            these = _Descriptors.of(features.double())
            self._seen = these if self._seen is None else self._seen.merged(these)
            self._axis = None

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return raw maps (B, h, w), float64, of features (B, K, h, w).

        Raises:
            RuntimeError: It has been fitted on nothing.
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
    """What is kept of descriptors (n, K), in float64.

    Two sets are put together by the update of Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", 1979: sums of squares are of deviations from the mean and never cancel.

    Args:
        count: n.
        mean: (K,).
        scatter: Sum of the outer products of their deviations from the mean, (K, K).
        border_count: How many lie on the border of a feature map.
        border_mean: The mean of these, (K,).
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
        all_of_them, border = maps.flatten(0, 2), maps[:, on_border].flatten(0, 1)
        mean = all_of_them.mean(dim=0)
        deviation = all_of_them - mean
        return cls(len(all_of_them), mean, deviation.mT @ deviation, len(border), border.mean(dim=0))

    def merged(self, other: _Descriptors) -> _Descriptors:
        """Summarise these and others together."""
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
        """Return the first principal axis (K,), of length 1, with the sign that `DDT` gives it."""
        import torch

        axis: Tensor = torch.linalg.eigh(self.scatter / self.count).eigenvectors[:, -1]
        at_border = axis @ (self.border_mean - self.mean)
        wrong = at_border > 0 if at_border != 0 else axis[axis.abs().argmax()] < 0
        return -axis if wrong else axis


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the method."""
    return [MethodSpec("ddt", DDT, "Wei et al., Pattern Recognition 88, 2019")]
