"""The jobs of a sweep, one engine, and the retries: what is finished is never done again."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from wsolbench.errors import WsolbenchError
from wsolbench.sweeps.engines import Ended, Engine
from wsolbench.sweeps.folder import Plan, SweepFolder
from wsolbench.sweeps.jobs import Job
from wsolbench.sweeps.launch import start_of
from wsolbench.sweeps.state import JobState, write_state

__all__ = ["Show", "conduct", "refuse_failures", "states_of"]

Show = Callable[[Mapping[str, JobState]], None]
"""Is given the state of every job, in their order, again and again."""

POLL_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 1.0
"""How often files of states are read: on a cluster, of all jobs, over the network."""
MOST_LOSSES: Final = 10
"""So many times the machine of a job may be lost before the job counts as failed."""


def states_of(folder: SweepFolder, jobs: Iterable[Job], *, busy: bool = False) -> dict[str, JobState]:
    """Return where jobs are: done are those whose folders hold their records, whatever their states say.

    Args:
        folder: Of the sweep.
        jobs: The jobs.
        busy: Whether a sweep is at work there, so that a job may be running.
    """
    return {job.name: _state_of(folder, job, busy) for job in jobs}


def _state_of(folder: SweepFolder, job: Job, busy: bool) -> JobState:
    state = folder.state(job)
    if folder.records(job):
        return JobState(stage="done", attempt=state.attempt, rate=state.rate, warnings=state.warnings)
    if state.stage == "failed" or (state.stage == "running" and busy):
        return state
    return JobState(attempt=state.attempt)


def conduct(folder: SweepFolder, plan: Plan, engine: Engine, show: Show) -> dict[str, JobState]:
    """Carry out all jobs that are not finished; return where every job is at the end.

    A job that fails is tried again as often as the plan says, one whose machine was lost more often.

    Raises:
        WsolbenchError: Jobs cannot be started.
    """
    return _Conductor(folder, plan, engine).run(show)


class _Conductor:
    def __init__(self, folder: SweepFolder, plan: Plan, engine: Engine) -> None:
        self._folder, self._plan, self._engine = folder, plan, engine
        self._jobs = {job.name: job for job in plan.jobs}
        self._states = {name: _fresh(state) for name, state in states_of(folder, plan.jobs).items()}
        self._waiting = deque(name for name, state in self._states.items() if state.stage != "done")
        self._running: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._looked = 0.0

    def run(self, show: Show) -> dict[str, JobState]:
        for name in self._waiting:
            self._folder.clear(self._jobs[name])
            write_state(self._folder.state_file(self._jobs[name]), self._states[name])
        try:
            show(self._states)
            while self._waiting or self._running:
                while self._waiting and self._engine.has_room:
                    self._start(self._waiting.popleft())
                for ended in self._engine.ended():
                    self._end(ended)
                self._look()
                show(self._states)
                time.sleep(POLL_SECONDS if self._running else 0)
        except BaseException:
            self._engine.stop()
            for name in self._running:
                self._settle(name, JobState(attempt=self._states[name].attempt))
            show(self._states)
            raise
        show(self._states)
        return self._states

    def _start(self, name: str) -> None:
        attempt = self._states[name].attempt + 1
        self._states[name] = JobState(attempt=attempt)
        self._running.add(name)
        try:
            self._engine.start(name, start_of(self._jobs[name], attempt, self._folder, self._plan))
        except OSError as error:
            self._end(Ended(name, f"its process cannot be started ({error.strerror})"))

    def _look(self) -> None:
        """Learn from the files of jobs how far they are; until a job wrote there, it waits for a machine."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for name in self._running:
            state = self._folder.state(self._jobs[name])
            if state.stage == "running" and state.attempt == self._states[name].attempt:
                self._states[name] = state

    def _end(self, ended: Ended) -> None:
        name, job = ended.name, self._jobs[ended.name]
        self._running.discard(name)
        said, known = self._folder.state(job), self._states[name]
        if self._folder.records(job):
            rate = said.rate or known.rate
            self._settle(name, JobState(stage="done", attempt=known.attempt, rate=rate, warnings=said.warnings))
            return
        (self._losses if ended.is_lost else self._failures)[name] += 1
        own_line = said.line if said.stage == "failed" and said.attempt == known.attempt else ""
        line = own_line or ended.line or "it ended without its records"
        again = self._losses[name] <= MOST_LOSSES and self._failures[name] <= self._plan.retries
        if again:
            self._waiting.append(name)
        self._settle(name, JobState(stage="waiting" if again else "failed", attempt=known.attempt, line=line))

    def _settle(self, name: str, state: JobState) -> None:
        if self._folder.records(self._jobs[name]):
            state = state.model_copy(update={"stage": "done", "line": ""})
        self._states[name] = state
        write_state(self._folder.state_file(self._jobs[name]), state)


def _fresh(state: JobState) -> JobState:
    """Return where a job is when a sweep begins: what failed before is tried anew."""
    return state if state.stage == "done" else JobState(attempt=state.attempt)


def refuse_failures(states: Mapping[str, JobState]) -> None:
    """Raise where jobs failed, with a line for each.

    Raises:
        WsolbenchError: There are some.
    """
    lines = [f"{name}: {state.line}" for name, state in states.items() if state.stage == "failed"]
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        raise WsolbenchError(f"{len(lines)} of {len(states)} jobs failed; the same command tries them again:{listed}")
