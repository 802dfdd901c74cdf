"""The five hooks. Each takes no argument, uses no disk, network or GPU, and returns a list of specs."""

from __future__ import annotations

import pluggy

from wsolbench.contract import BackboneSpec, BackboneZoo, DatasetSpec, MethodSpec, MethodZoo, RecipeSpec, SystemSpec

PROJECT = "wsolbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def wsolbench_backbones() -> list[BackboneSpec | BackboneZoo]:  # type: ignore[empty-body]
    """Return networks, and zoos, whose networks are found by name and not listed."""


@hookspec
def wsolbench_methods() -> list[MethodSpec | MethodZoo]:  # type: ignore[empty-body]
    """Return localization methods, and zoos, whose methods are found by name and not listed."""


@hookspec
def wsolbench_datasets() -> list[DatasetSpec]:  # type: ignore[empty-body]
    """Return data sets."""


@hookspec
def wsolbench_recipes() -> list[RecipeSpec]:  # type: ignore[empty-body]
    """Return training recipes."""


@hookspec
def wsolbench_systems() -> list[SystemSpec]:  # type: ignore[empty-body]
    """Return systems, which train networks so that they localize."""
