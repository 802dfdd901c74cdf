"""The entry point of the command line: registers the subcommands, and maps errors to one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from wsolbench import __version__
from wsolbench.cli import compare, data, describe, evaluate, gallery, leaderboard, listing, run, schema, train, weights
from wsolbench.cli.output import result_stream, tell
from wsolbench.cli.session import EVERYWHERE, Session
from wsolbench.errors import WsolbenchError
from wsolbench.escaping import terminal_text

INTERRUPTED = 130

app = typer.Typer(
    name="wsolbench",
    help="The benchmark harness for weakly supervised object localization.",
    epilog=EVERYWHERE,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command(epilog=EVERYWHERE)(run.run)
app.command(epilog=EVERYWHERE)(evaluate.evaluate)
app.command(epilog=EVERYWHERE)(compare.compare)
app.command(epilog=EVERYWHERE)(train.train)
app.command(epilog=EVERYWHERE)(gallery.gallery)
app.command("list", epilog=EVERYWHERE)(listing.list_offers)
app.command(epilog=EVERYWHERE)(listing.plugins)
app.command(epilog=EVERYWHERE)(describe.describe)
app.command(epilog=EVERYWHERE)(weights.weights)
app.command(epilog=EVERYWHERE)(schema.schema)
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 for success, 2 for an error the user can fix, 130 after Ctrl-C, 1 for a bug.

    Args:
        arguments: The arguments after the program's name; by default those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without τ shows "?" instead of a traceback
    # Must be set before torch loads OpenMP, whose waiting threads would otherwise spin on cores that scoring needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    session = Session.from_arguments(sys.argv[1:] if arguments is None else arguments)
    with result_stream(sys.stdout):
        code = _run(session)
    sys.exit(code)


def _run(session: Session) -> int:
    try:
        code = app(session.remaining, standalone_mode=False, obj=session)
    except (WsolbenchError, typer.TyperException) as error:
        if session.debug:
            typer.echo(terminal_text(traceback.format_exc()), err=True, nl=False)
        message = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        bare = message.startswith("Usage:")  # without a subcommand, typer raises the help text as an error
        if bare:
            typer.echo(message, err=True)
        else:
            tell(f"error: {message}")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer converts Ctrl-C into this code
        tell("interrupted: nothing was recorded")
    return code if isinstance(code, int) else 0
