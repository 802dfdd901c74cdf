"""What is checked under a name: an offer of a plugin, a plugin in a file, or one in a module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from wsolbench.contract import BackboneSpec, DatasetRoots, SystemSpec
from wsolbench.contract.inputs import NO_CHANGES
from wsolbench.errors import UsageError, WsolbenchError
from wsolbench.host.loading import Loaded, error_of_named, load_each, registry_of
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer, Offered, Registry, kind_of
from wsolbench.host.sources import (
    PluginFile,
    Source,
    installed_sources,
    source_of_file,
    source_of_module,
    sources_of_files,
)
from wsolbench.networks.inputs import decide_input
from wsolbench.testing.plugins import plugin_checks
from wsolbench.testing.suite import Check, conformance_checks
from wsolbench.testing.systems import TOY

__all__ = ["Subject", "find_subjects"]


@dataclass(frozen=True)
class Subject:
    """A plugin, or something that one offers, with its checks.

    Args:
        kind: ``plugin``, or the kind of what is offered.
        name: Its name.
        provider: Who offers it.
        checks: Its checks by name.
    """

    kind: str
    name: str
    provider: Provider
    checks: list[tuple[str, Check]]


@dataclass(frozen=True)
class _Found:
    """What a name stands for: plugins, and what of their offers is checked, in a registry that has both."""

    plugins: list[Loaded]
    offers: Sequence[Offer[Offered]]
    registry: Registry


def find_subjects(
    target: str,
    *,
    files: Sequence[PluginFile] = (),
    roots: DatasetRoots | None = None,
    base: str | None = None,
    warn: Callable[[str], None],
) -> list[Subject]:
    """Load all plugins, without a network, and return what a name stands for, with the checks.

    Args:
        target: The name of an offer, the path of a plugin's file, or the name of a module.
        files: Further plugins, which the user named.
        roots: Where a data set is on disk.
        base: The network that a system is checked with; by default a small one, or one that it trains.
        warn: Called with one line for every other plugin that is dropped.

    Raises:
        UnknownNameError: Nothing has the name, or several plugins offer it.
        UsageError: A file cannot be read, or `base` is given and there is no system.
        PluginError: A plugin of a further file fails, or `known_failures` names what is no check.
    """
    path = Path(target) if target.endswith(".py") or os.sep in target else None
    others = [file for file in files if path is None or file.path.resolve() != path.resolve()]
    sources = [*installed_sources(), *sources_of_files(others)]
    named = None if path is None else source_of_file(PluginFile(path, ""))
    loaded = list(load_each([*sources, *([] if named is None else [named])], examined=True))
    found = _of_plugin(loaded[-1], loaded) if named else _of_name(target, sources, loaded)
    for each in loaded:
        if each.failure is not None and each not in found.plugins:
            if each.source.named is not None:
                raise error_of_named(each.source.named, each.failure) from each.failure.error
            warn(f"plugin {each.failure}; the plugin is not loaded")
    systems = [offer for offer in found.offers if isinstance(offer.spec, SystemSpec)]
    if base is not None and not systems:
        raise UsageError(f"--base {base}: it is the network that a system is checked with, and '{target}' is no system")
    plugins = [_plugin(each, found.registry) for each in found.plugins]
    return plugins + [_offered(offer, found.registry, roots, base) for offer in found.offers]


def _of_plugin(plugin: Loaded, loaded: Iterable[Loaded]) -> _Found:
    return _Found([plugin], plugin.offers, registry_of(loaded))


def _of_name(name: str, sources: Sequence[Source], loaded: list[Loaded]) -> _Found:
    """Return what a name stands for that is no path: offers, a plugin that failed, or a module."""
    registry = registry_of(loaded)
    plain, size = registry.sized(name)
    offers = registry.find(plain)
    if offers:
        providers = [offer.provider for offer in offers]
        sized = [_sized(offer, size, name) for offer in offers]
        return _Found([each for each in loaded if each.source.provider in providers], sized, registry)
    for each in loaded:
        if each.failure is not None and name in (each.source.provider.entry_point, each.source.provider.distribution):
            return _of_plugin(each, loaded)
    source = source_of_module(name, sources)
    if source is None:
        if name and Path(name).is_dir():
            raise UsageError(
                f"{name}: it is a folder; install what is in it, pip install -e ./{name}, and check it by its name, or "
                "name a plugin's file"
            )
        raise registry.unknown(name)
    if source in sources:
        return _of_plugin(loaded[sources.index(source)], loaded)
    (plugin,) = load_each([source], examined=True)
    return _of_plugin(plugin, [*loaded, plugin])


def _sized(offer: Offer[Offered], size: int | None, name: str) -> Offer[Offered]:
    """Return a network for the size of input that is typed behind its name, if one is."""
    if size is None or not isinstance(offer.spec, BackboneSpec):
        return offer
    return decide_input(Offer(offer.spec, offer.provider), NO_CHANGES.sized(size, name)).offer


def _plugin(loaded: Loaded, registry: Registry) -> Subject:
    provider = loaded.source.provider
    return Subject("plugin", provider.entry_point, provider, plugin_checks(loaded, registry))


def _offered(offer: Offer[Offered], registry: Registry, roots: DatasetRoots | None, base: str | None) -> Subject:
    spec = offer.spec
    checks = conformance_checks(
        spec,
        roots=roots,
        class_counts=_class_counts(spec, registry) if isinstance(spec, BackboneSpec) else None,
        base=_base_of(Offer(spec, offer.provider), registry, base) if isinstance(spec, SystemSpec) else None,
    )
    return Subject(kind_of(spec), offer.name, offer.provider, checks)


def _class_counts(spec: BackboneSpec, registry: Registry) -> dict[str, int]:
    """Return data set -> its number of classes, of those that a network has weights for and that need no folder."""
    counts: dict[str, int] = {}
    for name in {checkpoint.dataset for checkpoint in spec.checkpoints}:
        with suppress(WsolbenchError):
            counts[name] = len(registry.datasets.get(name).spec.build(DatasetRoots()).class_names)
    return counts


def _base_of(system: Offer[SystemSpec], registry: Registry, name: str | None) -> BackboneSpec:
    """Return the network that a system is checked with: the one that is named, a toy, or another that it trains."""
    if name is not None:
        return registry.backbones.get(name).spec
    try:
        with torch.device("meta"):
            system.spec.network(TOY).build(2)
    except UsageError:
        example = registry.backbones.trained_by(system)
        return TOY if example is None else example.spec
    except Exception:  # the checks show it
        return TOY
    return TOY
