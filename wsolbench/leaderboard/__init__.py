"""From records to tables and figures that compare architectures; reads records and nothing else."""

from wsolbench.leaderboard.build import RECORDS, add, build, check
from wsolbench.leaderboard.migrate import Migrated, migrate

__all__ = ["RECORDS", "Migrated", "add", "build", "check", "migrate"]
