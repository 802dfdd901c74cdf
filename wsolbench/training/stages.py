"""The stages of a training: a recipe alone has one, a system has its own; what each trains, and what its loss reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsolbench.contract import Stage, System, Trainable
from wsolbench.contract.backbones import maps_and_rest
from wsolbench.contract.options import build_with_options
from wsolbench.contract.systems import described
from wsolbench.errors import UsageError
from wsolbench.training.built import Built

__all__ = [
    "Given",
    "Start",
    "Timetable",
    "TrainedParts",
    "check_batches",
    "group_order",
    "outputs_of",
    "stages_of",
    "summed",
]


Start: TypeAlias = Literal["random", "body", "classifier"]
"""What a training starts from: nothing, weights without a classifier of its classes, or with one."""


def stages_of(built: Built[System] | None, epochs: int, *, start: Start) -> tuple[Stage, ...]:
    """Return the stages of a training that have epochs; a training without a system has one.

    Args:
        built: The system.
        epochs: Those of the recipe.
        start: What the training starts from.

    Raises:
        UsageError: No stage has epochs, or one needs another that there is not.
        PluginError: The system fails, or two stages have one name.
    """
    if built is None:
        return (Stage("training", epochs),)
    with built.blaming():
        stages = tuple(stage for stage in _stated(built.made, epochs) if stage.epochs)
        names = [stage.name for stage in stages]
        if len(set(names)) < len(names) or any(stage.epochs < 0 or stage.pairs < 1 for stage in stages):
            raise ValueError(f"stages {', '.join(names)}: expected names of their own, epochs and pairs of at least 1")
    if not stages:
        zero = _options_at_zero(built, epochs)
        advice = f"omit {zero}" if zero else f"give the recipe more than {epochs}: --recipe-opt epochs=N"
        raise UsageError(f"the system '{built.name}' has no epoch to train; {advice}")
    for place, stage in enumerate(stages):
        if stage.after is None or stage.after in names[:place] or start == "classifier":
            continue
        goes_on = f"the stage '{stage.name}' of '{built.name}' goes on from the stage '{stage.after}', which"
        if stage.after in names[place:]:
            raise UsageError(f"{goes_on} does not stand before it; the system states stages in their order")
        lacks = f"{goes_on} this training "
        zero = _options_at_zero(built, epochs, stage.after)
        add = f"omit {zero}" if zero else "add that stage"
        if start == "random":
            raise UsageError(f"{lacks}does not have; {add}, or start from its weights: --weights FILE")
        raise UsageError(
            f"{lacks}does not have, and the weights that it starts from have no classifier of its classes; {add}, or "
            "start from weights of a training on these classes"
        )
    return stages


def _options_at_zero(built: Built[System], epochs: int, name: str | None = None) -> str:
    """Return the options, as they are typed, by whose 0 a stage is left out; any stage, where none is named."""
    zero = [option for option, value in built.options.items() if type(value) is int and value == 0]
    added = {option: _stages_with(built, epochs, option) for option in zero}
    return " or ".join(
        f"--system-opt {option}=0" for option in zero if added[option] and name in (None, *added[option])
    )


def _stages_with(built: Built[System], epochs: int, option: str) -> list[str]:
    """Return the names of the stages that have epochs where an option is 1; none where it cannot be 1."""
    try:
        made, _ = build_with_options(built.name, built.offer.spec.build, {**built.options, option: 1})
    except UsageError:
        return []
    with built.blaming():
        return [stage.name for stage in _stated(made, epochs) if stage.epochs]


def _stated(system: System, epochs: int) -> Sequence[Stage]:
    """Return the stages that a system states, also those of no epoch. Raises ``TypeError`` where they are none."""
    stages: object = system.stages(epochs)
    if not isinstance(stages, Sequence) or not all(isinstance(stage, Stage) for stage in stages):
        found = [type(stage).__name__ for stage in stages] if isinstance(stages, Sequence) else type(stages).__name__
        raise TypeError(f"its stages are {found}: expected a list of Stage")
    return stages


class TrainedParts:
    """What of a network a stage trains: its parameters, and the modules that are in training mode.

    Args:
        network: The network, of which any part may be frozen for good.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self._network = network
        self._trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        self._resting: list[torch.nn.Module] = []

    def choose(self, stage: Stage, system: str) -> None:
        """Freeze everything that a stage does not train.

        Args:
            stage: The stage.
            system: The name of the system, for messages.

        Raises:
            UsageError: It names a part that the network does not have, or trains nothing.
        """
        names = [name for name, _ in self._network.named_parameters()]
        parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
        for part in stage.trains:
            if not any(_within(name, part) for name in names):
                raise UsageError(
                    f"the stage '{stage.name}' of '{system}' trains '{part}', and the network has no such part; "
                    f"its parts: {parts}"
                )
        trained = {name for name in self._trainable if any(_within(name, part) for part in stage.trains)}
        if not trained:
            raise UsageError(f"the stage '{stage.name}' of '{system}' trains nothing; the network's parts: {parts}")
        for name, parameter in self._network.named_parameters():
            parameter.requires_grad_(name in trained)
        whole = trained == self._trainable
        self._resting = [] if whole else [each for each in self._network.modules() if _is_frozen(each)]

    def train(self) -> None:
        """Put the network in training mode, but for modules whose parameters are all frozen."""
        self._network.train()
        for module in self._resting:
            module.eval()


