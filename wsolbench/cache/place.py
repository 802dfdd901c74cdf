"""Where the cache is."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["VARIABLE", "cache_folder"]

VARIABLE = "WSOLBENCH_CACHE"


def cache_folder() -> Path:
    """Return the folder of the cache: the one that `VARIABLE` names, else ``wsolbench`` among the user's caches."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")  # the second on Windows
    return (Path(caches) if caches else Path.home() / ".cache") / "wsolbench"
