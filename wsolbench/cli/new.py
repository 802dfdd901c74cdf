"""``wsolbench new``: a distribution for a plugin, to be edited."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from wsolbench.cli.session import session_of
from wsolbench.scaffold import Kind, Names, project_files, write_project


def new(
    context: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="What the plugin is.", show_default=False)],
    name: Annotated[str, typer.Argument(help="What users will type, such as mynet.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder that is written; by default ./NAME.")
    ] = None,
) -> None:
    """Write a backbone, method, data set, recipe or system as a distribution of its own: code, tests, README.

    It works as it is, and is there to be edited. README.md in it has the commands.
    """
    names = Names.of(name)
    names.check_free(session_of(context).load_plugins())
    folder = out or Path(name)
    files = project_files(kind, names)
    write_project(files, folder)
    shown = folder if folder.is_absolute() or folder.parts[:1] == ("..",) else f"./{folder}"
    code = [path for path in files if path.endswith(".py")]
    typer.echo("\n".join([f"{folder}: a {kind}, in {len(files)} files", *(f"  {folder}/{path}" for path in code)]))
    typer.echo(f"install it:  pip install -e {shlex.quote(str(shown))}")
    typer.echo(f"check it:    wsolbench check {name}")
    typer.echo(f"then read:   {folder}/README.md")
