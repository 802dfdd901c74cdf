"""Identification of a weights file: it is compared with every installed network, each built without memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from wsolbench.contract import BackboneSpec
from wsolbench.errors import PluginError, WeightsError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer
from wsolbench.networks.describe import feature_size
from wsolbench.networks.entries import Entries, choose_entries, has_entry
from wsolbench.networks.shapes import build_shapes
from wsolbench.networks.weights import (
    Difference,
    StateDict,
    check_types,
    check_values,
    convert_entries,
    count_classes,
    difference,
    inference_forms,
)
from wsolbench.networks.weights_file import WeightsFile

_USUAL_CLASSES = 1000
_HINT_SECONDS = 0.5
"""Time for a hint in an error message; ``wsolbench weights`` takes the time that it needs."""


@dataclass(frozen=True)
class Fit:
    """How a file compares with one network.

    Attributes:
        offer: The network.
        classes: Number of classes of the file's classifier; None if the file has no entry of that name.
        merged: Whether the file was saved in the network's form for inference, with merged branches.
        difference: Missing, unexpected and reshaped entries; empty if the file fits.
        known: Number of entries of the file whose names the network has.
        matched: Number of those whose shapes agree too.
        renamed: Name in the file -> name in the network, for the entries that the plugin renames.
        map_size: Height and width of the network's feature maps; None if the file does not fit.
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
    problem: str | None


@dataclass(frozen=True)
class Diagnosis:
    """The result of comparing a file with the installed networks.

    Attributes:
        entries: The entries of the file.
        notes: Which state dict of the file was taken, and which prefix was removed.
        fits: All networks that the file fits; otherwise the most similar network, or nothing if none is similar.
        refusals: Why plugins cannot convert the file, one text a family; empty if the file fits a network.
    """

    entries: dict[str, Tensor]
    notes: tuple[str, ...]
    fits: tuple[Fit, ...]
    refusals: tuple[str, ...]


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
    state = StateDict(file.path, convert_entries(file.path, spec, dict(entries)))
    try:
        classes = count_classes(file.path, spec, state.entries)
    except WeightsError:
        classes = None
    with blaming(offer.provider, f"building '{spec.name}'"):
        network = build_shapes(spec, classes or _USUAL_CLASSES)
        found, merged = difference(network, state.entries), False
        for steps in inference_forms(network) if found else ():
            form = build_shapes(spec, classes or _USUAL_CLASSES, steps)
            other = difference(form, state.entries)
            if other.size < found.size:
                network, found, merged = form, other, True
        map_size = None if found else feature_size(network, spec.input.size)
    known = len(state.entries) - len(found.unexpected)
    matched = known - len(found.reshaped)
    names = {id(value): name for name, value in entries.items()}
    renamed = {names[id(value)]: name for name, value in state.entries.items() if names.get(id(value), name) != name}
    problem = None if found else _problem(state, network)
    return Fit(offer, classes, merged, found, known, matched, renamed, map_size, problem)


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


def looks_like(file: WeightsFile, offers: Sequence[Offer[BackboneSpec]], taken_for: Offer[BackboneSpec]) -> str:
    """Return the end of an error message that says which network a file may belong to.

    Only networks of the same plugin are tried, its family first, as long as it takes no time: building all of them
    takes many seconds.

    Args:
        file: The file.
        offers: The installed networks.
        taken_for: The network that the user asked for.

    Returns:
        A clause that starts with a semicolon.
    """
    spec, began = taken_for.spec, time.monotonic()
    near = [offer for offer in offers if offer.provider == taken_for.provider and offer.spec.read_weights is None]
    fitting = []
    for offer in sorted(near, key=lambda offer: spec.family is None or offer.spec.family != spec.family):
        if offer.name != taken_for.name and _may_fit(file, offer) and time.monotonic() - began < _HINT_SECONDS:
            fit = _quietly(file, offer)
            fitting += [f"'{offer.name}'"] if fit is not None and not fit.difference else []
    if fitting:
        return f"; it fits {' and '.join(fitting)}"
    return f"; 'wsolbench weights {file.path}' compares it with every network"


def _may_fit(file: WeightsFile, offer: Offer[BackboneSpec]) -> bool:
    """Return whether a file has a network's classifier, or the plugin may convert it; nothing is built."""
    key = offer.spec.classifier_key
    return offer.spec.convert_weights is not None or has_entry(file, key)


def fits_too(file: WeightsFile, offers: Iterable[Offer[BackboneSpec]], taken_for: Offer[BackboneSpec]) -> list[Fit]:
    """Return the comparisons with other variants of a network's family that a file fits just as well."""
    variants = [
        offer
        for offer in offers
        if taken_for.spec.family is not None
        and offer.spec.family == taken_for.spec.family
        and offer.qualified_name != taken_for.qualified_name
        and offer.spec.read_weights is None
    ]
    found = [_quietly(file, offer) for offer in variants]
    return [fit for fit in found if fit is not None and not fit.difference]


def _quietly(file: WeightsFile, offer: Offer[BackboneSpec]) -> Fit | None:
    """Compare a file with a network that nobody asked for, whose own faults do not matter here."""
    try:
        return compare(file, offer)
    except PluginError:
        return None
