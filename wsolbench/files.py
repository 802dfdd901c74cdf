"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from wsolbench.errors import OutputError

RUNS = Path("runs")


def file_name(text: str) -> str:
    """Return a text as a part of a file name that every file system takes: ``timm:resnet18`` as ``timm-resnet18``."""
    return re.sub(r"[^A-Za-z0-9_.+=-]", "-", text)


def fresh_folder(label: str) -> Path:
    """Return the path of a new folder ``runs/<time>-<label>``; where two runs start in one second, a number follows."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{file_name(label)}"
    folder, number = RUNS / stem, 2
    while folder.exists() or any(RUNS.glob(f".{folder.name}-draft-*")):
        folder, number = RUNS / f"{stem}-{number}", number + 1
    return folder


def check_empty(folder: Path, option: str) -> None:
    """Refuse a place for results that already holds something, or that a finished folder cannot be moved to.

    Raises:
        OutputError: It is a file, a folder with anything in it, the current folder, or a mount point.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(f"{option} {folder}: the folder is not empty; name a new one")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{option} {folder}: this is a file; name a new folder")
        if folder.exists() and (folder.is_mount() or folder.samefile(Path.cwd())):
            raise OutputError(f"{option} {folder}: this folder cannot be replaced; name a new one inside it")
    except OSError as error:
        raise OutputError(f"{option} {folder}: {error.strerror}") from error


@contextmanager
def whole_folder(folder: Path, option: str = "--out") -> Iterator[Path]:
    """Give a hidden folder beside `folder` to write into, and rename it to `folder` when the work succeeded.

    Whatever goes wrong, `folder` itself appears whole or not at all, and the folders above it that were made for it
    are taken away again. It is tried for writing before the work begins.

    Raises:
        OutputError: The place is taken or cannot be written.
    """
    place = folder.resolve()  # a link is followed: a folder cannot be renamed to one
    with _draft_beside(place, folder, option) as draft:
        try:
            yield draft
            draft.replace(place)
        except OSError as error:
            raise OutputError(f"{option} {folder}: cannot be written ({error.strerror})") from error


def check_writable(folder: Path, option: str) -> None:
    """Refuse a place that `whole_folder` would refuse, and leave no trace.

    Raises:
        OutputError: The place is taken or cannot be written.
    """
    with _draft_beside(folder.resolve(), folder, option):
        pass


@contextmanager
def _draft_beside(place: Path, folder: Path, option: str) -> Iterator[Path]:
    """Make a hidden folder beside a place, and take away in the end what is left of it."""
    check_empty(folder, option)
    made = [parent for parent in place.parents if not parent.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}-draft-{secrets.token_hex(4)}")
        draft.mkdir()
    except OSError as error:
        _remove_empty(made)
        raise OutputError(f"{option} {folder}: cannot be written ({error.strerror})") from error
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        _remove_empty(made)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Take away folders, innermost first, as long as they are empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


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
