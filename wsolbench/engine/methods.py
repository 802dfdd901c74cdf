"""Methods: built from their options, applied to batches, their results checked; an error names the plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json
from torch import Tensor

from wsolbench.contract import Maps, Method, MethodContext, MethodSpec
from wsolbench.contract.options import build_with_options
from wsolbench.errors import PluginError, UsageError
from wsolbench.files import file_name
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer, Registry


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
    with blaming(offer.provider, f"building the method '{offer.name}'"):
        method, options = build_with_options(f"the method '{offer.name}'", offer.spec.build, given)
        to_json(options)  # a record has to hold them
    return BuiltMethod(offer, method, options)


@dataclass(frozen=True)
class MethodMaps:
    """What a method made of a batch, on the CPU: raw maps (B, h, w) and statistics, name -> one number a map (B,)."""

    maps: NDArray[np.floating[Any]]
    statistics: dict[str, NDArray[np.float64]]


def apply_method(built: BuiltMethod, features: Tensor, context: MethodContext, ids: list[str]) -> MethodMaps:
    """Run a method on a batch and check what comes back; if it fails, find the image that it fails on.

    Raises:
        PluginError: It fails, changes what it is given, or returns something of a wrong shape.
    """
    provider = built.offer.provider
    with refusing_changes(built, features=features, images=context.images, logits=context.logits):
        try:
            with blaming(provider, f"in the method '{built.name}'"):
                made = built.method(features, context)
        except PluginError:
            if len(ids) == 1:
                raise
            for position, image_id in enumerate(ids):
                one = slice(position, position + 1)
                alone = MethodContext(
                    context.backbone, context.images[one], context.class_indices[one], context.logits[one]
                )
                with blaming(provider, f"in the method '{built.name}' on the image '{image_id}'"):
                    built.method(features[one], alone)
            raise
    maps, statistics = (made.maps, made.statistics) if isinstance(made, Maps) else (made, {})
    return MethodMaps(_checked_maps(built, maps, ids), _checked_statistics(built, statistics, ids))


@contextmanager
def refusing_changes(built: BuiltMethod, **shared: Tensor) -> Iterator[None]:
    """Refuse a method that changes in place what the next method is given too.

    Args:
        built: The method that runs inside.
        shared: Name -> tensor.

    Raises:
        PluginError: A tensor is another one than before.
    """
    before = {name: tensor._version for name, tensor in shared.items()}
    yield
    for name, tensor in shared.items():
        if tensor._version != before[name]:
            raise PluginError(f"plugin {built.offer.provider}: the method '{built.name}' changed the {name} in place")


def _checked_maps(built: BuiltMethod, maps: object, ids: list[str]) -> NDArray[np.floating[Any]]:
    if not isinstance(maps, Tensor) or maps.ndim != 3 or maps.shape[0] != len(ids) or maps.numel() == 0:
        raise PluginError(
            f"plugin {built.offer.provider}: the method '{built.name}' returned {_form(maps)} for the images from "
            f"'{ids[0]}' on; expected raw maps ({len(ids)}, h, w) as a torch tensor"
        )
    return maps.detach().double().cpu().numpy()


def _checked_statistics(
    built: BuiltMethod, statistics: Mapping[str, Tensor], ids: list[str]
) -> dict[str, NDArray[np.float64]]:
    for name, values in statistics.items():
        if not isinstance(values, Tensor) or values.shape != (len(ids),):
            raise PluginError(
                f"plugin {built.offer.provider}: the method '{built.name}' returned {_form(values)} as '{name}' of the "
                f"images from '{ids[0]}' on; expected one number a map, ({len(ids)},)"
            )
    return {name: values.detach().double().cpu().numpy() for name, values in statistics.items()}


def _form(value: object) -> object:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
