"""A sweep from its folder and plan to its leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from wsolbench.errors import DataError, UsageError
from wsolbench.progress import Reporter
from wsolbench.sweeps.board import build_board
from wsolbench.sweeps.conduct import Show, conduct, refuse_failures, states_of
from wsolbench.sweeps.engines import Engine, Local
from wsolbench.sweeps.folder import Plan, SweepFolder
from wsolbench.sweeps.gpus import Gpus, gpus_of_machine
from wsolbench.sweeps.state import JobState
from wsolbench.texts import counted, first_names

__all__ = ["Finished", "Machines", "default_folder", "opened", "sweep"]

Following: TypeAlias = AbstractContextManager[Show]


@dataclass(frozen=True)
class Machines:
    """Where jobs run.

    Args:
        on: On this machine, or on a cluster of Ray.
        jobs: How many run at once on this machine; 0 for none, which leaves the finished ones to be collected.
        address: Where the cluster is; None for the one of this machine, or a new one.
    """

    on: Literal["local", "ray"] = "local"
    jobs: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        if self.on not in ("local", "ray"):
            raise UsageError(f"on: expected 'local' or 'ray', got {self.on!r}")
        if self.jobs < 0:
            raise UsageError(f"jobs: expected a whole number from 0, got {self.jobs}")
        if self.on == "local" and self.address is not None:
            raise UsageError(f"--address {self.address}: it is that of a cluster; add --on ray")
        if self.on == "ray" and self.jobs > 1:
            raise UsageError(
                f"--jobs {self.jobs}: with --on ray, cpus: and gpus: of the sweep say how many run at once"
            )

    def engine(self, plan: Plan) -> AbstractContextManager[Engine | None]:
        """Return what carries the jobs of a plan out; None where nothing does.

        Raises:
            UsageError: Ray is not installed, or there is no such cluster; or this machine has too few GPUs.
        """
        if not self.jobs:
            return nullcontext()
        if self.on == "local":
            return Local(self.jobs, Gpus(gpus_of_machine(), plan.gpus) if plan.gpus else None)
        from wsolbench.sweeps.on_ray import OnRay

        return OnRay(self.address, plan.cpus or 1, plan.gpus)


@dataclass(frozen=True)
class Finished:
    """What became of a sweep.

    Args:
        folder: Its folder.
        states: Where each job is.
        page: The leaderboard; None where no job is finished.
    """

    folder: SweepFolder
    states: dict[str, JobState]
    page: Path | None


def default_folder(file: Path) -> Path:
    """Return the folder of a sweep that names none."""
    return Path("sweeps") / (file.stem or "sweep")


@contextmanager
def opened(path: Path, plan: Plan, reporter: Reporter) -> Iterator[SweepFolder]:
    """Open the folder of a sweep, which holds the plan then, and keep other sweeps out of it until the block ends.

    Raises:
        UsageError: Another sweep is at work there.
        OutputError: It cannot be written, or holds records of other runs.
    """
    folder = SweepFolder(path)
    folder.check_strangers(plan)
    folder.make()
    with folder.locked(reporter):
        _say_changes(folder, plan, reporter)
        folder.write_plan(plan)
        yield folder


def _say_changes(folder: SweepFolder, plan: Plan, reporter: Reporter) -> None:
    try:
        earlier = {job.name for job in folder.read_plan().jobs}
    except DataError:  # there is none, or a damaged one: it is written anew
        return
    now = {job.name for job in plan.jobs}
    if earlier != now:
        more, fewer = len(now - earlier), len(earlier - now)
        reporter.say(f"{plan.file} has changed: {counted(more, 'jobs')} more, {fewer} fewer")


def sweep(
    path: Path, plan: Plan, machines: Machines, reporter: Reporter, following: Callable[[], Following]
) -> Finished:
    """Carry out what is not finished, and build the leaderboard of all jobs that are.

    Args:
        path: The folder.
        plan: The plan.
        machines: Where jobs run.
        reporter: Is told what there is to say.
        following: Opens what shows the states of jobs.

    Raises:
        UsageError: Another sweep is at work in the folder, or there is no such cluster.
        OutputError: The folder cannot be written, or holds records of other runs.
        WsolbenchError: Jobs failed, a line for each; the leaderboard of the others is there.
    """
    if not plan.folder.is_dir():
        raise UsageError(
            f"{path}: the folder {plan.folder}, where the sweep was started, is no longer there; start it again "
            "with its file"
        )
    with machines.engine(plan) as engine, opened(path, plan, reporter) as folder, _saying_how_far(folder, plan):
        if engine is None:
            states = states_of(folder, plan.jobs)
        else:
            with following() as show:
                states = conduct(folder, plan, engine, show)
        page = build_board(folder, plan.jobs, reporter)
    _repeat_warnings(folder, states, reporter)
    refuse_failures(states)
    return Finished(folder, states, page)


def _repeat_warnings(folder: SweepFolder, states: Mapping[str, JobState], reporter: Reporter) -> None:
    """Say which jobs warned: their warnings are in their logs."""
    warned = [name for name, state in states.items() if state.warnings]
    if warned:
        logs = folder.path / "logs"
        reporter.warn(f"{counted(len(warned), 'jobs')} warned: {first_names(warned, 3)}; read the files in {logs}")


@contextmanager
def _saying_how_far(folder: SweepFolder, plan: Plan) -> Iterator[None]:
    """Let a signal that ends the block say how many jobs are done."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        done = Counter(state.stage for state in states_of(folder, plan.jobs).values())["done"]
        stopped.args = (f"{done} of {counted(len(plan.jobs), 'jobs')} are done; the same command continues",)
        raise