def _within(name: str, part: str) -> bool:
    """Return whether a parameter belongs to a part, which is itself, a module that it is in, or the whole network."""
    return not part or name == part or name.startswith(f"{part}.")


def _is_frozen(module: torch.nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


class Given(Mapping[str, Tensor]):
    """Tensors by name, floating ones in float32, converted when they are read.

    One that is not there is an error that says what reads it, and what there is.

    Args:
        tensors: Name -> tensor.
        reader: What reads them, for messages.
        giver: What gives them.
    """

    def __init__(self, tensors: Mapping[str, Tensor], reader: str, giver: str) -> None:
        self._tensors, self._reader, self._giver = tensors, reader, giver

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._tensors:
            known = ", ".join(sorted(self._tensors)) or "nothing"
            raise UsageError(f"{self._reader} reads '{name}', which {self._giver} does not give (it gives {known})")
        found = self._tensors[name]
        return found.float() if found.is_floating_point() else found

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def outputs_of(stage: Stage, network: Any, images: Tensor, labels: Tensor, classes: int) -> Mapping[str, Tensor]:
    """Return what the forward pass of a training step gives, by name.

    That is what the stage's own pass gives, or else the network's training outputs, or else logits and features.

    Args:
        stage: The stage.
        network: The network.
        images: Normalised images (B, 3, H, W).
        labels: Their classes, int64 (B,).
        classes: Number of classes C.

    Raises:
        TypeError: The outputs are no mapping of tensors, or their ``logits`` are not (B, C).
    """
    outputs = _given_by(stage, network, images, labels)
    if not isinstance(outputs, Mapping):
        raise TypeError(f"the forward pass returned {type(outputs).__name__}, expected a mapping: name -> tensor")
    for name, value in outputs.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"the forward pass returned {type(value).__name__} as {name!r}, expected a tensor")
    logits, expected = outputs.get("logits"), (len(images), classes)
    if logits is not None and (logits.shape != expected or not logits.is_floating_point()):
        raise TypeError(
            f"the forward pass returned 'logits' of {described(logits)}, expected floating numbers of shape {expected}"
        )
    return outputs


def _given_by(stage: Stage, network: Any, images: Tensor, labels: Tensor) -> object:
    """Return what the forward pass of a training step gives, whatever that is."""
    if stage.forward is not None:
        return stage.forward(network, images, labels)
    if isinstance(network, Trainable):
        return network.training_outputs(images, labels)
    features = network.forward_features(images)
    return {"features": maps_and_rest(features)[0], "logits": network.forward_head(features)}


