"""Methods: built from their options, applied to batches, their results checked; an error names the plugin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic_core import to_json
from torch import Tensor

from wsolbench.contract import Boxes, Localizing, Maps, Method, MethodContext, MethodSpec, Tapped
from wsolbench.contract.backbones import class_weights
from wsolbench.contract.methods import Need
from wsolbench.contract.options import build_with_options
from wsolbench.contract.taps import check_taps
from wsolbench.engine.boxes import FractionBoxes, sorted_boxes
from wsolbench.engine.guards import MethodGuard, PrivateContext, refusing_writes
from wsolbench.errors import PluginError, UsageError
from wsolbench.files import file_name
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer, Registry
from wsolbench.host.settings import guarding
from wsolbench.networks.class_weights import has_gradients
from wsolbench.networks.describe import shows_attention
from wsolbench.networks.network import LoadedNetwork
from wsolbench.texts import LONGEST

LARGEST_MAPS = 2**28
"""Numbers in the maps of a batch: 2 GiB, more than any batch needs."""


@dataclass(frozen=True)
class BuiltMethod:
    """A method ready to run, and what it was built from."""

    offer: Offer[MethodSpec]
    method: Method
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """The short name."""
        return self.offer.name


_IN_WORDS: Mapping[Need, str] = {"native": "a map that the network itself makes"}


def build_methods(registry: Registry, options: Mapping[str, Mapping[str, Any]]) -> tuple[BuiltMethod, ...]:
    """Build methods with their options.

    Args:
        registry: What the plugins offer.
        options: Method name -> option name -> value, or the text that stands for it.

    Raises:
        UnknownNameError: No plugin offers a method.
        UsageError: An option is unknown or out of range, or two methods would write files of one name.
        PluginError: The plugin's own code fails.
    """
    built = tuple(build_method(registry.methods.get(name), given) for name, given in options.items())
    if len({file_name(method.name) for method in built}) < len(built):
        raise UsageError(
            f"--method: of {', '.join(options)} two would write files of one name; give each a run of its own"
        )
    return built


def build_method(offer: Offer[MethodSpec], given: Mapping[str, Any]) -> BuiltMethod:
    """Build one method with its options.

    Raises:
        UsageError: An option is unknown or out of range.
        PluginError: The plugin's own code fails.
    """
    with guarding(offer.provider, f"building the method '{offer.name}'"):
        method, options = build_with_options(f"the method '{offer.name}'", offer.spec.build, given)
        to_json(options)  # a record has to hold them
    return BuiltMethod(offer, method, options)


def check_needs(built: Sequence[BuiltMethod], network: LoadedNetwork, registry: Registry) -> None:
    """Refuse methods that need what a network does not offer.

    Raises:
        UsageError: There is one, and the message lists methods that work; or one asks for a tap that does not exist.
        PluginError: The network fails.
    """
    lacking = _lacking(network, [each.offer for each in built])
    refused = next((each for each in built if each.offer.spec.needs & lacking), None)
    if refused is None:
        _check_asked_taps(built, network)
        return
    needed = " and ".join(_IN_WORDS.get(need, need) for need in sorted(refused.offer.spec.needs & lacking))
    where = "" if network.tap is None else f" at the tap '{network.tap}'"
    reason = "" if network.num_classes else ": its weights have no classifier"
    lacking = _lacking(network, registry.methods)
    working = ", ".join(offer.name for offer in registry.methods if not offer.spec.needs & lacking)
    raise UsageError(
        f"the method '{refused.name}' needs {needed}, which '{network.spec.name}' does not have{where}{reason}; "
        f"methods that work with it: {working or 'none'}"
    )


def _check_asked_taps(built: Sequence[BuiltMethod], network: LoadedNetwork) -> None:
    """Refuse methods whose attribute ``taps`` names layers that the network does not offer."""
    for each in built:
        asked = getattr(each.method, "taps", ())
        if "taps" in each.offer.spec.needs and isinstance(asked, tuple | list):
            check_taps(network.module, asked, f"the option taps of '{each.name}': '{network.requested}'")


def _lacking(network: LoadedNetwork, offers: Iterable[Offer[MethodSpec]]) -> set[Need]:
    """Return what some methods need and a network does not offer."""
    return {need for need in {need for offer in offers for need in offer.spec.needs} if not _offers(network, need)}


def _offers(network: LoadedNetwork, need: Need) -> bool:
    module = network.module
    with blaming(network.offer.provider, f"in '{network.spec.name}' on a blank image"):
        match need:
            case "class weights":
                return class_weights(module) is not None
            case "class scores":
                return network.num_classes > 0
            case "gradients":
                return network.num_classes > 0 and has_gradients(module, network.blank_features)
            case "taps":
                return isinstance(module, Tapped)
            case "native":
                return isinstance(module, Localizing)
            case "attention":
                return shows_attention(module, network.blank_image)


@dataclass(frozen=True)
class MethodMaps:
    """What a method made of a batch, on the CPU: raw maps (B, h, w) and statistics, name -> one number a map (B,)."""

    maps: NDArray[np.floating[Any]]
    statistics: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class MethodBoxes:
    """What a method made of a batch in place of maps: the boxes of each image, and statistics as those of maps."""

    boxes: list[FractionBoxes]
    statistics: dict[str, NDArray[np.float64]]


def maps_of(built: BuiltMethod, made: MethodMaps | MethodBoxes) -> MethodMaps:
    """Return the maps that a method made, where nothing but maps will do.

    Raises:
        UsageError: It made boxes.
    """
    if isinstance(made, MethodBoxes):
        raise UsageError(f"the method '{built.name}' makes boxes, not maps, and maps are needed here; name another one")
    return made


def apply_method(
    built: BuiltMethod, features: Tensor, context: MethodContext, ids: Sequence[str], guard: MethodGuard
) -> MethodMaps | MethodBoxes:
    """Run a method on a batch and check what comes back; if it fails, find the image that it fails on.

    Args:
        built: The method.
        features: Feature maps (B, K, h, w), of which it gets a copy.
        context: The other inputs, of which it gets copies too.
        ids: The images of the batch.
        guard: Refuses a method that changes something.

    Raises:
        PluginError: It fails, changes something, or returns something of a wrong shape.
    """
    doing = f"in the method '{built.name}'"
    with guard.watch(built, doing, ids[0]):
        try:
            made = _called(built, features, context, doing)
        except PluginError:
            if len(ids) == 1:
                raise
            for position, image_id in enumerate(ids):
                one = slice(position, position + 1)
                _called(built, features[one], context[one], f"{doing} on the image '{image_id}'")
            raise
        if isinstance(made, Boxes):
            return MethodBoxes(_checked_boxes(built, made, ids), _checked_statistics(built, made.statistics, ids))
        maps, statistics = (made.maps, made.statistics) if isinstance(made, Maps) else (made, {})
        return MethodMaps(_checked_maps(built, maps, ids), _checked_statistics(built, statistics, ids))


def _called(built: BuiltMethod, features: Tensor, context: MethodContext, doing: str) -> object:
    """Run a method on copies of its inputs, and refuse one that openly writes to them."""
    given, own = features.clone(), PrivateContext(context)
    with refusing_writes(built, {"features": given, **own.copies}), blaming(built.offer.provider, doing):
        return built.method(given, own)


def _checked_maps(built: BuiltMethod, maps: object, ids: Sequence[str]) -> NDArray[np.floating[Any]]:
    if not _is_real(maps) or maps.ndim != 3 or maps.shape[0] != len(ids) or maps.numel() == 0:
        raise _refused(built, f"{_form(maps)} for", ids, f"expected raw maps ({len(ids)}, h, w) as a torch tensor")
    if maps.numel() > LARGEST_MAPS:
        raise _refused(built, f"{_form(maps)} for", ids, f"expected at most {LARGEST_MAPS} numbers")
    return _own_array(maps)


def _checked_boxes(built: BuiltMethod, boxes: Boxes, ids: Sequence[str]) -> list[FractionBoxes]:
    try:
        return sorted_boxes(boxes, ids)
    except ValueError as error:
        raise PluginError(f"plugin {built.offer.provider}: the method '{built.name}' returned {error}") from None


def _checked_statistics(built: BuiltMethod, statistics: object, ids: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    if not isinstance(statistics, Mapping):
        raise _refused(built, f"{_form(statistics)} as statistics of", ids, "expected a mapping: name -> (B,)")
    for name, values in statistics.items():
        if not isinstance(name, str) or not name or not name.isprintable() or len(name) > LONGEST:
            raise _refused(built, f"{name!r:.100} as the name of a statistic of", ids, "expected text")
        if not _is_real(values) or values.shape != (len(ids),):
            what = f"{_form(values)} as '{name}' of"
            raise _refused(built, what, ids, f"expected one number a map, ({len(ids)},)")
    return {name: _own_array(values) for name, values in statistics.items()}


def _is_real(values: object) -> TypeGuard[Tensor]:
    return isinstance(values, Tensor) and not values.is_complex() and values.layout is torch.strided


def _own_array(values: Tensor) -> NDArray[np.float64]:
    """Return values as an array that is no view: a method may write to its own tensor again for the next batch."""
    array: NDArray[np.float64] = values.detach().to("cpu", torch.float64, copy=True).numpy()
    return array


def _refused(built: BuiltMethod, what: str, ids: Sequence[str], expected: str) -> PluginError:
    return PluginError(
        f"plugin {built.offer.provider}: the method '{built.name}' returned {what} the images from '{ids[0]}' on; "
        f"{expected}"
    )


def _form(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{tuple(value.shape)}" if _is_real(value) else f"{value.dtype} {tuple(value.shape)}"
