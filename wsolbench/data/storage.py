"""The files of a data set: below a folder, or in a ZIP file that is never unpacked."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wsolbench.data.names import name_key, tidy_path
from wsolbench.errors import DataError, MissingFileError
from wsolbench.files import open_regular, read_regular

__all__ = ["FolderStorage", "Storage", "ZipStorage", "open_storage"]

LARGEST = 1 << 28
"""The most bytes that a file may have; no image of as many pixels as are decoded has more."""


class Storage(Protocol):
    """Files by their relative path with forward slashes. Read from several threads and processes."""

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            MissingFileError: There is no such file.
            DataError: It cannot be read.
        """
        ...

    def read_head(self, path: str, count: int) -> bytes:
        """Return at most the first `count` bytes of a file. Raises as `read` does."""
        ...

    def place(self, path: str) -> str:
        """Return the place of a file, for messages."""
        ...

    def paths(self) -> Iterator[str]:
        """Yield the path of every file, in no particular order. Raises ``DataError``."""
        ...

    def similar(self, path: str) -> tuple[str, ...]:
        """Return the paths of what there is that differ from a path in letter case or the form of accents alone."""
        ...


def open_storage(root: Path) -> Storage:
    """Return the storage at a place: a folder, or a ZIP file.

    Raises:
        DataError: It is neither, or a damaged ZIP file.
    """
    if root.is_dir():
        return FolderStorage(root)
    if root.is_file():
        return ZipStorage(root)
    raise DataError(f"{root} does not exist; name the folder, or the ZIP file, that image ids are relative to")


@dataclass(frozen=True)
class FolderStorage:
    """The files below a folder."""

    root: Path
    _listed: dict[str, dict[str, list[str]]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises ``DataError``."""
        return self.read_head(path, -1)

    def read_head(self, path: str, count: int) -> bytes:
        """Return the first bytes of a file, all of them where the count is negative. Raises ``DataError``."""
        try:
            if count < 0:
                return read_regular(self.root / path, LARGEST)
            with open_regular(self.root / path) as file:
                return file.read(count)
        except FileNotFoundError as error:
            raise MissingFileError(
                f"image file {self.place(path)} does not exist; check the folder it is looked for in"
            ) from error
        except IsADirectoryError as error:
            raise DataError(f"{self.place(path)} is a directory, where an image file was expected") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"image file {self.place(path)} cannot be read: {reason}") from error

    def place(self, path: str) -> str:
        """Return the place of a file."""
        return str(self.root / path)

    def paths(self) -> Iterator[str]:
        """Yield the path of every file, links followed."""
        for folder, _, names in os.walk(self.root, followlinks=True):
            for name in names:
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def similar(self, path: str) -> tuple[str, ...]:
        """Return the paths of what there is that differ from a path in letter case or the form of accents alone.

        Where there is none, the name of the root itself may be in front of the path.
        """
        first, _, rest = tidy_path(path).partition("/")
        found = [""]
        for part in tidy_path(path).split("/"):
            found = [f"{folder}{name}/" for folder in found for name in self._names(folder).get(name_key(part), ())]
        if not found and rest and name_key(first) == name_key(self.root.resolve().name):  # images/a.jpg in images
            return self.similar(rest)
        return tuple(place.removesuffix("/") for place in found)

    def _names(self, folder: str) -> dict[str, list[str]]:
        """Return key of a name -> the names with that key in a folder, which is read once."""
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            with suppress(OSError):
                for name in sorted(os.listdir(self.root / folder)):  # noqa: PTH208
                    names.setdefault(name_key(name), []).append(name)
            self._listed[folder] = names
        return self._listed[folder]


class ZipStorage:
    """The files in a ZIP file.

    A process opens the file once, when it first reads from it: an open file that two processes share would have one
    position for both. Within a process the threads take turns, to read and to decompress, not to decode.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self._keyed: dict[str, list[str]] | None = None
        self._open()

    def __reduce__(self) -> tuple[type[ZipStorage], tuple[Path]]:
        return ZipStorage, (self.root,)

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises ``DataError``."""
        return self.read_head(path, -1)

    def read_head(self, path: str, count: int) -> bytes:
        """Return the first bytes of a file, all of them where the count is negative. Raises ``DataError``."""
        with self._lock:
            try:
                size = self._open().getinfo(path).file_size
                if count < 0 and size > LARGEST:
                    raise DataError(f"{self.place(path)} is larger than {LARGEST >> 20} MiB: no image or mask is")
                with self._open().open(path) as file:
                    return file.read(count)
            except KeyError as error:
                raise MissingFileError(f"there is no {path} in {self.root}; check where its folders begin") from error
            except DataError:
                raise
            except Exception as error:  # each decompressor has errors of its own: zlib.error, LZMAError, EOFError, ...
                raise DataError(f"{self.place(path)} cannot be read: {error}") from error

    def place(self, path: str) -> str:
        """Return the place of a file."""
        return f"{path} in {self.root}"

    def paths(self) -> Iterator[str]:
        """Yield the path of every file."""
        with self._lock:
            entries = self._open().infolist()
        yield from (entry.filename for entry in entries if not entry.is_dir())

    def similar(self, path: str) -> tuple[str, ...]:
        """Return the paths of what there is that differ from a path in letter case or the form of accents alone."""
        if self._keyed is None:
            keyed: dict[str, list[str]] = {}
            for name in self.paths():
                keyed.setdefault(name_key(name), []).append(name)
            self._keyed = keyed
        return tuple(self._keyed.get(name_key(path), ()))

    def _open(self) -> zipfile.ZipFile:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = (os.getpid(), zipfile.ZipFile(self.root))
            except (zipfile.BadZipFile, OSError) as error:
                reason = getattr(error, "strerror", None) or "it is damaged or no ZIP file"
                raise DataError(f"{self.root} cannot be read as a ZIP file: {reason}") from error
        return self._opened[1]
