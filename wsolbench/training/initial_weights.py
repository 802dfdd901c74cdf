"""Initial weights of a training, from a file or pretrained; their classifier is left out if the classes differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from wsolbench.contract import BackboneSpec
from wsolbench.contract.inputs import InputChanges
from wsolbench.contract.systems import rebuilt
from wsolbench.errors import UsageError, WeightsError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer, Registry
from wsolbench.networks.entry_names import is_counter, some
from wsolbench.networks.inputs import DecidedInput, decide_input
from wsolbench.networks.known_weights import (
    KnownWeights,
    at_its_size,
    input_of_weights,
    read_weights,
    source_of,
    statements_of,
)
from wsolbench.networks.shapes import build_shapes
from wsolbench.networks.weights import check_fit, count_classes, load_state


def read_initial_weights(offer: Offer[BackboneSpec], weights: Path, key: str | None = None) -> KnownWeights:
    """Read a weights file, or download the network's pretrained weights if `weights` is their source.

    Args:
        offer: The network.
        weights: The file, or the source of pretrained weights, such as ``timm``.
        key: Which state dict of the file; None for the usual one.

    Raises:
        UsageError: `weights` is ``random``, which is the default and not a file.
        WeightsError: The weights cannot be read or downloaded.
    """
    _check_source(offer.spec, weights)
    known = read_weights(offer, "", source_of(weights, key), {})
    assert known is not None
    return known


def _check_source(spec: BackboneSpec, weights: Path) -> None:
    """Check that `weights` is a file or the source of the network's pretrained weights."""
    source = spec.pretrained.source if spec.pretrained else None
    if weights.exists() or (source is not None and weights == Path(source)):
        return
    if weights == Path("random"):
        raise UsageError("--weights random: without --weights a training starts from random weights; omit it")
    known = f", or --weights {source} for pretrained ones" if source else f"; '{spec.name}' has no pretrained ones"
    raise WeightsError(
        f"weights file {weights} does not exist; pass a file{known}; without --weights training starts from random ones"
    )


def read_start(
    registry: Registry, offer: Offer[BackboneSpec], weights: Path | None, key: str | None, changes: InputChanges
) -> tuple[DecidedInput, KnownWeights | None]:
    """Return a network with the input that it is trained with, and the weights that it starts from.

    Args:
        registry: The installed plugins.
        offer: The network, with its own input.
        weights: The file, or the source of pretrained weights; None for random ones.
        key: Which state dict of the file; None for the usual one.
        changes: What the user says about the input.

    Raises:
        UsageError: A key is given without weights, or the network cannot have the input.
        WeightsError: The weights cannot be read or downloaded.
    """
    if weights is None:
        if key is not None:
            raise UsageError(f"--weights-key {key}: this is for a weights file; add --weights FILE")
        return decide_input(offer, changes), None
    known = _start_of(read_initial_weights(offer, weights, key), offer, registry)
    decided = input_of_weights(known, statements_of(known, offer, registry), offer, changes)
    warnings = (*decided.against, *decided.warnings)
    info = known.info.model_copy(update={"notes": [*known.info.notes, *decided.notes, *warnings]})
    known = replace(known, info=info, warnings=(*known.warnings, *warnings))
    sized = at_its_size(known, decided.offer.spec, offer.spec.input)
    assert sized is not None
    return decided, sized


def has_classifier(known: KnownWeights, spec: BackboneSpec, num_classes: int) -> bool:
    """Return whether a training for so many classes starts from the classifier of weights, too."""
    found = known.state.entries.get(spec.classifier_key)
    return found is not None and found.shape[:1] == (num_classes,)


def start_for(known: KnownWeights, spec: BackboneSpec, num_classes: int) -> KnownWeights:
    """Return weights with a note about the classifier, where a training does not start from theirs.

    Args:
        known: The weights.
        spec: The network.
        num_classes: The number of classes that it is trained for.

    Raises:
        WeightsError: They are not those of the network.
    """
    if known.partial and spec.classifier_key not in known.state.entries:  # their note names what starts at random
        return known
    count = count_classes(known.state.path, spec, known.state.entries)
    if count == num_classes:
        return known
    layers = [spec.classifier_key.rpartition(".")[0]]
    try:
        own = build_shapes(spec, num_classes).state_dict()
    except Exception:  # a network that cannot be built without memory is compared when it is built
        own = {}
    if own and not known.partial:
        check_fit(replace(known.state, entries=_for_classes(known, spec, own, num_classes)), spec, num_classes)
    layers += [name.rpartition(".")[0] or name for name in _rows_of_classes(known, spec, own, num_classes)]
    has = f"its classifier has {count:,} classes" if count else "it has no classifier"
    at_random = f"{some(dict.fromkeys(layers), 9)}, starts at random for {num_classes:,} classes"
    note = f"{has}; that of the network, {at_random}"
    return replace(known, info=known.info.model_copy(update={"notes": [*known.info.notes, note]}))


