"""A subcommand that refuses an option of one value that is given several times; the last one would silently count."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperOption

from wsolbench.errors import UsageError

if TYPE_CHECKING:
    from typer._click import Context

__all__ = ["Command"]


class Command(TyperCommand):
    """A subcommand of the command line."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read the arguments; ``--help`` ends the command whatever else is there.

        Raises:
            UsageError: An option of one value is given several times.
        """
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
