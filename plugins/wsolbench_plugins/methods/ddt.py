"""Deep descriptors projected onto the first principal component of those of many images.

``ddt``: of a whole data set; ``ddt-per-class``: of the images of one class at a time.

Wei et al., "Unsupervised Object Discovery and Co-Localization by Deep Descriptor Transforming", Pattern Recognition 88,
2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import validate_call

from wsolbench.api import Boxes, Count, Descriptors, MethodContext, MethodSpec, UsageError, hookimpl, region_boxes

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

    Unlike the paper, it is fitted once on the whole data set, not on the images of one class at a time (see
    `ClassDDT`): ξ is what objects of all classes have in common. If the descriptors of different classes are further
    apart than those of objects and background, ξ separates classes instead, and many maps are zero. Features have one
    scale, and resizing, threshold and box are those of the protocol.

    Args:
        fit_images: Number of images of train-weaksup that it is fitted on; None for all. Images whose features are not
            finite are omitted.
    """

    @validate_call(config={"strict": True, "defer_build": True})
    def __init__(self, *, fit_images: Count | None = 5000) -> None:
        self.fit_images = fit_images
        self._seen: _Seen | None = None
        self._axis: Tensor | None = None

    def partial_fit(self, features: Tensor) -> None:
        """Add the descriptors of features (B, K, h, w) to the fit."""
        features = features[features.isfinite().flatten(1).all(dim=1)]
        if len(features) > 0:
            added = _Seen.of(features.double())
            self._seen = added if self._seen is None else self._seen.merged(added)
            self._axis = None

    def merge(self, other: DDT) -> None:
        """Take over the descriptors that another one was given."""
        if other._seen is not None:
            self._seen = other._seen if self._seen is None else self._seen.merged(other._seen)
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
        deviation = features.double() - self._seen.descriptors.mean[:, None, None]
        return torch.einsum("k,bkhw->bhw", self._axis, deviation).clamp(min=0)


@dataclass(frozen=True)
class _Seen:
    """Summary of descriptors (n, K), and of those on the border of a feature map.

    Args:
        descriptors: The summary of all.
        border_count: Number of descriptors on the border.
        border_mean: Mean of the descriptors on the border, (K,).
    """

    descriptors: Descriptors
    border_count: int
    border_mean: Tensor

    @classmethod
    def of(cls, features: Tensor) -> _Seen:
        """Summarise the descriptors of features (B, K, h, w)."""
        import torch

        on_border = torch.ones(features.shape[2:], dtype=torch.bool, device=features.device)
        on_border[1:-1, 1:-1] = False
        border = features.permute(0, 2, 3, 1)[:, on_border].flatten(0, 1)
        return cls(Descriptors.of(features), len(border), border.mean(dim=0))

    def merged(self, other: _Seen) -> _Seen:
        """Return the summary of both sets of descriptors together."""
        border_count = self.border_count + other.border_count
        border_apart = other.border_mean - self.border_mean
        return _Seen(
            self.descriptors.merged(other.descriptors),
            border_count,
            self.border_mean + other.border_count / border_count * border_apart,
        )

    def first_axis(self) -> Tensor:
        """Return the first principal axis (K,), of length 1, with the sign that `DDT` defines."""
        axis = self.descriptors.first_axis()
        return -axis if axis @ (self.border_mean - self.descriptors.mean) > 0 else axis


class ClassDDT:
    """``ξ_c · (x - x̄_c)`` for the descriptor x (K,) of every pixel: mean and first axis of the images of class c.

    It is fitted on the images of each class apart, by their labels, and localizes by those of the class to localize.
    The largest entry of ξ_c is positive, as in scikit-learn from version 1.5 on. Positive values are the object. A map
    keeps its negative values, and its threshold is that of the protocol.

    With ``boxes``, the method makes boxes instead, as PSOL does: of the largest region of positive cells, which may
    touch at corners only, and of the whole image where no cell is positive.

    During the fit it holds 8 K² bytes for every class.

    Args:
        boxes: Whether it makes boxes, without a threshold, in place of maps.
        fit_images: Number of images of train-weaksup that it is fitted on; None for all. Images whose features are not
            finite are omitted.

    Source:
        Zhang, Cao & Wu, "Rethinking the Route Towards Weakly Supervised Object Localization", CVPR 2020 (PSOL), for
        classes and boxes.
    """

    fit_rounds = 1

    @validate_call(config={"strict": True, "defer_build": True})
    def __init__(self, *, boxes: bool = False, fit_images: Count | None = None) -> None:
        self.boxes = boxes
        self.fit_images = fit_images
        self._seen: dict[int, Descriptors] = {}
        self._projections: dict[int, tuple[Tensor, Tensor]] = {}

    def partial_fit(self, features: Tensor, labels: Tensor) -> None:
        """Add the descriptors of features (B, K, h, w) to those of their classes, (B,)."""
        finite = features.isfinite().flatten(1).all(dim=1)
        for label in sorted(set(labels[finite].tolist())):
            self._add(label, Descriptors.of(features[finite & (labels == label)]))

    def merge(self, other: ClassDDT) -> None:
        """Add the descriptors that another one has seen."""
        for label, seen in other._seen.items():
            self._add(label, seen)

    def end_round(self) -> None:
        """Find means and axes; the sums are needed no more."""
        self._projections = {label: (seen.mean, seen.first_axis()) for label, seen in sorted(self._seen.items())}
        self._seen = {}

    def fit_state(self) -> Mapping[str, Tensor]:
        """Return the classes (n,), and their means and axes, (n, K) both."""
        import torch

        if not self._projections:
            raise RuntimeError("it has been fitted on no image with finite features")
        means, axes = zip(*self._projections.values(), strict=True)
        return {
            "classes": torch.tensor(list(self._projections)),
            "means": torch.stack(means),
            "axes": torch.stack(axes),
        }

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor | Boxes:
        """Return raw maps (B, h, w), float64, of features (B, K, h, w), or boxes.

        Raises:
            UsageError: It was fitted on no image of a class.
        """
        import torch

        means, axes = map(torch.stack, zip(*map(self._of_class, context.class_indices.tolist()), strict=True))
        maps = torch.einsum("bk,bkhw->bhw", axes, features.double() - means[:, :, None, None])
        if not self.boxes:
            return maps
        finite = maps.isfinite().flatten(1).all(dim=1)
        return Boxes(region_boxes(maps > 0).where(finite[:, None], float("nan")))

    def _add(self, label: int, added: Descriptors) -> None:
        self._seen[label] = self._seen[label].merged(added) if label in self._seen else added

    def _of_class(self, label: int) -> tuple[Tensor, Tensor]:
        """Return the mean and the axis (K,) of a class."""
        if label not in self._projections:
            raise UsageError(
                f"'ddt-per-class' was fitted on no image of class {label}, counted from 0, and is to localize it; fit "
                "it on more images, or localize the true class (--target gt)"
            )
        return self._projections[label]


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer both."""
    source = "Wei et al., Pattern Recognition 88, 2019"
    return [
        MethodSpec("ddt", DDT, source),
        MethodSpec("ddt-per-class", ClassDDT, f"{source}; class by class as Zhang et al., PSOL, CVPR 2020"),
    ]
