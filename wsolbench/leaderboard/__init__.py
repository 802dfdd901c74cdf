"""From records to tables and figures that compare architectures; reads records and nothing else."""

from wsolbench.leaderboard.add import add
from wsolbench.leaderboard.build import build, check
from wsolbench.leaderboard.entries import RECORDS
from wsolbench.leaderboard.lock import locked
from wsolbench.leaderboard.migrate import Migrated, migrate
from wsolbench.leaderboard.submit import Submission, submit

__all__ = ["RECORDS", "Migrated", "Submission", "add", "build", "check", "locked", "migrate", "submit"]
