"""The files of a data set: below a folder, or in a ZIP file that is never unpacked."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from wsolbench.contract import DatasetRoots
from wsolbench.data.file_kinds import identify, is_image_name
from wsolbench.data.names import name_key, tidy_path
from wsolbench.data.split_names import split_named
from wsolbench.errors import DataError, MissingFileError
from wsolbench.files import open_regular, read_regular

__all__ = [
    "FolderStorage",
    "Storage",
    "ZipStorage",
    "find_deeper",
    "folder_title",
    "open_storage",
    "top_folder",
    "visible_entries",
]

LARGEST = 1 << 28
"""The most bytes that a file may have; no image of as many pixels as are decoded has more."""
_OF_FILE_MANAGERS = frozenset(
    {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information"}
)
_LOOKED_INTO = 1_000
"""The most folders that are looked into for a hint."""
_HEAD = 512
_DEEPEST = 10
"""So many folders deep is a root looked for in a ZIP file."""
_SMALL = 1 << 25
_MOST_PACKED = 100
"""The most bytes that one byte of a ZIP file becomes, of files larger than `_SMALL`: others are bombs."""
MOST_LINKS = 10_000
"""The most links to folders that are followed below one root."""


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

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the files directly in a folder, sorted; ``""`` is the root.

        Raises:
            DataError: There is no such folder, or it cannot be read.
        """
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


