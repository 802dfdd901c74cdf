"""From records to tables and figures that compare architectures; reads records and nothing else."""

from wsolbench.leaderboard.build import add, build, check

__all__ = ["add", "build", "check"]
