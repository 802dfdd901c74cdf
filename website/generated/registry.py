"""The page of what is installed: every backbone, method, data set, recipe and system, with its source."""

from __future__ import annotations

import inspect
from typing import Any

from generated.text import cell, code, table
from wsolbench.contract import BackboneSpec, DatasetSpec, MethodSpec, Spec, SystemSpec
from wsolbench.contract.options import list_options
from wsolbench.host.loading import load_plugins
from wsolbench.host.registry import Catalogue, Offer

_TITLES = {
    "backbone": ("Networks", "[What they are](../backbones.md)."),
    "method": ("Methods", "[What they compute](../methods.md)."),
    "dataset": ("Data sets", "[Layouts and downloads](../data.md)."),
    "recipe": ("Recipes", "[What they are for](../training.md#recipes)."),
    "system": ("Systems", "[What they change](../systems.md)."),
}

_COLUMNS: dict[str, tuple[str, ...]] = {
    "backbone": ("family", "input"),
    "method": ("needs", "options"),
    "dataset": ("classes",),
    "recipe": ("options",),
    "system": ("map", "needs", "options"),
}
"""What `_details` returns for an offer of each kind."""


def page() -> str:
    """Return the page, of the plugins that ship with the program."""
    registry = load_plugins()
    sections = [_section(catalogue) for catalogue in registry.catalogues]
    return "\n".join(
        [
            "# Everything that is built in",
            "",
            "Made from the registry. `wsolbench list` prints the same for what is installed at your place, plugins of",
            "others included, and `wsolbench describe NAME` the details of one.",
            "",
            *sections,
        ]
    )


def _section(catalogue: Catalogue[Spec]) -> str:
    title, more = _TITLES[catalogue.kind]
    header = ("name", *_COLUMNS[catalogue.kind], "source")
    rows = [(code(offer.name), *_details(offer), cell(offer.spec.source)) for offer in catalogue if _ours(offer)]
    unlisted = [""] * len(_COLUMNS[catalogue.kind])
    rows += [(code(f"{zoo.name}:NAME"), *unlisted, cell(zoo.spec.source)) for zoo in catalogue.zoos if _ours(zoo)]
    return "\n".join([f"## {title}", "", more, "", table(header, rows)])


def _ours(offer: Offer[Any]) -> bool:
    """Return whether an offer ships with the program: what else is installed is no part of its pages."""
    return offer.provider.distribution == "wsolbench"


def _details(offer: Offer[Spec]) -> tuple[str, ...]:
    spec = offer.spec
    if isinstance(spec, BackboneSpec):
        return code(spec.family or ""), f"{spec.input.size}"
    if isinstance(spec, MethodSpec):
        return cell(", ".join(sorted(spec.needs))), _options(spec)
    if isinstance(spec, SystemSpec):
        return code(spec.method), cell(", ".join(sorted(spec.needs))), _options(spec)
    if isinstance(spec, DatasetSpec):
        return (cell(spec.classes or ""),)
    return (_options(spec),)


def _options(spec: Any) -> str:
    """Return the options of a method, recipe or system, with their defaults."""
    return "<br>".join(
        code(option.name if option.default is inspect.Parameter.empty else f"{option.name}={_plain(option.default)}")
        for option in list_options(spec.build)
    )


def _plain(value: object) -> str:
    """Return a default as it is typed."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return str(value)
