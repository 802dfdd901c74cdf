"""Files and folders: written whole or not at all, and read within bounds."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from wsolbench.errors import OutputError

RUNS = Path("runs")
_CHUNK = 1 << 20


def file_name(text: str) -> str:
    """Return a text in characters that every file system accepts: ``timm:resnet18`` becomes ``timm-resnet18``."""
    return re.sub(r"[^A-Za-z0-9_.+=-]", "-", text)


def fresh_folder(label: str) -> Path:
    """Return the path of a new folder ``runs/<time>-<label>``, numbered if another run started in the same second."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{file_name(label)}"
    folder, number = RUNS / stem, 2
    while folder.exists() or any(RUNS.glob(f".{folder.name}-draft-*")):
        folder, number = RUNS / f"{stem}-{number}", number + 1
    return folder


def check_empty(folder: Path, option: str) -> None:
    """Check that results can be moved to a folder: it does not exist yet, or is empty and replaceable.

    Args:
        folder: The folder for the results.
        option: The option that named it, for the message.

    Raises:
        OutputError: It is a file, a folder that is not empty, the current folder, or a mount point.
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
def atomic_folder(folder: Path, option: str = "--out") -> Iterator[Path]:
    """Yield a hidden folder beside `folder` to write into, and rename it to `folder` when the block succeeds.

    `folder` appears with all of its content or not at all. If the block fails, the parent folders that were created
    for it are removed again. Whether the folder can be written is tested before the block starts.

    Args:
        folder: The folder for the results.
        option: The option that named it, for the message.

    Raises:
        OutputError: The folder is not empty or cannot be written.
    """
    place = folder.resolve()  # follow a link: a folder cannot be renamed onto one
    with _draft_beside(place, folder, option) as draft:
        try:
            yield draft
            draft.replace(place)
        except OSError as error:
            raise OutputError(f"{option} {folder}: cannot be written ({error.strerror})") from error


def check_writable(folder: Path, option: str) -> None:
    """Check that `atomic_folder` would accept a folder, and leave nothing behind.

    Raises:
        OutputError: The folder is not empty or cannot be written.
    """
    with _draft_beside(folder.resolve(), folder, option):
        pass


@contextmanager
def draft_folder(place: Path) -> Iterator[Path]:
    """Yield the path of a hidden folder beside `place`, to be created and renamed; what is left of it is removed."""
    draft = place.with_name(f".{place.name}-draft-{secrets.token_hex(4)}")
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _draft_beside(place: Path, folder: Path, option: str) -> Iterator[Path]:
    """Create a hidden folder beside `place`, and remove it at the end if it is still there."""
    check_empty(folder, option)
    created = [parent for parent in place.parents if not parent.exists()]
    try:
        with draft_folder(place) as draft:
            try:
                draft.mkdir(parents=True)
            except OSError as error:
                raise OutputError(f"{option} {folder}: cannot be written ({error.strerror})") from error
            yield draft
    finally:
        _remove_empty(created)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, innermost first, until one is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no reader ever sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file, or a link to one, to read it; nothing else is opened, as a pipe or device may never end.

    Raises:
        OSError: It does not exist, is no regular file or cannot be opened; ``strerror`` says which.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe would wait for a writer
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a NUL, or a character that the file system's encoding lacks
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory, no file", str(path))
        raise OSError(errno.EINVAL, "it is a pipe, socket or device, no file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of a regular file, never more than `limit` bytes.

    Raises:
        OSError: It does not exist, is no regular file, cannot be read or is larger; ``strerror`` says which.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, limit) + 1)
        while size < len(content) <= limit:  # the file grew, or its size is not known, as in /proc
            size = len(content)
            content += file.read(min(limit, 2 * size + _CHUNK) - size + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit / 2**20:,.0f} MiB", str(path))
    return content


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a regular file. Raises ``OSError``."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
