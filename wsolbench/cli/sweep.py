"""``wsolbench sweep``: a grid of runs, on this machine or on many."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wsolbench.cli.command import Command, Group
from wsolbench.cli.session import Session, session_of
from wsolbench.cli.settings_file import find_settings
from wsolbench.errors import UsageError

if TYPE_CHECKING:
    from typer._click import Context

    from wsolbench.sweeps.folder import Plan
    from wsolbench.sweeps.jobs import Defaults
    from wsolbench.sweeps.sweep import Machines

FIRST = "run"
"""The subcommand that need not be typed."""


class _WithFirst(Group):
    """A group in which ``wsolbench sweep FILE`` stands for ``wsolbench sweep run FILE``."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        return super().parse_args(ctx, self.completed(args))

    def completed(self, args: list[str]) -> list[str]:
        """Return arguments with the subcommand that they leave out."""
        is_whole = not args or args[0] in self.commands or args[0] in self.get_help_option_names(None)  # type: ignore[arg-type]
        return args if is_whole else [FIRST, *args]


sweep = typer.Typer(
    cls=_WithFirst,
    help="Run a grid of networks, methods, data sets, seeds and settings, here or on many machines. 'sweep FILE' "
    "stands for 'sweep run FILE'.",
    epilog="wsolbench sweep examples/sweep.yaml --jobs 2",
    no_args_is_help=True,
)

Where = Annotated[Literal["local", "ray"], typer.Option("--on", help="Where jobs run: on this machine, or on Ray.")]
Address = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="The cluster of Ray; default: the one of this machine, or a new one."),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", "-j", metavar="N", min=0, help="Jobs at once on this machine; 0 only collects what is finished."
    ),
]


@sweep.command(FIRST, cls=Command, epilog="wsolbench sweep run examples/sweep.yaml --dry-run")
def start(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="The grid; see docs/guides/large-runs.md.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Its folder; default sweeps/<name of the file>.")
    ] = None,
    on: Where = "local",
    address: Address = None,
    jobs: Jobs = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the jobs, and do nothing.")] = False,
    print_commands: Annotated[
        bool, typer.Option("--print-commands", help="Print a command for each job that is not finished, as for Slurm.")
    ] = False,
) -> None:
    """Carry out all jobs that are not finished, then build a leaderboard; the same command again continues."""
    session = session_of(context)
    from wsolbench.sweeps.config import read_sweep
    from wsolbench.sweeps.folder import Plan
    from wsolbench.sweeps.jobs import plan_jobs
    from wsolbench.sweeps.sweep import Machines, default_folder

    machines = Machines(on, jobs, address)
    config, content = read_sweep(file)
    planned = plan_jobs(config, str(file), _defaults(session))
    with session.uncollected():
        registry = session.load_plugins()
        from wsolbench.sweeps.check import check_offers

        check_offers(config, registry, str(file))
    if dry_run:
        for job in planned:
            typer.echo(f"{job.name}  {' '.join(job.config.methods)}")
        return
    plan = Plan.of(config, planned, str(file), content, [str(each.path.absolute()) for each in session.files])
    place = out if out is not None else default_folder(file)
    if print_commands:
        _print_commands(place, plan, session)
    else:
        _carry_out(place, plan, machines, session)


@sweep.command(cls=Command)
def resume(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep.")],
    on: Where = "local",
    address: Address = None,
    jobs: Jobs = 1,
) -> None:
    """Continue a sweep as it was planned; build the leaderboard of what is finished."""
    from wsolbench.sweeps.folder import SweepFolder
    from wsolbench.sweeps.sweep import Machines

    machines, plan = Machines(on, jobs, address), SweepFolder(folder).read_plan()
    _carry_out(folder, plan, machines, session_of(context))


@sweep.command(cls=Command)
def status(folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep.")]) -> None:
    """Show where each job is."""
    from wsolbench.sweeps.conduct import states_of
    from wsolbench.sweeps.folder import SweepFolder
    from wsolbench.sweeps.table import as_text

    place = SweepFolder(folder)
    plan = place.read_plan()
    typer.echo(as_text(states_of(place, plan.jobs, busy=place.is_busy())))


@sweep.command(cls=Command, hidden=True)
def job(context: typer.Context) -> None:
    """Carry out one job, which is read from stdin; sweeps start it."""
    session = session_of(context)
    from wsolbench.sweeps.attempt import carry_out, read_request

    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("'wsolbench sweep job' is started by 'wsolbench sweep SWEEP.yaml'")
    request = read_request(sys.stdin.fileno())
    with session.clean_stdout():
        carry_out(request, session.load_plugins)


def _defaults(session: Session) -> Defaults:
    """Return what ``--strict`` and the settings file say for runs on a data set."""
    settings = find_settings()
    strict = {"strict": True} if session.strict else {}
    if settings is None:
        return lambda _dataset: strict
    session.reporter().say(f"what the sweep leaves open is taken from {settings.path}")

    def of_dataset(dataset: str) -> dict[str, Any]:
        known = {**settings.values, **settings.roots.get(dataset, {})}
        return {**strict, **{name.replace("-", "_"): value for name, value in known.items()}}

    return of_dataset


def _print_commands(place: Path, plan: Plan, session: Session) -> None:
    from wsolbench.sweeps.command import run_command
    from wsolbench.sweeps.sweep import opened

    with opened(place, plan, session.reporter()) as folder:
        left = [job for job in plan.jobs if not folder.records(job)]
    if len(left) < len(plan.jobs):
        session.reporter().say(f"{len(plan.jobs) - len(left)} of {len(plan.jobs)} jobs are finished and left out")
    for job in left:
        typer.echo(run_command(job.into(folder.run(job)), plan.plugins))


def _carry_out(place: Path, plan: Plan, machines: Machines, session: Session) -> None:
    from wsolbench.sweeps.sweep import sweep as carry_out
    from wsolbench.sweeps.table import following, in_total

    reporter = session.reporter()
    with session.clean_stdout():
        done = carry_out(place, plan, machines, reporter, partial(following, reporter, quiet=session.quiet))
    typer.echo(in_total(done.states))
    typer.echo(f"records: {done.folder.runs}" + (f"\nleaderboard: {done.page}" if done.page is not None else ""))
