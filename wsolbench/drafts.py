"""Hidden folders in which results grow; those of processes that were killed are removed by the next one.

A lock file stands beside every draft, and its process holds the lock as long as it lives. The operating system releases
the lock of a killed process: a draft whose lock can be taken is abandoned.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from wsolbench.errors import OutputError
from wsolbench.locks import lock as lock_descriptor

__all__ = ["ElsewhereError", "draft_folder", "remove_abandoned"]

_LOCK_NAME = re.compile(r"(\..+-draft-[0-9a-f]{8})\.lock")
_LONGEST = 1024


class ElsewhereError(OutputError):
    """The results are complete, but not under the name that was asked for, since it was taken meanwhile."""


@contextmanager
def draft_folder(place: Path) -> Iterator[Path]:
    """Yield the path of a hidden folder beside `place`, to be created and renamed; what is left of it is removed.

    Parent folders that are created for it are removed again if they are empty. Drafts beside `place` whose process was
    killed are removed first. A draft that cannot be renamed when it is complete stays: leave the block with an
    `ElsewhereError` then.

    Raises:
        OSError: The folder that holds `place` cannot be created or written.
    """
    draft = place.with_name(f".{place.name}-draft-{secrets.token_hex(4)}")
    kept = False

    def remove() -> None:
        if not kept:
            shutil.rmtree(draft, ignore_errors=True)

    with _parents_of(place), _locked(draft.with_name(f"{draft.name}.lock")) as lock, _cleaning_up(remove):
        remove_abandoned(place.parent)
        try:
            yield draft
        except ElsewhereError:
            kept = True
            lock.truncate(0)
            raise


@contextmanager
def _parents_of(place: Path) -> Iterator[None]:
    """Create the missing parent folders of a place, and remove those that are empty at the end."""
    created = [parent for parent in place.parents if not parent.exists()]  # the innermost comes first

    def remove() -> None:
        for folder in created:
            with suppress(OSError):
                folder.rmdir()

    with _cleaning_up(remove):
        place.parent.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """Hold the lock of a new lock file, which is removed at the end; beside an empty one, nothing is abandoned."""

    def remove() -> None:
        with suppress(OSError):
            path.unlink()

    with _cleaning_up(remove), path.open("x+b") as file:  # a signal may arrive as soon as the file is there
        if _lock(file, wait=True):
            file.write(_mark())  # only after it is locked
            file.flush()
        yield file


@contextmanager
def _cleaning_up(clean: Callable[[], None]) -> Iterator[None]:
    """Clean up at the end, twice: a signal, which is raised only once, may interrupt the first time at any moment."""
    try:
        try:
            yield
        finally:
            clean()
    finally:
        clean()


def remove_abandoned(folder: Path) -> None:
    """Remove the drafts in a folder whose process, on this machine, does not hold its lock any more."""
    with suppress(OSError):
        for path in [Path(entry.path) for entry in os.scandir(folder) if _LOCK_NAME.fullmatch(entry.name)]:
            _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    with suppress(OSError), os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK), "r+b") as file:
        named = _LOCK_NAME.fullmatch(path.name)
        assert named is not None
        draft = path.with_name(named[1])
        if not _lock(file, wait=False):
            return
        content = file.read(_LONGEST)
        if content == _mark() or (not content and not os.path.lexists(draft)):  # a draft is made after the mark
            shutil.rmtree(draft, ignore_errors=True)
            path.unlink(missing_ok=True)


def _lock(file: IO[bytes], *, wait: bool) -> bool:
    """Lock a file for as long as it is open; return False if another process holds it, or if it cannot be locked.

    Where nothing can be locked, no draft counts as abandoned.
    """
    try:
        return lock_descriptor(file.fileno(), wait=wait)
    except OSError:
        return False


def _mark() -> bytes:
    """Return the content of a lock file: some file systems do not show the locks of other machines."""
    return f"wsolbench draft on {socket.gethostname()}\n".encode()
