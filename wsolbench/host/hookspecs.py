"""The four hooks. Each takes nothing, touches no disk, network or GPU, and returns a list of specs."""

from __future__ import annotations

import pluggy

from wsolbench.contract import BackboneSpec, BackboneZoo, DatasetSpec, MethodSpec, MethodZoo, RecipeSpec

PROJECT = "wsolbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def wsolbench_backbones() -> list[BackboneSpec | BackboneZoo]:  # type: ignore[empty-body]
    """Offer networks, and zoos of networks that are not listed."""


@hookspec
def wsolbench_methods() -> list[MethodSpec | MethodZoo]:  # type: ignore[empty-body]
    """Offer localization methods, and zoos of methods that are not listed."""


@hookspec
def wsolbench_datasets() -> list[DatasetSpec]:  # type: ignore[empty-body]
    """Offer data sets."""


@hookspec
def wsolbench_recipes() -> list[RecipeSpec]:  # type: ignore[empty-body]
    """Offer training recipes."""
