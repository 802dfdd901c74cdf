"""Which network a name means: a variant, or the one variant of a family that has the weights asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsolbench.contract import BackboneSpec
from wsolbench.errors import UsageError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer, Registry
from wsolbench.networks.configure import configure
from wsolbench.networks.diagnosis import compare
from wsolbench.networks.known_weights import FileSource, Weights, pretrained_of, shipped_checkpoint
from wsolbench.networks.shapes import build_shapes
from wsolbench.networks.weights import count_classes, difference


def resolve_backbone(
    registry: Registry,
    name: str,
    dataset: str,
    weights: Weights | FileSource,
    options: Mapping[str, Any] | None = None,
) -> Offer[BackboneSpec]:
    """Return the network of a name; a family resolves to its one variant that has the weights asked for.

    Args:
        registry: The installed plugins.
        name: A variant, a qualified variant, or a family.
        dataset: The data set whose shipped weights count if `weights` is None.
        weights: The weights asked for.
        options: Options that the network is built with: name -> value, or the text that stands for it.

    Raises:
        UnknownNameError: No plugin offers the name, or several do.
        UsageError: No variant of the family has the weights or the options, or several have them.
        WeightsError: The weights file cannot be read.
    """
    variants = registry.networks(name)
    if registry.backbones.find(name):
        return variants[0]
    configured = _configured(name, variants, options or {})
    variants = [variant for variant in variants if variant.qualified_name in configured]
    source = FileSource(weights) if isinstance(weights, Path) else weights
    fitting = [variant for variant in variants if pretrained_of(variant.spec, source)]
    if fitting:
        why = f"pretrained weights from '{source.path}' exist for" if isinstance(source, FileSource) else ""
    elif isinstance(source, FileSource):
        fitting = [variant for variant in variants if _fits(configured[variant.qualified_name], source)]
        why = f"the file {source.path} fits"
    else:
        fitting = [variant for variant in variants if shipped_checkpoint(variant.spec, dataset) is not None]
        why = f"weights for the data set '{dataset}' ship with"
    if len(fitting) == 1:
        return fitting[0]
    shown = ", ".join(registry.backbones.shown_name(variant) for variant in fitting or variants)
    count = "more than one variant" if fitting else "no variant"
    raise UsageError(f"'{name}' is a family of networks, and {why} {count} of it; name one: {shown}")


def _configured(
    name: str, variants: Sequence[Offer[BackboneSpec]], options: Mapping[str, Any]
) -> dict[str, Offer[BackboneSpec]]:
    """Return the variants of a family that have the options, with them: which one a file fits depends on both.

    Raises:
        UsageError: No variant has the options, or takes the values.
    """
    configured, problems = {}, []
    for variant in variants:
        try:
            configured[variant.qualified_name] = configure(variant, options)[0]
        except UsageError as error:
            problems.append(str(error))
    if not configured:
        raise UsageError(f"'{name}' is a family of networks, and no variant of it takes the options: {problems[0]}")
    return configured


def _fits(variant: Offer[BackboneSpec], source: FileSource) -> bool:
    """Return whether a weights file has the entries of a variant."""
    if variant.spec.read_weights is None:
        fit = compare(source.file, variant, source.key)
        return fit is not None and not fit.difference
    with blaming(variant.provider, f"building '{variant.spec.name}'"):
        state = source.state(variant.spec)
        network = build_shapes(variant.spec, count_classes(source.path, variant.spec, state.entries))
    return not difference(network, state.entries)
