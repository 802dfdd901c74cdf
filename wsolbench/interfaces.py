"""The contract between the core and its plugins: what each kind of plugin offers and what it is given.

Shapes are written B (images), C (classes), K (feature channels), H×W (network input) and h×w (feature map). Images are
RGB. Pixels of boxes count from 0 and both corners belong to the box. Fractions are fractions, never percents.

Nothing here imports torch when it runs: a listing of plugins must not wait for it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "Annotations",
    "Augmenting",
    "Averaging",
    "Backbone",
    "BackboneSpec",
    "BackboneZoo",
    "Checkpoint",
    "Dataset",
    "DatasetRoots",
    "DatasetSpec",
    "Download",
    "Finding",
    "FittedMethod",
    "Foldable",
    "ImageSplit",
    "InputConfig",
    "Inspectable",
    "KnownSplit",
    "Layered",
    "Maps",
    "MaskPair",
    "Method",
    "MethodContext",
    "MethodSpec",
    "MethodZoo",
    "Preparation",
    "Pretrained",
    "Recipe",
    "RecipeSpec",
    "Reparameterizable",
    "Severity",
    "SpatialHead",
    "Spec",
    "Split",
    "StochasticDepth",
]

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]


class Split(enum.Enum):
    """A part of a data set, named by what it may be used for; the value is its published folder name."""

    TRAIN_WEAKSUP = "train"
    TRAIN_FULLSUP = "val"
    TEST = "test"

    @property
    def label(self) -> str:
        """The name that people read and type: ``train-weaksup``, ``train-fullsup`` or ``test``."""
        return {"train": "train-weaksup", "val": "train-fullsup", "test": "test"}[self.value]


# ---------------------------------------------------------------------------------------------------------- backbones


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
    """A backbone that says of which weighted sum of feature maps a class score is the mean (see `wsolbench.heads`)."""

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
class Foldable(Protocol):
    """A backbone whose norms fold into the convolutions beside them, in a form that no weights are published in."""

    def fold_norms(self) -> None:
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

    def layer_numbers(self) -> Mapping[str, int]:
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


# ------------------------------------------------------------------------------------------------------------ methods


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


# ---------------------------------------------------------------------------------------------------------- data sets


def raise_fault(fault: DataError) -> None:
    """Raise what is wrong with a list: the usual thing to do with it."""
    raise fault


@dataclass(frozen=True)
class DatasetRoots:
    """Where a data set lies on disk; None where the user named no place.

    Args:
        images: Folder of the data set, or of its images; also a ZIP file of images.
        metadata: What says which images there are, with labels and boxes.
        masks: Folder or ZIP file of masks, where it is not that of the images.
        train: Folder or ZIP file of the train-weaksup images, where it is not that of the others.
        on_fault: Called with what is wrong with an entry of a list. Where it returns, the entry is left out and reading
            goes on, as far as that makes sense, so that all faults of a data set can be told at once.
    """

    images: Path | None = None
    metadata: Path | None = None
    masks: Path | None = None
    train: Path | None = None
    on_fault: Callable[[DataError], None] = field(default=raise_fault, compare=False)


@dataclass(frozen=True)
class ImageSplit:
    """The images and class labels of one split: all that a classifier and a method may see.

    Args:
        ids: Unique image ids, in the order of the split.
        labels: Class indices, int64 (N,).
        load: Index -> RGB image, uint8 (H, W, 3). Called from several threads. Raises ``DataError``.
        read: Index -> what the image's file holds; None where images are no files. Called from several threads. Raises
            ``MissingFileError`` or another ``DataError``.
        sizes: Image id -> (width, height) of the original, where lists of images tell them; files are checked by them.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    load: Callable[[int], NDArray[np.uint8]]
    read: Callable[[int], bytes] | None = None
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskPair:
    """The object's pixels and the pixels that count nowhere (None: every pixel counts), bool (H, W), any sizes."""

    foreground: NDArray[np.bool_]
    ignore: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Annotations:
    """The full supervision of one split, read by evaluators only.

    Args:
        boxes: Image id -> boxes (n, 4) in original pixels, inclusive corners; empty where the data set has none.
        image_sizes: Image id -> (width, height) of the original, for every image with boxes.
        load_mask: Image id -> masks, or None where the data set has none. Called from several threads.
    """

    boxes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    image_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    load_mask: Callable[[str], MaskPair] | None = None


class Dataset(Protocol):
    """Images, labels and annotations in up to three splits."""

    @property
    def name(self) -> str:
        """The name that checkpoints and records refer to."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever an image, a label or an annotation of the data set does."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """One name a class, in the order of the labels."""
        ...

    @property
    def splits(self) -> frozenset[Split]:
        """The splits that are there."""
        ...

    def images(self, split: Split) -> ImageSplit:
        """Return the images of a split. Raises ``DataError``."""
        ...

    def annotations(self, split: Split) -> Annotations:
        """Return the boxes and masks of a split. Raises ``DataError``."""
        ...


class Severity(enum.Enum):
    """How much a finding matters."""

    ERROR = "error"
    """A run would fail, or the protocol would be violated."""
    WARNING = "warning"
    """Scores may not mean what they seem to."""
    NOTE = "note"
    """Worth knowing, and nothing to mend."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check of a data set found: a sentence that says what, where, and what to do."""

    severity: Severity
    text: str


