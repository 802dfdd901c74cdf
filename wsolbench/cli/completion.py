"""Names that a shell completes: those that plugins offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wsolbench.host.registry import Registry

__all__ = ["backbones", "datasets", "methods", "offers", "recipes"]


def _names(kinds: Callable[[Registry], Iterator[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        from wsolbench.host.loading import load_plugins

        registry = load_plugins(strict=False, warn=lambda _line: None)
        return sorted(name for name in set(kinds(registry)) if name.startswith(incomplete))

    return complete


def _backbones(registry: Registry) -> Iterator[str]:
    for offer in registry.backbones:
        yield offer.spec.name
        if offer.spec.family:
            yield offer.spec.family


backbones = _names(_backbones)
methods = _names(lambda registry: (offer.spec.name for offer in registry.methods))
datasets = _names(lambda registry: (offer.spec.name for offer in registry.datasets))
recipes = _names(lambda registry: (offer.spec.name for offer in registry.recipes))
offers = _names(lambda registry: (offer.spec.name for catalogue in registry.catalogues for offer in catalogue))
