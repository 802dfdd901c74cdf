"""Subcommands and groups of them: their help, the settings file, and options that are given too often."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from wsolbench.cli.help_pages import write_commands, write_example, write_options
from wsolbench.cli.session import Session
from wsolbench.cli.settings_file import find_settings
from wsolbench.errors import UsageError
from wsolbench.validation import what_is_wrong

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter
    from typer._click.core import Command as AnyCommand

__all__ = ["Command", "Group"]

_MEANT = {"--system": "a system stands before the network, as in --backbone acol:resnet_nano"}
"""Options that there are not, and what to type instead."""


class _WithHelp:
    """What has a help page, which ``-h`` and ``--help`` ask for."""

    def get_help_option_names(self, ctx: Context) -> list[str]:  # noqa: ARG002
        """Return the names; they do not hang on the group, since the library keeps the names that it saw first."""
        return ["-h", "--help"]


class Command(_WithHelp, TyperCommand):
    """A subcommand of the command line."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read the arguments, and those of the settings file behind them; ``--help`` ends the command.

        Raises:
            UsageError: An option of one value is given several times, or the settings file is wrong.
        """
        with self._telling_what_repeats(args), _telling():
            values, _, given = self.make_parser(ctx).parse_args(args=list(args))
            rest = super().parse_args(ctx, [*args, *self._from_settings(ctx, values)])
        for option, times in Counter(each for each in given if isinstance(each, TyperOption)).items():
            is_switch = option.is_flag and not option.secondary_opts
            if times > 1 and not (option.multiple or is_switch):
                often, command = "twice" if times == 2 else f"{times} times", ctx.command_path
                raise UsageError(
                    f"{option.opts[0]} is given {often}, and '{command}' takes one; keep one, or call '{command}' "
                    "once for each"
                )
        return rest

    @contextmanager
    def _telling_what_repeats(self, args: Sequence[str]) -> Iterator[None]:
        """A context whose error about an argument too many says so where it stands behind a repeatable option."""
        try:
            yield
        except typer.TyperException as error:
            extra = re.fullmatch(r"Got unexpected extra argument.*\((\S*).*\)", error.message)
            before = args[: args.index(extra[1])] if extra and extra[1] in args else []
            option = next((text for text in reversed(before) if text.startswith("-")), None)
            repeatable = [part.opts for part in self.params if isinstance(part, TyperOption) and part.multiple]
            if extra and any(option in names for names in repeatable):
                raise UsageError(f"{extra[1]}: one value too many; repeat the option: {option} {extra[1]}") from error
            raise

    def _from_settings(self, ctx: Context, values: Mapping[str, object]) -> list[str]:
        """Return the options of the settings file that this command has and that are not given."""
        settings = None if values.get("help") or ctx.resilient_parsing else find_settings()
        if settings is None or not isinstance(ctx.obj, Session):
            return []
        options = {part.name: part for part in self.params if isinstance(part, TyperOption)}
        dataset = values.get("dataset", options["dataset"].default if "dataset" in options else values.get("name"))
        missing = [name for name in options if name is not None and name not in values]
        added = settings.options(missing, str(dataset) if dataset is not None else None)
        ctx.obj = ctx.obj.with_settings(settings, added)
        return added

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options in sections."""
        write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002
        """Write the example."""
        write_example(self.epilog, formatter)


class Group(_WithHelp, TyperGroup):
    """A group of subcommands, of which the help has the whole first sentences."""

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, AnyCommand | None, list[str]]:
        """Return the subcommand that the first argument names, and the others; ``help`` is none, but people type it.

        Raises:
            UsageError: It is ``help``.
        """
        if args[0] == "help":
            raise UsageError(f"help: no command; type '{' '.join([ctx.command_path, *args[1:2], '--help'])}'")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options and the subcommands."""
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the subcommands."""
        write_commands(self, ctx, formatter)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002
        """Write the example."""
        write_example(self.epilog, formatter)


@contextmanager
def _telling() -> Iterator[None]:
    """A context whose errors say what to type in place of an option that there is not, or of a wrong choice."""
    try:
        yield
    except typer.TyperException as error:
        option = getattr(error, "option_name", None)
        if option in _MEANT:
            raise UsageError(f"{error.message}: {_MEANT[option]}") from error
        error.message = _in_our_words(error)
        raise


def _in_our_words(error: typer.TyperException) -> str:
    """Return what is wrong with a value, which pydantic has read, and which choice may be meant."""
    from pydantic import ValidationError  # loads what most commands can do without

    message = what_is_wrong(error.__cause__) if isinstance(error.__cause__, ValidationError) else error.message
    wrong = re.fullmatch(r"'(.+)' is not one of (.*)\.", message)
    choices = re.findall(r"'([^']*)'", wrong[2]) if wrong else []
    typed = wrong[1].casefold() if wrong else ""
    if "," in typed:
        return f"{message} Repeat the option for each."
    meant = [choice for choice in choices if choice == _split_meant(typed) or choice.startswith(typed)]
    close = meant or difflib.get_close_matches(typed, choices, n=1)
    return f"{message} Did you mean '{close[0]}'?" if close else message


def _split_meant(typed: str) -> str | None:
    """Return the split that people mean, as train-fullsup where they type ``val``."""
    from wsolbench.data.split_names import split_named

    split = split_named(typed)
    return None if split is None else split.label
