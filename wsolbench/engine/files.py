"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from wsolbench.errors import OutputError

RUNS = Path("runs")


def fresh_folder(label: str) -> Path:
    """Return the path of a new folder ``runs/<time>-<label>``; where two runs start in one second, a number follows."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{label}"
    folder, number = RUNS / stem, 2
    while folder.exists():
        folder, number = RUNS / f"{stem}-{number}", number + 1
    return folder


def check_empty(folder: Path, option: str) -> None:
    """Refuse a place for results that already holds something.

    Raises:
        OutputError: It is a file, or a folder with anything in it.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(f"{option} {folder}: the folder is not empty; name a new one")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{option} {folder}: this is a file; name a new folder")
    except OSError as error:
        raise OutputError(f"{option} {folder}: {error.strerror}") from error


@contextmanager
def whole_folder(folder: Path, option: str = "--out") -> Iterator[Path]:
    """Give a hidden folder beside `folder` to write into, and rename it to `folder` when the work succeeded.

    Whatever goes wrong, `folder` itself appears whole or not at all. It is tried for writing before the work begins.

    Raises:
        OutputError: The place is taken or cannot be written.
    """
    check_empty(folder, option)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        draft.chmod(0o755)
    except OSError as error:
        raise OutputError(f"{option} {folder}: cannot be written ({error.strerror})") from error
    try:
        yield draft
        draft.replace(folder)
    except OSError as error:
        raise OutputError(f"{option} {folder}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that it is never seen half-written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
