"""``wsolbench leaderboard``: records into tables and figures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsolbench.cli.command import Command, Group
from wsolbench.cli.session import session_of
from wsolbench.errors import DataError, UsageError
from wsolbench.texts import counted

leaderboard = typer.Typer(
    cls=Group,
    help="Build a leaderboard from records, check it, look at it, contribute to it.",
    epilog="wsolbench leaderboard add runs/*/record-*.json --build",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Holds records/ and receives everything else.")]
DEFAULT = Path("leaderboard")


@leaderboard.command(cls=Command)
def add(
    context: typer.Context,
    records: Annotated[list[Path], typer.Argument(help="Record files of runs.")],
    folder: Folder = DEFAULT,
    and_build: Annotated[bool, typer.Option("--build", help="Then build the leaderboard.")] = False,
) -> None:
    """Copy records to where the leaderboard keeps them, all or none; without --build, build it afterwards."""
    from wsolbench.leaderboard import add as carry_out

    for path in carry_out(folder, records, session_of(context).reporter()):
        typer.echo(path)
    if and_build:
        build(context, folder)


@leaderboard.command(cls=Command)
def build(context: typer.Context, folder: Folder = DEFAULT) -> None:
    """Write tables (Markdown, CSV, JSON, LaTeX) and figures (PNG, SVG) from the records.

    Only files that are as an earlier build wrote them are replaced or removed. A wrong record is left out and named;
    the exit code is 2 then.
    """
    from wsolbench.leaderboard import build as carry_out

    for path in carry_out(folder, session_of(context).reporter()):
        typer.echo(path)


@leaderboard.command(cls=Command)
def check(context: typer.Context, folder: Folder = DEFAULT) -> None:
    """Fail where a table or figure is not what the records give, or a record contradicts itself.

    What no outcome shows is named as claimed.
    """
    from wsolbench.leaderboard import check as carry_out
    from wsolbench.records.verify import CLAIMED, MARKED

    problems = carry_out(folder, session_of(context).reporter())
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise DataError(f"the leaderboard is stale; run 'wsolbench leaderboard build'{listed}")
    always = [name for name in CLAIMED if name not in MARKED]
    typer.echo(
        f"{folder}: fresh; claimed by records and not verified: {', '.join(always)}; "
        f"where tables mark it, also {' and '.join(MARKED)}"
    )


@leaderboard.command(cls=Command)
def table(
    slug: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="Its name, as the files of tables have it.")
    ] = None,
    folder: Folder = DEFAULT,
    form: Annotated[
        Literal["latex", "markdown", "csv", "json"], typer.Option("--format", help="How it is written.")
    ] = "latex",
    columns: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Its columns: fields of rows and metrics, as CSV names them.")
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHICH",
            help="means (default; over seeds), all (each training too), best (of every network), or a condition such "
            "as method=cam; may be repeated.",
        ),
    ] = None,
) -> None:
    """Print a table of the last build for a paper or a README, with some rows and columns.

    In LaTeX (booktabs), the best number is bold, the second underlined, and = marks what is tied with the best.
    """
    from wsolbench.leaderboard.table import write_table

    names = [name.strip() for name in columns.split(",")] if columns else []
    typer.echo(write_table(folder, slug, form, names, rows or []), nl=False)


@leaderboard.command(cls=Command)
def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="Another leaderboard folder, a leaderboard.json, or a git revision.")
    ],
    folder: Folder = DEFAULT,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, as for a pull request.")] = False,
) -> None:
    """Show which rows are new or gone, and which scores and ranks changed since OLD.

    The numbers are those of the last builds, so both leaderboards have to be built.
    """
    if json and markdown:
        raise UsageError("--json and --markdown: choose one")
    from wsolbench.escaping import finite_json
    from wsolbench.leaderboard.difference import as_markdown, as_table, compare, read, read_current

    difference = compare(read(old, folder), read_current(folder), (old, str(folder)))
    typer.echo(finite_json(difference.summary()) if json else (as_markdown if markdown else as_table)(difference))


@leaderboard.command(cls=Command)
def serve(
    folder: Folder = DEFAULT,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where it listens; 0 for any that is free.")] = 8000,
) -> None:
    """Serve the page of a leaderboard to browsers of this machine, until Ctrl-C.

    The page opens from disk too; a server is for folders on another machine, through a forwarded port.
    """
    from wsolbench.leaderboard.serve import serve as carry_out

    def tell(address: str) -> None:
        typer.echo(f"{folder} is at {address}; Ctrl-C ends it")
        sys.stdout.flush()

    carry_out(folder, port, tell)


@leaderboard.command(cls=Command)
def submit(
    context: typer.Context,
    records: Annotated[list[Path], typer.Argument(metavar="RECORD...", help="Record files of runs.")],
    folder: Folder = DEFAULT,
) -> None:
    """Verify records, copy them to records/submitted/, and print a pull request that contributes them.

    All are copied, or none. Nothing is uploaded.
    """
    from wsolbench.leaderboard import submit as carry_out

    submission = carry_out(folder, records, session_of(context).reporter())
    listed = "".join(f"{path}\n" for path in submission.files)
    typer.echo(
        f"{listed}\nCommit these files with those beside them: git add {shlex.quote(str(folder / 'records'))}\n\n"
        f"Title of the pull request:\n\n{submission.title}\n\nText of the pull request:\n\n{submission.body}"
    )


@leaderboard.command(cls=Command)
def migrate(context: typer.Context, folder: Folder = DEFAULT) -> None:
    """Write records of schema versions 1 and 2 as version 3, verified before and after; then build again.

    Their numbers stay the same. Tables go on marking them, as their summaries had no hash before.
    """
    from wsolbench.leaderboard import RECORDS, locked
    from wsolbench.leaderboard import migrate as carry_out
    from wsolbench.records import SCHEMA_VERSION

    with locked(folder, session_of(context).reporter()):
        done = carry_out(folder / RECORDS)
    older, records = len(done.rewritten), counted(len(done.rewritten) + done.kept, "records")
    were, are = ("was", "is") if older == 1 else ("were", "are")
    typer.echo(
        f"{folder / RECORDS}: {older} of {records} {were} older and {are} of version {SCHEMA_VERSION} now; "
        f"{done.before / 1e6:.1f} MB before, {done.after / 1e6:.1f} MB now"
    )
