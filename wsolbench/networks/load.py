"""Loading of a network from a name and weights: variant, weights, merged branches, device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from pydantic_core import to_json
from torch import Tensor, nn

from wsolbench.contract import BackboneSpec, Checkpoint, Fusable, InputConfig, Pretrained, Reparameterizable
from wsolbench.contract.backbones import class_weights
from wsolbench.contract.inputs import NO_CHANGES, InputChanges, changed_input
from wsolbench.errors import PluginError, UsageError, WeightsError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer, Registry
from wsolbench.host.settings import guarding
from wsolbench.networks.adapt import ModuleSpec
from wsolbench.networks.card import Card, read_card
from wsolbench.networks.claims import (
    Built,
    contradictions,
    is_named,
    named_by_file,
    plain_name,
    size_in_name,
    skipped_input_layers,
    stated_size,
    unused,
)
from wsolbench.networks.configure import backbone_options, configure
from wsolbench.networks.diagnosis import Fit, compare, fits_too, looks_like
from wsolbench.networks.inputs import AskedInput, DecidedInput, decide_input, follow
from wsolbench.networks.network import USUAL, Execution, LoadedNetwork, largest_kernel, stage_kernel
from wsolbench.networks.plain_data import Statement, find_statements, stated_by_entries
from wsolbench.networks.row_names import KnownClasses, find_row_names, names_beside_weights
from wsolbench.networks.shapes import build_network, build_shapes
from wsolbench.networks.taps import tapped_at
from wsolbench.networks.weights import (
    StateDict,
    check_fit,
    check_values,
    convert_entries,
    count_classes,
    difference,
    load_state,
    read_state,
    state_of,
    state_sha256,
)
from wsolbench.networks.weights_file import WeightsFile, read_weights_file
from wsolbench.progress import Reporter
from wsolbench.records import WeightsInfo, network_label

Weights: TypeAlias = Path | Literal["random"] | None
"""The weights that the user asked for: a file or the source of pretrained weights (which of them, the network decides),
``"random"``, or None for the weights that ship with the plugin."""


NO_CLASSIFIER = "they have no classifier, and the network runs without one: it has 0 classes and predicts none"


@dataclass(frozen=True)
class FileSource:
    """A weights file that the user named, read once however many networks it is compared with.

    Args:
        path: The file.
        key: Which state dict of the file; None for the usual one.
    """

    path: Path
    key: str | None = None

    @cached_property
    def file(self) -> WeightsFile:
        """The content. Raises ``WeightsError``."""
        return read_weights_file(self.path)

    def state(self, spec: BackboneSpec) -> StateDict:
        """Return the state dict in a network's own names. Raises ``WeightsError``."""
        return (
            state_of(self.file, spec, self.key) if spec.read_weights is None else read_state(self.path, spec, self.key)
        )


def resolve_backbone(
    registry: Registry,
    name: str,
    dataset: str,
    weights: Weights | FileSource,
    options: Mapping[str, Any] | None = None,
) -> Offer[BackboneSpec]:
    """Return the network of a name; a family resolves to its one variant that has the weights asked for.

    Args:
        registry: The installed plugins.
        name: A variant, a qualified variant, or a family.
        dataset: The data set whose shipped weights count if `weights` is None.
        weights: The weights asked for.
        options: Options that the network is built with: name -> value, or the text that stands for it.

    Raises:
        UnknownNameError: No plugin offers the name, or several do.
        UsageError: No variant of the family has the weights or the options, or several have them.
        WeightsError: The weights file cannot be read.
    """
    variants = registry.networks(name)
    if registry.backbones.find(name):
        return variants[0]
    configured = _configured(name, variants, options or {})
    variants = [variant for variant in variants if variant.qualified_name in configured]
    source = FileSource(weights) if isinstance(weights, Path) else weights
    fitting = [variant for variant in variants if _pretrained(variant.spec, source)]
    if fitting:
        why = f"pretrained weights from '{source.path}' exist for" if isinstance(source, FileSource) else ""
    elif isinstance(source, FileSource):
        fitting = [variant for variant in variants if _fits(configured[variant.qualified_name], source)]
        why = f"the file {source.path} fits"
    else:
        fitting = [variant for variant in variants if shipped_checkpoint(variant.spec, dataset) is not None]
        why = f"weights for the data set '{dataset}' ship with"
    if len(fitting) == 1:
        return fitting[0]
    shown = ", ".join(registry.backbones.shown_name(variant) for variant in fitting or variants)
    count = "more than one variant" if fitting else "no variant"
    raise UsageError(f"'{name}' is a family of networks, and {why} {count} of it; name one: {shown}")


