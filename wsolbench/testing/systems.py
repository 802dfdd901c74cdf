"""The rules of systems, checked on a network that they train: a small one with three taps, or one that is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.contract import BackboneSpec, InputConfig, Localizing, Stage, SystemSpec, Trainable, TrainingStep
from wsolbench.contract.options import list_options
from wsolbench.contract.systems import BOXES, check_boxes, served
from wsolbench.errors import UsageError
from wsolbench.testing.backbones import check_backbone_localizes
from wsolbench.testing.expectations import expect, expect_finite, seeded, skip
from wsolbench.testing.options import check_options
from wsolbench.testing.process import expect_process_kept
from wsolbench.testing.toys import CLASSES, DeepToy

__all__ = [
    "SYSTEM_CHECKS",
    "SYSTEM_NETWORK_CHECKS",
    "TOY",
    "check_system_classifies",
    "check_system_localizes",
    "check_system_network",
    "check_system_process",
    "check_system_stages",
    "check_system_targets",
    "check_system_trains",
]

TOY = BackboneSpec("toy", lambda num_classes: DeepToy(classes=num_classes), InputConfig(size=32), "wsolbench")
_BATCH = 6


def check_system_stages(spec: SystemSpec) -> None:
    """For recipes of any length there are stages with names of their own and epochs, and each trains something.

    A stage stands behind the one that it goes on from.
    """
    for epochs in (1, 2, 12, 100):
        stages: object = spec.build().stages(epochs)
        is_list = isinstance(stages, Sequence) and all(isinstance(stage, Stage) for stage in stages)
        assert is_list, f"stages, with epochs={epochs}: expected a list of Stage, got {stages!r}"
        assert isinstance(stages, Sequence)
        names = [stage.name for stage in stages]
        expect(f"names of the stages of {epochs} epochs", list(dict.fromkeys(names)), names)
        assert sum(stage.epochs for stage in stages) > 0, f"stages of {epochs} epochs: expected epochs, got none"
        for place, stage in enumerate(stages):
            late = stage.after in names[place:]
            assert not late, f"the stage '{stage.name}': expected '{stage.after}' before it, which it goes on from"
            assert stage.epochs >= 0, f"epochs of '{stage.name}': expected 0 or more, got {stage.epochs}"
            assert stage.pairs >= 1, f"pairs of '{stage.name}': expected 1 or more, got {stage.pairs}"
            assert stage.trains, f"'{stage.name}': expected parts that it trains, got none"


def check_system_network(spec: SystemSpec, base: BackboneSpec = TOY) -> None:
    """Its network keeps the options and the input of the one that it is made of, and ships no weights of that."""
    made = _network(spec, base)
    expect("options of the network", list_options(base.build), list_options(made.build))
    expect("input of the network", base.input, made.input)
    expect("shipped weights", (), tuple(made.checkpoints))
    network = _built(made)
    if spec.method == "native":
        assert isinstance(network, Localizing), "method 'native': expected a network with 'localize', got one without"
    entry = network.state_dict().get(made.classifier_key)
    assert entry is not None, f"classifier key: expected an entry of the network, got '{made.classifier_key}'"
    expect(f"first dimension of '{made.classifier_key}'", CLASSES, len(entry))


def check_system_classifies(spec: SystemSpec, base: BackboneSpec = TOY) -> None:
    """In eval mode its network gives finite logits, which do not depend on the rest of the batch."""
    made = _network(spec, base)
    network, (images, _) = _built(made).eval(), _batch(made.input.size)
    with torch.no_grad():
        logits = network.forward_head(network.forward_features(images))
        first = network.forward_head(network.forward_features(images[:1]))
    expect("shape of the logits", (_BATCH, CLASSES), tuple(logits.shape))
    expect_finite("logits", logits)
    assert torch.allclose(logits[:1], first, atol=1e-5), "logits of one image: expected those in a batch, got others"


def check_system_localizes(spec: SystemSpec, base: BackboneSpec = TOY) -> None:
    """Maps or boxes that its network makes, if it does, are finite, of each image, the same alone and in a batch."""
    check_backbone_localizes(_network(spec, base))


def check_system_targets(spec: SystemSpec, base: BackboneSpec = TOY) -> None:
    """Per-image targets are tensors with a row for every image, under the same names; boxes have four numbers."""
    made = _network(spec, base)
    with_targets = [stage for stage in spec.build().stages(8) if stage.targets is not None]
    if not with_targets:
        skip("no stage has per-image targets")
    for stage in with_targets:
        for name, values in _targets(stage, _built(made), made.input.size).items():
            expect(f"targets '{name}' of '{stage.name}'", 2 * _BATCH, len(values))
            if name == BOXES:
                _check_boxes(values, stage)


def check_system_trains(spec: SystemSpec, base: BackboneSpec = TOY) -> None:
    """In each stage the terms of the loss are finite scalars, and steps change what is trained.

    The steps of an epoch have the same terms; those of a warm-up may lack some. The network stays in training mode.
    """
    made = _network(spec, base)
    with seeded():
        network: Any = _built(made)
        for stage in spec.build().stages(8):
            _check_stage(stage, network, made.input.size)


def check_system_process(spec: SystemSpec, base: BackboneSpec = TOY) -> None:
    """A step of each stage leaves seeds, threads and settings of the process, and prints nothing to stdout."""
    made = _network(spec, base)

    def act() -> None:
        network: Any = made.build(CLASSES)
        for stage in spec.build().stages(8):
            if stage.begin is not None:
                with torch.no_grad():
                    stage.begin(network)
            prepared = {} if stage.targets is None else _targets(stage, network, made.input.size)
            stage.loss(_step(stage, network.train(), prepared, 1, made.input.size))

    expect_process_kept(act)


SYSTEM_CHECKS: tuple[Callable[[SystemSpec], None], ...] = (check_system_stages, check_options)
"""The checks that need no network."""

SYSTEM_NETWORK_CHECKS: tuple[Callable[[SystemSpec, BackboneSpec], None], ...] = (
    check_system_network,
    check_system_classifies,
    check_system_localizes,
    check_system_targets,
    check_system_trains,
    check_system_process,
)
"""Those of the network that a system makes of another one."""


def _check_stage(stage: Stage, network: Any, size: int) -> None:
    if stage.begin is not None:
        with torch.no_grad():
            stage.begin(network)
    prepared = {} if stage.targets is None else _targets(stage, network, size)
    named = dict(network.named_parameters())
    trained = {
        name: parameter
        for name, parameter in named.items()
        if any(not part or name == part or name.startswith(f"{part}.") for part in stage.trains)
    }
    assert trained, f"'{stage.name}' trains {', '.join(stage.trains)}: expected parts of the network, got none"
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    optimizer = torch.optim.SGD(trained.values(), lr=0.1)
    names: dict[int, list[str]] = {}
    for epoch in (1, 1, stage.epochs or 1, stage.epochs or 1):
        step = _step(stage, network.train(), prepared, epoch, size)
        training = [module for module in network.modules() if module.training]
        terms = stage.loss(step)
        assert all(module.training for module in training), (
            f"the network after the loss of '{stage.name}': expected training mode as before, got eval mode"
        )
        assert isinstance(terms, Mapping), (
            f"the loss of '{stage.name}': expected terms by name, got {type(terms).__name__}"
        )
        assert any(term.requires_grad for term in terms.values()), (
            f"terms of '{stage.name}': expected one that depends on what it trains, got {', '.join(terms) or 'none'}"
        )
        for name, term in terms.items():
            expect(f"shape of the term '{name}' of '{stage.name}'", (), tuple(term.shape))
            expect_finite(f"the term '{name}' of '{stage.name}'", term)
        expect(f"terms of '{stage.name}' in epoch {epoch}", names.setdefault(epoch, sorted(terms)), sorted(terms))
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    changed = any(not torch.equal(before[name], parameter) for name, parameter in trained.items())
    assert changed, f"what '{stage.name}' trains: expected a change after four steps, got none"


def _check_boxes(values: Tensor, stage: Stage) -> None:
    try:
        check_boxes(values)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"'{stage.name}': {error}") from error


class _Given(dict[str, Tensor]):
    """Tensors by name; one that is not there is a fault that names those that are."""

    def __init__(self, tensors: Mapping[str, Tensor], reader: str) -> None:
        super().__init__(tensors)
        self._reader = reader

    def __missing__(self, name: str) -> Tensor:
        there = f"one of {', '.join(sorted(self))}" if self else "nothing"
        raise AssertionError(f"{self._reader}: expected {there}, got '{name}'")


def _step(stage: Stage, network: Any, prepared: Mapping[str, Tensor], epoch: int, size: int) -> TrainingStep:
    images, labels = _batch(size)
    if stage.forward is not None:
        outputs = stage.forward(network, images, labels)
    elif isinstance(network, Trainable):
        outputs = network.training_outputs(images, labels)
    else:
        features = network.forward_features(images)
        outputs = {"features": features, "logits": network.forward_head(features)}
    return TrainingStep(
        network=network,
        images=images,
        labels=labels,
        targets=labels,
        outputs=_Given(outputs, f"what the loss of '{stage.name}' reads of the outputs"),
        prepared=_Given(
            {name: values[:_BATCH] for name, values in prepared.items()},
            f"what the loss of '{stage.name}' reads of the targets",
        ),
        epoch=epoch,
        epochs=max(stage.epochs, epoch),
        generator=torch.Generator().manual_seed(0),
        recipe_loss=F.cross_entropy,
    )


class _TwoBatches:
    """Two batches of images, as `TargetImages`."""

    def __init__(self, network: nn.Module, size: int) -> None:
        self.network, self._size = network.eval(), size

    def at_size(self, size: int) -> _TwoBatches:
        """Return the same images with another side."""
        return _TwoBatches(self.network, size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from (_batch(self._size), _batch(self._size))

    def __len__(self) -> int:
        return 2 * _BATCH


def _targets(stage: Stage, network: Any, size: int) -> dict[str, Tensor]:
    assert stage.targets is not None
    with torch.no_grad():
        made: Iterable[Mapping[str, Tensor]] = list(stage.targets(_TwoBatches(network, size)))
    names = [sorted(batch) for batch in made]
    expect(f"names of the targets of '{stage.name}'", names[:1] * len(names), names)
    for name in names[0]:
        forms = [(batch[name].dtype, tuple(batch[name].shape[1:])) for batch in made]
        expect(f"types and shapes of the targets '{name}' of '{stage.name}'", forms[:1] * len(forms), forms)
    return {name: torch.cat([batch[name] for batch in made]) for name in names[0]}


def _network(spec: SystemSpec, base: BackboneSpec) -> BackboneSpec:
    """Return the network that a system makes of another one.

    Raises:
        AssertionError: It refuses that.
    """
    try:
        made = served(spec, base)
        _built(made)
    except UsageError as error:
        raise AssertionError(
            f"system '{spec.name}': expected a network that it trains, but it refuses '{base.name}' ({error}); "
            "name one that it serves: conformance_checks(spec, base=...)"
        ) from error
    return made


def _built(spec: BackboneSpec) -> Any:
    with seeded():
        return spec.build(CLASSES)


def _batch(size: int) -> tuple[Tensor, Tensor]:
    with seeded():
        return torch.randn(_BATCH, 3, size, size), torch.arange(_BATCH) // 2 % CLASSES
