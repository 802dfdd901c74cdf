"""Methods: what turns a network's features into maps, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from wsolbench.contract.backbones import Backbone, SpatialHead
from wsolbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FittedMethod",
    "Maps",
    "Method",
    "MethodContext",
    "MethodSpec",
]


@dataclass(frozen=True)
class MethodContext:
    """What a method may look at besides the features. It holds no annotation, so full supervision cannot leak.

    Args:
        backbone: The network in eval mode.
        images: Normalised inputs (B, 3, H, W).
        class_indices: The class to localize in each image, int64 (B,).
        logits: The network's scores (B, C).
    """

    backbone: Backbone
    images: Tensor
    class_indices: Tensor
    logits: Tensor

    @property
    def class_weights(self) -> Tensor:
        """The raw weights (B, K) of the feature channels for each image's class."""
        return self.backbone.classifier_weight[self.class_indices]

    def effective_weights(self, features: Tensor) -> Tensor:
        """Return weights (B, K) whose map's mean over pixels is the class score, but for a constant.

        Unlike the raw weights they take in the norm between features and classifier.

        Raises:
            UsageError: The backbone does not say.
        """
        if not isinstance(self.backbone, SpatialHead):
            name = type(self.backbone).__name__
            raise UsageError(f"{name} does not offer effective weights; use the raw ones")
        return self.backbone.effective_weights(features, self.class_indices)[0]


@dataclass(frozen=True)
class Maps:
    """Raw maps, with what a method has to say of each in numbers.

    Args:
        maps: Raw maps (B, h', w'), any size and range; higher means more likely the object.
        statistics: Name -> one number a map, floating (B,). Recorded for every image, null where it is not finite.
    """

    maps: Tensor
    statistics: Mapping[str, Tensor]


class Method(Protocol):
    """Turns features into raw maps; higher means more likely the object."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor | Maps:
        """Return raw maps (B, h', w'), any size and range, of features (B, K, h, w), which it leaves untouched."""
        ...


@runtime_checkable
class FittedMethod(Method, Protocol):
    """A method that goes through images of train-weaksup before it localizes any.

    It is given their features and nothing else: no label, no box and no mask.
    """

    @property
    def fit_images(self) -> int | None:
        """How many images it wants, drawn at random with the seed of the run; None for all."""
        ...

    def partial_fit(self, features: Tensor) -> None:
        """Take in the features (B, K, h, w) of some images, which it leaves untouched; called once for each batch."""
        ...


@dataclass(frozen=True)
class MethodSpec:
    """A localization method that a plugin offers.

    Args:
        name: What users type.
        build: Class or function that takes the method's options by keyword and returns the method. The fields of a
            dataclass (or the annotated parameters) are its options: typed, listed and recorded.
        source: Paper and equation.
        reads_network: False for a baseline whose maps do not depend on the network; tables then name none.
    """

    name: str
    build: Callable[..., Method]
    source: str
    reads_network: bool = True
