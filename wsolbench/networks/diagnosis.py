"""Identification of a weights file: it is compared with every installed network, each built without memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from wsolbench.contract import BackboneSpec, Reparameterizable
from wsolbench.errors import PluginError, WeightsError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer
from wsolbench.networks.shapes import build_shapes
from wsolbench.networks.weights import Difference, convert_entries, count_classes, difference, read_entries

_USUAL_CLASSES = 1000


@dataclass(frozen=True)
class Fit:
    """How a file compares with one network.

    Attributes:
        offer: The network.
        classes: Number of classes of the file's classifier; None if the file has no entry of that name.
        merged: Whether the file was saved after the network's branches were merged.
        difference: Missing, unexpected and reshaped entries; empty if the file fits.
        known: Number of entries of the file whose names the network has.
        matched: Number of those whose shapes agree too.
        renamed: Name in the file -> name in the network, for the entries that the plugin renames.
    """

    offer: Offer[BackboneSpec]
    classes: int | None
    merged: bool
    difference: Difference
    known: int
    matched: int
    renamed: dict[str, str]


@dataclass(frozen=True)
class Diagnosis:
    """The result of comparing a file with the installed networks.

    Attributes:
        entries: The entries of the file.
        fits: All networks that the file fits; otherwise the most similar network, or nothing if none is similar.
        refusals: Why plugins cannot convert the file, one text a family; empty if the file fits a network.
    """

    entries: dict[str, Tensor]
    fits: tuple[Fit, ...]
    refusals: tuple[str, ...]


def compare(path: Path, entries: dict[str, Tensor], offer: Offer[BackboneSpec]) -> Fit | None:
    """Compare the entries of a file with a network, before and after its branches are merged.

    Args:
        path: The file, for messages.
        entries: Its entries.
        offer: The network.

    Returns:
        The comparison, or None if the network's plugin cannot convert the entries.

    Raises:
        PluginError: The network cannot be built.
    """
    try:
        return _compare(path, entries, offer)
    except WeightsError:
        return None


def _compare(path: Path, entries: dict[str, Tensor], offer: Offer[BackboneSpec]) -> Fit:
    spec = offer.spec
    state = convert_entries(path, spec, dict(entries))
    try:
        classes = count_classes(path, spec, state)
    except WeightsError:
        classes = None
    with blaming(offer.provider, f"building '{spec.name}'"):
        network = build_shapes(spec, classes or _USUAL_CLASSES)
    found, merged = difference(network, state), False
    if found and isinstance(network, Reparameterizable):
        network.reparameterize()
        other = difference(network, state)
        if _size(other) < _size(found):
            found, merged = other, True
    known = len(state) - len(found.unexpected)
    matched = known - len(found.reshaped)
    names = {id(value): key for key, value in entries.items()}
    renamed = {names[id(value)]: key for key, value in state.items() if names.get(id(value), key) != key}
    return Fit(offer, classes, merged, found, known, matched, renamed)


def _size(found: Difference) -> int:
    return len(found.missing) + len(found.unexpected) + len(found.reshaped)


def diagnose(path: Path, offers: Iterable[Offer[BackboneSpec]]) -> Diagnosis:
    """Compare a file with networks.

    Networks whose plugin reads files with its own reader are left out.

    Args:
        path: The file.
        offers: The networks.

    Raises:
        WeightsError: The file cannot be read.
    """
    entries = read_entries(path)
    fits: list[Fit] = []
    refusals: list[str] = []
    for offer in offers:
        if offer.spec.read_weights is None:
            try:
                fits.append(_compare(path, entries, offer))
            except PluginError:
                continue
            except WeightsError as error:
                if isinstance(error.__cause__, ValueError):  # a plugin recognised the file and explains why it refuses
                    reason = " ".join(str(error.__cause__).split())
                    refusals.append(f"'{offer.spec.family or offer.name}' cannot use it: {reason}")
    exact = tuple(fit for fit in fits if not fit.difference)
    if exact:
        return Diagnosis(entries, exact, ())
    alike = [fit for fit in fits if 2 * fit.known >= len(entries)]
    closest = sorted(alike, key=lambda fit: (-fit.matched, _size(fit.difference)))[:1]
    return Diagnosis(entries, tuple(closest), tuple(dict.fromkeys(refusals)))


def looks_like(path: Path, offers: Iterable[Offer[BackboneSpec]], taken_for: BackboneSpec) -> str:
    """Return the end of an error message that says which network a file belongs to.

    Args:
        path: The file.
        offers: The installed networks.
        taken_for: The network that the user asked for.

    Returns:
        A clause that starts with a semicolon; empty if the file is most similar to the network asked for.
    """
    try:
        found = diagnose(path, offers)
    except WeightsError:
        return ""
    if not found.fits:
        return "".join(f"; {reason}" for reason in found.refusals) or "; no installed network is similar to it"
    names = " and ".join(f"'{fit.offer.name}'" for fit in found.fits)
    if not found.fits[0].difference:
        return f"; it fits {names}"
    if found.fits[0].offer.spec is taken_for:
        return ""
    return f"; it is most similar to {names} ('wsolbench weights {path}' says more)"