def summed(terms: object) -> Tensor:
    """Return the sum of the terms of a loss.

    Raises:
        TypeError: They are no mapping from names to scalars, or none can be differentiated.
        FloatingPointError: The sum is not finite; the message names the terms that are not.
    """
    if not isinstance(terms, Mapping) or not terms:
        found = "no term" if isinstance(terms, Mapping) else type(terms).__name__
        raise TypeError(f"the loss returned {found}, expected a mapping of one term or more")
    for name, term in terms.items():
        if not isinstance(name, str) or not isinstance(term, Tensor) or term.shape != ():
            shape = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
            raise TypeError(f"the term {name!r} of the loss is {shape}, expected a scalar tensor")
    loss: Tensor = reduce(add, terms.values())
    if not loss.isfinite():
        wrong = [name for name, term in terms.items() if not term.isfinite()] if len(terms) > 1 else []
        where = f" (its term {', '.join(wrong)})" if wrong else ""
        raise FloatingPointError(f"the loss became {loss.item()}{where}; a lower learning rate may help")
    if not loss.requires_grad:
        raise TypeError(f"no term of the loss ({', '.join(terms)}) depends on the weights that the stage trains")
    return loss


def group_order(labels: NDArray[np.int64], pairs: int, draws: torch.Generator) -> NDArray[np.int64]:
    """Return an order of images: random, with so many of one class one after another.

    Every image is in it. Where the images of a class cannot be divided so, others of the class fill the last group.

    Args:
        labels: The class of each image, (N,).
        pairs: Images of a class that follow one another.
        draws: The source of randomness.

    Returns:
        Indices, (N,) or a few more.
    """
    if pairs == 1:
        order: NDArray[np.int64] = torch.randperm(len(labels), generator=draws).numpy()
        return order
    groups: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        images = np.flatnonzero(labels == label)
        mixed = images[torch.randperm(len(images), generator=draws).numpy()]
        filled = np.resize(mixed, -(-len(images) // pairs) * pairs)  # repeats the first ones at the end
        groups += list(filled.reshape(-1, pairs))
    shuffled = torch.randperm(len(groups), generator=draws).numpy()
    return np.concatenate([groups[place] for place in shuffled])


class Timetable:
    """How many steps and images the epochs of stages have.

    Args:
        stages: The stages in their order, each with epochs.
        labels: The class of each image, (N,).
        batch_size: Images in a step; what is left at the end of an epoch is left out.
    """

    def __init__(self, stages: Sequence[Stage], labels: NDArray[np.int64], batch_size: int) -> None:
        self.stages = tuple(stages)
        self._counts = np.unique(labels, return_counts=True)[1]
        self._batch_size = batch_size

    @property
    def epochs(self) -> int:
        """Number of epochs of all stages."""
        return self.before(len(self.stages))

    def before(self, number: int) -> int:
        """Return the number of epochs of the stages before one, by its place."""
        return sum(stage.epochs for stage in self.stages[:number])

    def stage_of(self, epoch: int) -> int:
        """Return the place of the stage that an epoch, counted from 1, belongs to."""
        return next(number for number in range(len(self.stages)) if epoch <= self.before(number + 1))

    def steps(self, stage: Stage) -> int:
        """Return the number of steps in an epoch."""
        return max(self._in_order(stage) // self._batch_size, 1)

    def images_per_epoch(self, stage: Stage) -> int:
        """Return the number of images that an epoch uses."""
        return min(self.steps(stage) * self._batch_size, self._in_order(stage))

    def images_seen(self, epochs: int | None = None) -> int:
        """Return the number of images that the first epochs use, or all of them."""
        numbers = range(1, 1 + (self.epochs if epochs is None else epochs))
        return sum(self.images_per_epoch(self.stages[self.stage_of(number)]) for number in numbers)

    def _in_order(self, stage: Stage) -> int:
        """Return how many images `group_order` gives."""
        return int((-(-self._counts // stage.pairs) * stage.pairs).sum())


def check_batches(stages: Sequence[Stage], system: str, batch_size: int) -> None:
    """Refuse a batch that is not made of whole pairs. Raises ``UsageError``."""
    for stage in stages:
        if batch_size % stage.pairs:
            raise UsageError(
                f"the stage '{stage.name}' of '{system}' has {stage.pairs} images of a class one after another, and "
                f"batch_size {batch_size} is no multiple of it; choose one: --recipe-opt batch_size=N"
            )
