"""Loading of a network: built, its weights loaded, its branches merged, on its device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.contract import BackboneSpec, Fusable, Reparameterizable
from wsolbench.contract.backbones import class_weights
from wsolbench.contract.inputs import NO_CHANGES, InputChanges, changed_input
from wsolbench.errors import PluginError, UsageError, WeightsError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer, Registry
from wsolbench.host.settings import guarding
from wsolbench.networks.adapt import ModuleSpec
from wsolbench.networks.claims import (
    Built,
    contradictions,
    is_named,
    skipped_input_layers,
    unused,
)
from wsolbench.networks.configure import backbone_options, configure
from wsolbench.networks.diagnosis import Fit, fits_too, looks_like, said_by_card
from wsolbench.networks.inputs import DecidedInput, decide_input
from wsolbench.networks.known_weights import (
    KnownWeights,
    Weights,
    at_its_size,
    input_of_weights,
    read_weights,
    source_of,
    statements_of,
    told_of_systems,
)
from wsolbench.networks.network import USUAL, Execution, LoadedNetwork, largest_kernel, stage_kernel
from wsolbench.networks.plain_data import Statement
from wsolbench.networks.resolve import resolve_backbone
from wsolbench.networks.row_names import KnownClasses, find_row_names
from wsolbench.networks.shapes import build_network
from wsolbench.networks.taps import tapped_at
from wsolbench.networks.weights import (
    check_fit,
    count_classes,
    load_state,
    state_sha256,
)
from wsolbench.progress import Reporter
from wsolbench.records import WeightsInfo

NO_CLASSIFIER = "they have no classifier, and the network runs without one: it has 0 classes and predicts none"


def load_network(
    registry: Registry,
    name: str,
    *,
    dataset: str,
    num_classes: int,
    weights: Weights,
    device: torch.device,
    seed: int,
    execution: Execution = USUAL,
    weights_key: str | None = None,
    options: Mapping[str, Any] | None = None,
    tap: str | None = None,
    changes: InputChanges = NO_CHANGES,
) -> LoadedNetwork:
    """Build a network, load its weights, merge its branches, fuse its norms, and put it on its device in eval mode.

    Args:
        registry: The installed plugins.
        name: A variant, a qualified variant, or a family; perhaps with the size of its input, as in `Registry.sized`.
        dataset: The data set whose shipped weights are loaded if `weights` is None.
        num_classes: Number of classes for random weights; other weights determine it themselves.
        weights: A file, a source of pretrained weights, ``"random"``, or None for shipped weights.
        device: Where the network runs.
        seed: Seed of random weights.
        execution: How the features are computed.
        weights_key: Which state dict of a weights file is loaded; None for the usual one.
        options: Options of the network: name -> value, or the text that stands for it.
        tap: The layer whose maps are the features; None for those that the network itself offers.
        changes: What is to be different in its input, from what the weights and the network itself say.

    Raises:
        UsageError: The name cannot be resolved, no weights ship for the data set, or the network has no such option or
            tap, or cannot have the input.
        WeightsError: The weights cannot be read or do not fit.
        PluginError: The plugin's code fails.
    """
    source = source_of(weights, weights_key)
    plain, size = registry.sized(name)
    changes = changes.sized(size, name)
    offer, chosen = configure(resolve_backbone(registry, plain, dataset, source, options), options or {})
    own = offer.spec.input
    if isinstance(offer.spec, ModuleSpec):
        loaded = _load_object(name, offer, changes, device, execution)
    else:
        known = read_weights(offer, dataset, source, chosen)
        known = None if known is None else told_of_systems(known, offer.spec)
        said = [] if known is None else statements_of(known, offer, registry)
        decided = input_of_weights(known, said, offer, changes)
        offer, known = decided.offer, at_its_size(known, decided.offer.spec, own)
        if known is not None:
            num_classes = _count_fitting_classes(known, offer, registry)
        module = _build(offer, num_classes, seed)
        parameters = sum(parameter.numel() for parameter in module.parameters())
        if known is None:
            info = WeightsInfo(source="random", file=None, sha256=None, notes=list(decided.warnings))
            origin = _Origin(info, decided.warnings)
        else:
            origin = _load_known(module, known, said, decided, num_classes, registry)
        loaded = _prepare(name, offer, module, num_classes, parameters, origin, device, execution)
    changed = tuple(changed_input(loaded.spec.input, own))
    return _tapped(replace(loaded, options=chosen, changed_input=changed), tap)


@dataclass(frozen=True)
class _Origin:
    """Where the weights in a network come from, what the user should know, and what the rows of the head are called."""

    info: WeightsInfo
    warnings: tuple[str, ...] = ()
    row_names: KnownClasses | None = None


def _count_fitting_classes(known: KnownWeights, offer: Offer[BackboneSpec], registry: Registry) -> int:
    """Return the number of classes of weights, and refuse those of another network before it is built."""
    with _naming_similar_network(known, offer, registry):
        num_classes = count_classes(known.state.path, offer.spec, known.state.entries)
        if known.source is not None:
            check_fit(known.state, offer.spec, num_classes)
    return num_classes


def _build(offer: Offer[BackboneSpec], num_classes: int, seed: int) -> Any:
    """Build a network with random weights; loaded ones replace them."""
    torch.manual_seed(seed)
    with guarding(offer.provider, f"building '{offer.spec.name}'"):
        module = build_network(offer.spec, num_classes)
        _check_backbone(module)
    return module


def _load_known(
    module: Any,
    known: KnownWeights,
    said: list[Statement],
    decided: DecidedInput,
    num_classes: int,
    registry: Registry,
) -> _Origin:
    """Load weights into a network, and return what is known about them.

    Args:
        module: The network, built for the number of classes.
        known: The weights.
        said: What their file states.
        decided: The input that the network gets.
        num_classes: Number of classes of the weights.
        registry: The installed plugins.

    Raises:
        WeightsError: The weights do not fit.
    """
    offer = decided.offer
    with _naming_similar_network(known, offer, registry):
        notes = load_state(known.state, offer.spec, module)
    if num_classes == 0:
        notes += (NO_CLASSIFIER,)
        with blaming(offer.provider, f"building '{offer.spec.name}' for 0 classes"):
            _check_without_classifier(module, offer.spec.input.size)
    row_names, misfits = _row_names(known, said, num_classes)
    if row_names is not None and row_names.binding:
        notes += (f"the rows of the head are named by {row_names.source}",)
    against = decided.against if known.asked else ()  # what files say is compared with everything that is known
    known = replace(known, warnings=(*known.warnings, *misfits, *against, *decided.warnings))
    info, warnings = _with_notes(known, notes + decided.notes, said, offer, num_classes, registry)
    return _Origin(info, warnings, row_names)


def _load_object(
    name: str, offer: Offer[BackboneSpec], changes: InputChanges, device: torch.device, execution: Execution
) -> LoadedNetwork:
    """Return a network that was passed as an object, with its weights."""
    decided = decide_input(offer, changes)
    offer = decided.offer
    with blaming(offer.provider, f"copying '{offer.name}'"):
        module: Any = offer.spec.build(0)
        classes = _count_logits(module, offer.spec.input.size)
    sha256 = state_sha256(module.state_dict())
    info = WeightsInfo(source="object", file=None, sha256=sha256, notes=list(decided.warnings))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    origin = _Origin(info, decided.warnings)
    return _prepare(name, offer, module, classes, parameters, origin, device, execution)


def _prepare(
    name: str,
    offer: Offer[BackboneSpec],
    module: Any,
    num_classes: int,
    parameters: int,
    origin: _Origin,
    device: torch.device,
    execution: Execution,
) -> LoadedNetwork:
    """Merge the branches of a network, fuse its norms, and put it on its device in eval mode."""
    with guarding(offer.provider, f"preparing '{offer.name}'"):
        reparameterized = isinstance(module, Reparameterizable)
        if reparameterized:
            module.eval().reparameterize()
        if isinstance(module, Fusable):
            module.fuse()
        module = module.eval().requires_grad_(False).to(device=device, memory_format=torch.channels_last)
    return LoadedNetwork(
        requested=name,
        offer=offer,
        module=module,
        num_classes=num_classes,
        parameters=parameters,
        largest_kernel=largest_kernel(module),
        stage_kernel=stage_kernel(module),
        reparameterized=reparameterized,
        weights=origin.info,
        device=device,
        execution=execution,
        warnings=origin.warnings,
        row_names=origin.row_names,
    )


def _tapped(network: LoadedNetwork, tap: str | None) -> LoadedNetwork:
    """Return a network whose features are those of a tap.

    Raises:
        UsageError: The network has no such tap, or is compiled.
    """
    if tap is None:
        return network
    if network.execution.compiled:
        raise UsageError(f"--compile: a network tapped at '{tap}' is not compiled; omit --compile")
    size, called = network.spec.input.size, network.spec.name
    with guarding(network.offer.provider, f"tapping '{called}' at '{tap}'"):
        return replace(network, module=tapped_at(network.module, tap, size=size, called=called), tap=tap)


def _row_names(
    known: KnownWeights, said: list[Statement], num_classes: int
) -> tuple[KnownClasses | None, tuple[str, ...]]:
    """Return what the rows of a head are called, by the card of the weights or by their file, and warnings about it."""
    if known.class_names:
        named = len(known.class_names) == num_classes
        return KnownClasses("its training", tuple((name,) for name in known.class_names)) if named else None, ()
    row_names, misfits = find_row_names(said, num_classes)
    return row_names, tuple(misfits)


def _with_notes(
    known: KnownWeights,
    notes: tuple[str, ...],
    said: list[Statement],
    offer: Offer[BackboneSpec],
    num_classes: int,
    registry: Registry,
) -> tuple[WeightsInfo, tuple[str, ...]]:
    """Return the provenance with all that was noticed, and those of the notes that are warnings."""
    warnings = known.warnings + tuple(skipped_input_layers(known.state.beside))
    if said:
        built = Built(offer.spec, num_classes, _all_options(offer))
        warnings += tuple(contradictions(said, built, registry.backbones))
        notes += tuple(unused(said, built))
    named = is_named(said, offer.spec)
    if known.source is not None and known.info.training is None and offer.spec.read_weights is None and not named:
        others = fits_too(known.source.file, registry.backbones, offer, known.source.key)
        warnings += (_ambiguity(offer, others),) if others else ()
    return known.info.model_copy(update={"notes": [*known.state.notes, *notes, *warnings]}), warnings


def _all_options(offer: Offer[BackboneSpec]) -> dict[str, Any]:
    """Return the options of a network with the values that it is built with; none where its plugin cannot list them."""
    try:
        return {option.name: option.default for option in backbone_options(offer) if not option.required}
    except PluginError:
        return {}


def _ambiguity(offer: Offer[BackboneSpec], others: list[Fit]) -> str:
    """Return a warning that weights fit several networks, which differ in what no entry shows."""
    names = ", ".join(f"'{fit.offer.name}' ({_form(fit)})" for fit in others)
    which = "networks" if offer.spec.family is None else f"variants of '{offer.spec.family}'"
    told = f"the weights fit other {which} just as well: {names}; padding or preprocessing differ"
    return f"{told}, and no entry shows which: make sure that they are those of '{offer.name}'"


def _form(fit: Fit) -> str:
    size = fit.offer.spec.input.size
    maps = "×".join(map(str, fit.map_size)) if fit.map_size else "?"
    return f"{maps} maps at {size} pixels"


@contextmanager
def _naming_similar_network(known: KnownWeights, offer: Offer[BackboneSpec], registry: Registry) -> Iterator[None]:
    """Add to an error about a file of another network which network it belongs to, or how to find out."""
    try:
        yield
    except WeightsError as error:
        taken = f" ({'; '.join(known.state.notes)})" if known.state.notes else ""
        hint = "" if known.source is None else said_by_card(known.source.file, offer)
        if not hint and _starts(offer.spec, known.state.entries):
            hint = f"; a training can start from it: wsolbench train --backbone {offer.name} --weights FILE"
        elif (
            not hint and known.source is not None and offer.spec.read_weights is None and "the entry" not in str(error)
        ):
            hint = looks_like(known.source.file, list(registry.backbones), offer, known.source.key)
        raise WeightsError(f"{error}{taken}{hint}") from error


def _starts(spec: BackboneSpec, entries: Mapping[str, Tensor]) -> bool:
    """Return whether a training of a network can start from weights of another form."""
    try:
        return spec.start_weights is not None and bool(spec.start_weights(entries))
    except Exception:  # whatever a plugin raises about entries that it does not know
        return False


def _check_without_classifier(module: Any, size: int) -> None:
    """Refuse a network for 0 classes that has class scores all the same, such as its pooled features."""
    count = _count_logits(module.eval(), size)
    if count:
        raise TypeError(f"forward_head returned (1, {count}), expected (1, 0)")


@torch.no_grad()
def _count_logits(module: Any, size: int) -> int:
    weights = class_weights(module)
    if weights is not None:
        return len(weights)
    parameter = next(module.parameters(), torch.empty(0))
    blank = torch.zeros(1, 3, size, size, device=parameter.device)
    return int(module.forward_head(module.forward_features(blank)).shape[1])


def _check_backbone(module: object) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got {type(module).__name__}")
    missing = [name for name in ("forward_features", "forward_head") if not hasattr(module, name)]
    if missing:
        raise TypeError(f"{type(module).__name__} has no {' and no '.join(missing)}")


def report_weights(weights: WeightsInfo, warnings: Sequence[str], reporter: Reporter) -> None:
    """Say what was decided while weights were read, and warn of what contradicts them.

    Args:
        weights: The weights, with all notes.
        warnings: Those of the notes that are warnings.
        reporter: Shows them.
    """
    for note in weights.notes:
        if note in warnings:
            reporter.warn(note)
        else:
            reporter.remark(f"weights {weights.file}: {note}")
