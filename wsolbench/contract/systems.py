"""Systems: ways to train a network so that it localizes: a change of the network, a loss, stages.

A system stands before a network, as in ``acol:resnet_nano``, and that is the name of a backbone. The recipe keeps its
part: epochs, batches, augmentation, optimizer and the loss of the classification. So every system runs with every
recipe.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from wsolbench.contract.backbones import Attentive, BackboneSpec, Tapped, class_weights
from wsolbench.contract.methods import Need
from wsolbench.contract.names import NAME_CHARACTERS, NAME_PATTERN
from wsolbench.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "BOXES",
    "Stage",
    "System",
    "SystemSpec",
    "TargetImages",
    "TrainingStep",
    "classification",
    "rebuilt",
]

BOXES = "boxes"
"""The name of per-image targets that are boxes (B, 4) or (B, n, 4): corners x0, y0, x1, y1 in fractions of the image,
NaN where there is none. They are mirrored with the images."""


_ROUNDING = 1e-3
"""How far a corner may lie outside the image, in fractions of it."""


def check_boxes(values: Tensor) -> None:
    """Check per-image targets that are `BOXES`.

    Raises:
        TypeError: They are of another type or shape.
        ValueError: A corner is not in the image.
    """
    expected = "expected floating corners x0, y0, x1, y1 in fractions of the image, of shape (B, 4) or (B, n, 4)"
    if values.ndim not in (2, 3) or values.shape[-1] != 4 or not values.is_floating_point():
        raise TypeError(f"targets '{BOXES}' are {described(values)}: {expected}")
    outside = (values < -_ROUNDING) | (values > 1 + _ROUNDING)
    if outside.any():
        raise ValueError(f"targets '{BOXES}' have a corner at {values[outside][0]:g}: {expected}")


def described(values: Tensor) -> str:
    """Return the type and shape of a tensor in words."""
    return f"{str(values.dtype).removeprefix('torch.')} of shape {tuple(values.shape)}"


@dataclass(frozen=True)
class TrainingStep:
    """What the loss of a stage may read. It holds no box and no mask of the data set, so supervision cannot leak.

    Args:
        network: The network in training.
        images: Augmented and normalised images (B, 3, H, W).
        labels: Their classes, int64 (B,); where the recipe mixes images, those of the first of each two.
        targets: What the recipe's own loss compares with: the labels, or a mixture of them.
        outputs: What the forward pass gave, by name, floating tensors in float32. ``logits`` and ``features``, or what
            the network's ``training_outputs`` returns, or the stage's own ``forward``.
        prepared: The per-image targets of the stage, by name; the first dimension is B.
        epoch: Number of the epoch in its stage, from 1.
        epochs: Number of epochs of the stage.
        generator: A source of randomness on the CPU, which an interrupted training continues.
        recipe_loss: Logits (B, C) and `targets` -> the recipe's loss.
    """

    network: Any
    images: Tensor
    labels: Tensor
    targets: Any
    outputs: Mapping[str, Tensor]
    prepared: Mapping[str, Tensor]
    epoch: int
    epochs: int
    generator: torch.Generator
    recipe_loss: Callable[[Tensor, Any], Tensor]

    def classification(self, logits: Tensor) -> Tensor:
        """Return the recipe's loss, a scalar, of logits (B, C), which may be those of any head."""
        return self.recipe_loss(logits.float(), self.targets)


def classification(step: TrainingStep) -> Mapping[str, Tensor]:
    """Return the recipe's loss of the network's logits, which is the loss of a stage that states no other."""
    return {"classification": step.classification(step.outputs["logits"])}


