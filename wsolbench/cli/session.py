"""The state that all subcommands share: the arguments of the call, and the plugins."""

from __future__ import annotations

import gc
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from wsolbench.cli.output import tell
from wsolbench.host.loading import load_plugins
from wsolbench.host.output import plugin_output
from wsolbench.host.registry import Registry
from wsolbench.progress import Reporter

EVERYWHERE = (
    "Every command also accepts --strict (a plugin that fails to load, or a map with NaN or with one constant value, "
    "is an error instead of a warning) and --debug (show the traceback of an error)."
)


@contextmanager
def uncollected() -> Iterator[None]:
    """Load libraries inside the block: what they make stays, so that looking for garbage in it is in vain.

    The collector leaves it out until the command line ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@dataclass(frozen=True)
class Session:
    """One call of the command line."""

    arguments: tuple[str, ...]
    strict: bool
    debug: bool

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Session:
        """Read the options that are accepted at any position; ``remaining`` holds the other arguments."""
        return cls(tuple(arguments), strict="--strict" in arguments, debug="--debug" in arguments)

    @property
    def remaining(self) -> list[str]:
        """The arguments without the options that are accepted at any position."""
        return [argument for argument in self.arguments if argument not in ("--strict", "--debug")]

    @property
    def command(self) -> str:
        """The command line, quoted for a shell; bytes that are not UTF-8 are shown as escapes."""
        return self.command_without()

    def command_without(self, *options: str) -> str:
        """Return the command line without the given options, which must be flags."""
        kept = [argument for argument in self.arguments if argument not in options]
        return shlex.join(["wsolbench", *kept]).encode(errors="backslashreplace").decode()

    def reporter(self) -> Reporter:
        """Return the reporter that writes to stderr."""
        from wsolbench.console import ConsoleReporter

        return ConsoleReporter()

    @contextmanager
    def clean_stdout(self) -> Iterator[None]:
        """Redirect to stderr whatever plugins print, compiled code included, so that stdout holds only results."""
        with plugin_output(descriptor=True):
            yield

    @contextmanager
    def recorded_in(self, folder: Path | None) -> Iterator[None]:
        """Let a signal that comes when the work is done say where the results are."""
        try:
            yield
        except KeyboardInterrupt as stopped:
            if folder is not None:
                stopped.args = (f"the results are in {folder}",)
            raise

    def load_plugins(self) -> Registry:
        """Load the plugins, and print a warning for each one that fails."""
        with self.clean_stdout():
            return load_plugins(strict=self.strict, warn=lambda line: tell(f"warning: {line}"))


def session_of(context: typer.Context) -> Session:
    """Return the session of a subcommand's call."""
    session = context.obj
    assert isinstance(session, Session)
    return session
