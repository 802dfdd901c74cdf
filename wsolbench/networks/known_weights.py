"""Weights that are not random: read from a file or from where a plugin fetches them, with what they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic_core import to_json

from wsolbench.contract import BackboneSpec, Checkpoint, InputConfig, Pretrained
from wsolbench.contract.inputs import InputChanges
from wsolbench.errors import UsageError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer, Registry
from wsolbench.networks.card import Card, read_card
from wsolbench.networks.claims import stated_size
from wsolbench.networks.entry_names import some
from wsolbench.networks.inputs import AskedInput, DecidedInput, decide_input, follow
from wsolbench.networks.network_names import named_by_file, plain_name, size_in_name
from wsolbench.networks.plain_data import Statement, find_statements, stated_by_entries
from wsolbench.networks.row_names import names_beside_weights
from wsolbench.networks.weights import (
    StateDict,
    check_values,
    convert_entries,
    read_state,
    state_of,
    state_sha256,
)
from wsolbench.networks.weights_file import WeightsFile, read_weights_file
from wsolbench.records import WeightsInfo, network_label

Weights: TypeAlias = Path | Literal["random"] | None
"""The weights that the user asked for: a file or the source of pretrained weights (which of them, the network decides),
``"random"``, or None for the weights that ship with the plugin."""


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
    pretrained = pretrained_of(spec, weights)
    if pretrained is not None:
        if isinstance(weights, FileSource) and weights.key is not None:
            raise UsageError(f"--weights-key {weights.key}: this is for a weights file, and {pretrained} is none")
        with blaming(offer.provider, f"fetching weights for '{spec.name}'"):
            entries = dict(pretrained.fetch())
        fetched = StateDict(Path(str(pretrained)), entries)
        check_values(fetched)
        info = WeightsInfo(source="pretrained", file=str(pretrained), sha256=state_sha256(entries))
        return KnownWeights(fetched, info)
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


def told_of_systems(known: KnownWeights, spec: BackboneSpec) -> KnownWeights:
    """Return weights with a warning where the system of the network, or its lack of one, did not train them.

    What nobody says of the weights is not warned of.
    """
    training = known.info.training
    if training is None and known.info.source != "pretrained":
        return known
    system = None if training is None or training.system is None else training.system.name
    if system == spec.system:
        return known
    by = "trained without a system" if system is None else f"trained by the system '{system}'"
    plain = spec.name.removeprefix(f"{spec.system}:")
    name = plain if system is None else f"{system}:{plain}"
    warning = f"the weights were {by}, and run as '{spec.name}': the name of their network is '{name}'"
    info = known.info.model_copy(update={"notes": [*known.info.notes, warning]})
    return replace(known, info=info, warnings=(*known.warnings, warning))


def shipped_checkpoint(spec: BackboneSpec, dataset: str) -> Checkpoint | None:
    """Return the checkpoint for a data set that ships with a network, or None."""
    return next((checkpoint for checkpoint in spec.checkpoints if checkpoint.dataset == dataset), None)


def _shipped_file(spec: BackboneSpec, dataset: str) -> Path:
    checkpoint = shipped_checkpoint(spec, dataset)
    if checkpoint is None:
        fetched = f", --weights {spec.pretrained.source}" if spec.pretrained else ""
        raise UsageError(
            f"'{spec.name}' ships no weights for the data set '{dataset}'; "
            f"pass --weights FILE{fetched} or --weights random"
        )
    return checkpoint.path


def pretrained_of(spec: BackboneSpec, weights: FileSource | Literal["random"] | None) -> Pretrained | None:
    """Return a network's pretrained weights if `weights` names their source, otherwise None."""
    named = weights.path if isinstance(weights, FileSource) else None
    return spec.pretrained if spec.pretrained is not None and named == Path(spec.pretrained.source) else None


def at_its_size(known: KnownWeights | None, spec: BackboneSpec, own: InputConfig) -> KnownWeights | None:
    """Return weights whose entries fit the size that a network was built for, if that is not its own.

    Their notes name the entries that are resized for it.
    """
    if known is None or spec.at_size is None or spec.input.size == own.size:
        return known
    before = known.state.entries
    entries = dict(convert_entries(known.state.path, spec, dict(before)))
    resized = [name for name in entries if name in before and entries[name].shape != before[name].shape]
    notes = [f"resized for images of {spec.input.size} pixels: {some(resized)}"] if resized else []
    return replace(
        known,
        state=replace(known.state, entries=entries, notes=(*known.state.notes, *notes)),
        info=known.info.model_copy(update={"notes": [*known.info.notes, *notes]}),
    )


def statements_of(known: KnownWeights, offer: Offer[BackboneSpec], registry: Registry) -> list[Statement]:
    """Return what a weights file that the user named states, its name and the descriptions beside it included."""
    if known.source is None or offer.spec.read_weights is not None:
        return []
    zoos = offer.spec.is_of_a_zoo  # elsewhere their libraries are not loaded for a name alone
    return [
        *find_statements(known.source.file),
        *stated_by_entries(known.state.beside),
        *names_beside_weights(known.source.path),
        *named_by_file(known.source.path, registry.backbones, zoos=zoos),
        *size_in_name(known.source.path, offer.spec),
    ]


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