@runtime_checkable
class Inspectable(Protocol):
    """A data set that has more to check than any data set has."""

    def inspect(self) -> Iterable[Finding]:
        """Return what was found. Raises ``DataError`` where nothing can be."""
        ...


@dataclass(frozen=True)
class KnownSplit:
    """How many images a split of a published data set has, and where they are fixed, images a class and boxes."""

    images: int
    per_class: int | None = None
    boxes: int | None = None


@dataclass(frozen=True)
class Download:
    """A file that a data set on disk is made of.

    Args:
        place: Where it belongs below the data set's folder: the file itself, or the folder that an archive becomes.
        url: Where it is fetched; None where a licence or a website asks for a person.
        archive: The name of the archive; None where the file is none.
        inside: The folder in the archive whose content is taken; all of it by default.
        checksum: ``md5:`` or ``sha256:`` and hex digits, as published; None where nobody published one.
        by_hand: Where a person finds it.
        needed: Whether the data set is of use without it.
    """

    place: str
    url: str | None = None
    archive: str | None = None
    inside: str = ""
    checksum: str | None = None
    by_hand: str = ""
    needed: bool = True


@dataclass(frozen=True)
class Preparation:
    """How a data set comes to lie on disk.

    Args:
        downloads: What it is made of.
        terms: What may be done with it.
        copied_from: A folder with the downloads -> where the data set lies in it, for a data set that is copied from
            there to ``images`` and ``metadata``; None for one that stays as it was unpacked.
    """

    downloads: tuple[Download, ...]
    terms: str
    copied_from: Callable[[Path], DatasetRoots] | None = None


@dataclass(frozen=True)
class DatasetSpec:
    """A data set that a plugin offers.

    Args:
        name: What users type, lowercase ``[a-z0-9_.-]``.
        build: Where it lies on disk -> the data set. Raises ``DataError`` where something is missing.
        source: Paper or publisher.
        classes: How many classes it is known to have.
        known: What is known of its splits, for a check of what is on disk.
        preparation: How it comes to lie on disk; None where there is nothing to fetch.
    """

    name: str
    build: Callable[[DatasetRoots], Dataset]
    source: str
    classes: int | None = None
    known: Mapping[Split, KnownSplit] = field(default_factory=dict)
    preparation: Preparation | None = None


# ------------------------------------------------------------------------------------------------------------ recipes


class Recipe(Protocol):
    """How a classifier is trained from image labels."""

    @property
    def epochs(self) -> int:
        """How often train-weaksup is gone through."""
        ...

    @property
    def batch_size(self) -> int:
        """Images in a training step."""
        ...

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:
        """Augment normalised images (B, 3, H, W) with labels (B,); targets are whatever `loss` takes."""
        ...

    def loss(self, logits: Tensor, targets: Any) -> Tensor:
        """Return the scalar loss of logits (B, C)."""
        ...

    def optimizer(self, network: torch.nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Return the optimizer and its learning-rate scheduler, which is stepped after every batch.

        The network may be set up for its training here, as in `StochasticDepth`. Both have torch's ``state_dict`` and
        ``load_state_dict``, which an interrupted training is continued from.
        """
        ...


@runtime_checkable
class Augmenting(Protocol):
    """A recipe that turns every image into the network's input itself, where others get it warped."""

    def augment(
        self, image: NDArray[np.uint8], config: InputConfig, generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return an image (H, W, 3), which stays as it is, as another of (size, size, 3).

        Called from several threads. All that is random comes from the generator, whose numbers depend on seed, epoch
        and image alone.
        """
        ...


@runtime_checkable
class Averaging(Protocol):
    """A recipe that may keep an average of the weights in place of those after the last step."""

    @property
    def ema(self) -> float | None:
        """The highest decay of an exponential moving average over the steps; None keeps the last weights."""
        ...


@dataclass(frozen=True)
class RecipeSpec:
    """A training recipe that a plugin offers; ``build`` takes its options by keyword, as in `MethodSpec`."""

    name: str
    build: Callable[..., Recipe]
    source: str


Spec: TypeAlias = BackboneSpec | MethodSpec | DatasetSpec | RecipeSpec


# --------------------------------------------------------------------------------------------------------------- zoos

S_co = TypeVar("S_co", bound=Spec, covariant=True)


@dataclass(frozen=True)
class Zoo(Generic[S_co]):
    """What a plugin offers without listing it: users name one with a prefix, as in ``timm:resnet18``.

    Nothing is called before somebody types the prefix; `names` and `find` may then import what they need. Both raise
    ``UsageError`` that says what to install where that is missing.

    Args:
        name: The prefix, without its colon.
        names: Return every name that may follow the prefix.
        find: One of these names -> what it stands for. Raises ``UsageError`` that says why it cannot be offered.
        source: Library or repository.
    """

    name: str
    names: Callable[[], Collection[str]]
    find: Callable[[str], S_co]
    source: str


class BackboneZoo(Zoo[BackboneSpec]):
    """Networks behind a prefix."""


class MethodZoo(Zoo[MethodSpec]):
    """Localization methods behind a prefix."""
