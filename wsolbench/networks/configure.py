"""Options of networks: those that a build function takes beside the number of classes, read and applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic_core import to_json

from wsolbench.contract import BackboneSpec
from wsolbench.contract.options import Option, list_options, read_options
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer

__all__ = ["backbone_options", "configure"]


def backbone_options(offer: Offer[BackboneSpec]) -> list[Option]:
    """Return the options of a network, in its own order. Raises ``PluginError`` if they cannot be listed."""
    with blaming(offer.provider, f"listing the options of '{offer.name}'"):
        return list_options(offer.spec.build)[1:]


def configure(offer: Offer[BackboneSpec], given: Mapping[str, Any]) -> tuple[Offer[BackboneSpec], dict[str, Any]]:
    """Return a network whose build function has its options set, and the options that were given, with their values.

    Args:
        offer: The network.
        given: Option name -> value, or the text that stands for it.

    Raises:
        UsageError: The network has no such option, or the value is not of its type or in its range.
        PluginError: The plugin's code fails.
    """
    if not given:
        return offer, {}
    values = read_options(f"the network '{offer.name}'", backbone_options(offer), given)
    chosen = {name: values[name] for name in given}
    with blaming(offer.provider, f"reading the options of '{offer.name}'"):
        to_json(chosen)  # a record has to hold them
    return replace(offer, spec=_with_options(offer.spec, chosen)), chosen


def _with_options(spec: BackboneSpec, chosen: Mapping[str, Any]) -> BackboneSpec:
    """Return a spec whose build function has its options set, at every size."""
    at_size = spec.at_size
    built_for = None if at_size is None else lambda size: _with_options(at_size(size), chosen)
    return replace(spec, build=partial(spec.build, **chosen), at_size=built_for)
