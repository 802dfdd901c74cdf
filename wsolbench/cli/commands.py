"""The subcommands, registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from wsolbench import __version__
from wsolbench.cli import (
    analyze,
    cache,
    check,
    compare,
    data,
    describe,
    evaluate,
    gallery,
    leaderboard,
    listing,
    new,
    rescore,
    run,
    schema,
    sweep,
    train,
    weights,
)
from wsolbench.cli.command import Command, Group

app = typer.Typer(
    name="wsolbench",
    cls=Group,
    help="The benchmark harness for weakly supervised object localization.",
    epilog="wsolbench run --backbone replknet --method pc1",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
EXAMPLES: dict[Callable[..., None], str] = {
    run.run: "wsolbench run -b resnet_nano -b replknet_nano -m cam -m pc1 --workers 4",
    rescore.rescore: "wsolbench rescore runs/first/record-cam.json --interval 0.01 --tau otsu",
    evaluate.evaluate: "wsolbench evaluate --scoremaps maps/test --fullsup-scoremaps maps/val --metadata-root metadata",
    compare.compare: "wsolbench compare runs/first/record-cam.json runs/second/record-cam.json",
    train.train: "wsolbench train -b adl:resnet_nano -d critters --recipe onecycle --seed 0 --seed 1 -o trained",
    gallery.gallery: "wsolbench gallery runs/first/record-cam.json runs/first/record-pc1.json --out gallery.png",
    new.new: "wsolbench new method mymap",
    listing.plugins: "wsolbench plugins",
    describe.describe: "wsolbench describe cam",
    weights.weights: "wsolbench weights weights.safetensors",
    check.check: "wsolbench check --plugin mymap.py mymap",
    schema.schema: "wsolbench schema",
}
"""What each subcommand is called like."""
for function, example in EXAMPLES.items():
    app.command(cls=Command, epilog=example)(function)
app.command("list", cls=Command, epilog="wsolbench list methods")(listing.list_offers)
app.add_typer(analyze.analyze, name="analyze")
app.add_typer(cache.cache, name="cache")
app.add_typer(data.data, name="data")
app.add_typer(leaderboard.leaderboard, name="leaderboard")
app.add_typer(sweep.sweep, name="sweep")


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
