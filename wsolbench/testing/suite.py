"""All checks of what a plugin offers, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, TypeAlias

from wsolbench.contract import BackboneSpec, DatasetRoots, MethodSpec, RecipeSpec, Spec, SystemSpec
from wsolbench.testing.backbones import BACKBONE_CHECKS, check_backbone_checkpoints
from wsolbench.testing.datasets import DATASET_CHECKS
from wsolbench.testing.methods import METHOD_CHECKS
from wsolbench.testing.recipes import RECIPE_CHECKS
from wsolbench.testing.systems import SYSTEM_CHECKS, SYSTEM_NETWORK_CHECKS, TOY

__all__ = ["Check", "conformance_checks"]

Check: TypeAlias = Callable[[], None]
"""One check of one spec; raises ``AssertionError`` where the spec breaks the rule."""


def conformance_checks(
    spec: Spec,
    *,
    roots: DatasetRoots | None = None,
    class_counts: Mapping[str, int] | None = None,
    base: BackboneSpec | None = None,
) -> list[tuple[str, Check]]:
    """Return the checks of a spec, with names; nothing is built before a check is called.

    Args:
        spec: What a plugin offers.
        roots: Where a data set is on disk; of no use to other specs.
        class_counts: Data set -> its number of classes, for the checkpoints of a backbone; of no use to other specs.
        base: A network that a system trains, for one that refuses the small network of the checks; of no use to other
            specs.
    """
    if isinstance(spec, BackboneSpec):
        checkpoints: Check = partial(check_backbone_checkpoints, spec, class_counts or {})
        return [*_named(BACKBONE_CHECKS, lambda: spec), ("check_backbone_checkpoints", checkpoints)]
    if isinstance(spec, MethodSpec):
        return _named(METHOD_CHECKS, lambda: spec)
    if isinstance(spec, RecipeSpec):
        return _named(RECIPE_CHECKS, lambda: spec)
    if isinstance(spec, SystemSpec):
        on_network = [(check.__name__, partial(check, spec, base or TOY)) for check in SYSTEM_NETWORK_CHECKS]
        return [*_named(SYSTEM_CHECKS, lambda: spec), *on_network]
    build = cache(lambda: spec.build(roots or DatasetRoots()))
    return _named(DATASET_CHECKS, build)


def _named(checks: tuple[Callable[[Any], None], ...], subject: Callable[[], Any]) -> list[tuple[str, Check]]:
    def bound(check: Callable[[Any], None]) -> Check:
        return lambda: check(subject())

    return [(check.__name__, bound(check)) for check in checks]
