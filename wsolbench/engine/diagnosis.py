"""What a weights file is: compared with every network on offer, each built without memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsolbench.engine.blame import blaming
from wsolbench.engine.weights import Difference, convert_entries, count_classes, difference, read_entries
from wsolbench.errors import PluginError, WeightsError
from wsolbench.interfaces import BackboneSpec, Reparameterizable
from wsolbench.registry import Offer

_USUAL_CLASSES = 1000


@dataclass(frozen=True)
class Fit:
    """How a file compares with one network.

    Attributes:
        offer: The network.
        classes: Classes of the file's classifier; None where it has none of that name.
        merged: Whether the file was saved after the network's branches were merged.
        difference: What is missing or too much; empty where the file fits.
        matched: Entries of the file that the network has, in that shape.
        renamed: Name in the file -> name in the network, where the plugin converts it.
    """

    offer: Offer[BackboneSpec]
    classes: int | None
    merged: bool
    difference: Difference
    matched: int
    renamed: dict[str, str]


def compare(path: Path, entries: dict[str, Tensor], offer: Offer[BackboneSpec]) -> Fit | None:
    """Compare the entries of a file with a network in both its forms; None where its plugin refuses them.

    Raises:
        PluginError: The network cannot be built.
    """
    spec = offer.spec
    try:
        state = convert_entries(path, spec, dict(entries))
    except WeightsError:
        return None
    try:
        classes = count_classes(path, spec, state)
    except WeightsError:
        classes = None
    with torch.device("meta"), blaming(offer.provider, f"building '{spec.name}'"):
        network: Any = spec.build(classes or _USUAL_CLASSES)
    found, merged = difference(network, state), False
    if found and isinstance(network, Reparameterizable):
        network.reparameterize()
        other = difference(network, state)
        if _size(other) < _size(found):
            found, merged = other, True
    matched = len(state) - len(found.unexpected) - len(found.reshaped)
    names = {id(value): key for key, value in entries.items()}
    renamed = {names[id(value)]: key for key, value in state.items() if names.get(id(value), key) != key}
    return Fit(offer, classes, merged, found, matched, renamed)


def _size(found: Difference) -> int:
    return len(found.missing) + len(found.unexpected) + len(found.reshaped)


def diagnose(path: Path, offers: Iterable[Offer[BackboneSpec]]) -> tuple[dict[str, Tensor], list[Fit]]:
    """Return the entries of a file, and the networks that it fits, or else the one that it is most like.

    Networks whose plugin reads files in a way of its own are left out.

    Raises:
        WeightsError: The file cannot be read.
    """
    entries = read_entries(path)
    fits = []
    for offer in offers:
        if offer.spec.read_weights is None:
            try:
                fit = compare(path, entries, offer)
            except PluginError:
                continue
            if fit is not None:
                fits.append(fit)
    exact = [fit for fit in fits if not fit.difference]
    closest = min(fits, key=lambda fit: (-fit.matched, _size(fit.difference)), default=None)
    return entries, exact or ([closest] if closest is not None and closest.matched else [])


def looks_like(path: Path, offers: Iterable[Offer[BackboneSpec]], taken_for: BackboneSpec) -> str:
    """Say in a few words what a file is instead of what it was taken for; nothing where it is closest to that."""
    try:
        _, fits = diagnose(path, offers)
    except WeightsError:
        return ""
    if not fits:
        return "; it is like no network that is installed"
    names = " and ".join(f"'{fit.offer.name}'" for fit in fits)
    if not fits[0].difference:
        return f"; it fits {names}"
    if fits[0].offer.spec is taken_for:
        return ""
    return f"; it is most like {names} ('wsolbench weights {path}' says more)"
