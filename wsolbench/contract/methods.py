"""Methods: functions that turn a network's feature maps into raw maps, and their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias, runtime_checkable

from wsolbench.contract.backbones import (
    Attention,
    Attentive,
    Backbone,
    Localizing,
    SpatialHead,
    Tapped,
    class_weights,
    with_rest,
)
from wsolbench.contract.taps import check_taps, tap_gradients, tap_maps
from wsolbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "NOT_DEFINED",
    "Boxes",
    "FittedMethod",
    "LabelFittedMethod",
    "Maps",
    "Method",
    "MethodContext",
    "MethodSpec",
    "Need",
]


Need: TypeAlias = Literal["class weights", "class scores", "gradients", "taps", "attention", "native"]


@dataclass(frozen=True)
class MethodContext:
    """The inputs of a method beside the features. It holds no annotation, so full supervision cannot leak.

    Args:
        backbone: The network in eval mode.
        images: Normalised images (B, 3, H, W).
        class_indices: The class to localize in each image, int64 (B,).
        logits: The network's class scores (B, C).
        rest: What the network's head reads beside the feature maps, if it reads more; see `Features`.
    """

    backbone: Backbone
    images: Tensor
    class_indices: Tensor
    logits: Tensor
    rest: tuple[Tensor, ...] | None = None

    def __getitem__(self, images: slice) -> MethodContext:
        """Return the context of some images of the batch."""
        return MethodContext(
            self.backbone,
            self.images[images],
            self.class_indices[images],
            self.logits[images],
            None if self.rest is None else tuple(part[images] for part in self.rest),
        )

    def class_scores(self, features: Tensor) -> Tensor:
        """Return the class scores (B, C) of feature maps (B, K, h, w), which may be changed ones; differentiable."""
        return self.backbone.forward_head(with_rest(features, self.rest))

    @property
    def class_weights(self) -> Tensor:
        """The raw weights (B, K) of each image's class.

        Raises:
            UsageError: The backbone has none.
        """
        weights = class_weights(self.backbone)
        if weights is None:
            raise UsageError(
                f"{type(self.backbone).__name__} has no class weights; use a method that does not need any"
            )
        return weights[self.class_indices]

    def effective_weights(self, features: Tensor) -> Tensor:
        """Return the effective weights (B, K) of each image's class, which include a norm before the classifier.

        The mean of the feature maps weighted by them is the class score minus a constant; see `SpatialHead`.

        Args:
            features: Feature maps (B, K, h, w).

        Raises:
            UsageError: The backbone does not offer them.
        """
        if not isinstance(self.backbone, SpatialHead):
            name = type(self.backbone).__name__
            raise UsageError(f"{name} does not offer effective weights; use the raw ones")
        return self.backbone.effective_weights(features, self.class_indices)[0]

    @cached_property
    def taps(self) -> Mapping[str, Tensor]:
        """The feature maps (B, K, h, w) of the network's layers by name; see `Tapped`.

        They are computed when they are first asked for, by one more pass over the images.

        Raises:
            UsageError: The backbone does not offer them.
        """
        return tap_maps(self._tapped(), self.images, self.tap_names)

    @property
    def tap_names(self) -> tuple[str, ...]:
        """The names of the network's layers that have feature maps, from the image to the head; see `Tapped`.

        Raises:
            UsageError: The backbone does not offer them.
        """
        return self._tapped().taps

    def tap_gradients(self, names: Sequence[str] = ()) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Return the maps of layers, and the gradients of each image's class score with respect to them.

        One more pass over the images, forward and backward, serves all layers.

        Args:
            names: The layers; none for all that the network offers.

        Returns:
            Name -> maps and gradients, both (B, K, h, w).

        Raises:
            UsageError: The backbone does not offer them, or one of that name.
        """
        tapped = self._tapped()
        check_taps(tapped, names, type(self.backbone).__name__)
        return tap_gradients(tapped, self.images, names or self.tap_names, self.class_indices)

    def _tapped(self) -> Tapped:
        if not isinstance(self.backbone, Tapped):
            raise UsageError(f"{type(self.backbone).__name__} has no taps; use a method that does not need any")
        return self.backbone

    def attention(self) -> Attention:
        """Return the attention of every block of the network, from one more pass over the images; see `Attentive`.

        Raises:
            UsageError: The backbone does not offer it.
        """
        if not isinstance(self.backbone, Attentive):
            name = type(self.backbone).__name__
            raise UsageError(f"{name} does not offer its attention; use a method that does not need it")
        return self.backbone.forward_attention(self.images)

    def localize(self, features: Tensor) -> Tensor | Maps | Boxes:
        """Return the maps (B, h', w') or boxes that the network itself makes of features; see `Localizing`.

        Args:
            features: Feature maps (B, K, h, w).

        Raises:
            UsageError: The backbone makes none.
        """
        if not isinstance(self.backbone, Localizing):
            name = type(self.backbone).__name__
            raise UsageError(f"{name} makes no map itself; use a method that does not need it")
        return self.backbone.localize(with_rest(features, self.rest), self.images, self.class_indices)


