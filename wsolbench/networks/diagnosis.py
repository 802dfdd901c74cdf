"""Identification of a weights file: it is compared with every installed network, each built without memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from wsolbench.contract import BackboneSpec
from wsolbench.contract.backbones import class_weights
from wsolbench.errors import PluginError, WeightsError, WsolbenchError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Catalogue, Offer
from wsolbench.networks.card import read_card
from wsolbench.networks.claims import names_of_networks
from wsolbench.networks.configure import configure
from wsolbench.networks.describe import feature_size
from wsolbench.networks.entries import Entries, choose_entries, has_entry, other_keys
from wsolbench.networks.network_names import named_by_file, plain_name
from wsolbench.networks.pickles import shown
from wsolbench.networks.plain_data import find_statements
from wsolbench.networks.shapes import WithoutValues, build_shapes
from wsolbench.networks.weights import (
    Difference,
    StateDict,
    check_types,
    check_values,
    convert_entries,
    count_classes,
    difference,
    fits_without_classifier,
    inference_forms,
    with_head_bias,
)
from wsolbench.networks.weights_file import WeightsFile

_USUAL_CLASSES = 1000
_HINT_SECONDS = 0.5
"""Time for a hint in an error message; ``wsolbench weights`` takes the time that it needs."""
_USUAL_SIZES = (224, 384, 256, 448, 512, 336, 518, 288, 192, 196)
_SIZE_SECONDS = 3.0
"""The sizes that networks are published for, and the time in which they are tried where weights are of another size."""
_LONGEST_IN_ZOO = 200
"""Characters of a name of an entry; no network of a zoo has one that is half as long."""
_ZOO_SECONDS, _TWIN_SECONDS = 15.0, 3.0
"""Time in which ``wsolbench weights`` looks in zoos, which have more than a thousand networks: for that of a file, and,
once one is known, for others that the file fits too."""


@dataclass(frozen=True)
class Fit:
    """How a file compares with one network.

    Attributes:
        offer: The network.
        classes: Number of classes of the file's classifier; 0 if the file has all entries but those of one, None if it
            has no entry of that name and lacks others.
        merged: Whether the file was saved in the network's form for inference, with merged branches.
        difference: Missing, unexpected and reshaped entries; empty if the file fits.
        known: Number of entries of the file whose names the network has.
        matched: Number of those whose shapes agree too.
        renamed: Name in the file -> name in the network, for the entries that the plugin renames.
        map_size: Height and width of the network's feature maps; None if the file does not fit.
        class_weights: Whether the network has class weights, which `cam` and `pc1` need.
        problem: Why the file is refused though it fits, such as a weight that is not finite; otherwise None.
    """

    offer: Offer[BackboneSpec]
    classes: int | None
    merged: bool
    difference: Difference
    known: int
    matched: int
    renamed: dict[str, str]
    map_size: tuple[int, int] | None
    class_weights: bool
    problem: str | None


@dataclass(frozen=True)
class Diagnosis:
    """The result of comparing a file with the installed networks.

    Attributes:
        entries: The entries of the file.
        notes: Which state dict of the file was taken, and which prefix was removed.
        fits: All networks that the file fits; otherwise the most similar network, or nothing if none is similar.
        refusals: Why plugins cannot convert the file, one text a family; empty if the file fits a network.
        said: What the file says of its network, and what was compared.
    """

    entries: dict[str, Tensor]
    notes: tuple[str, ...]
    fits: tuple[Fit, ...]
    refusals: tuple[str, ...]
    said: tuple[str, ...] = ()


def compare(file: WeightsFile, offer: Offer[BackboneSpec], key: str | None = None) -> Fit | None:
    """Compare a file with a network, before and after its branches are merged.

    Args:
        file: The file.
        offer: The network.
        key: Which state dict of the file; None for the usual one.

    Returns:
        The comparison, or None if the network's plugin cannot convert the entries.

    Raises:
        PluginError: The network cannot be built.
    """
    try:
        return _compare(file, choose_entries(file, key, offer.spec.classifier_key), offer)
    except WeightsError:
        return None


def _compare(file: WeightsFile, chosen: Entries, offer: Offer[BackboneSpec]) -> Fit:
    spec, entries = offer.spec, chosen.tensors
    state = with_head_bias(StateDict(file.path, convert_entries(file.path, spec, dict(entries))), spec)
    classes = _classes(state, spec)
    with blaming(offer.provider, f"building '{spec.name}'"):
        network, found, merged = _closest_form(spec, state, _USUAL_CLASSES if classes is None else classes)
        if classes is None and not found.unexpected and fits_without_classifier(spec, state.entries):
            classes = 0
            network, found, merged = _closest_form(spec, state, classes)
        map_size = None if found else feature_size(network, spec.input.size)
    known = len(state.entries) - len(found.unexpected)
    matched = known - len(found.reshaped)
    names = {id(value): name for name, value in entries.items()}
    renamed = {names[id(value)]: name for name, value in state.entries.items() if names.get(id(value), name) != name}
    problem = None if found else _problem(state, network)
    weighted = class_weights(network) is not None
    return Fit(offer, classes, merged, found, known, matched, renamed, map_size, weighted, problem)


def _classes(state: StateDict, spec: BackboneSpec) -> int | None:
    """Return the number of rows of a file's classifier; None if it has no entry that can be one."""
    if spec.classifier_key not in state.entries:
        return None
    try:
        return count_classes(state.path, spec, state.entries)
    except WeightsError:
        return None


