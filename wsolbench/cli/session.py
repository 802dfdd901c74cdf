"""The state that all subcommands share: the arguments of the call, and the plugins."""

from __future__ import annotations

import gc
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from wsolbench.cli.output import tell
from wsolbench.host.loading import load_plugins
from wsolbench.host.output import plugin_output
from wsolbench.host.registry import Registry
from wsolbench.host.sources import PluginFile
from wsolbench.progress import Reporter

EVERYWHERE = (
    "Every command also accepts --plugin FILE.py (load a plugin that is not installed; repeatable; the environment "
    "variable WSOLBENCH_PLUGINS names such files for all commands), --strict (a plugin that fails to load, or a map "
    "with NaN or with one constant value, is an error instead of a warning) and --debug (show the traceback of an "
    "error)."
)
PLUGIN = "--plugin"
VARIABLE = "WSOLBENCH_PLUGINS"
_FLAGS = ("--strict", "--debug")


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
    """One call of the command line.

    Args:
        arguments: The arguments of the call.
        remaining: Those without the options that are accepted at any position.
        strict: Whether ``--strict`` is among them.
        debug: Whether ``--debug`` is.
        files: The files of plugins that ``--plugin`` and the environment name.
    """

    arguments: tuple[str, ...]
    remaining: list[str]
    strict: bool
    debug: bool
    files: tuple[PluginFile, ...]

    @classmethod
    def from_arguments(cls, arguments: Sequence[str], variable: str = "") -> Session:
        """Read the options that are accepted at any position.

        Args:
            arguments: The arguments of the call.
            variable: The value of the environment variable that names files of plugins.
        """
        named = [PluginFile(Path(each), f"{VARIABLE}:") for each in variable.split(os.pathsep) if each]
        remaining: list[str] = []
        given = iter(arguments)
        for argument in given:
            option, equals, value = argument.partition("=")
            if option == PLUGIN:
                named.append(PluginFile(Path(value if equals else next(given, "")), PLUGIN))
            elif argument not in _FLAGS:
                remaining.append(argument)
        strict, debug = (flag in arguments for flag in _FLAGS)
        return cls(tuple(arguments), remaining, strict, debug, tuple(named))

    @property
    def command(self) -> str:
        """The command line, quoted for a shell; bytes that are not UTF-8 are shown as escapes.

        Files of plugins that the environment names are options of it.
        """
        return self.command_without()

    def command_without(self, *options: str) -> str:
        """Return the command line without the given options, which must be flags."""
        kept = [argument for argument in self.arguments if argument not in options]
        kept += _options_of(file for file in self.files if file.named_by != PLUGIN)
        return shlex.join(["wsolbench", *kept]).encode(errors="backslashreplace").decode()

    @property
    def plugin_options(self) -> str:
        """The options that name the files of plugins in a command to type, each with a blank before it."""
        return "".join(f" {shlex.quote(text)}" for text in _options_of(self.files))

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
        """Load the plugins, and print a warning for each installed one that fails.

        Raises:
            UsageError: A file of a plugin cannot be read.
            PluginError: A file of a plugin fails.
        """
        with self.clean_stdout():
            return load_plugins(strict=self.strict, warn=lambda line: tell(f"warning: {line}"), files=self.files)


def _options_of(files: Iterable[PluginFile]) -> list[str]:
    return [text for file in files for text in (PLUGIN, str(file.path))]


def session_of(context: typer.Context) -> Session:
    """Return the session of a subcommand's call."""
    session = context.obj
    assert isinstance(session, Session)
    return session
