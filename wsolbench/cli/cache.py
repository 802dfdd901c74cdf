"""``wsolbench cache``: the maps that were kept."""

from __future__ import annotations

import json as json_format
from datetime import timedelta
from typing import Annotated, Any

import typer

from wsolbench.cli.command import Command, Group
from wsolbench.cli.session import session_of
from wsolbench.errors import DataError, UsageError
from wsolbench.escaping import visible
from wsolbench.texts import counted

cache = typer.Typer(
    cls=Group,
    help="List, check and remove the maps that runs keep, so that they continue where they were stopped.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, and nothing else.")]


@cache.command("list", cls=Command, epilog="wsolbench cache list")
def list_kept(json: Json = False) -> None:
    """Show what is kept, how much room it takes and when it was used last."""
    from wsolbench.cache import cache_folder, list_shelves

    shelves = list_shelves(cache_folder())
    if json:
        for shelf in shelves:
            facts = {"folder": str(shelf.folder), "bytes": shelf.size, "used": shelf.used.isoformat(timespec="seconds")}
            typer.echo(json_format.dumps({**facts, "identity": shelf.facts}))
        return
    for shelf in shelves:
        used = f"{shelf.used:%Y-%m-%d %H:%M}"
        typer.echo(visible(f"{_size(shelf.size):>9}  {used}  {shelf.folder.name[:12]}  {_named(shelf.facts)}"))
    total = sum(shelf.size for shelf in shelves)
    typer.echo(f"{_size(total):>9}  {counted(len(shelves), 'sets')} of maps in {visible(str(cache_folder()))}")


@cache.command("verify", cls=Command, epilog="wsolbench cache verify")
def verify_kept(context: typer.Context) -> None:
    """Read all that is kept and compare it with its checksums; what is damaged would be made again by the next run."""
    from wsolbench.cache import cache_folder, list_shelves, verify

    faults: list[str] = []
    whole = 0
    shelves = list_shelves(cache_folder())
    with session_of(context).reporter().phase("reading", len(shelves), "sets") as advance:
        for shelf in shelves:
            count, found = verify(shelf.folder)
            whole, faults = whole + count, [*faults, *found]
            advance(1)
    if faults:
        listed = "".join(f"\n  {fault}" for fault in faults)
        raise DataError(
            f"{counted(len(faults), 'faults')} in {cache_folder()}, and {counted(whole, 'entries')} whole; runs make "
            f"again what is damaged, and 'wsolbench cache prune --damaged' removes it{listed}"
        )
    typer.echo(f"{counted(whole, 'entries')} of {counted(len(shelves), 'sets')} are whole")


@cache.command("prune", cls=Command, epilog="wsolbench cache prune --unused-for 30")
def prune_kept(
    unused_for: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Remove what was not used for so many days; 0 removes everything."),
    ] = None,
    damaged: Annotated[bool, typer.Option("--damaged", help="Remove sets with a damaged entry.")] = False,
) -> None:
    """Remove maps that are kept; those that a run uses right now stay."""
    from wsolbench.cache import cache_folder, list_shelves, prune, verify

    if unused_for is None and not damaged:
        raise UsageError("name what to remove: --unused-for DAYS (0 for everything), or --damaged")
    shelves = list_shelves(cache_folder())
    chosen = [shelf for shelf in shelves if not damaged or verify(shelf.folder)[1]]
    removed, busy = prune(chosen, unused=timedelta(days=min(unused_for or 0, timedelta.max.days)))
    typer.echo(f"removed {counted(len(removed), 'sets')} of maps, {_size(sum(shelf.size for shelf in removed))}")
    if busy:
        typer.echo(f"kept {counted(len(busy), 'sets')} that a run uses right now")


def _named(facts: Any) -> str:
    """Return what people know maps by."""
    if facts is None:
        return "unknown: its description is missing or damaged"
    recorded = facts["recorded"]
    network, method = recorded["backbone"], recorded["method"]
    weights = network["weights"]
    which = (weights["sha256"] or "")[:8] or f"seed {recorded['seed']}"
    options = "".join(f" {name}={value}" for name, value in method["changed_options"].items())
    return f"{network['name']} ({weights['source']} {which}), {method['name']}{options}, {recorded['dataset']}"


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
