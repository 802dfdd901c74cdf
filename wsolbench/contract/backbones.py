"""Backbones: classifiers split at the feature maps that methods read, and the optional traits of a network.

The rule for optional traits: what a network may offer beyond `Backbone` is a ``runtime_checkable`` Protocol of its own,
usually with one method. The core asks for it with ``isinstance`` at the one place that uses it, and works without it.

- A network offers a trait by having its method. It inherits from nothing and declares nothing; `ConvNeXtLike` is a
  convenience, with the methods of many traits for networks of one layout.
- ``isinstance`` compares names only. So a method is named as the libraries that networks come from name it, if they
  have it (timm: ``fuse``), and otherwise by a name that they do not use.
- Each trait of a network has a conformance check in `wsolbench.testing`.

The traits of methods (`FittedMethod`), recipes (`Augmenting`, `Averaging`) and data sets (`Inspectable`) follow it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from wsolbench.contract.choices import Interpolation

if TYPE_CHECKING:
    from torch import Tensor

    from wsolbench.contract.methods import Boxes, Maps

__all__ = [
    "Attention",
    "Attentive",
    "Backbone",
    "BackboneSpec",
    "Checkpoint",
    "Features",
    "Fusable",
    "InputConfig",
    "Layered",
    "LinearHead",
    "Localizing",
    "Pretrained",
    "Reparameterizable",
    "SpatialHead",
    "StochasticDepth",
    "Tapped",
    "Trainable",
    "class_weights",
]


@dataclass(frozen=True)
class InputConfig:
    """How an image becomes a network's input: it is warped, scaled to [0, 1] and normalised per channel.

    Args:
        size: Side of the square input in pixels; the aspect ratio is not kept.
        mean: Subtracted from each channel (R, G, B) of [0, 1].
        std: Each channel is divided by it afterwards.
        interpolation: Filter of the warp, as Pillow implements it.
    """

    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"


@dataclass(frozen=True)
class Features:
    """Feature maps, and what the head of a network reads beside them, such as its class token.

    Methods receive the maps. The rest stays what it is where a method changes the maps, or differentiates by them.

    Args:
        maps: Feature maps (B, K, h, w).
        rest: Tensors whose first dimension is B.
    """

    maps: Tensor
    rest: tuple[Tensor, ...]

    def with_maps(self, maps: Tensor) -> Features:
        """Return other maps (B, K, h, w) with the same rest."""
        return replace(self, maps=maps)

    def __getitem__(self, images: slice) -> Features:
        """Return the features of some images of the batch."""
        return Features(self.maps[images], tuple(part[images] for part in self.rest))


def maps_and_rest(features: Tensor | Features) -> tuple[Tensor, tuple[Tensor, ...] | None]:
    """Return feature maps (B, K, h, w), and what the head reads beside them; None if it reads nothing else."""
    return (features.maps, features.rest) if isinstance(features, Features) else (features, None)


def with_rest(maps: Tensor, rest: tuple[Tensor, ...] | None) -> Tensor | Features:
    """Return what ``forward_head`` reads: feature maps (B, K, h, w), with what it reads beside them."""
    return maps if rest is None else Features(maps, rest)


@runtime_checkable
class Backbone(Protocol):
    """A classifier split at its feature maps, and a ``torch.nn.Module``.

    ``forward_head(forward_features(images))`` are the logits.
    """

    def forward_features(self, images: Tensor) -> Tensor | Features:
        """Return the feature maps (B, K, h, w) of normalised images (B, 3, H, W); `Features` if the head needs more."""
        ...

    def forward_head(self, features: Any) -> Tensor:
        """Return the logits (B, C) of what ``forward_features`` returns; a network without a classifier has C = 0."""
        ...


@runtime_checkable
class LinearHead(Protocol):
    """A backbone whose last layer is linear over its feature channels, so that it has class weights, as CAM needs them.

    A network with another head, such as one that reads a class token, does not have the property, or gives None.
    """

    @property
    def classifier_weight(self) -> Tensor | None:
        """The raw weights (C, K) of the last linear layer: one row a class, one column a feature channel."""
        ...


def class_weights(backbone: Any) -> Tensor | None:
    """Return the raw class weights (C, K) of a backbone, or None where it has none."""
    weights: Tensor | None = getattr(backbone, "classifier_weight", None)
    return weights if weights is not None and len(weights) else None


@runtime_checkable
class SpatialHead(Protocol):
    """A backbone that can express a class score as the mean of a weighted sum of its feature maps; see `heads`."""

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights and constants with ``logit = mean over pixels of Σ_k weight_k F_k + constant``.

        Args:
            features: Feature maps F (B, K, h, w).
            class_indices: The class of each image, int64 (B,).

        Returns:
            Weights (B, K) and constants (B,).
        """
        ...


@runtime_checkable
class Tapped(Protocol):
    """A backbone whose inner layers can be read, and changed, in one pass."""

    @property
    def taps(self) -> tuple[str, ...]:
        """The names of the layers that have feature maps, from the image to the head."""
        ...

    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the logits (B, C) of images, and show the feature maps of layers to functions on the way.

        Args:
            images: Normalised images (B, 3, H, W).
            visit: Name of a tap -> called once with its maps (B, K, h, w); the pass goes on with the maps of this shape
                that it returns.
        """
        ...


@runtime_checkable
class Trainable(Protocol):
    """A backbone whose forward pass in training gives more than logits, such as a second head; losses read it.

    ``forward_features`` and ``forward_head`` stay the form in which it is scored.
    """

    def training_outputs(self, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Return the outputs of a training step by name, of which ``logits`` (B, C) are those of the accuracy.

        Args:
            images: Normalised images (B, 3, H, W).
            labels: Their classes, int64 (B,).
        """
        ...


