"""A sweep from its folder and plan to its leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
        if self.on == "local" and self.address is not None:
            raise UsageError(f"--address {self.address}: it is that of a cluster; add --on ray")
        if self.on == "ray" and self.jobs > 1:
            raise UsageError(
                f"--jobs {self.jobs}: with --on ray, cpus: and gpus: of the sweep say how many run at once"
            )

    def engine(self, plan: Plan) -> AbstractContextManager[Engine | None]:
        """Return what carries the jobs of a plan out; None where nothing does.

        Raises:
            UsageError: Ray is not installed, or there is no such cluster.
        """
        if not self.jobs:
            return nullcontext()
        if self.on == "local":
            return Local(self.jobs)
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
    if folder.plan_file.exists():
        earlier = {job.name for job in folder.read_plan().jobs}
        now = {job.name for job in plan.jobs}
        if earlier != now:
            reporter.say(
                f"{plan.file} has changed: {counted(len(now - earlier), 'jobs')} more, {len(earlier - now)} fewer"
            )


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
    with machines.engine(plan) as engine, opened(path, plan, reporter) as folder:
        states = states_of(folder, plan.jobs)
        if engine is not None and any(state.stage != "done" for state in states.values()):
            states = _conducted(folder, plan, engine, following)
        page = build_board(folder, plan.jobs, reporter)
    refuse_failures(states)
    return Finished(folder, states, page)


def _conducted(
    folder: SweepFolder, plan: Plan, engine: Engine, following: Callable[[], Following]
) -> dict[str, JobState]:
    try:
        with following() as show:
            return conduct(folder, plan, engine, show)
    except KeyboardInterrupt as stopped:
        done = Counter(state.stage for state in states_of(folder, plan.jobs).values())["done"]
        stopped.args = (f"{done} of {counted(len(plan.jobs), 'jobs')} are done; the same command continues",)
        raise