def _closest_form(spec: BackboneSpec, state: StateDict, classes: int) -> tuple[Any, Difference, bool]:
    """Return a network, built without memory in the form that a file is closest to, the difference, and if merged.

    Forms share the shape of the classifier, so that with another one a file is compared with the first form alone.
    """
    network = build_shapes(spec, classes)
    found, merged = difference(network, state.entries), False
    head, own = (entries.get(spec.classifier_key) for entries in (state.entries, network.state_dict()))
    shares_head = head is None or own is None or head.shape == own.shape
    for steps in inference_forms(network) if found and shares_head else ():
        form = build_shapes(spec, classes, steps)
        other = difference(form, state.entries)
        if other.size < found.size:
            network, found, merged = form, other, True
    return network, found, merged


def map_size(offer: Offer[BackboneSpec]) -> tuple[int, int]:
    """Return height and width of a network's feature maps for its input. Raises ``PluginError``."""
    with blaming(offer.provider, f"building '{offer.spec.name}'"):
        return feature_size(build_shapes(offer.spec, _USUAL_CLASSES), offer.spec.input.size)


def _problem(state: StateDict, network: object) -> str | None:
    try:
        check_values(state)
        check_types(state, network.state_dict())  # type: ignore[attr-defined]
    except WeightsError as error:
        return str(error)
    return None


def diagnose(file: WeightsFile, offers: Iterable[Offer[BackboneSpec]], key: str | None = None) -> Diagnosis:
    """Compare a file with networks.

    Networks whose plugin reads files with its own reader are left out.

    Args:
        file: The file.
        offers: The networks.
        key: Which state dict of the file; None for the usual one.

    Raises:
        WeightsError: The file holds no state dict, or none of this key.
    """
    chosen = choose_entries(file, key)
    fits: list[Fit] = []
    refusals: list[str] = []
    for offer in offers:
        if offer.spec.read_weights is None:
            try:
                fits.append(_compare(file, choose_entries(file, key, offer.spec.classifier_key), offer))
            except PluginError:
                continue
            except WeightsError as error:
                if isinstance(error.__cause__, ValueError):  # a plugin recognised the file and explains why it refuses
                    reason = " ".join(str(error.__cause__).split())
                    refusals.append(f"'{offer.spec.family or offer.name}' cannot use it: {reason}")
    exact = tuple(fit for fit in fits if not fit.difference)
    if exact:
        return Diagnosis(chosen.tensors, chosen.notes, exact, ())
    alike = [fit for fit in fits if 2 * fit.known >= len(chosen.tensors)]
    closest = sorted(alike, key=lambda fit: (-fit.matched, fit.difference.size))[:1]
    return Diagnosis(chosen.tensors, chosen.notes, tuple(closest), tuple(dict.fromkeys(refusals)))