NOT_DEFINED = "not defined: "
"""How the name of a statistic begins that says where a method has no map; see `Maps`."""


@dataclass(frozen=True)
class Maps:
    """Raw maps, and statistics of each.

    A statistic such as ``not defined: features ≥ 0`` is 1 where the method has no map for the reason that follows the
    colon, and 0 elsewhere. If it is 1 for all images of a run, the method has no scores, and its name is the reason.
    Otherwise such maps are scored as they are.

    Args:
        maps: Raw maps (B, h', w'), any size and range; higher means more likely the object.
        statistics: Name -> one number for each map, floating (B,). They are recorded for every image; a number that is
            not finite is recorded as null.
    """

    maps: Tensor
    statistics: Mapping[str, Tensor]


@dataclass(frozen=True)
class Boxes:
    """Predicted boxes, in place of maps: a box is right at every τ or at none.

    Corners become whole pixels of the original image as those of a list in fractions do: truncated, both inclusive. A
    box is cut at the border of its image; one that is wholly outside is none, and so is one of four NaN. Corners that
    are equal are one pixel.

    Args:
        boxes: (B, 4), or (B, n, 4) for several boxes an image: corners x0, y0, x1, y1 in fractions of the image, which
            the network's input shows whole, with x0 <= x1 and y0 <= y1. NaN stands for a box that is not there; an
            image without any box counts as wrong.
        scores: (B,) or (B, n); the box with the highest one is the best. None where the first box is the best.
        statistics: Name -> one number for each image, as of `Maps`.
    """

    boxes: Tensor
    scores: Tensor | None = None
    statistics: Mapping[str, Tensor] = field(default_factory=dict)


class Method(Protocol):
    """Turns features into raw maps; higher means more likely the object. Or into boxes, then of all images."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor | Maps | Boxes:
        """Return raw maps, or boxes.

        Args:
            features: Feature maps (B, K, h, w); not to be changed.
            context: The other inputs; not to be changed.

        Returns:
            Raw maps (B, h', w'), any size and range, alone or with statistics; or boxes.
        """
        ...


@runtime_checkable
class FittedMethod(Method, Protocol):
    """A method that is fitted on images of train-weaksup before it localizes.

    It receives their features only: no label, no box and no mask.

    With a method ``merge(other)`` that takes over what another one of the same options was given, several processes can
    be given parts of the images; without it, each of them is given all.
    """

    @property
    def fit_images(self) -> int | None:
        """The number of images, which are drawn at random with the seed of the run; None for all."""
        ...

    def partial_fit(self, features: Tensor) -> None:
        """Fit on one more batch of features (B, K, h, w), which are not to be changed."""
        ...


@runtime_checkable
class LabelFittedMethod(Method, Protocol):
    """A method that is fitted on images of train-weaksup and their classes before it localizes.

    It receives features and image labels: no box and no mask. It is given images of every class of the evaluated
    images, or the run is refused.

    Each round is a pass over the same images: ``partial_fit`` for every batch, then ``end_round``. Where parts of the
    images are given to several objects of one method, they are merged before the round ends.
    """

    @property
    def fit_images(self) -> int | None:
        """The number of images, which are drawn at random with the seed of the run; None for all."""
        ...

    @property
    def fit_rounds(self) -> int:
        """The number of passes over the images, 1 or more."""
        ...

    def partial_fit(self, features: Tensor, labels: Tensor) -> None:
        """Fit on one more batch, which is not to be changed.

        Args:
            features: Feature maps (B, K, h, w).
            labels: Their classes, int64 (B,), numbered as `MethodContext.class_indices` are.
        """
        ...

    def merge(self, other: Self) -> None:
        """Take over what another one of the same options was given in this round; it was given the rounds before too.

        The result is, but for rounding, that of one object that was given all of the images.
        """
        ...

    def end_round(self) -> None:
        """Draw the conclusions from all images of the round."""
        ...

    def fit_state(self) -> Mapping[str, Tensor]:
        """Return what the fit found, after the last round: name -> tensor; it is saved, and its hash recorded."""
        ...


@dataclass(frozen=True)
class MethodSpec:
    """A localization method that a plugin offers.

    Args:
        name: What users type.
        build: Class or function that takes the method's options by keyword and returns the method. The fields of a
            dataclass, or the annotated parameters, are the options: typed, listed and recorded.
        source: Paper and equation.
        reads_network: False for a baseline whose maps do not depend on the network; tables then name no network.
        needs: What a network has to offer for it: ``class weights`` (`LinearHead`), ``class scores`` (a classifier),
            ``gradients`` (of the logits with respect to the features), ``taps`` (`Tapped`), ``attention``
            (`Attentive`), ``native`` (`Localizing`). On a network without it, the method is refused before the work
            begins. A method that needs taps and has an attribute ``taps``, their names, is refused where the network
            has none of a name.
        known_failures: Conformance check that it fails, such as ``check_method_deterministic``, -> the reason.
    """

    name: str
    build: Callable[..., Method]
    source: str
    reads_network: bool = True
    needs: frozenset[Need] = frozenset()
    known_failures: Mapping[str, str] = field(default_factory=dict, hash=False)
