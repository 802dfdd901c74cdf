"""Backbones: classifiers cut in two where their class activation maps are tapped, and what they may offer besides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Backbone",
    "BackboneSpec",
    "Checkpoint",
    "Fusable",
    "InputConfig",
    "Interpolation",
    "Layered",
    "Pretrained",
    "Reparameterizable",
    "SpatialHead",
    "StochasticDepth",
]

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class InputConfig:
    """How an image becomes a network's input: warped to size×size, scaled to [0, 1], normalised per channel."""

    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"


@runtime_checkable
class Backbone(Protocol):
    """A classifier cut in two where its class activation maps are tapped; also a ``torch.nn.Module``.

    ``forward_head(forward_features(images))`` are the logits. ``classifier_weight`` holds, for every class, the raw
    weight of every feature channel in its score: the row of the last linear layer.
    """

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the tapped feature maps (B, K, h, w) of normalised images (B, 3, H, W)."""
        ...

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C) of the tapped feature maps (B, K, h, w)."""
        ...

    @property
    def classifier_weight(self) -> Tensor:
        """The class weights (C, K) of the tapped channels."""
        ...


@runtime_checkable
class SpatialHead(Protocol):
    """A backbone that can express a class score as the mean of a weighted sum of its feature maps; see `heads`."""

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights (B, K) and constants (B,): ``logit = mean over pixels of Σ_k weight_k F_k + constant``."""
        ...


@runtime_checkable
class Reparameterizable(Protocol):
    """A backbone whose training form merges into an equal, faster inference form, in which weights may be published."""

    def reparameterize(self) -> None:
        """Merge the branches in place; outputs stay equal up to rounding."""
        ...


@runtime_checkable
class Fusable(Protocol):
    """A backbone whose norms fold into the convolutions beside them, in a form that no weights are published in."""

    def fuse(self) -> None:
        """Fold them in place, after weights were loaded; outputs stay equal up to rounding."""
        ...


@runtime_checkable
class StochasticDepth(Protocol):
    """A backbone whose residual blocks can be left out at random while it trains (Huang et al., ECCV 2016)."""

    def set_drop_path(self, rate: float) -> None:
        """Leave the last block out with that probability, the first never, those between in even steps."""
        ...


@runtime_checkable
class Layered(Protocol):
    """A backbone that numbers its layers from the images to the classes, for learning rates that decay with depth."""

    def layer_ids(self) -> Mapping[str, int]:
        """Return a number from 0 for every name of ``named_parameters``; the classifier has the highest."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """A weights file that a plugin ships, and the data set whose classes it knows."""

    dataset: str
    path: Path


@dataclass(frozen=True)
class Pretrained:
    """Weights that a plugin fetches from where a network is published, as a rule from the web.

    Args:
        source: What users type after ``--weights``.
        name: Which weights of that source they are; recorded.
        fetch: Return the state dict in the network's own keys. Raises ``WeightsError`` that says what to do, for
            example without a network.
    """

    source: str
    name: str
    fetch: Callable[[], Mapping[str, Tensor]]

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"


@dataclass(frozen=True)
class BackboneSpec:
    """A network that a plugin offers.

    Args:
        name: What users type, lowercase ``[a-z0-9_.+-]``.
        build: Number of classes -> the network with its initial weights, on the current default device.
        input: How images are prepared for it.
        source: Paper or repository.
        family: The name that several variants share.
        classifier_key: State-dict entry whose first dimension is the number of classes.
        checkpoints: Weights that ship with the plugin.
        pretrained: Weights that the plugin fetches.
        read_weights: Path -> state dict in the network's own keys, for file formats of the plugin's own. Without it the
            core reads safetensors and ``torch.save`` files (never executing anything in them). Raises
            ``WeightsError`` or ``OSError``.
        convert_weights: State dict of a file that the core read, free of containers and prefixes -> state dict in the
            network's own keys, for files that name or shape their entries otherwise. The network's own state dict comes
            back as it is. Raises ``ValueError`` that says what a file is that cannot be converted.
    """

    name: str
    build: Callable[[int], Backbone]
    input: InputConfig
    source: str
    family: str | None = None
    classifier_key: str = "head.weight"
    checkpoints: tuple[Checkpoint, ...] = ()
    pretrained: Pretrained | None = None
    read_weights: Callable[[Path], Mapping[str, Tensor]] | None = None
    convert_weights: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None