class TargetImages(Protocol):
    """The images to train on, not augmented, for making per-image targets; every iteration is one more pass.

    Iterated, it gives for each batch, in the order of the split, the normalised images (B, 3, H, W) and their labels,
    int64 (B,). No gradients are computed meanwhile.
    """

    @property
    def network(self) -> Any:
        """The network in eval mode, as the stage before left it."""
        ...

    def at_size(self, size: int) -> TargetImages:
        """Return the same images, warped to squares of another side in pixels."""
        ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Start a pass over all images."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Args:
        name: What messages, log and card call it, lowercase ``[a-z0-9_.+-]``.
        epochs: Number of passes over train-weaksup; a stage of 0 epochs is left out.
        loss: The terms of the loss, scalars, by name. Their sum is minimised; each has a column in the log, which is
            empty for epochs without the term, such as those of a warm-up. All steps of an epoch have the same terms.
            None is called as another column is.
        forward: Network, images (B, 3, H, W) and labels (B,) -> the outputs of a training step by name. None for the
            network's own: `Trainable.training_outputs`, or else ``logits`` and ``features``.
        trains: Names of the parts of the network that are trained, as in ``named_parameters()``: ``layer4`` is
            ``layer4.0.conv1.weight`` too; an empty name is the whole network. Everything else is frozen: it keeps its
            weights, and layers without trained parameters stay in eval mode.
        targets: Images -> per-image targets by name, for one batch after another in their order. They are made once,
            before the stage, and kept beside the state of the training. Names are as those of stages; all values of a
            name have one type and, but for the first dimension, one shape. A tensor of three dimensions or more is
            a map over the image. In such a stage images are warped and mirrored only, and targets are mirrored with
            them: maps, and `BOXES`.
        pairs: How many images of one class follow one another in a batch; 1 for a random order.
        after: The stage that this one goes on from. Without that stage, it needs weights to start from.
        mixed: Whether the loss makes sense where a recipe mixes images and labels.
        begin: Changes weights of the network, which is as the stage before left it, before anything else of the stage;
            for layers that start from trained ones, such as a copy of them.

    Raises:
        ValueError: The name has another form, or a number is none.
    """

    name: str
    epochs: int
    loss: Callable[[TrainingStep], Mapping[str, Tensor]] = classification
    forward: Callable[[Any, Tensor, Tensor], Mapping[str, Tensor]] | None = None
    trains: tuple[str, ...] = ("",)
    targets: Callable[[TargetImages], Iterable[Mapping[str, Tensor]]] | None = None
    pairs: int = 1
    after: str | None = None
    mixed: bool = True
    begin: Callable[[Any], None] | None = None

    def __post_init__(self) -> None:
        """Check the name, which folders have too, and the numbers."""
        if not isinstance(self.name, str) or not NAME_PATTERN.fullmatch(self.name):
            raise ValueError(f"the stage {self.name!r}: expected a name of {NAME_CHARACTERS}")
        for what, number in (("epochs", self.epochs), ("pairs", self.pairs)):
            if not isinstance(number, int):
                raise ValueError(f"{what} of the stage '{self.name}': expected a whole number, got {number!r}")


class System(Protocol):
    """A way to train a network so that it localizes."""

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the stages in their order; `epochs` is the number that the recipe has."""
        ...


@dataclass(frozen=True)
class SystemSpec:
    """A system that a plugin offers; users type it before a network, as in ``acol:resnet_nano``.

    Args:
        name: What users type, lowercase ``[a-z0-9_.+-]``.
        build: Class or function that takes the system's options by keyword and returns the system; see `MethodSpec`.
        network: The specification of a network -> that of the network which the system trains; see `rebuilt`. For a
            network that is built for another size of images, it is called with the specification of that size. Raises
            ``UsageError`` that says what it needs for a network that it cannot serve.
        source: Paper or repository.
        method: The method that makes its maps, ``native`` for those that the network makes itself.
        needs: What a network has to offer for it: ``taps``, ``class weights``, ``attention``; see `MethodSpec`.
        known_failures: Conformance check that it fails, such as ``check_system_classifies``, -> the reason.
    """

    name: str
    build: Callable[..., System]
    network: Callable[[BackboneSpec], BackboneSpec]
    source: str
    method: str = "cam"
    needs: frozenset[Need] = frozenset()
    known_failures: Mapping[str, str] = field(default_factory=dict, hash=False)


class NotServedError(UsageError):
    """A network cannot be changed for a system; `reason` is what the system says."""

    def __init__(self, network: str, reason: str) -> None:
        super().__init__(f"'{network}' cannot be trained by this system: {reason}")
        self.reason = reason


