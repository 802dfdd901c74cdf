"""What code a plugin is made of, as far as it can be told: a hash that differs when the code does."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["source_sha256"]


def source_sha256(function: object) -> str | None:
    """Return the hash of the Python files of the top-level package, or of the one module, that defines a function.

    A plugin under development changes without a new version. Packages that it imports are not looked at.

    Args:
        function: A function or a class.

    Returns:
        None where it is not in a file that was imported, as in a notebook or in a script.
    """
    defining = getattr(inspect.unwrap(function), "__module__", None) if callable(function) else None
    name = str(defining).partition(".")[0]
    return None if name == "__main__" or name not in sys.modules else _hash_of_files(name)


@cache
def _hash_of_files(name: str) -> str | None:
    """Return the hash of the files of a top-level module, once: what was imported does not change any more."""
    top = sys.modules[name]
    digest, found = hashlib.sha256(), False
    for file, path in _files(top):
        digest.update(f"{file}\n".encode(errors="surrogateescape") + hashlib.sha256(path.read_bytes()).digest())
        found = True
    return digest.hexdigest() if found else None


def _files(top: object) -> Iterator[tuple[str, Path]]:
    """Yield the Python files of a package or module, each with its name below the package."""
    for folder in sorted(map(str, getattr(top, "__path__", []))):
        for path in sorted(Path(folder).rglob("*.py")):
            yield path.relative_to(folder).as_posix(), path
    if not hasattr(top, "__path__") and getattr(top, "__file__", None):
        yield Path(str(top.__file__)).name, Path(str(top.__file__))  # type: ignore[attr-defined]
