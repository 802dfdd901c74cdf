"""All checks of what a plugin offers, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, TypeAlias
from unittest import SkipTest

from wsolbench.contract import (
    BackboneSpec,
    Dataset,
    DatasetRoots,
    DatasetSpec,
    MethodSpec,
    RecipeSpec,
    Spec,
    SystemSpec,
    Zoo,
)
from wsolbench.errors import PluginError, WsolbenchError
from wsolbench.testing.backbones import BACKBONE_CHECKS, check_backbone_checkpoints
from wsolbench.testing.datasets import DATASET_CHECKS
from wsolbench.testing.expectations import KnownFailure, skip
from wsolbench.testing.methods import METHOD_CHECKS
from wsolbench.testing.recipes import RECIPE_CHECKS
from wsolbench.testing.systems import SYSTEM_CHECKS, SYSTEM_NETWORK_CHECKS, TOY
from wsolbench.testing.zoos import ZOO_CHECKS

__all__ = ["Check", "conformance_checks"]

Check: TypeAlias = Callable[[], None]
"""One check of one spec: raises ``AssertionError`` where it breaks the rule, ``SkipTest`` where it has no such part."""


def conformance_checks(
    spec: Spec | Zoo[Spec],
    *,
    roots: DatasetRoots | None = None,
    class_counts: Mapping[str, int] | None = None,
    base: BackboneSpec | None = None,
) -> list[tuple[str, Check]]:
    """Return the checks of a spec, with names; nothing is built before a check is called.

    A check of an optional part that is not there raises ``unittest.SkipTest``, which pytest shows as skipped; so does
    one whose failure the spec declares in `known_failures`. Where such a check passes, it fails.

    Args:
        spec: What a plugin offers.
        roots: Where a data set is on disk; of no use to other specs. Without it, a data set that needs a place is
            skipped.
        class_counts: Data set -> its number of classes, for the checkpoints of a backbone; of no use to other specs.
        base: A network that a system trains, for one that refuses the small network of the checks; of no use to other
            specs.

    Raises:
        PluginError: `known_failures` names what is no check of the spec.
    """
    if isinstance(spec, Zoo):
        return _named(ZOO_CHECKS, lambda: spec)
    checks = _checks_of(spec, roots, class_counts or {}, base or TOY)
    wrong = sorted(spec.known_failures.keys() - dict(checks).keys())
    if wrong:
        raise PluginError(
            f"known_failures of '{spec.name}': '{wrong[0]}' is no check; they are {', '.join(dict(checks))}"
        )
    return [
        (name, partial(_expect_failure, check, spec.known_failures[name]) if name in spec.known_failures else check)
        for name, check in checks
    ]


def _checks_of(
    spec: Spec, roots: DatasetRoots | None, class_counts: Mapping[str, int], base: BackboneSpec
) -> list[tuple[str, Check]]:
    if isinstance(spec, BackboneSpec):
        checkpoints: Check = partial(check_backbone_checkpoints, spec, class_counts)
        return [*_named(BACKBONE_CHECKS, lambda: spec), ("check_backbone_checkpoints", checkpoints)]
    if isinstance(spec, MethodSpec):
        return _named(METHOD_CHECKS, lambda: spec)
    if isinstance(spec, RecipeSpec):
        return _named(RECIPE_CHECKS, lambda: spec)
    if isinstance(spec, SystemSpec):
        on_network = [(check.__name__, partial(check, spec, base)) for check in SYSTEM_NETWORK_CHECKS]
        return [*_named(SYSTEM_CHECKS, lambda: spec), *on_network]
    return _named(DATASET_CHECKS, cache(partial(_built, spec, roots)))


def _built(spec: DatasetSpec, roots: DatasetRoots | None) -> Dataset:
    """Return a data set; one that needs a place on disk is left out where nobody named one."""
    try:
        return spec.build(roots or DatasetRoots())
    except WsolbenchError as error:
        if roots is None:
            skip(f"no folder of the data set was named ({error})")
        raise


def _expect_failure(check: Check, reason: str) -> None:
    """Run a check that is known to fail.

    Raises:
        KnownFailure: It fails.
        AssertionError: It passes.
    """
    try:
        check()
    except SkipTest:
        raise
    except Exception as error:
        raise KnownFailure(reason) from error
    raise AssertionError(f"known_failures: expected a failure ({reason}), got none; remove the entry")


def _named(checks: tuple[Callable[[Any], None], ...], subject: Callable[[], Any]) -> list[tuple[str, Check]]:
    def bound(check: Callable[[Any], None]) -> Check:
        return lambda: check(subject())

    return [(check.__name__, bound(check)) for check in checks]
