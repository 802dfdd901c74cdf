"""Names that lists have for files, matched with the files: exactly first, then by what names differ in by accident.

Tools write one path in many ways: with backslashes, with ``./`` or a folder in front, in other letter case, with
accents as one character or two. A name is matched in the first of these ways that finds anything; where that finds
several files, the name is ambiguous, and nothing is chosen. A folder in front that is named after a split is never
dropped for a file of another split: ``train/a`` is not ``test/a``.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile
from urllib.parse import unquote

from wsolbench.contract import Split
from wsolbench.data.file_kinds import is_image_name
from wsolbench.data.split_names import split_named

__all__ = ["NameIndex", "common_front", "folded", "name_key", "tidy_path", "visible"]

_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""Marks of the writing direction and of joints, soft hyphens, byte order marks."""

_ALSO_PLACES = frozenset({"dev", "devel", "tests"})
"""Names of splits that folders of programmers have too: they say a split directly in front of what a list means."""

_LONG = 4
"""Shorter ends of names are alike by chance."""
_COMPARED = 2_000
"""The most names that are compared letter by letter."""


def tidy_path(path: str) -> str:
    """Return a relative path with forward slashes and no empty part or ``.``: ``./a`` and ``a`` are one file."""
    if "\\" not in path and "./" not in path and "//" not in path and not path.endswith(("/", "/.")):
        return path
    return "/".join(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def visible(text: str) -> str:
    """Return a text without the characters that nobody sees, which tools and copying from pages leave in it."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def folded(name: str) -> str:
    """Return what is equal for two spellings of a name.

    Letter case, accents as one character or two, and characters that nobody sees are not.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", visible(name)).casefold())


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
        root: The name of the folder that holds the files, where that is in no path. In front of a name it says nothing.
        telling: Names of folders that say something, such as those of classes; see `allows`.
    """

    paths: tuple[str, ...]
    ends: bool = False
    front: str = ""
    root: str = ""
    telling: tuple[str, ...] = ()

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def as_listed(self, name: str) -> str:
        """Return the text of a file's name that all lists are to share, so that it is in memory once."""
        return self._paths[name]

    def find(self, name: str) -> tuple[str, ...]:
        """Return the files that a name may mean: none, one, or the candidates among which nothing decides."""
        if not self.ends and name in self._paths:
            return (name,)
        tidy = tidy_path(name)
        for spelling in (name, *self._without_front(tidy)):
            found = self._exact.get(spelling) or self._keyed.get(name_key(spelling)) or ()
            meant = dict.fromkeys(path for path in found if not self._is_of_another_split(tidy, spelling, path))
            if meant:
                return tuple(meant)
        others = {path for other in self._other_spellings(name) for path in self.find(other)}
        return tuple(others) if len(others) == 1 else ()

    def nearest(self, name: str) -> str | None:
        """Return the file whose name is most like one that finds none; None where none is like it.

        Spreadsheets drop the zeros in front of numbers, and tools put marks of their own in front of names.
        """
        wanted = _bare(name)
        paths = {_bare(path): path for path in reversed(self.paths)}
        if wanted in paths:
            return paths[wanted]
        parts = re.split(r"(?<=[\W_])", wanted)
        ends = ("".join(parts[start:]) for start in range(1, len(parts)))
        found = [end for end in ends if len(end) >= _LONG and end in paths][:1]
        found = found or difflib.get_close_matches(wanted, islice(paths, _COMPARED), n=1)
        return paths[found[0]] if found else None

    def said_split(self, name: str) -> Split | None:
        """Return the split that the folders in front of a name say; None where they say none."""
        return _innermost_split(tidy_path(name).split("/")[:-1], self.root)

    def allows(self, name: str, path: str) -> bool:
        """Whether the folders in front of a name, which may be the other name of a file, allow for the file."""
        said, of_path = self.said_split(name), _innermost_split(path.split("/")[:-1])
        if said is not None and of_path is not None and said is not of_path:
            return False
        mine, its = ({name_key(folder) for folder in tidy_path(each).split("/")[:-1]} for each in (name, path))
        return not (mine & self._telling) or bool(mine & its & self._telling)

    def have_other_endings(self, name: str, path: str) -> bool:
        """Whether a name and its file end as two kinds of images do; a name may have no ending."""
        ending, other = (each.rpartition(".")[2].lower() for each in (name, path))
        return ending != other and is_image_name(name.rpartition("/")[2])

    def unmatched_front(self, name: str, path: str) -> str:
        """Return the folders in front of a name that its file does not have, without those named after a split."""
        mine, its = tidy_path(name).split("/")[:-1][::-1], path.split("/")[:-1][::-1]
        shared = sum(
            1 for _ in takewhile(lambda pair: name_key(pair[0]) == name_key(pair[1]), zip(mine, its, strict=False))
        )
        return "/".join(folder for folder in mine[shared:][::-1] if split_named(folder) is None)

    def _is_of_another_split(self, name: str, spelling: str, path: str) -> bool:
        """Whether the folders that a spelling of a name lacks contradict those that it lacks of a path."""
        more = name.count("/") - spelling.count("/")
        said = _innermost_split(name.split("/")[: max(more, 0)], self.root)
        of_path = _innermost_split(path.split("/")[: path.count("/") - spelling.count("/")])
        return said is not None and of_path is not None and said is not of_path

    def _without_front(self, name: str) -> Iterator[str]:
        """Yield a name with less and less in front, as long as it names a folder and a file, or a whole path.

        A folder named after a split is no class: the file alone is the last spelling of ``SPLIT/FILE``.
        """
        parts = name.split("/")
        for start in range(len(parts) - 1 if self.ends else len(parts)):
            yield "/".join(parts[start:])
        if self.front and name.startswith(f"{self.front}/"):
            yield name.removeprefix(f"{self.front}/")
        if self.ends and len(parts) > 1 and split_named(parts[-2]) is not None:
            yield parts[-1]

    def _other_spellings(self, name: str) -> Iterator[str]:
        """Yield a name as addresses have it, and without the ending of an image, which another ending may replace."""
        if self.ends and "%" in name and unquote(name) != name:
            yield unquote(name)
        if self.ends and is_image_name(name.rpartition("/")[2]):
            yield name.rpartition(".")[0]

    @cached_property
    def _paths(self) -> dict[str, str]:
        return {path: path for path in self.paths}

    @cached_property
    def _telling(self) -> frozenset[str]:
        return frozenset(map(name_key, self.telling))

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


def common_front(names: Iterable[str], telling: Iterable[str] = ()) -> str:
    """Return the folders that all names begin with, which say nothing about any one of them; empty without any.

    Args:
        names: The names.
        telling: Names of folders that do say something, such as those of classes; the front ends before them.
    """
    front: list[str] | None = None
    for folders in {tuple(tidy_path(name).split("/")[:-1]) for name in names}:
        pairs = zip(folders if front is None else front, folders, strict=False)
        front = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    keys = {name_key(name) for name in telling}
    return "/".join(takewhile(lambda folder: name_key(folder) not in keys, front or ()))


def _bare(path: str) -> str:
    """Return the name of a file by which alike ones are found: without ending and zeros in front of numbers."""
    name = name_key(path).rpartition("/")[2]
    stem = name.rpartition(".")[0] if is_image_name(name) else name.removesuffix(".0")
    return re.sub("(?<![0-9])0+(?=[0-9])", "", stem)


def _innermost_split(folders: Sequence[str], root: str = "") -> Split | None:
    """Return the split that the last folder named after one says; nothing where that is the root's own name."""
    near = [folder for folder in folders if folder.lower() not in _ALSO_PLACES]
    for folder in reversed((*near, *folders[-1:])):
        if split_named(folder) is not None:
            return None if root and name_key(folder) == name_key(root) else split_named(folder)
    return None


def _ends(path: str) -> Iterator[str]:
    parts = path.split("/")
    for start in range(len(parts)):
        end = "/".join(parts[start:])
        yield end
        yield end.rpartition(".")[0]
