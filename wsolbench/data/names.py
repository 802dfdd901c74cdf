"""Names that lists have for files, matched with the files: exactly first, then by what names differ in by accident.

Tools write one path in many ways: with backslashes, with ``./`` or a folder in front, in other letter case, with
accents as one character or two. A name is matched in the first of these ways that finds anything; where that finds
several files, the name is ambiguous, and nothing is chosen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

__all__ = ["NameIndex", "common_front", "folded", "name_key", "tidy_path"]


def tidy_path(path: str) -> str:
    """Return a relative path with forward slashes and no empty part or ``.``: ``./a`` and ``a`` are one file."""
    if "\\" not in path and "./" not in path and "//" not in path and not path.endswith(("/", "/.")):
        return path
    return "/".join(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def folded(name: str) -> str:
    """Return what is equal for two spellings of a name: letter case, and accents as one character or two, are not."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def name_key(path: str) -> str:
    """Return what is equal for two spellings of a path; see `folded` and `tidy_path`."""
    return folded(tidy_path(path))


@dataclass(frozen=True)
class NameIndex:
    """Files by the names that lists may have for them; it contains the exact names.

    Args:
        paths: The files.
        ends: Whether a name may be the end of a path, and may lack its ending: ``a`` for ``cat/a.jpg``.
        front: What all names of the lists begin with, which says nothing; see `common_front`.
    """

    paths: tuple[str, ...]
    ends: bool = False
    front: str = ""

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def find(self, name: str) -> tuple[str, ...]:
        """Return the files that a name may mean: none, one, or the candidates among which nothing decides."""
        if not self.ends and name in self._paths:
            return (name,)
        for spelling in (name, *self._without_front(tidy_path(name))):
            found = self._exact.get(spelling) or self._keyed.get(name_key(spelling))
            if found:
                return tuple(dict.fromkeys(found))
        return ()

    def _without_front(self, name: str) -> Iterator[str]:
        """Yield a name with less and less in front, as long as it names a folder and a file, or a whole path."""
        parts = name.split("/")
        for start in range(len(parts) - 1 if self.ends else len(parts)):
            yield "/".join(parts[start:])
        if self.front and name.startswith(f"{self.front}/"):
            yield name.removeprefix(f"{self.front}/")

    @cached_property
    def _paths(self) -> frozenset[str]:
        return frozenset(self.paths)

    @cached_property
    def _exact(self) -> dict[str, list[str]]:
        return self._by(lambda name: name)

    @cached_property
    def _keyed(self) -> dict[str, list[str]]:
        return self._by(name_key)

    def _by(self, key: Callable[[str], str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self.paths:
            for name in _ends(path) if self.ends else (path,):
                found.setdefault(key(name), []).append(path)
        return found


def common_front(names: Iterable[str]) -> str:
    """Return the folders that all names begin with, which say nothing about any one of them; empty without any."""
    front: list[str] | None = None
    for folders in {tuple(tidy_path(name).split("/")[:-1]) for name in names}:
        pairs = zip(folders if front is None else front, folders, strict=False)
        front = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return "/".join(front or ())


def _ends(path: str) -> Iterator[str]:
    parts = path.split("/")
    for start in range(len(parts)):
        end = "/".join(parts[start:])
        yield end
        yield end.rpartition(".")[0]
