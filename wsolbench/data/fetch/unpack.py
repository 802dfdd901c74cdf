"""Unpacking of archives: regular files only, only inside the target folder, all of them or none."""

from __future__ import annotations

import errno
import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import IO

from wsolbench.data.ids import path_problem
from wsolbench.drafts import draft_folder
from wsolbench.errors import DataError, OutputError

__all__ = ["unpack"]

_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError),
    NotImplementedError,  # what zipfile raises for a bit that stands for a form it does not know
)


def unpack(archive: Path, folder: Path, *, inside: str = "", advance: Callable[[int], None] = lambda _: None) -> None:
    """Unpack a ZIP file, or a tar file with any compression, into a new folder, which appears when it is complete.

    Links and devices are left out.

    Args:
        archive: The file.
        folder: The new folder; its parent exists.
        inside: The folder in the archive to unpack; by default the whole archive.
        advance: Called with 1 after every file.

    Raises:
        DataError: The archive is damaged, has no file in `inside`, or has a file that would lie outside `folder`.
        OutputError: The folder cannot be written, for example on a full disk.
    """
    try:
        with draft_folder(folder) as draft, closing(_files(archive)) as files:
            for name, source in files:
                path = _path_below(inside, name, archive)
                if path is not None:
                    _write(source, draft / path)
                    advance(1)
            if not draft.exists():
                raise DataError(f"{archive} has no file{f' in {inside}' if inside else ''}; is it another archive?")
            draft.replace(folder)
    except _DAMAGED as error:
        raise DataError(
            f"{archive} is damaged, truncated or not an archive; delete it and download it again"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OutputError(f"the disk is full: {archive} was not unpacked; free some space and try again") from error
        raise OutputError(f"{archive} cannot be unpacked to {folder}: {error.strerror}") from error


def _files(archive: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    """Yield the name and the open content of every regular file."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for entry in (entry for entry in zipped.infolist() if not entry.is_dir()):
                with zipped.open(entry) as source:
                    yield entry.filename, source
        return
    with tarfile.open(archive) as packed:
        for member in packed:
            content = packed.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content


def _path_below(inside: str, name: str, archive: Path) -> str | None:
    """Return the path of a file below the target folder, or None if it is not in the folder `inside`."""
    path = name.removeprefix("./")
    if inside and not path.startswith(f"{inside}/"):
        return None
    path = path.removeprefix(f"{inside}/") if inside else path
    problem = path_problem(path)
    if problem is not None:
        raise DataError(f"{archive} contains the file {name!r}: {problem}")
    return path


def _write(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(source, file)
