"""What the documentation says to type: commands parse, Python imports what there is, and no block is left out."""

import ast
import importlib
import shlex
from pathlib import Path

import typer
from pages import PAGES, blocks

from wsolbench.cli.commands import command as wsolbench_command
from wsolbench.cli.session import Session

FINE = "accepted"
HELP = (["-h"], ["--help"])
ELLIPSIS = "…"
"""Stands in a command for options that the text around it explains."""


def commands(block):
    """Return the arguments of every call of wsolbench in a block of shell commands."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        tokens = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
        tokens.whitespace_split, call = True, None
        for token in tokens:
            if Path(token).name == "wsolbench":
                call = []
                found.append(call)
            elif set(token) <= set(";&|()>"):
                call = None
            elif call is not None:
                call.append(token)
    return found


def problem(arguments):
    """Return why the command line would not accept arguments, or None; nothing is run and no file looked for."""
    command, rest = wsolbench_command, Session.from_arguments(arguments).remaining
    rest = [argument for argument in rest if argument != ELLIPSIS]
    while hasattr(command, "list_commands") and rest not in HELP:
        rest = command.completed(rest) if hasattr(command, "completed") else rest
        context = command.context_class(command)
        if not rest or rest[0] not in command.list_commands(context):
            return f"no subcommand {rest[:1]}"
        command, rest = command.get_command(context, rest[0]), rest[1:]
    if rest in HELP:
        return None
    try:
        values, surplus, _ = command.make_parser(command.context_class(command)).parse_args(rest)
    except typer.TyperException as error:
        return error.format_message()
    missing = [part.name for part in command.params if part.required and not values.get(part.name)]
    if missing and ELLIPSIS not in arguments:
        return f"missing {missing}"
    return f"surplus {surplus}" if surplus else None


def test_the_check_of_commands():
    for line, expected in (
        ("cd a && wsolbench list backbones --strict  # all", FINE),
        ("wsolbench run --backbone cam --method=pc1 \\\n  --limit $n", FINE),
        ("wsolbench train … --out first", FINE),
        ("wsolbench schema > schema.json", FINE),
        ("for p in a b; do .venv/bin/wsolbench compare $p/*.json {b,c}.json; done", FINE),
        ("wsolbench rn", "no subcommand ['rn']"),
        ("wsolbench leaderboard", "no subcommand []"),
        ("wsolbench run --backbone a --methods b", "No such option: --methods"),
        ("wsolbench run --method", "requires an argument"),
        ("wsolbench compare only.json", "missing ['second']"),
        ("wsolbench schema now", "surplus ['now']"),
    ):
        (arguments,) = commands(line)
        assert expected in (problem(arguments) or FINE), line


def test_every_command_of_the_documentation_is_accepted():
    told = {
        f"{page.name}: wsolbench {' '.join(arguments)}": problem(arguments)
        for page in PAGES
        for block in blocks(page, "sh")
        for arguments in commands(block.text)
    }
    assert len(told) > 10
    assert {command: why for command, why in told.items() if why} == {}


def imported(source):
    """Yield module and attribute (or None) of every import."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def exists(module, attribute):
    try:
        found = importlib.import_module(module)
        return attribute is None or hasattr(found, attribute) or bool(importlib.import_module(f"{module}.{attribute}"))
    except ImportError:
        return False


def test_python_of_the_documentation_imports_what_there_is():
    sources = [(page.name, block.text) for page in PAGES for block in blocks(page, "python")]
    assert sources
    names = [(page, *name) for page, source in sources for name in imported(source)]
    assert [name for name in names if not exists(*name[1:])] == []


def test_blocks_that_are_not_run_say_why():
    """A block with an ellipsis is no whole command; whatever has no reason is run by test_documentation_runs.py."""
    found = [block for page in PAGES for block in blocks(page, "sh", "python")]
    assert len(found) > 50
    unexplained = [f"{block.page.name}:{block.line}" for block in found if ELLIPSIS in block.text and not block.reason]
    assert unexplained == []
    assert len([block for block in found if not block.reason]) > 20


def test_the_reading_of_blocks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```sh\nls\n```\n\n<!-- not run: takes a day -->\n```python\nimport wsolbench\n```\n")
    found = blocks(page, "sh", "python")
    assert [(block.line, block.language, block.text, block.reason) for block in found] == [
        (4, "sh", "ls\n", None),
        (9, "python", "import wsolbench\n", "takes a day"),
    ]
    page.write_text("# Page\n\n<!-- no block is run: they take a day -->\n\n```sh\nls\n```\n")
    assert [block.reason for block in blocks(page, "sh")] == ["they take a day"]
