"""``wsolbench list`` and ``wsolbench plugins``: what is installed, and which plugins failed to load."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from wsolbench.cli.session import session_of
from wsolbench.contract import BackboneSpec, Spec, Zoo
from wsolbench.escaping import visible
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Catalogue, Offer, PluginFailure, Registry


class Kind(enum.StrEnum):
    """The kinds that can be listed."""

    BACKBONES = "backbones"
    METHODS = "methods"
    DATASETS = "datasets"
    RECIPES = "recipes"
    SYSTEMS = "systems"


def list_offers(
    context: typer.Context,
    kind: Annotated[Kind | None, typer.Argument(help="List only this kind.")] = None,
) -> None:
    """List backbones, methods, data sets, recipes and systems, one a line, name first; PREFIX:NAME stands for many."""
    registry = session_of(context).load_plugins()
    rows = [
        row
        for catalogue in _catalogues(registry, kind)
        for row in (
            *((catalogue.shown_name(offer), catalogue.kind, *_details(offer)) for offer in catalogue),
            *((f"{zoo.name}:NAME", catalogue.kind, *_details(zoo)) for zoo in catalogue.zoos),
        )
    ]
    _print_rows(("name", "kind", "family", "provider", "source"), rows)


def plugins(context: typer.Context) -> None:
    """List the plugins: distribution, version, what each offers, and why a plugin failed to load."""
    registry = session_of(context).load_plugins()
    rows = [
        (provider.distribution, provider.version, provider.entry_point, _offers(registry, provider))
        for provider in registry.providers
    ]
    rows += [
        (failure.provider.distribution, failure.provider.version, failure.provider.entry_point, _failure(failure))
        for failure in registry.failures
    ]
    _print_rows(("distribution", "version", "plugin", "offers"), rows)


def _catalogues(registry: Registry, kind: Kind | None) -> list[Catalogue[Spec]]:
    return [catalogue for catalogue in registry.catalogues if kind is None or f"{catalogue.kind}s" == kind.value]


def _details(offer: Offer[Spec] | Offer[Zoo[Spec]]) -> tuple[str, str, str]:
    """Return family, provider and source."""
    family = (offer.spec.family or "") if isinstance(offer.spec, BackboneSpec) else ""
    return family, str(offer.provider), offer.spec.source


def _offers(registry: Registry, provider: Provider) -> str:
    named = []
    for catalogue in registry.catalogues:
        names = [catalogue.shown_name(offer) for offer in catalogue if offer.provider == provider]
        if names:
            named.append(f"{catalogue.kind}s {', '.join(names)}")
        named += [f"any {zoo.name}:NAME" for zoo in catalogue.zoos if zoo.provider == provider]
    return "; ".join(named) or "nothing"


def _failure(failure: PluginFailure) -> str:
    return f"FAILED ({failure.stage}): {failure.reason}"


def _print_rows(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table on a terminal; elsewhere, tab-separated lines that are never truncated."""
    rows = [tuple(visible(" ".join(cell.split())) for cell in row) for row in rows]  # a tab would be a new cell
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from tabulate import tabulate

    typer.echo(tabulate(rows, headers=header, tablefmt="simple"))
