"""A sweep from its folder and plan to its leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from wsolbench.errors import UsageError
from wsolbench.progress import Reporter
from wsolbench.sweeps.board import build_board
from wsolbench.sweeps.conduct import Show, conduct, refuse_failures, states_of
from wsolbench.sweeps.engines import Engine, Local
from wsolbench.sweeps.folder import Plan, SweepFolder
from wsolbench.sweeps.state import JobState
from wsolbench.texts import counted

__all__ = ["Finished", "Machines", "default_folder", "open_folder", "sweep"]

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
        if self.on == "local" and self.address is not None:
            raise UsageError(f"--address {self.address}: it is that of a cluster; add --on ray")

    def engine(self, plan: Plan) -> Engine:
        """Return what carries the jobs of a plan out.

        Raises:
            UsageError: Ray is not installed, or there is no such cluster.
        """
        if self.on == "local":
            return Local(self.jobs)
        from wsolbench.sweeps.on_ray import OnRay

        return OnRay(self.address, plan.cpus or 1, plan.gpus)


@dataclass(frozen=True)
class Finished:
    """What became of a sweep.

    Args:
        states: Where each job is.
        page: The leaderboard; None where no job is finished.
    """

    states: dict[str, JobState]
    page: Path | None


def default_folder(file: Path) -> Path:
    """Return the folder of a sweep that names none."""
    return Path("sweeps") / (file.stem or "sweep")


def open_folder(path: Path, plan: Plan, reporter: Reporter) -> SweepFolder:
    """Make the folder of a sweep, or check that the one that is there is of the same; write the plan.

    The caller holds no lock of it; a sweep that is at work there is left alone.

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
    return folder


def _say_changes(folder: SweepFolder, plan: Plan, reporter: Reporter) -> None:
    if folder.plan_file.exists():
        earlier = {job.name for job in folder.read_plan().jobs}
        now = {job.name for job in plan.jobs}
        if earlier != now:
            reporter.say(
                f"{plan.file} has changed: {counted(len(now - earlier), 'jobs')} more, {len(earlier - now)} fewer"
            )


def sweep(
    folder: SweepFolder, plan: Plan, machines: Machines, reporter: Reporter, following: Callable[[], Following]
) -> Finished:
    """Carry out what is not finished, and build the leaderboard of all jobs that are.

    Args:
        folder: The folder, which holds the plan.
        plan: The plan.
        machines: Where jobs run.
        reporter: Is told what there is to say.
        following: Opens what shows the states of jobs.

    Raises:
        UsageError: Another sweep is at work in the folder, or there is no such cluster.
        WsolbenchError: Jobs failed, a line for each; the leaderboard of the others is there.
    """
    if not plan.folder.is_dir():
        raise UsageError(
            f"{folder.path}: the folder {plan.folder}, where the sweep was started, is no longer there; start it again "
            "with its file"
        )
    with folder.locked(reporter):
        states = states_of(folder, plan.jobs)
        is_left = any(state.stage != "done" for state in states.values())
        if is_left and (machines.on == "ray" or machines.jobs):
            states = _conducted(folder, plan, machines, following)
        page = build_board(folder, plan.jobs, reporter)
    refuse_failures(states)
    return Finished(states, page)


def _conducted(
    folder: SweepFolder, plan: Plan, machines: Machines, following: Callable[[], Following]
) -> dict[str, JobState]:
    try:
        with machines.engine(plan) as engine, following() as show:
            return conduct(folder, plan, engine, show)
    except KeyboardInterrupt as stopped:
        done = Counter(state.stage for state in states_of(folder, plan.jobs).values())["done"]
        stopped.args = (f"{done} of {counted(len(plan.jobs), 'jobs')} are done; the same command continues",)
        raise