def visible_entries(storage: Storage, folder: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders and files directly in a folder, without those that file managers put there.

    Raises:
        DataError: There is no such folder, or it cannot be read.
    """
    folders, files = storage.entries(folder)
    return [name for name in folders if not _is_clutter(name)], [name for name in files if not _is_clutter(name)]


def top_folder(storage: Storage) -> str:
    """Return the only folder in a ZIP file that holds folders of images, as when a folder was packed.

    What is beside it without images, such as a README or lists, does not matter. ``""`` is the root: of every other
    storage, and of a folder, which the user can name.
    """
    top = ""
    for _ in range(_DEEPEST if isinstance(storage, ZipStorage) else 0):
        depths = _depths_of_images(storage, top)
        deep = [name for name, depth in depths.items() if depth > 1]
        if len(deep) != 1 or any(map(split_named, depths)):
            break
        inside = f"{top}/{deep[0]}".lstrip("/")
        if len(depths) > 1 and not any(map(split_named, visible_entries(storage, inside)[0])):
            break  # one class among others may hold folders
        top = inside
    return top


def _depths_of_images(storage: Storage, below: str) -> dict[str, int]:
    """Return folder with images -> how many folders deep they begin in it: 1 where they are directly in it."""
    front = f"{below}/" if below else ""
    depths: dict[str, int] = {}
    for path in storage.paths():
        folder, *inside = path[len(front) :].split("/") if path.startswith(front) else ("",)
        if inside and is_image_name(inside[-1]) and not _is_clutter(folder):
            depths[folder] = min(depths.get(folder, len(inside)), len(inside))
    return depths


def find_deeper(storage: Storage, folder: str, is_meant: Callable[[str], bool]) -> str | None:
    """Return the only folder in a folder that is meant, as where a root is one folder too high; None of several."""
    front = f"{folder}/" if folder else ""
    found = []
    with suppress(DataError):
        for name in visible_entries(storage, folder)[0][:_LOOKED_INTO]:
            with suppress(DataError):
                found += [front + name] if is_meant(front + name) else []
    return found[0] if len(found) == 1 else None


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _OF_FILE_MANAGERS


@dataclass(frozen=True)
class FolderStorage:
    """The files below a folder."""

    root: Path
    _listed: dict[str, dict[str, list[str]]] = field(init=False, repr=False, compare=False, default_factory=dict)
    _meant: dict[str, str | None] = field(init=False, repr=False, compare=False, default_factory=dict)

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
            is_link = (self.root / path).is_symlink()
            advice = "it is a link to a file that is not there; remove the link" if is_link else self._deeper(path)
            advice = advice or "check the folder it is looked for in, or take it out of the lists"
            raise MissingFileError(f"image file {self.place(path)} does not exist; {advice}") from error
        except IsADirectoryError as error:
            raise DataError(f"{self.place(path)} is a directory, where an image file was expected") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"image file {self.place(path)} cannot be read: {reason}") from error

    def place(self, path: str) -> str:
        """Return the place of a file."""
        return str(self.root / path)

    def paths(self) -> Iterator[str]:
        """Yield the path of every file, links followed but for those to a folder that they are in.

        Folders that cannot be entered are left out.

        Raises:
            DataError: There are more than `MOST_LINKS` links to folders, as where many folders link to each other.
        """
        links = 0
        pending: list[tuple[str, frozenset[_Identity]]] = [("", frozenset())]
        while pending:
            folder, above = pending.pop()
            try:
                above |= {_identity(self.root / folder)}
                folders, files = self._scan(folder)
            except OSError:
                continue
            yield from (folder + entry.name for entry in files)
            for entry in folders:
                if entry.is_symlink():
                    links += 1
                    if links > MOST_LINKS:
                        raise DataError(f"{self.root} holds more than {MOST_LINKS:,} links to folders; remove them")
                    if _identity(entry.path) in above:
                        continue
                pending.append((f"{folder}{entry.name}/", above))

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the files directly in a folder. Raises ``DataError``."""
        try:
            folders, files = self._scan(folder)
        except OSError as error:
            raise DataError(f"{self.place(folder)} cannot be read: {error.strerror}") from error
        return sorted(entry.name for entry in folders), sorted(entry.name for entry in files)

    def _scan(self, folder: str) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
        """Return the folders and the files directly in a folder; a link has the kind of its target."""
        folders: list[os.DirEntry[str]] = []
        files: list[os.DirEntry[str]] = []
        with os.scandir(self.root / folder) as entries:
            for entry in entries:
                is_folder = False
                with suppress(OSError):  # a link to itself
                    is_folder = entry.is_dir()
                (folders if is_folder else files).append(entry)
        return folders, files

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

    def _deeper(self, path: str) -> str:
        """Return which root is meant where paths begin one folder deeper; empty where they do not."""
        first = path.partition("/")[0]
        if first not in self._meant:
            is_meant = (lambda name: (self.root / name / first).exists()) if "/" in path else (lambda _: False)
            there = (self.root / first).exists()
            self._meant[first] = None if there else find_deeper(self, "", is_meant)
        meant = self._meant[first]
        return f"is the root {self.root / meant}?" if meant else ""

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
        self._tree: dict[str, tuple[set[str], set[str]]] | None = None
        self._top: str | None = None
        self._odd: dict[str, str] | None = None
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
                entry = self._entry(path)
                if count < 0 and entry.file_size > LARGEST:
                    raise DataError(f"{self.place(path)} is larger than {LARGEST >> 20} MiB: no image or mask is")
                if count < 0 and entry.file_size > max(_SMALL, _MOST_PACKED * entry.compress_size):
                    packed = f"unpacks {entry.compress_size:,} bytes to {entry.file_size:,}"
                    raise DataError(f"{self.place(path)} {packed}, which no photo does; shrink it")
                with self._open().open(entry) as file:
                    return file.read(count)
            except KeyError as error:
                raise MissingFileError(f"there is no {path} in {self.root}; check where its folders begin") from error
            except DataError:
                raise
            except Exception as error:  # each decompressor has errors of its own: zlib.error, LZMAError, EOFError, ...
                raise DataError(f"{self.place(path)} cannot be read: {error}") from error

    def place(self, path: str) -> str:
        """Return the place of a file."""
        return f"{path} in {self.root}" if path else str(self.root)

    def paths(self) -> Iterator[str]:
        """Yield the path of every file."""
        with self._lock:
            entries = self._open().infolist()
        paths = (entry.filename.replace("\\", "/") for entry in entries)
        yield from (path for path in paths if not path.endswith("/"))

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the files directly in a folder. Raises ``DataError``."""
        if self._tree is None:
            self._tree = _tree(self.paths())
        if folder.rstrip("/") not in self._tree:
            raise DataError(f"there is no folder {folder} in {self.root}")
        folders, files = self._tree[folder.rstrip("/")]
        return sorted(folders), sorted(files)

    def similar(self, path: str) -> tuple[str, ...]:
        """Return the paths of what there is that differ from a path in letter case or the form of accents alone.

        Where there is none, the folder of images at the top of the file may be in front; see `top_folder`.
        """
        if self._keyed is None:
            keyed: dict[str, list[str]] = {}
            for name in self.paths():
                keyed.setdefault(name_key(name), []).append(name)
            self._keyed = keyed
        if self._top is None:
            self._top = top_folder(self)
        in_top = name_key(f"{self._top}/{path}")
        return tuple(self._keyed.get(name_key(path)) or self._keyed.get(in_top) or ())

    def _entry(self, path: str) -> zipfile.ZipInfo:
        """Return the entry of a file. Raises ``KeyError``.

        Some programs of Windows write backslashes into ZIP files, where only slashes are legal.
        """
        archive = self._open()
        try:
            return archive.getinfo(path)
        except KeyError:
            if self._odd is None:
                names = (name for name in archive.namelist() if "\\" in name)
                self._odd = {name.replace("\\", "/"): name for name in names}
            return archive.getinfo(self._odd[path])

    def _open(self) -> zipfile.ZipFile:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = (os.getpid(), zipfile.ZipFile(self.root))
            except (zipfile.BadZipFile, OSError) as error:
                reason = getattr(error, "strerror", None) or _other_archive(self.root)
                raise DataError(f"{self.root} cannot be read as a ZIP file: {reason}") from error
        return self._opened[1]


def _other_archive(file: Path) -> str:
    """Return what a file is that is no ZIP file, if it has to be unpacked."""
    with suppress(OSError), open_regular(file) as stream:
        kind = identify(stream.read(_HEAD))
        if "unpack it" in kind and "ZIP" not in kind:
            return f"{kind}, and name the folder"
    return "it is damaged or no ZIP file"


_Identity: TypeAlias = tuple[int, int]


def _identity(folder: str | Path) -> _Identity:
    """Return what no other folder has. Raises ``OSError``."""
    found = os.stat(folder)  # noqa: PTH116
    return found.st_dev, found.st_ino


def _tree(paths: Iterable[str]) -> dict[str, tuple[set[str], set[str]]]:
    """Return folder -> the names of the folders and of the files directly in it; ``""`` is the root."""
    tree: dict[str, tuple[set[str], set[str]]] = {"": (set(), set())}
    for path in paths:
        folder, _, name = path.rpartition("/")
        tree.setdefault(folder, (set(), set()))[1].add(name)
    for folder in list(tree):
        while folder:
            above, _, name = folder.rpartition("/")
            tree.setdefault(above, (set(), set()))[0].add(name)
            folder = above
    return tree


def folder_title(roots: DatasetRoots) -> str | None:
    """Return what people call a data set that may be any folder: the name of the folder or ZIP file of its images.

    It is that of the folder around it where it is called ``images`` or ``data``.
    """
    place = roots.images or roots.metadata
    if place is None:
        return None
    place = place.resolve()
    stem = place.stem if place.suffix.lower() == ".zip" else place.name
    return (place.parent.name if stem.lower() in ("images", "data") else stem) or None
