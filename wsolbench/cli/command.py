"""A subcommand that refuses an option of one value that is given several times; the last one would silently count."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from typer.core import TyperCommand, TyperOption

from wsolbench.errors import UsageError

if TYPE_CHECKING:
    from typer._click import Context

__all__ = ["Command"]

_MEANT = {"--system": "a system stands before the network, as in --backbone acol:resnet_nano"}
"""Options that there are not, and what to type instead."""


class Command(TyperCommand):
    """A subcommand of the command line."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read the arguments; ``--help`` ends the command whatever else is there.

        Raises:
            UsageError: An option of one value is given several times.
        """
        with _telling():
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            rest = super().parse_args(ctx, args)
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
def _telling() -> Iterator[None]:
    """A context whose errors say what to type in place of an option that there is not, or of a wrong choice."""
    try:
        yield
    except typer.TyperException as error:
        option = getattr(error, "option_name", None)
        if option in _MEANT:
            raise UsageError(f"{error.message}: {_MEANT[option]}") from error
        error.message = error.message.removeprefix("Value error, ")  # of the library that reads the choices
        wrong = re.fullmatch(r"'(.*)' is not one of (.*)\.", error.message)
        choices = re.findall(r"'([^']*)'", wrong[2]) if wrong else []
        typed = wrong[1].casefold() if wrong else ""
        begin = [choice for choice in choices if typed and choice.startswith(typed)]
        close = begin or difflib.get_close_matches(typed, choices, n=1)
        if close:
            error.message += f" Did you mean '{close[0]}'?"
        raise
