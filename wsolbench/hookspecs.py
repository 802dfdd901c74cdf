"""The four hooks. Each takes nothing, touches no disk, network or GPU, and returns a list of specs."""

from __future__ import annotations

import pluggy

from wsolbench.interfaces import BackboneSpec, DatasetSpec, MethodSpec, RecipeSpec

PROJECT = "wsolbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def wsolbench_backbones() -> list[BackboneSpec]:  # type: ignore[empty-body]
    """Offer networks."""


@hookspec
def wsolbench_methods() -> list[MethodSpec]:  # type: ignore[empty-body]
    """Offer localization methods."""


@hookspec
def wsolbench_datasets() -> list[DatasetSpec]:  # type: ignore[empty-body]
    """Offer data sets."""


@hookspec
def wsolbench_recipes() -> list[RecipeSpec]:  # type: ignore[empty-body]
    """Offer training recipes."""
