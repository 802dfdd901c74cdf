"""What every subcommand shares: how it was called, and the plugins."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass

import typer

from wsolbench.host.loading import load_plugins
from wsolbench.host.registry import Registry
from wsolbench.progress import Reporter

EVERYWHERE = (
    "Every command also takes --strict (a plugin that fails to load, or a map of NaN or one constant, is an error "
    "instead of a warning) and --debug (show the traceback of an error)."
)


@dataclass(frozen=True)
class Session:
    """One call of the command line."""

    arguments: tuple[str, ...]
    strict: bool
    debug: bool

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Session:
        """Read the options that may stand anywhere; ``remaining`` are the others."""
        return cls(tuple(arguments), strict="--strict" in arguments, debug="--debug" in arguments)

    @property
    def remaining(self) -> list[str]:
        """The arguments without the options that may stand anywhere."""
        return [argument for argument in self.arguments if argument not in ("--strict", "--debug")]

    @property
    def command(self) -> str:
        """The command line, ready to be pasted into a shell; bytes that are no UTF-8 are shown as escapes."""
        return self.command_without()

    def command_without(self, *options: str) -> str:
        """Return the command line without some options that take no value."""
        kept = [argument for argument in self.arguments if argument not in options]
        return shlex.join(["wsolbench", *kept]).encode(errors="backslashreplace").decode()

    def reporter(self) -> Reporter:
        """Return what speaks to the person on stderr."""
        from wsolbench.console import ConsoleReporter

        return ConsoleReporter()

    @contextmanager
    def clean_stdout(self) -> Iterator[None]:
        """Send what plugins print to stderr: stdout holds results and nothing else."""
        with redirect_stdout(sys.stderr):
            yield

    def load_plugins(self) -> Registry:
        """Load the plugins, with a line for each that fails."""
        return load_plugins(strict=self.strict, warn=lambda line: typer.echo(f"warning: {line}", err=True))


def session_of(context: typer.Context) -> Session:
    """Return the session that a subcommand runs in."""
    session = context.obj
    assert isinstance(session, Session)
    return session