def _configured(
    name: str, variants: Sequence[Offer[BackboneSpec]], options: Mapping[str, Any]
) -> dict[str, Offer[BackboneSpec]]:
    """Return the variants of a family that have the options, with them: which one a file fits depends on both.

    Raises:
        UsageError: No variant has the options, or takes the values.
    """
    configured, problems = {}, []
    for variant in variants:
        try:
            configured[variant.qualified_name] = configure(variant, options)[0]
        except UsageError as error:
            problems.append(str(error))
    if not configured:
        raise UsageError(f"'{name}' is a family of networks, and no variant of it takes the options: {problems[0]}")
    return configured


def _fits(variant: Offer[BackboneSpec], source: FileSource) -> bool:
    """Return whether a weights file has the entries of a variant."""
    if variant.spec.read_weights is None:
        fit = compare(source.file, variant, source.key)
        return fit is not None and not fit.difference
    with blaming(variant.provider, f"building '{variant.spec.name}'"):
        state = source.state(variant.spec)
        network = build_shapes(variant.spec, count_classes(source.path, variant.spec, state.entries))
    return not difference(network, state.entries)


def shipped_checkpoint(spec: BackboneSpec, dataset: str) -> Checkpoint | None:
    """Return the checkpoint for a data set that ships with a network, or None."""
    return next((checkpoint for checkpoint in spec.checkpoints if checkpoint.dataset == dataset), None)


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
    own, provider = offer.spec.input, offer.provider
    if isinstance(offer.spec, ModuleSpec):
        decided = decide_input(offer, changes)
        loaded = _load_object(name, decided.offer, device, execution)
        info = loaded.weights.model_copy(update={"notes": list(decided.warnings)})
        changed = tuple(changed_input(loaded.spec.input, own))
        return _tapped(replace(loaded, weights=info, changed_input=changed, warnings=decided.warnings), tap)
    known = read_weights(offer, dataset, source, chosen)
    said = [] if known is None else statements_of(known, offer, registry)
    decided = input_of_weights(known, said, offer, changes)
    offer, known = decided.offer, at_its_size(known, decided.offer.spec, own)
    spec = offer.spec
    if known is not None:
        with _naming_similar_network(known, offer, registry):
            num_classes = count_classes(known.state.path, spec, known.state.entries)
            if known.source is not None:
                check_fit(known.state, spec, num_classes)
    torch.manual_seed(seed)
    with guarding(provider, f"building '{spec.name}'"):
        module: Any = build_network(spec, num_classes)
        _check_backbone(module)
        parameters = sum(parameter.numel() for parameter in module.parameters())
    info = WeightsInfo(source="random", file=None, sha256=None, notes=list(decided.warnings))
    warnings = decided.warnings
    row_names = None
    if known is not None:
        with _naming_similar_network(known, offer, registry):
            notes = load_state(known.state, spec, module)
        if num_classes == 0:
            notes += (NO_CLASSIFIER,)
            with blaming(provider, f"building '{spec.name}' for 0 classes"):
                _check_without_classifier(module, spec.input.size)
        row_names, misfits = _row_names(known, said, num_classes)
        if row_names is not None and row_names.binding:
            notes += (f"the rows of the head are named by {row_names.source}",)
        against = decided.against if known.asked else ()  # what files say is compared with everything that is known
        known = replace(known, warnings=(*known.warnings, *misfits, *against, *decided.warnings))
        notes += decided.notes
        info, warnings = _with_notes(known, notes, said, offer, num_classes, registry)
    loaded = _prepare(name, offer, module, num_classes, parameters, info, device, execution)
    changed = tuple(changed_input(spec.input, own))
    loaded = replace(loaded, options=chosen, changed_input=changed, warnings=warnings, row_names=row_names)
    return _tapped(loaded, tap)


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


def source_of(weights: Weights, key: str | None) -> FileSource | Literal["random"] | None:
    """Return the weights asked for, with the state dict of the file that is to be taken.

    Raises:
        UsageError: A key is given without a file.
    """
    if isinstance(weights, Path):
        return FileSource(weights, key)
    if key is not None:
        raise UsageError(f"--weights-key {key}: this is for a weights file; add --weights FILE, or omit it")
    return weights


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


def input_of_weights(
    known: KnownWeights | None, said: Sequence[Statement], offer: Offer[BackboneSpec], changes: InputChanges
) -> DecidedInput:
    """Return a network with the input that it gets with weights: as the user, their card or their file says.

    Args:
        known: The weights; None for random ones.
        said: What their file states.
        offer: The network, with its own input.
        changes: What the user says.

    Raises:
        UsageError: The network cannot have this input.
    """
    return _input(None if known is None else known.asked, said, offer, changes)


