"""The entry point of the command line: maps errors and signals to one line and an exit code.

It imports the subcommands when it runs, so that Ctrl-C during the imports is one line too.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Sequence

from wsolbench.cli.signals import Stopped, raising_stopped

READER_LEFT = 128 + 13
"""The exit code of a process that SIGPIPE ends; a number, as not every system has the signal."""
TYPE_CHECKING = False  # instead of typing's, which takes long to import
if TYPE_CHECKING:
    from wsolbench.cli.session import Session


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 for success, 2 for an error the user can fix, 1 for a bug.

    It is 1 too where ``wsolbench check`` finds a rule broken.

    After a signal it is 128 plus its number: 130 for Ctrl-C, 143 for SIGTERM. It is 141, as after SIGPIPE, where the
    reader of stdout left before all results were printed, as ``head`` does; files are complete then.

    Args:
        arguments: The arguments after the program's name; by default those of the process.
    """
    with raising_stopped():
        try:
            code = _run(arguments)
        except KeyboardInterrupt as stopped:
            code = _say_stopped(stopped)
    if arguments is None:
        gc.unfreeze()  # what the session left out of the garbage collection
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the work is done: a signal now needs no traceback
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    from wsolbench.cli.output import message_stream
    from wsolbench.cli.session import VARIABLE, Session

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without τ shows "?" instead of a traceback
    # Must be set before torch loads OpenMP, whose waiting threads would otherwise spin on cores that scoring needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    is_first = os.environ.get("RANK", "0") == "0"  # of those that torchrun starts, one speaks
    with message_stream(sys.stderr if is_first else None):
        given, owns_process = (sys.argv[1:], True) if arguments is None else (arguments, False)
        return _carry_out(Session.from_arguments(given, os.environ.get(VARIABLE, ""), owns_process=owns_process))


def _carry_out(session: Session) -> int:
    """Call a subcommand, say in one line what went wrong, and return the exit code."""
    import traceback

    import typer

    from wsolbench.cli.commands import command
    from wsolbench.cli.output import result_stream, tell
    from wsolbench.errors import EndedTogetherError, WsolbenchError
    from wsolbench.escaping import terminal_text

    command._main_shell_completion({}, "wsolbench")  # ends the process where a shell asks for completions
    try:  # not through typer's own main, which takes every EOFError for Ctrl-C
        with (
            result_stream(sys.stdout),
            command.make_context("wsolbench", session.remaining, obj=session) as context,
        ):
            command.invoke(context)
    except typer.Exit as ended:
        return int(ended.exit_code)
    except EndedTogetherError:
        return 2
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
    except BrokenPipeError:  # the reader of stdout has seen enough
        return READER_LEFT
    return 0


def _say_stopped(stopped: KeyboardInterrupt) -> int:
    """Say in one line what became of the work; return the exit code."""
    from wsolbench.cli.output import tell

    number = stopped.number if isinstance(stopped, Stopped) else signal.SIGINT
    if number == signal.SIGTERM and "TORCHELASTIC_RUN_ID" in os.environ:
        return 128 + number  # another process of the run has ended: torchrun's launcher ends all, and tells why
    what = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    tell(f"{what}: {stopped.args[0] if stopped.args else 'nothing was recorded'}")
    return 128 + number
