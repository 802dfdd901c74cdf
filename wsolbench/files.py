"""Files and folders: written whole or not at all, and read within bounds."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from wsolbench.drafts import ElsewhereError, draft_folder
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
        OutputError: It is a file or below one, a folder that is not empty, the current folder, or a mount point.
    """
    try:
        check_parents(folder, option)
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(f"{option} {folder}: the folder is not empty; name a new one")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{option} {folder}: this is a file; name a new folder")
        if folder.exists() and (folder.is_mount() or folder.samefile(Path.cwd())):
            raise OutputError(f"{option} {folder}: this folder cannot be replaced; name a new one inside it")
    except OSError as error:
        raise OutputError(f"{option} {folder}: {error.strerror}") from error


def check_parents(path: Path, option: str) -> None:
    """Check that what a file or folder is to be made in is a folder, or can become one.

    Args:
        path: The file or folder.
        option: The option that named it, for the message.

    Raises:
        OutputError: A parent of it is a file.
    """
    above = next((parent for parent in path.parents if parent.exists()), None)
    if above is not None and not above.is_dir():
        raise OutputError(f"{option} {path}: {above} is a file; name a place in a folder")


@contextmanager
def atomic_folder(folder: Path, option: str = "--out") -> Iterator[Path]:
    """Yield a hidden folder beside `folder` to write into, and rename it to `folder` when the block succeeds.

    `folder` appears with all of its content or not at all. If the block fails, the parent folders that were created
    for it are removed again. Whether the folder can be written is tested before the block starts. If it was taken
    while the block ran, the content gets a free name beside it.

    Args:
        folder: The folder for the results.
        option: The option that named it, for the message.

    Raises:
        ElsewhereError: The content is complete, under another name.
        OutputError: The folder is not empty or cannot be written.
    """
    place = folder.resolve()  # follow a link: a folder cannot be renamed onto one
    elsewhere: ElsewhereError | None = None
    with _draft_beside(place, folder, option) as draft:
        try:
            try:
                yield draft
            except ElsewhereError as error:  # of a folder within the block: all content is complete
                elsewhere = error
            published = _publish(draft, place)
            if published != place:
                where = folder.with_name(published.name)
                message = f"{option} {folder}: it was taken meanwhile; the results are in {where}"
                raise ElsewhereError(message if elsewhere is None else f"{message}\n  {elsewhere}")
        except KeyboardInterrupt as stopped:
            if not draft.exists():
                stopped.args = (f"the results are in {folder}",)
            raise
        except OSError as error:
            raise OutputError(f"{option} {folder}: cannot be written ({error.strerror})") from error
    if elsewhere is not None:
        raise elsewhere


def _publish(draft: Path, place: Path) -> Path:
    """Rename a draft to `place` or, where that is taken, to a free name beside it; return its path.

    A draft that can have no other name keeps its own.

    Raises:
        OSError: The draft is gone.
    """
    beside = (place.with_name(f"{place.name}-{number}") for number in itertools.count(2))
    for goal in itertools.chain([place], (path for path in beside if not os.path.lexists(path))):
        try:
            draft.replace(goal)
        except OSError:
            if not draft.exists():
                raise
            if os.path.lexists(goal):
                continue
            return draft
        return goal
    raise AssertionError


def check_writable(folder: Path, option: str) -> None:
    """Check that `atomic_folder` would accept a folder, and leave nothing behind.

    Raises:
        OutputError: The folder is not empty or cannot be written.
    """
    with _draft_beside(folder.resolve(), folder, option):
        pass


@contextmanager
def _draft_beside(place: Path, folder: Path, option: str) -> Iterator[Path]:
    """Create a hidden folder beside `place`, and remove it at the end if it is still there."""
    check_empty(folder, option)
    with ExitStack() as stack:
        try:
            draft = stack.enter_context(draft_folder(place))
            draft.mkdir()
        except OSError as error:
            raise OutputError(f"{option} {folder}: cannot be written ({error.strerror})") from error
        yield draft


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file into a hidden folder and rename it, so that no reader ever sees half of it.

    Raises:
        OSError: It cannot be written.
    """
    with draft_folder(path.with_name("file")) as draft:  # a name of any length has no room for more characters
        draft.mkdir()
        (draft / "content").write_bytes(content)
        (draft / "content").replace(path)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file, or a link to one, to read it; nothing else is opened, as a pipe or device may never end.

    Raises:
        OSError: It does not exist, is no regular file or cannot be opened; ``strerror`` says which.
    """
    return os.fdopen(_opened(path)[0], "rb")


def _opened(path: Path) -> tuple[int, int]:
    """Return the descriptor of a regular file, opened to read it, and its size in bytes. Raises ``OSError``."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe would wait for a writer
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a NUL, or a character that the file system's encoding lacks
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory, no file", str(path))
        raise OSError(errno.EINVAL, "it is a pipe, socket or device, no file", str(path))
    return descriptor, found.st_size


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of a regular file, never more than `limit` bytes.

    Raises:
        OSError: It does not exist, is no regular file, cannot be read or is larger; ``strerror`` says which.
    """
    descriptor, size = _opened(path)
    try:  # few calls of the system, each of which lets other threads go first
        content = piece = os.read(descriptor, min(size, limit) + 1)
        # It changes its size, or this is not known, as in /proc.
        while piece and len(content) <= limit and len(content) != size:
            piece = os.read(descriptor, min(limit, 2 * len(content) + _CHUNK) - len(content) + 1)
            content += piece
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit / 2**20:,.0f} MiB", str(path))
    return content


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a regular file. Raises ``OSError``."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