def input_of_file(file: WeightsFile, offer: Offer[BackboneSpec], changes: InputChanges) -> DecidedInput:
    """Return a network with the input that it gets with a weights file; see `input_of_weights`."""
    card = read_card(file.path, file.sha256)
    said = [*find_statements(file), *names_beside_weights(file.path), *size_in_name(file.path, offer.spec)]
    return _input(_input_on_card(card, offer.spec), said, offer, changes)


def _input(
    asked: AskedInput | None, said: Sequence[Statement], offer: Offer[BackboneSpec], changes: InputChanges
) -> DecidedInput:
    stated = stated_size(said) if asked is None else None
    if stated is not None:
        asked = AskedInput(replace(offer.spec.input, size=stated[0]), stated[1])
        changes = follow(asked, offer, changes)
    return decide_input(offer, changes, asked)


def at_its_size(known: KnownWeights | None, spec: BackboneSpec, own: InputConfig) -> KnownWeights | None:
    """Return weights whose entries fit the size that a network was built for, if that is not its own."""
    if known is None or spec.at_size is None or spec.input.size == own.size:
        return known
    entries = dict(convert_entries(known.state.path, spec, dict(known.state.entries)))
    return replace(known, state=replace(known.state, entries=entries))


def statements_of(known: KnownWeights, offer: Offer[BackboneSpec], registry: Registry) -> list[Statement]:
    """Return what a weights file that the user named states, its name and the descriptions beside it included."""
    if known.source is None or offer.spec.read_weights is not None:
        return []
    zoos = ":" in offer.spec.name  # elsewhere their libraries are not loaded for a name alone
    return [
        *find_statements(known.source.file),
        *stated_by_entries(known.state.beside),
        *names_beside_weights(known.source.path),
        *named_by_file(known.source.path, registry.backbones, zoos=zoos),
        *size_in_name(known.source.path, offer.spec),
    ]


def _row_names(
    known: KnownWeights, said: list[Statement], num_classes: int
) -> tuple[KnownClasses | None, tuple[str, ...]]:
    """Return what the rows of a head are called, by the card of the weights or by their file, and warnings about it."""
    if known.class_names:
        named = len(known.class_names) == num_classes
        return KnownClasses("its training", tuple((name,) for name in known.class_names)) if named else None, ()
    row_names, misfits = find_row_names(said, num_classes)
    return row_names, tuple(misfits)


def _all_options(offer: Offer[BackboneSpec]) -> dict[str, Any]:
    """Return the options of a network with the values that it is built with; none where its plugin cannot list them."""
    try:
        return {option.name: option.default for option in backbone_options(offer) if not option.required}
    except PluginError:
        return {}


def _load_object(name: str, offer: Offer[BackboneSpec], device: torch.device, execution: Execution) -> LoadedNetwork:
    """Return a network that was passed as an object, with its weights."""
    with blaming(offer.provider, f"copying '{offer.name}'"):
        module: Any = offer.spec.build(0)
        classes = _count_logits(module, offer.spec.input.size)
    info = WeightsInfo(source="object", file=None, sha256=state_sha256(module.state_dict()))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return _prepare(name, offer, module, classes, parameters, info, device, execution)


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


def _prepare(
    name: str,
    offer: Offer[BackboneSpec],
    module: Any,
    num_classes: int,
    parameters: int,
    weights: WeightsInfo,
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
        weights=weights,
        device=device,
        execution=execution,
    )


@dataclass(frozen=True)
class KnownWeights:
    """Weights that are not random.

    Args:
        state: The state dict.
        info: Their provenance, for the record.
        source: The file that the user named; None for others.
        warnings: What the user should know about them.
        class_names: What the rows of the head stand for; empty where it is not known.
        asked: The input that they were trained with, as their card says; None without a card.
        partial: Whether they are a part of the network, from which a training starts.
    """

    state: StateDict
    info: WeightsInfo
    source: FileSource | None = None
    warnings: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    asked: AskedInput | None = None
    partial: bool = False


@contextmanager
def _naming_similar_network(known: KnownWeights, offer: Offer[BackboneSpec], registry: Registry) -> Iterator[None]:
    """Add to an error about a file of another network which network it belongs to, or how to find out."""
    try:
        yield
    except WeightsError as error:
        taken = f" ({'; '.join(known.state.notes)})" if known.state.notes else ""
        hint = ""
        if _starts(offer.spec, known.state.entries):
            hint = f"; a training can start from it: wsolbench train --backbone {offer.name} --weights FILE"
        elif known.source is not None and offer.spec.read_weights is None and "the entry" not in str(error):
            hint = looks_like(known.source.file, list(registry.backbones), offer, known.source.key)
        raise WeightsError(f"{error}{taken}{hint}") from error


