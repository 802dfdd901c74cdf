"""The page of commands: every subcommand, its arguments, options and defaults, read from the program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from generated.text import cell, code, table
from wsolbench.cli.commands import command as root


def page() -> str:
    """Return the page."""
    commands = list(_walk(("wsolbench",), root))
    sections = [_section(path, command) for path, command in commands]
    rows = [(f"[`{' '.join(path)}`](#{_anchor(path)})", cell(_first_line(command))) for path, command in commands]
    return "\n".join(
        [
            "# Commands",
            "",
            "Made from the program itself; `wsolbench COMMAND --help` prints the same. An option that is *repeatable*",
            "is typed once for each value.",
            "",
            table(("command", "what it does"), rows),
            *sections,
        ]
    )


def _walk(path: tuple[str, ...], group: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the words of every command that does something, and the command."""
    context = group.context_class(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from _walk((*path, name), command)
        elif not command.hidden:
            yield (*path, name), command


def _section(path: tuple[str, ...], command: Any) -> str:
    context = command.context_class(command, info_name=" ".join(path))
    paragraphs = "\n\n".join(cell(part) for part in (command.help or "").split("\n\n"))
    rows = [_row(parameter, context) for parameter in command.params if not getattr(parameter, "hidden", False)]
    return "\n".join(
        [
            f"## {' '.join(path[1:])} {{ #{_anchor(path)} }}",
            "",
            paragraphs,
            "",
            "```text",
            command.get_usage(context).removeprefix("Usage: "),
            "```",
            "",
            table(("argument or option", "meaning"), rows) if rows else "",
        ]
    )


def _row(parameter: Any, context: Any) -> tuple[str, str]:
    record = parameter.get_help_record(context)
    name, meaning = record if record else (parameter.make_metavar(context), "")
    return code(name), cell(meaning)


def _first_line(command: Any) -> str:
    return (command.help or "").split("\n\n")[0]


def _anchor(path: tuple[str, ...]) -> str:
    return "-".join(path[1:])
