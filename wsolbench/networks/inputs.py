"""The input that a network gets: as the user says, else as its weights say, else the network's own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from textwrap import shorten

import torch

from wsolbench.contract import BackboneSpec, InputConfig
from wsolbench.contract.backbones import maps_and_rest
from wsolbench.contract.inputs import InputChanges, changed_input, shown_input
from wsolbench.errors import UsageError, WsolbenchError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer
from wsolbench.networks.describe import feature_stride
from wsolbench.networks.shapes import build_shapes

__all__ = ["AskedInput", "DecidedInput", "decide_input", "follow"]

_STEPS = (16, 14)
"""Sides of patches, of which the size of an input usually has to be a multiple; multiples of 32 are among them."""
_TRIED = 12
"""How many sizes are tried for an error message that names two."""


@dataclass(frozen=True)
class AskedInput:
    """An input that weights ask for, and what says so, as in "their card"."""

    config: InputConfig
    source: str


@dataclass(frozen=True)
class DecidedInput:
    """A network with the input that it gets.

    Args:
        offer: The network, built for the size of its input if it is made for one.
        size_by: What decided its size.
        notes: What was decided.
        against: In what the user contradicts the weights.
        warnings: What else the user should know.
    """

    offer: Offer[BackboneSpec]
    size_by: str
    notes: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def decide_input(offer: Offer[BackboneSpec], changes: InputChanges, asked: AskedInput | None = None) -> DecidedInput:
    """Return a network with the input that it gets.

    Args:
        offer: The network, with its own input.
        changes: What the user says.
        asked: What its weights ask for, if they do.

    Raises:
        UsageError: The network cannot have this input.
        PluginError: The plugin's code fails.
    """
    own = offer.spec.input
    if changes.preprocessing == "timm" and not _is_of_timm(offer.spec):
        raise UsageError(
            f"--preprocessing timm: '{offer.spec.name}' is no network of timm; omit it, or pass imagenet or half"
        )
    theirs = own if asked is None else asked.config
    config = changes.of(theirs, own)
    notes: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    if asked is not None and config != theirs:
        here, there = (shown_input(changed_input(*pair)) for pair in ((config, theirs), (theirs, config)))
        against = (f"by {asked.source} the weights are for {there}; the network runs at {here}, as asked for",)
    elif config != own:
        here, there = (shown_input(changed_input(*pair)) for pair in ((config, own), (own, config)))
        notes = () if asked is None else (f"by {asked.source} images are prepared for {here}, not {there}",)
    warnings: tuple[str, ...] = ()
    if config.size != own.size:
        offer = _at_size(offer, config.size, changes.size_option)
        warnings = _off_stride(offer, config.size)
    size_by = "its own" if asked is None else f"by {asked.source}"
    if config.size != theirs.size or changes.size is not None:
        size_by = "as asked for"
    return DecidedInput(replace(offer, spec=replace(offer.spec, input=config)), size_by, notes, against, warnings)


def follow(asked: AskedInput, offer: Offer[BackboneSpec], changes: InputChanges) -> InputChanges:
    """Return what the user says, with the network's own size where that which a file states is not followed.

    It is not where the network cannot have it, and where the name of the network says a size, which its user asks for.

    Args:
        asked: What the file states.
        offer: The network, with its own input.
        changes: What the user says.
    """
    followed = changes.size is None and not _names_its_size(offer.spec)
    if followed and (asked.config.size == offer.spec.input.size or _problem(offer, asked.config.size) is None):
        return changes
    return changes if changes.size is not None else replace(changes, size=offer.spec.input.size)


def _names_its_size(spec: BackboneSpec) -> bool:
    """Return whether the name of a network says its size, as ``hornet_large_gf_384``."""
    return re.search(rf"_{spec.input.size}(?!\d)", spec.name) is not None


def _is_of_timm(spec: BackboneSpec) -> bool:
    return spec.source.startswith("timm ") or (spec.pretrained is not None and spec.pretrained.source == "timm")


def _at_size(offer: Offer[BackboneSpec], size: int, option: str) -> Offer[BackboneSpec]:
    """Return a network that takes images of a size.

    Raises:
        UsageError: It takes none of this size.
    """
    problem = _problem(offer, size)
    if problem is None:
        return _built_for(offer, size)
    own = offer.spec.input.size
    if _problem(offer, own) is not None:  # nobody knows how it behaves at any size before it has memory
        return _built_for(offer, size)
    near = _near(offer, size)
    if not near:
        takes = f"it takes {own} only"
    else:
        takes = f"the nearest that it takes: {' and '.join(map(str, near))}"
        takes += "" if own in near else f"; its own: {own}"
    raise UsageError(f"{option} {size}: '{offer.spec.name}' does not take such images ({problem}); {takes}")


def _near(offer: Offer[BackboneSpec], size: int) -> list[int]:
    """Return the two nearest sizes to one that a network does not take; none where it has one size only."""
    multiples = {step * (size // step + more) for step in _STEPS for more in range(-_TRIED, _TRIED)}
    nearest = sorted((each for each in multiples if each > 0 and each != size), key=lambda each: abs(each - size))
    taken = (each for each in nearest[:_TRIED] if _problem(offer, each) is None and _is_even(offer, each))
    found = sorted(islice(taken, 2))
    return [] if found == [offer.spec.input.size] else found


def _is_even(offer: Offer[BackboneSpec], size: int) -> bool:
    """Return whether the cells of a network's feature maps cover an image of a size that it takes evenly."""
    return size % _map_side(offer, size) == 0 and not _off_stride(offer, size)


