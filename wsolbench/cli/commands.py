"""The subcommands, registered."""

from __future__ import annotations

from typing import Annotated

import typer

from wsolbench import __version__
from wsolbench.cli import (
    analyze,
    check,
    compare,
    data,
    describe,
    evaluate,
    gallery,
    leaderboard,
    listing,
    new,
    run,
    schema,
    train,
    weights,
)
from wsolbench.cli.command import Command
from wsolbench.cli.session import EVERYWHERE

app = typer.Typer(
    name="wsolbench",
    help="The benchmark harness for weakly supervised object localization.",
    epilog=EVERYWHERE,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command(cls=Command, epilog=EVERYWHERE)(run.run)
app.command(cls=Command, epilog=EVERYWHERE)(evaluate.evaluate)
app.command(cls=Command, epilog=EVERYWHERE)(compare.compare)
app.command(cls=Command, epilog=EVERYWHERE)(train.train)
app.command(cls=Command, epilog=EVERYWHERE)(gallery.gallery)
app.command(cls=Command, epilog=EVERYWHERE)(new.new)
app.command("list", cls=Command, epilog=EVERYWHERE)(listing.list_offers)
app.command(cls=Command, epilog=EVERYWHERE)(listing.plugins)
app.command(cls=Command, epilog=EVERYWHERE)(describe.describe)
app.command(cls=Command, epilog=EVERYWHERE)(weights.weights)
app.command(cls=Command, epilog=EVERYWHERE)(check.check)
app.command(cls=Command, epilog=EVERYWHERE)(schema.schema)
app.add_typer(analyze.analyze, name="analyze")
app.add_typer(data.data, name="data")
app.add_typer(leaderboard.leaderboard, name="leaderboard")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wsolbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


command = typer.main.get_command(app)
"""All of them, built once: that takes half as long as a short command."""
