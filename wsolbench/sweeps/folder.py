"""The folder of a sweep: its plan, the folder of every run, states, logs and the leaderboard."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from wsolbench.config import RunConfig
from wsolbench.errors import DataError, OutputError, UsageError, WsolbenchError
from wsolbench.files import atomic_write, check_parents, file_name, read_regular
from wsolbench.locks import lock
from wsolbench.progress import Reporter
from wsolbench.records import ResultRecord
from wsolbench.records.store import files_beside, read_summary
from wsolbench.sweeps.config import SweepConfig
from wsolbench.sweeps.jobs import Job
from wsolbench.sweeps.state import JobState, read_state
from wsolbench.validation import refusal

__all__ = ["Plan", "SweepFolder", "records_of"]

_LARGEST = 1 << 28
_NAMES = {"sweep.json", "jobs", "state", "logs", "leaderboard"}
"""What is in the folder of a sweep."""
_OF_A_PLACE = {"out", "save_scoremaps"}
"""Fields of a run that say where it writes, not what."""


class _StoredJob(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    config: dict[str, Any]


class _StoredPlan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int
    file: str
    file_sha256: str
    folder: str
    plugins: list[str]
    retries: int
    cpus: int | None
    gpus: float
    jobs: list[_StoredJob]


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Args:
        file: Where it was written, as the user named it.
        file_sha256: The hash of that file.
        folder: The working folder: relative paths in runs are relative to it.
        plugins: Files of plugins that are not installed.
        retries: How often a run that failed is tried once more.
        cpus: Processors of a run; None for what is usual.
        gpus: GPUs of a run.
        jobs: The runs.
    """

    file: str
    file_sha256: str
    folder: Path
    plugins: tuple[str, ...]
    retries: int
    cpus: int | None
    gpus: float
    jobs: tuple[Job, ...]

    @classmethod
    def of(cls, config: SweepConfig, jobs: Sequence[Job], file: str, content: bytes, plugins: Sequence[str]) -> Plan:
        """Return the plan of a sweep that is started in the working folder of this process."""
        digest = hashlib.sha256(content).hexdigest()
        limits = (config.retries, config.cpus, config.gpus)
        return cls(file, digest, Path.cwd(), tuple(plugins), *limits, tuple(jobs))

    def to_json(self) -> str:
        """Return the plan as JSON."""
        jobs = [
            {"name": job.name, "config": job.config.model_dump(mode="json", exclude_defaults=True)} for job in self.jobs
        ]
        fields = {**vars(self), "version": 1, "folder": str(self.folder), "plugins": list(self.plugins), "jobs": jobs}
        return json.dumps({name: fields[name] for name in _StoredPlan.model_fields}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> Plan:
        """Read a plan from JSON. Raises ``ValueError`` where it is none."""
        stored = _StoredPlan.model_validate_json(text)
        if stored.version != 1:
            raise ValueError(f"version {stored.version}, where 1 is known")
        jobs = tuple(Job(each.name, RunConfig.of(**each.config)) for each in stored.jobs)
        if any(file_name(job.name) != job.name or job.name.startswith(".") for job in jobs):
            raise ValueError("a job's name is no name of a file")
        fields = {name: getattr(stored, name) for name in _StoredPlan.model_fields if name != "version"}
        return cls(**{**fields, "folder": Path(stored.folder), "plugins": tuple(stored.plugins), "jobs": jobs})


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep."""

    path: Path

    @property
    def plan_file(self) -> Path:
        """The file of the plan."""
        return self.path / "sweep.json"

    @property
    def runs(self) -> Path:
        """The folder of the folders of runs."""
        return self.path / "jobs"

    @property
    def board(self) -> Path:
        """The folder of the leaderboard."""
        return self.path / "leaderboard"

    def run(self, job: Job) -> Path:
        """Return the folder of a run."""
        return self.runs / job.name

    def log(self, job: Job) -> Path:
        """Return the file of what a job said."""
        return self.path / "logs" / f"{job.name}.log"

    def state_file(self, job: Job) -> Path:
        """Return the file of a job's state."""
        return self.path / "state" / f"{job.name}.json"

    def state(self, job: Job) -> JobState:
        """Return the state of a job as its file says."""
        return read_state(self.state_file(job))

    def records(self, job: Job) -> list[Path]:
        """Return the records of a job, if it is finished; else none."""
        return records_of(job.into(self.run(job)))

    def make(self) -> None:
        """Make the folder, with the folders in it.

        Raises:
            OutputError: It cannot be made, or is there and holds something else.
        """
        check_parents(self.path, "--out")
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"--out {self.path}: this is a file; name a new folder")
        try:
            names = {entry.name for entry in os.scandir(self.path)} if self.path.exists() else set()
            if names - _NAMES and "sweep.json" not in names:
                raise OutputError(
                    f"--out {self.path}: the folder is not empty, and not that of a sweep; name a new one"
                )
            for folder in (self.path, self.runs, self.path / "state", self.path / "logs"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"--out {self.path}: cannot be written ({error.strerror})") from error

    @contextmanager
    def locked(self, reporter: Reporter) -> Iterator[None]:
        """Let no other sweep use the folder, which exists, as long as the block lasts.

        Raises:
            UsageError: Another one does.
            OutputError: The folder cannot be opened.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be opened ({error.strerror})") from error
        try:
            try:
                is_ours = lock(descriptor)
            except OSError as error:
                is_ours = True
                reporter.warn(f"{self.path} cannot be locked here: start one sweep at a time in it ({error.strerror})")
            if not is_ours:
                raise UsageError(
                    f"{self.path}: another sweep is at work in this folder; wait for it, or name another one with --out"
                )
            yield
        finally:
            os.close(descriptor)

    def is_busy(self) -> bool:
        """Return whether a sweep is at work in the folder now."""
        try:
            with self.locked(Reporter()):
                return False
        except UsageError:
            return True

    def read_plan(self) -> Plan:
        """Return the plan.

        Raises:
            DataError: There is none, or it is damaged.
        """
        try:
            return Plan.from_json(read_regular(self.plan_file, _LARGEST))
        except OSError as error:
            hint = "start one with 'wsolbench sweep SWEEP.yaml --out DIR'"
            raise DataError(
                f"{self.path}: no folder of a sweep ({self.plan_file}: {error.strerror}); {hint}"
            ) from error
        except (ValueError, WsolbenchError) as error:
            what = refusal(error) if isinstance(error, ValidationError) else str(error).partition("\n")[0]
            raise DataError(f"{self.plan_file}: damaged, or of another version ({what})") from error

    def write_plan(self, plan: Plan) -> None:
        """Write the plan.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            atomic_write(self.plan_file, plan.to_json().encode())
        except OSError as error:
            raise OutputError(f"{self.plan_file}: cannot be written ({error.strerror})") from error

    def check_strangers(self, plan: Plan) -> None:
        """Refuse a plan that does not have the runs whose records are in the folder already.

        Raises:
            OutputError: There are such records.
        """
        asked = {job.name: _what(job.config) for job in plan.jobs}
        for folder in sorted(self.runs.iterdir()) if self.runs.is_dir() else ():
            for path in sorted(folder.glob("record-*.json")):
                found = _summary(path)
                if found is None or found.config is None:
                    continue
                of_this = asked.get(folder.name)
                if of_this is not None and _without_place(found.config) == of_this:
                    continue
                if of_this is None and _without_place(found.config) in asked.values():
                    continue  # the same run once more, under a name of its own
                raise OutputError(
                    f"{folder} holds records of a run that {plan.file} does not have as it is now; name another folder "
                    "with --out"
                )

    def clear(self, job: Job) -> None:
        """Remove what is in the folder of a run that is not finished: its records are damaged, or some are missing.

        Raises:
            OutputError: It cannot be removed.
        """
        try:
            if self.run(job).exists():
                shutil.rmtree(self.run(job))
        except OSError as error:
            raise OutputError(f"{self.run(job)}: cannot be removed ({error.strerror})") from error


def records_of(config: RunConfig) -> list[Path]:
    """Return the records in the folder of a run, if there is a whole one for each of its methods; else none.

    Which settings they have counts, and not under which name the folder was known.
    """
    if config.out is None:
        return []
    found: dict[Path, ResultRecord] = {}
    for path in sorted(config.out.glob("record-*.json")):
        summary = _summary(path)
        if summary is not None and all(beside.is_file() for beside in files_beside(path, summary)):
            found[path] = summary
    is_whole = len(found) == len(config.methods) and all(
        record.config is not None and _without_place(record.config) == _what(config) for record in found.values()
    )
    return list(found) if is_whole else []


def _summary(path: Path) -> ResultRecord | None:
    try:
        return read_summary(path)
    except WsolbenchError:
        return None


def _what(config: RunConfig) -> dict[str, Any]:
    return _without_place(config.model_dump(mode="json"))


def _without_place(config: Any) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in _OF_A_PLACE}