def diagnose_by_card(file: WeightsFile, networks: Catalogue[BackboneSpec], key: str | None) -> Diagnosis | None:
    """Return the comparison with the network of a system that the card beside a file names.

    No list has these networks. None where there is no such card, or the file does not fit.
    """
    card = read_card(file.path, file.sha256)
    if card is None or card.system is None:
        return None
    try:
        fits = [
            compare(file, configure(offer, card.backbone_options)[0], key) for offer in networks.find(card.backbone)
        ]
    except WsolbenchError:  # the system is not installed, or is another one
        return None
    exact = tuple(fit for fit in fits if fit is not None and not fit.difference)
    chosen = choose_entries(file, key)
    said = (f"by its card it is '{card.backbone}'",)
    return Diagnosis(chosen.tensors, chosen.notes, exact, (), said) if exact else None


def look_in_zoos(file: WeightsFile, found: Diagnosis, networks: Catalogue[BackboneSpec], key: str | None) -> Diagnosis:
    """Compare a file with networks of zoos too: those that it names, then, within bounded time, those of its shapes.

    Args:
        file: The file.
        found: How it compares with the listed networks.
        networks: All networks.
        key: Which state dict of the file; None for the usual one.

    Raises:
        PluginError: A zoo's code fails.
    """
    statements = [*find_statements(file), *named_by_file(file.path, networks)]
    named = names_of_networks(statements)
    said = [f"it says that its network is {_quoted(named)}"] if named else []
    fits = [fit for fit in found.fits if not fit.difference]
    offered = dict.fromkeys(filter(None, map(networks.named, named)))
    for name in offered:
        _add(fits, _of_name(file, name, networks, key))
    possible = all(len(name) <= _LONGEST_IN_ZOO for name in found.entries)
    if networks.zoos and possible and not (fits and all(":" not in name for name in offered)):
        shapes = {name: tuple(value.shape) for name, value in found.entries.items()}
        like = next((plain_name(name) for name in offered), file.path.stem)
        known = any(not fit.difference for fit in fits)
        with WithoutValues():
            looked = networks.fitting(shapes, like, _TWIN_SECONDS if known else _ZOO_SECONDS, _TWIN_SECONDS)
        for name in looked.names:
            _add(fits, _of_name(file, name, networks, key))
        zoos = " and ".join(zoo.name for zoo in networks.zoos)
        rest = "" if looked.whole else "; there was no time for the others, which 'run --backbone' compares by name"
        said.append(f"compared with {looked.compared} networks of {zoos} with such a first and last layer{rest}")
    exact = tuple(fit for fit in fits if not fit.difference)
    alike = tuple(fit for fit in fits if 2 * fit.known >= len(found.entries))
    closest = exact or found.fits or alike[:1]
    return replace(found, fits=closest, refusals=() if exact else found.refusals, said=tuple(said))


def _add(fits: list[Fit], fit: Fit | None) -> None:
    if fit is not None and fit.offer.qualified_name not in {known.offer.qualified_name for known in fits}:
        fits.append(fit)


def _quoted(names: Iterable[str]) -> str:
    return " or ".join(f"'{shown(name, 60)}'" for name in names)


def _of_name(file: WeightsFile, name: str, networks: Catalogue[BackboneSpec], key: str | None) -> Fit | None:
    """Compare a file with a network of a zoo; None where it cannot be offered."""
    try:
        return compare(file, networks.get(name), key)
    except WsolbenchError:
        return None


def said_by_card(file: WeightsFile, taken_for: Offer[BackboneSpec]) -> str:
    """Return the end of an error message that says of which other network a file is by its card; empty where of none.

    Args:
        file: The file.
        taken_for: The network that the user asked for.
    """
    card = read_card(file.path, file.sha256)
    if card is None:
        return ""
    system = None if card.system is None else card.system.name
    if plain_name(card.backbone) == plain_name(taken_for.name) and system == taken_for.spec.system:
        return ""
    options = "".join(f" --backbone-opt {name}={value}" for name, value in card.backbone_options.items())
    return f"; its card says '{card.backbone}': run it with --backbone {card.backbone}{options}"


