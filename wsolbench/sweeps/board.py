"""The leaderboard of a sweep: the records of all jobs that are finished."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsolbench.leaderboard.add import add
from wsolbench.leaderboard.build import build
from wsolbench.progress import Reporter
from wsolbench.records import identity_of
from wsolbench.records.store import read_summary
from wsolbench.sweeps.folder import SweepFolder
from wsolbench.sweeps.jobs import Job

__all__ = ["build_board"]


def build_board(folder: SweepFolder, jobs: Iterable[Job], reporter: Reporter) -> Path | None:
    """Build the leaderboard; return its page, None where no job is finished.

    Of records that measured the same, as those of two batch sizes do, the first one counts.

    Raises:
        DataError: A record contradicts itself.
        OutputError: A file cannot be written.
    """
    by_identity: dict[str, Path] = {}
    for path in (path for job in jobs for path in folder.records(job)):
        first = by_identity.setdefault(identity_of(read_summary(path)).sha256, path)
        if first != path:
            reporter.say(f"{path} measured the same as {first}, which stands in the leaderboard")
    if not by_identity:
        return None
    add(folder.board, list(by_identity.values()), reporter)
    build(folder.board, reporter)
    return folder.board / "index.html"