def _starts(spec: BackboneSpec, entries: Mapping[str, Tensor]) -> bool:
    """Return whether a training of a network can start from weights of another form."""
    try:
        return spec.start_weights is not None and bool(spec.start_weights(entries))
    except Exception:  # whatever a plugin raises about entries that it does not know
        return False


def read_weights(
    offer: Offer[BackboneSpec],
    dataset: str,
    weights: FileSource | Literal["random"] | None,
    options: Mapping[str, Any],
) -> KnownWeights | None:
    """Read the weights asked for, from a file or from their source; return None for random weights.

    Args:
        offer: The network.
        dataset: The data set whose shipped weights are read if `weights` is None.
        weights: The weights asked for.
        options: The network's options, which a card may contradict.

    Raises:
        UsageError: No weights ship for the data set, or a key is given for weights that are no file.
        WeightsError: The weights cannot be read.
        PluginError: The plugin's code fails.
    """
    spec = offer.spec
    if weights == "random":
        return None
    pretrained = _pretrained(spec, weights)
    if pretrained is not None:
        if isinstance(weights, FileSource) and weights.key is not None:
            raise UsageError(f"--weights-key {weights.key}: this is for a weights file, and {pretrained} is none")
        with blaming(offer.provider, f"fetching weights for '{spec.name}'"):
            entries = dict(pretrained.fetch())
        fetched = StateDict(Path(str(pretrained)), entries)
        check_values(fetched)
        return KnownWeights(
            fetched, WeightsInfo(source="pretrained", file=str(pretrained), sha256=state_sha256(entries))
        )
    source = weights if isinstance(weights, FileSource) else FileSource(_shipped_file(spec, dataset))
    with blaming(offer.provider, f"reading weights for '{spec.name}'"):
        state = source.state(spec)
        check_values(state)  # now, since building the network can take longer than reading its weights
    card = read_card(state.path, state.sha256)
    warnings = _of_another_network(card, spec, options)
    info = WeightsInfo(
        source="file" if weights else "shipped",
        file=state.path.name,
        sha256=state.sha256,
        key=state.key,
        training=card.training if card else None,
        notes=[*state.notes, *warnings],
    )
    class_names = tuple(card.class_names) if card else ()
    asked = _input_on_card(card, spec)
    return KnownWeights(state, info, source if weights else None, warnings, class_names, asked)


def _input_on_card(card: Card | None, spec: BackboneSpec) -> AskedInput | None:
    """Return the input that weights were trained with, if they have a card of this network."""
    if card is None or plain_name(card.backbone) != plain_name(spec.name):
        return None
    trained = card.preprocessing
    return AskedInput(spec.input if trained is None else InputConfig(**trained.model_dump()), "their card")


def _of_another_network(card: Card | None, spec: BackboneSpec, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a warning if the card of weights names another network, or the same with other options."""
    if card is None:
        return ()
    theirs, ours = network_label(card.backbone, card.backbone_options), network_label(spec.name, options)
    if plain_name(card.backbone) == plain_name(spec.name) and to_json(card.backbone_options) == to_json(options):
        return ()
    return (f"by their card the weights are those of '{theirs}'; they are loaded into '{ours}'",)


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


def _pretrained(spec: BackboneSpec, weights: FileSource | Literal["random"] | None) -> Pretrained | None:
    """Return a network's pretrained weights if `weights` names their source, otherwise None."""
    named = weights.path if isinstance(weights, FileSource) else None
    return spec.pretrained if spec.pretrained is not None and named == Path(spec.pretrained.source) else None


def _shipped_file(spec: BackboneSpec, dataset: str) -> Path:
    checkpoint = shipped_checkpoint(spec, dataset)
    if checkpoint is None:
        fetched = f", --weights {spec.pretrained.source}" if spec.pretrained else ""
        raise UsageError(
            f"'{spec.name}' ships no weights for the data set '{dataset}'; "
            f"pass --weights FILE{fetched} or --weights random"
        )
    return checkpoint.path


def _check_backbone(module: object) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got {type(module).__name__}")
    missing = [name for name in ("forward_features", "forward_head") if not hasattr(module, name)]
    if missing:
        raise TypeError(f"{type(module).__name__} has no {' and no '.join(missing)}")
