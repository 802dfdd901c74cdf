"""Records into one table model, and from it Markdown, LaTeX, CSV, JSON and figures. Reads records and nothing else."""

from wsolbench.leaderboard.build import add, build, check
from wsolbench.leaderboard.migrate import migrate

__all__ = ["add", "build", "check", "migrate"]
