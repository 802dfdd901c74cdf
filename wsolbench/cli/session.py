"""The state that all subcommands share: the arguments of the call, and the plugins."""

from __future__ import annotations

import gc
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from wsolbench.cli.output import tell
from wsolbench.cli.settings_file import Settings
from wsolbench.escaping import visible
from wsolbench.host.loading import load_plugins
from wsolbench.host.output import plugin_output
from wsolbench.host.registry import Registry
from wsolbench.host.sources import PluginFile
from wsolbench.progress import Reporter

PLUGIN = "--plugin"
VARIABLE = "WSOLBENCH_PLUGINS"
_FLAGS = {"--strict": "strict", "--debug": "debug", **dict.fromkeys(("-q", "--quiet"), "quiet")}
_FLAGS |= dict.fromkeys(("-v", "--verbose"), "verbose")
"""Flags that are accepted at any position -> the attribute that says whether one is there."""


@dataclass(frozen=True)
class Session:
    """One call of the command line.

    Args:
        arguments: The arguments of the call.
        remaining: Those without the options that are accepted at any position.
        strict: Whether ``--strict`` is among them.
        debug: Whether ``--debug`` is.
        quiet: Whether ``--quiet`` is.
        verbose: Whether ``--verbose`` is.
        files: The files of plugins that ``--plugin`` and the environment name.
        settings: The settings file; None where there is none.
        added: Further arguments, which it gives.
        owns_process: Whether the process ends with it, as where a shell calls the command.
    """

    arguments: tuple[str, ...]
    remaining: list[str]
    strict: bool
    debug: bool
    quiet: bool
    verbose: bool
    files: tuple[PluginFile, ...]
    settings: Settings | None = None
    added: tuple[str, ...] = ()
    owns_process: bool = False

    @classmethod
    def from_arguments(cls, arguments: Sequence[str], variable: str = "", *, owns_process: bool = False) -> Session:
        """Read the options that are accepted at any position.

        Args:
            arguments: The arguments of the call.
            variable: The value of the environment variable that names files of plugins.
            owns_process: Whether the process ends with the call.
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
        said = {_FLAGS[argument] for argument in arguments if argument in _FLAGS}
        strict, debug, quiet, verbose = (name in said for name in ("strict", "debug", "quiet", "verbose"))
        files = tuple(named)
        return cls(tuple(arguments), remaining, strict, debug, quiet, verbose, files, owns_process=owns_process)

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
        command = shlex.join(["wsolbench", *kept, *self.added])
        if self.added:
            command += f"  # {self._origin}"
        return command.encode(errors="backslashreplace").decode()

    @property
    def _origin(self) -> str:
        assert self.settings is not None
        return visible(f"{shlex.join(self.added)}: from {self.settings.path}")

    def with_settings(self, settings: Settings, added: Sequence[str]) -> Session:
        """Return the session with a settings file and the arguments that it gives, and say which they are."""
        session = replace(self, settings=settings, added=tuple(added))
        if added:
            session.reporter().say(session._origin)
        return session

    @property
    def plugin_options(self) -> str:
        """The options that name the files of plugins in a command to type, each with a blank before it."""
        return "".join(f" {shlex.quote(text)}" for text in _options_of(self.files))

    def reporter(self) -> Reporter:
        """Return the reporter that writes to stderr."""
        from wsolbench.console import ConsoleReporter

        return ConsoleReporter(quiet=self.quiet, verbose=self.verbose)

    @contextmanager
    def uncollected(self) -> Iterator[None]:
        """Load libraries inside the block: what they make stays, so that looking for garbage in it is in vain.

        The collector leaves it out until the process ends; in the process of another program, inside the block only.
        """
        gc.disable()
        try:
            yield
        finally:
            if self.owns_process:
                gc.freeze()
            gc.enable()

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

        def warn(line: str) -> None:
            tell(f"warning: {line}")

        with self.clean_stdout():
            registry = load_plugins(strict=self.strict, warn=warn, files=self.files)
        if self.settings is not None:
            for line in self.settings.misspelt(offer.name for offer in registry.datasets):
                warn(line)
        return registry


def _options_of(files: Iterable[PluginFile]) -> list[str]:
    return [text for file in files for text in (PLUGIN, str(file.path))]


def session_of(context: typer.Context) -> Session:
    """Return the session of a subcommand's call."""
    session = context.obj
    assert isinstance(session, Session)
    return session