def _start_of(known: KnownWeights, offer: Offer[BackboneSpec], registry: Registry) -> KnownWeights:
    """Return the entries from which a training of a network starts, of weights of a network of another form.

    Of weights of a network that a system trains, another system or none takes the entries that both have.

    Args:
        known: The weights; those of the network itself stay as they are.
        offer: The network.
        registry: The installed plugins.

    Raises:
        WeightsError: The plugin finds none in them.
    """
    spec, entries = offer.spec, known.state.entries
    start = rebuilt(spec).start_weights if _is_of_a_system(entries, offer, registry) else spec.start_weights
    if start is None:
        return known
    with blaming(offer.provider, f"building '{spec.name}'"):
        own = build_shapes(spec, 2).state_dict()
    if spec.classifier_key in entries and _names(own) == _names(entries):
        return known
    with blaming(offer.provider, f"reading weights that '{spec.name}' starts from"):
        try:
            taken = dict(start(entries))
        except ValueError as error:
            raise WeightsError(f"weights file {known.state.path} is not for '{spec.name}': {error}") from error
    new = dict.fromkeys(name.rpartition(".")[0] for name in own if name not in taken and not is_counter(name))
    new.pop("", None)  # entries of no layer, such as a threshold, have their initial values
    note = f"{len(taken)} of its {len(entries)} entries are taken"
    note += f"; the new layers {some(new)} start at random" if new else ""
    info = known.info.model_copy(update={"notes": [*known.info.notes, note]})
    return replace(known, state=replace(known.state, entries=taken), info=info, partial=True)


def _is_of_a_system(entries: Mapping[str, Tensor], offer: Offer[BackboneSpec], registry: Registry) -> bool:
    """Return whether weights are those of a network that a system trains in place of another one, which trains alone.

    Args:
        entries: The weights.
        offer: The other one.
        registry: The installed plugins.
    """
    if offer.spec.system is not None:
        return False
    try:
        if _names(build_shapes(offer.spec, 2).state_dict()) == _names(entries):
            return False
    except Exception:  # a network that cannot be built without memory
        return False
    return any(_names(own) == _names(entries) for own in _with_systems(offer, registry))


def _with_systems(offer: Offer[BackboneSpec], registry: Registry) -> Iterator[Mapping[str, Tensor]]:
    """Yield the entries of the networks that systems train in place of one."""
    for system in registry.systems:
        with suppress(Exception):  # the system cannot serve the network
            yield build_shapes(system.spec.network(offer.spec), 2).state_dict()


def _names(entries: Iterable[str]) -> set[str]:
    """Return the names of entries, without counters."""
    return {name for name in entries if not is_counter(name)}


def start_from(known: KnownWeights, spec: BackboneSpec, network: Any, num_classes: int) -> None:
    """Load weights into a network; if the number of classes differs, the network keeps its own random classifier.

    So it does where the weights are those of a network without a classifier. What weights of another form do not have
    stays random too; see `_start_of`.

    Args:
        known: The weights.
        spec: The network's spec.
        network: The network, built.
        num_classes: Its number of classes.

    Raises:
        WeightsError: The weights do not fit.
    """
    if known.partial:
        own, classifier = network.state_dict(), spec.classifier_key.rpartition(".")[0] + "."
        fresh = _rows_of_classes(known, spec, own, num_classes)
        taken = {
            name: value
            for name, value in known.state.entries.items()
            if name not in fresh and (not name.startswith(classifier) or own[name].shape == value.shape)
        }
        load_state(replace(known.state, entries={**own, **taken}), spec, network)
        return
    entries = _for_classes(known, spec, network.state_dict(), num_classes)
    load_state(replace(known.state, entries=entries), spec, network)


def _rows_of_classes(
    known: KnownWeights, spec: BackboneSpec, own: Mapping[str, Tensor], num_classes: int
) -> dict[str, Tensor]:
    """Return the network's own entries with a row for each class, where those of weights have other classes.

    They are those of its classifier and of what else depends on the classes, such as a second classifier.

    Args:
        known: The weights.
        spec: The network's spec.
        own: The network's own entries.
        num_classes: Its number of classes.
    """
    entries = known.state.entries
    if spec.classifier_key not in entries:
        return {}
    before = entries[spec.classifier_key].shape[:1]
    return {
        name: value
        for name, value in own.items()
        if name in entries
        and value.shape[:1] == (num_classes,) != before
        and entries[name].shape == (*before, *value.shape[1:])
    }


def _for_classes(
    known: KnownWeights, spec: BackboneSpec, own: Mapping[str, Tensor], num_classes: int
) -> dict[str, Tensor]:
    """Return the entries of weights, those of classes from the network itself if the number of classes differs.

    Args:
        known: The weights.
        spec: The network's spec.
        own: The network's own entries.
        num_classes: Its number of classes.
    """
    entries = dict(known.state.entries)
    known_classes = count_classes(known.state.path, spec, entries)
    if known_classes != num_classes:
        classifier = spec.classifier_key.rpartition(".")[0] + "."
        lacking = () if known_classes else own.keys() - entries.keys()
        entries.update({key: value for key, value in own.items() if key.startswith(classifier) or key in lacking})
        entries.update(_rows_of_classes(known, spec, own, num_classes))
    return entries