def rebuilt(
    base: BackboneSpec,
    change: Callable[[Any], Any] | None = None,
    *,
    classifier_key: str | None = None,
    convert_weights: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> BackboneSpec:
    """Return the specification of a network that is another one, changed: for `SystemSpec.network`.

    It has the options and the input of the other network, and no shipped weights. A training can start from
    trained weights of the other one, and from whatever a training of the other one can start from: the entries that
    both have are taken.

    Args:
        base: The other network.
        change: Network -> the changed network, which may be the same object; None where nothing changes. Raises
            ``UsageError`` that says what it needs for a network that it cannot change.
        classifier_key: That of the changed network, where its entries are others than those of the base.
        convert_weights: For files that have other names than the changed network; without it, those of the base are
            converted as the base does it.
        renamed: Layers of the base -> their names in the changed network, where they differ.
    """
    own = base if change is None else replace(base, build=_calling(base, partial(_changed, base, change)))
    return replace(
        own,
        checkpoints=(),
        known_failures={},
        classifier_key=classifier_key or base.classifier_key,
        convert_weights=convert_weights or base.convert_weights,
        start_weights=_start_from(base, own, renamed or {}),
        at_size=None,
    )


def served(system: SystemSpec, base: BackboneSpec) -> BackboneSpec:
    """Return the network that a system trains in place of another one, in all sizes that the other one has.

    Its build refuses a network that lacks what the system needs.

    Raises:
        UsageError: The system cannot serve the network.
        TypeError: The system returns something else.
    """
    made, at_size = system.network(base), base.at_size
    if not isinstance(made, BackboneSpec):
        raise TypeError(
            f"'network' of the system '{system.name}' returned {type(made).__name__}; return a BackboneSpec, as "
            "rebuilt(base) makes it"
        )
    return replace(
        made,
        build=_calling(made, partial(_with_needs, base, system)) if system.needs else made.build,
        at_size=None if at_size is None else lambda size: served(system, at_size(size)),
    )


def _calling(spec: BackboneSpec, after: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a build function with the options of a network, which returns what a function makes of the network."""

    def built(*given: Any, **options: Any) -> Any:
        return after(spec.build(*given, **options))

    built.__signature__ = inspect.signature(spec.build, eval_str=True)  # type: ignore[attr-defined]
    return built


def _changed(base: BackboneSpec, change: Callable[[Any], Any], network: Any) -> Any:
    try:
        changed = change(network)
    except UsageError as error:
        raise NotServedError(base.name, str(error)) from error
    if changed is None:
        raise TypeError("the function that changes the network returned None; return the network from it")
    return changed


def _with_needs(base: BackboneSpec, system: SystemSpec, network: Any) -> Any:
    """Return a network that has what a system needs."""
    lacks = {
        "class weights": lambda: class_weights(network) is None,
        "taps": lambda: not (isinstance(network, Tapped) and network.taps),
        "attention": lambda: not isinstance(network, Attentive),
    }
    for need in sorted(system.needs):
        if need in lacks and lacks[need]():
            raise NotServedError(base.name, f"needs {need}, and the network has none")
    return network


def _start_from(
    base: BackboneSpec, own: BackboneSpec, renamed: Mapping[str, str]
) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """Return what takes, of weights of a base network or of what it can start from, the entries of a changed one."""

    def start(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        entries = {name: value.shape[1:] for name, value in _entries(own).items()}

        def shared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
            named = {_renamed(name, renamed): value for name, value in state.items()}
            return {name: value for name, value in named.items() if entries.get(name) == value.shape[1:]}

        taken, classifier = shared(state), base.classifier_key.rpartition(".")[0] + "."
        for name in shared(_entries(base)):
            if name not in taken and not name.startswith(classifier) and not name.endswith("num_batches_tracked"):
                if base.start_weights is not None:
                    return shared(base.start_weights(state))
                raise ValueError(f"it is not of '{base.name}' either: it has no '{name}', or one of another shape")
        return taken

    return start


def _entries(spec: BackboneSpec) -> dict[str, Tensor]:
    """Return the state dict of a network without memory."""
    import torch

    with torch.device("meta"):
        network: Any = spec.build(2)
    entries: dict[str, Tensor] = network.state_dict()
    return entries


def _renamed(name: str, layers: Mapping[str, str]) -> str:
    layer, _, entry = name.rpartition(".")
    return f"{layers[layer]}.{entry}" if layer in layers else name
