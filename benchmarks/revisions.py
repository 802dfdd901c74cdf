"""The code of another revision, in a folder of its own for as long as it is measured."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def checkout(revision: str, folder: Path) -> Iterator[Path]:
    """Check a revision out into a folder, which is removed after the block."""
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(folder), revision], cwd=ROOT, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, check=True)


def python_path(root: Path) -> str:
    """Return the PYTHONPATH with which wsolbench and its plugins are those below a folder."""
    return f"{root}:{root / 'plugins'}"