def _built_for(offer: Offer[BackboneSpec], size: int) -> Offer[BackboneSpec]:
    build = offer.spec.at_size
    if build is None or size == offer.spec.input.size:
        return offer
    with blaming(offer.provider, f"building '{offer.spec.name}' for {size}×{size} pixels"):
        return replace(offer, spec=replace(build(size), name=offer.spec.name))  # a zoo has put its prefix before it


def _problem(offer: Offer[BackboneSpec], size: int) -> str | None:
    """Return why a network does not take images of a size, or None if it does."""
    try:
        side = _map_side(offer, size)
    except Exception as error:  # whatever the code of a network raises for a size that it is not made for
        cause = error.__cause__ if isinstance(error, WsolbenchError) and error.__cause__ else error
        return _in_words(cause)
    if side < 2:
        return "its feature maps would be of one cell"
    return f"they are not whole cells of {side}×{side} maps" if offer.spec.at_size is not None and size % side else None


def _in_words(error: BaseException) -> str:
    """Return what the code of a network says of a size; errors of torch name shapes of inner layers and do not help."""
    if isinstance(error, RuntimeError | IndexError | TypeError) or not str(error):
        return "its layers are made for images of another size"
    return shorten(str(error), 160, placeholder=" ...")


def _map_side(offer: Offer[BackboneSpec], size: int) -> int:
    """Return the height of a network's feature maps; it is built without memory."""
    module = build_shapes(_built_for(offer, size).spec, 2).eval()
    with torch.no_grad():
        features = module.forward_features(torch.zeros(1, 3, size, size, device="meta"))
        module.forward_head(features)
    return int(maps_and_rest(features)[0].shape[2])


def _off_stride(offer: Offer[BackboneSpec], size: int) -> tuple[str, ...]:
    """Return a warning if the cells of the feature maps do not cover the image evenly."""
    try:
        stride = feature_stride(build_shapes(offer.spec, 2).eval(), size)
    except Exception:  # it cannot be run without memory
        return ()
    below = int(size // stride * stride)
    if not stride.is_integer() or size == below:
        return ()
    multiples = " and ".join(str(each) for each in (below, below + int(stride)) if each)
    return (
        f"{size} pixels are no multiple of the stride {stride:g} of '{offer.spec.name}', so that its maps do not cover "
        f"the image evenly; {multiples} are",
    )