@runtime_checkable
class Localizing(Protocol):
    """A backbone that makes the map or box of a class itself, as its paper does at test time: the method ``native``."""

    def localize(self, features: Any, images: Tensor, class_indices: Tensor) -> Tensor | Maps | Boxes:
        """Return raw maps (B, h', w'), any size and range, higher where the object is; or `Boxes`.

        Args:
            features: What ``forward_features`` returns for the images.
            images: Normalised images (B, 3, H, W).
            class_indices: The class to localize in each image, int64 (B,).
        """
        ...


@dataclass(frozen=True)
class Attention:
    """The attention of a network of tokens.

    Args:
        weights: One for each block, from the image to the head: (B, heads, N, N), rows are queries and sum to 1.
        prefix: Number of tokens before those of the patches: class, distillation and register tokens.
        grid: Height and width of the patches; N is prefix + height × width.
        class_token: Whether the head reads the first token, a class token; otherwise it pools the patches.
    """

    weights: tuple[Tensor, ...]
    prefix: int
    grid: tuple[int, int]
    class_token: bool = True

    def to_patches(self, weights: Tensor) -> Tensor:
        """Return the attention that patches get from what the head reads, as maps (B, h, w).

        Args:
            weights: Attention (B, N, N) of a block, or of several together; rows are queries.

        Returns:
            The row of the class token, or the mean of the rows of the patches where the head pools them.
        """
        reads_class = self.class_token and self.prefix > 0
        queries = weights[:, 0] if reads_class else weights[:, self.prefix :].mean(dim=1)
        return queries[:, self.prefix :].reshape(-1, *self.grid)


@runtime_checkable
class Attentive(Protocol):
    """A backbone of tokens that can show its attention."""

    def forward_attention(self, images: Tensor) -> Attention:
        """Return the attention of every block on normalised images (B, 3, H, W)."""
        ...


@runtime_checkable
class Reparameterizable(Protocol):
    """A backbone with a faster inference form, in which weights may be published too."""

    def reparameterize(self) -> None:
        """Merge the branches of the training form in place; outputs stay equal up to rounding."""
        ...


@runtime_checkable
class Fusable(Protocol):
    """A backbone whose norms can be fused into the convolutions beside them; no weights are published in that form."""

    def fuse(self) -> None:
        """Fuse the norms in place, after the weights are loaded; outputs stay equal up to rounding."""
        ...


@runtime_checkable
class StochasticDepth(Protocol):
    """A backbone whose residual blocks can be skipped at random in training (Huang et al., ECCV 2016)."""

    def set_drop_path(self, rate: float) -> None:
        """Set the probabilities of skipping a block: 0 for the first, `rate` for the last, linear in between."""
        ...


@runtime_checkable
class Layered(Protocol):
    """A backbone that numbers its layers, for learning rates that decay with depth."""

    def layer_ids(self) -> Mapping[str, int]:
        """Return the layer of every name of ``named_parameters``: 0 at the input, the highest at the classifier."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """A weights file that a plugin ships, and the name of the data set whose classes it predicts."""

    dataset: str
    path: Path


@dataclass(frozen=True)
class Pretrained:
    """Published weights that a plugin fetches, usually from the web.

    Args:
        source: What users type after ``--weights``.
        name: The name of the weights in that source; recorded.
        fetch: Return the state dict in the network's own keys. Raises ``WeightsError`` that says what to do, for
            example where there is no connection.
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
        build: Number of classes -> the network with its initial weights, on torch's current default device. Further
            parameters, which have defaults, are its options: typed, listed and recorded as those of methods are.
        input: How images become its input.
        source: Paper or repository.
        family: The name that several variants share, None for a network without variants.
        classifier_key: State-dict entry whose first dimension is the number of classes.
        checkpoints: Weights that ship with the plugin.
        pretrained: Weights that the plugin fetches.
        read_weights: Path -> state dict in the network's own keys, for the plugin's own file formats. Without it the
            core reads safetensors and ``torch.save`` files; nothing in a file is executed. Raises ``WeightsError`` or
            ``OSError``.
        convert_weights: State dict -> state dict in the network's own keys, for files with other names or shapes. The
            core has read the file and removed containers and prefixes. The network's own state dict is returned
            unchanged. Raises ``ValueError`` that says what the file is where it cannot be converted.
        start_weights: State dict of a published network of another form, such as an ImageNet classifier with another
            head -> the entries that a training starts from, in the network's own keys; the others start at random.
            Raises ``ValueError`` that says what the file is where it has none.
        at_size: Side of the input in pixels -> the network built for images of this size; its ``convert_weights`` also
            resizes entries whose shape depends on it, such as position embeddings. Raises ``UsageError`` that says
            which sizes there are. None for a network that is the same for every size.
        system: The system that trains it, whose name stands before its own; set by the core, see `SystemSpec`.
        known_failures: Conformance check that it fails, such as ``check_backbone_deterministic``, -> the reason.
    """

    name: str
    build: Callable[..., Backbone]
    input: InputConfig
    source: str
    family: str | None = None
    classifier_key: str = "head.weight"
    checkpoints: tuple[Checkpoint, ...] = ()
    pretrained: Pretrained | None = None
    read_weights: Callable[[Path], Mapping[str, Tensor]] | None = None
    convert_weights: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None
    start_weights: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None
    at_size: Callable[[int], BackboneSpec] | None = None
    system: str | None = None
    known_failures: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_of_a_zoo(self) -> bool:
        """Whether its name stands behind the prefix of a zoo."""
        return ":" in self.name.removeprefix(f"{self.system}:")