def looks_like(
    file: WeightsFile, offers: Sequence[Offer[BackboneSpec]], taken_for: Offer[BackboneSpec], key: str | None
) -> str:
    """Return the end of an error message that says which network a file may belong to.

    Only networks of the same plugin are tried, its family first, as long as it takes no time: building all of them
    takes many seconds.

    Args:
        file: The file.
        offers: The installed networks.
        taken_for: The network that the user asked for.
        key: Which state dict of the file; None for the usual one.

    Returns:
        A clause that starts with a semicolon.
    """
    spec, began = taken_for.spec, time.process_time()
    near = [offer for offer in offers if offer.provider == taken_for.provider and offer.spec.read_weights is None]
    for other in other_keys(file, key, spec.classifier_key):
        fit = _quietly(file, taken_for, other) if time.process_time() - began < _HINT_SECONDS else None
        if fit is not None and not fit.difference:
            return f"; its state dict '{shown(other)}' fits: --weights-key {shown(other)}"
    size = _size_that_fits(file, taken_for, key)
    if size is not None:
        return f"; it fits this network built for {size} pixels: --input-size {size}"
    fitting = []
    for offer in sorted(near, key=lambda offer: spec.family is None or offer.spec.family != spec.family):
        if offer.name != taken_for.name and _may_fit(file, offer) and time.process_time() - began < _HINT_SECONDS:
            fit = _quietly(file, offer, key)
            fitting += [f"'{offer.name}'"] if fit is not None and not fit.difference else []
    if fitting:
        return f"; it fits {' and '.join(fitting)}"
    option = "" if key is None else f" --weights-key {key}"
    return f"; 'wsolbench weights {file.path}{option}' compares it with every network"


def _size_that_fits(file: WeightsFile, offer: Offer[BackboneSpec], key: str | None) -> int | None:
    """Return a usual size of images for which a network has the very entries of a file; None if there is none."""
    own, at_size, began = offer.spec.input.size, offer.spec.at_size, time.process_time()
    if at_size is None:
        return None
    for size in _USUAL_SIZES:
        if size != own and time.process_time() - began < _SIZE_SECONDS:
            try:
                with blaming(offer.provider, f"building '{offer.name}' for {size} pixels"):
                    spec = replace(at_size(size), convert_weights=None)  # nothing is resized
            except WsolbenchError:
                continue
            fit = _quietly(file, replace(offer, spec=spec), key)
            if fit is not None and not fit.difference:
                return size
    return None


def _may_fit(file: WeightsFile, offer: Offer[BackboneSpec]) -> bool:
    """Return whether a file has a network's classifier, or the plugin may convert it; nothing is built."""
    return offer.spec.convert_weights is not None or has_entry(file, offer.spec.classifier_key)


def fits_too(
    file: WeightsFile, networks: Catalogue[BackboneSpec], taken_for: Offer[BackboneSpec], key: str | None
) -> list[Fit]:
    """Return the comparisons with other networks of a family, or of similar names in a zoo, that a file fits too.

    Args:
        file: The file.
        networks: All networks.
        taken_for: The network that the user asked for.
        key: Which state dict of the file; None for the usual one.
    """
    spec = taken_for.spec
    variants = [
        offer
        for offer in networks
        if spec.family is not None
        and offer.spec.family == spec.family
        and offer.qualified_name != taken_for.qualified_name
        and offer.spec.read_weights is None
    ]
    found = [_quietly(file, offer, key) for offer in variants]
    if spec.is_of_a_zoo:
        entries = choose_entries(file, key, spec.classifier_key).tensors
        like = plain_name(spec.name)
        shapes = {name: tuple(value.shape) for name, value in entries.items()}
        with WithoutValues():
            looked = networks.fitting(shapes, like, _HINT_SECONDS, _HINT_SECONDS)
        others = [name for name in looked.names if plain_name(name) != like]
        found += [_of_name(file, name, networks, key) for name in others]
    return [fit for fit in found if fit is not None and not fit.difference]


def _quietly(file: WeightsFile, offer: Offer[BackboneSpec], key: str | None) -> Fit | None:
    """Compare a file with a network that nobody asked for, whose own faults do not matter here."""
    try:
        return compare(file, offer, key)
    except PluginError:
        return None
