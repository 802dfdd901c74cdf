"""What the rows of a classifier's head are called, as a weights file or a description beside it states."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from wsolbench.data.class_map import plain_name, some
from wsolbench.files import read_regular
from wsolbench.networks.pickles import shown
from wsolbench.networks.plain_data import Statement, folded_name

__all__ = ["KnownClasses", "are_numbers", "find_row_names", "names_beside_weights", "names_rows"]

_THING = "(class|cls|label|cat|category|target|synset|wnid|name)(es|s|names?)?"
_NUMBER = "(idx|index|indices|ids?|int|num|number)"
_CERTAIN = re.compile(
    f"({_THING}|{_NUMBER}|key)(to|2)({_THING}|{_NUMBER}|categories|str|string|text)"
    f"|(le|encoder|labelencoder|train|training|model|all|dataset|data)?(classes|class(name|label)s?|class(list|map))"
    f"|class{_NUMBER}|(label|target|category)names|wnids|synsets"
)
_OF_FOLDERS = re.compile("(cat|category|class|folder|label|key)(to|2)(name|names|label|title)")
_PERHAPS = re.compile("names|labels|categories|catnames|vocab|labels?map|labellist|labelmapping|classdict|classmapping")
"""Names that stand for other things too: what does not fit the head is passed over."""
_MOST_CLASSES = 50_000
_MOST_STATEMENTS = 20
_LONGEST = 200
_MOST_FILES, _MOST_BYTES = 5_000, 2**20
"""Beside a weights file, and of a list of names there."""


@dataclass(frozen=True)
class KnownClasses:
    """The classes that the rows of a head are.

    Args:
        source: Where they are known from, for messages.
        names: Row -> what its class is called: ids and names.
        binding: Whether a data set whose classes have other names is an error even where it has as many classes.
    """

    source: str
    names: tuple[tuple[str, ...], ...]
    binding: bool = False

    @cached_property
    def _exact(self) -> dict[str, set[int]]:
        return _index(self.names)

    @cached_property
    def _plain(self) -> dict[str, set[int]]:
        return _index([tuple(plain_name(name) for name in names) for names in self.names])

    def find(self, name: str) -> list[int]:
        """Return the rows of a name: those that are called exactly so, otherwise those that are plainly called so."""
        return sorted(self._exact.get(name) or self._plain.get(plain_name(name)) or ())

    def __str__(self) -> str:
        return f"{self.source} ({some([names[0] for names in self.names])})"


def _index(names: Sequence[tuple[str, ...]]) -> dict[str, set[int]]:
    rows: dict[str, set[int]] = {}
    for row, of_row in enumerate(names):
        for name in of_row:
            rows.setdefault(name, set()).add(row)
    return rows


def are_numbers(names: Sequence[str]) -> bool:
    """Return whether the names of classes are their labels, as of lists that state labels."""
    return all(name == str(label) for label, name in enumerate(names))


def names_rows(name: str) -> bool:
    """Return whether something of this name in a file names the rows of a head."""
    return _CERTAIN.fullmatch(folded_name(name)) is not None


def find_row_names(statements: Iterable[Statement], num_classes: int) -> tuple[KnownClasses | None, list[str]]:
    """Return what the rows of a head are called, and a line for every statement of names that is not used.

    Where several statements name the rows, each row has all of its names.

    Args:
        statements: What a weights file and the descriptions beside it state.
        num_classes: Number of rows of the head.
    """
    statements = list(statements)
    folders = _numbered_folders(statements)
    found: dict[str, list[tuple[str, ...]]] = {}
    misfits: list[str] = []
    unread: list[str] = []
    named = (each for each in statements if names_rows(each.name) or _PERHAPS.fullmatch(folded_name(each.name)))
    for statement in islice((each for each in named if isinstance(each.value, list | dict | str)), _MOST_STATEMENTS):
        names = _names(statement.value, num_classes)
        if names and names.keys() == folders.keys() and _OF_FOLDERS.fullmatch(folded_name(statement.name)):
            names = {folders[number]: of_row for number, of_row in names.items()}
        what = f"'{shown(statement.name, 40)}' of {statement.source}"
        problem = _problem(names, num_classes) if names else None
        if names and problem is None:
            found.setdefault(what, [names[row] for row in range(num_classes)])
        elif names and names_rows(statement.name):
            misfits.append(f"{what} {problem}; the names are not used")
        elif names is None and names_rows(statement.name) and _seems_to_name(statement.value):
            unread.append(f"{what} is not read; rows follow the order of folders")
    if not found:
        return None, list(dict.fromkeys(misfits + unread))
    together = zip(*found.values(), strict=True)
    names_of = tuple(tuple(dict.fromkeys(name for names in of_row for name in names)) for of_row in together)
    return KnownClasses(" and ".join(found), names_of, binding=True), list(dict.fromkeys(misfits))


def names_beside_weights(path: Path) -> list[Statement]:
    """Return the lists of class names beside a weights file, such as ``class_indices.json`` or ``labels.txt``."""
    try:
        with os.scandir(path.parent) as folder:
            near = sorted(each.name for each in islice(folder, _MOST_FILES) if each.name.endswith((".json", ".txt")))
    except OSError:
        return []
    found = []
    for name in near:
        stem = folded_name(Path(name).stem).removeprefix(folded_name(path.stem))
        if _CERTAIN.fullmatch(stem) or _PERHAPS.fullmatch(stem):
            try:
                text = read_regular(path.with_name(name), _MOST_BYTES).decode("utf-8-sig")
                value = json.loads(text) if text.lstrip()[:1] in ("{", "[") else _of_lines(text)
            except (OSError, ValueError, RecursionError):
                value = {}  # reported as what is not read
            found.append(Statement(f"{name} beside the weights file", (stem,), value))
    return found


def _of_lines(text: str) -> list[Any]:
    """Return the names in lines, without the numbers before them that count from 0 or 1."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d{1,6})[\s,:;]+(.+)", line) for line in lines]
    numbers = [int(each[1]) for each in numbered if each]
    if numbers in (list(range(len(lines))), list(range(1, len(lines) + 1))):
        lines = [each[2] for each in numbered if each]
    ids = [re.fullmatch(r"(n\d{8})[\s,]+(.+)", line) for line in lines]
    return [list(each.groups()) if each else line for each, line in zip(ids, lines, strict=True)]


def _numbered_folders(statements: Iterable[Statement]) -> dict[int, int]:
    """Return number -> row of classes whose folders have numbers, which are sorted as texts: ``{'1': 0, '10': 1}``."""
    for statement in statements:
        value = statement.value
        if isinstance(value, dict) and 0 < len(value) <= _MOST_CLASSES and names_rows(statement.name):
            pairs = [(_row(key), row) for key, row in value.items() if isinstance(key, str)]
            numbered = {number: row for number, row in pairs if number is not None and type(row) is int}
            if len(numbered) == len(value):
                return numbered
    return {}


def _problem(names: Mapping[int, tuple[str, ...]], num_classes: int) -> str | None:
    """Return why names are not those of the rows of a head, or None."""
    if sorted(names) != list(range(num_classes)):
        return (
            f"names {len(names):,} classes, the rows {min(names):,} to {max(names):,}, and the head has "
            f"{num_classes:,} rows, from 0"
        )
    ((name, times),) = Counter(of_row[0] for of_row in names.values()).most_common(1)
    return f"names '{shown(name, 40)}' {times} times" if times > 1 else None


def _seems_to_name(value: object) -> bool:
    """Return whether a value that is not understood may name classes: no numbers, and no word such as ``all``."""
    if isinstance(value, str):
        return value[:1] not in ("[", "{") and re.search(r"[\s,;|]|\.\w{3,4}$", value.strip()) is not None
    items = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return not items or not all(item is None or isinstance(item, int | float) for item in items)


def _names(value: object, num_classes: int) -> dict[int, tuple[str, ...]] | None:
    """Return row -> names of a list or text of names, or of a mapping in either direction.

    Returns:
        None for anything else; nothing for names that are numbers.
    """
    if isinstance(value, str):
        value = _listed(value, num_classes)
    if isinstance(value, list) and all(isinstance(each, dict) and type(each.get("id")) is int for each in value):
        value = sorted(value, key=lambda each: each["id"])  # from 0 or 1, as in COCO's files
    if isinstance(value, list) and 0 < len(value) <= _MOST_CLASSES:
        rows: dict[int, tuple[str, ...]] = {row: _texts(name) for row, name in enumerate(value)}
    elif isinstance(value, Mapping) and 0 < len(value) <= _MOST_CLASSES:
        pairs = [(item, key) if _row(key) is None else (key, item) for key, item in dict(value).items()]
        numbered = [(_row(row), _texts(name)) for row, name in pairs]
        rows = {row: names for row, names in numbered if row is not None}
        if len(rows) < len(value):
            return None
    else:
        return None
    if not all(rows.values()):
        return None
    generic = all(re.fullmatch(r"(LABEL_|class_?)?\d+", name, re.I) for names in rows.values() for name in names)
    return {} if generic else rows


def _listed(text: str, num_classes: int) -> list[str]:
    """Return the names that a text lists: with commas, or with other separators if they are as many as the rows."""
    if text[:1] in ("[", "{"):  # read as a text of settings
        return []
    for separator in (",", ";", "\n", "|", None):
        names = [name.strip() for name in text.split(separator)]
        if len(names) == num_classes and len(names) > 1:
            return names
    return [name.strip() for name in text.split(",")] if "," in text else []


def _row(value: object) -> int | None:
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 7 else None


def _texts(value: object) -> tuple[str, ...]:
    """Return the texts that a value is or holds, or the name in a mapping such as ``{'id': 3, 'name': 'cat'}``."""
    value = value.get("name") if isinstance(value, dict) else value
    several = [_decoded(each) for each in (value if isinstance(value, list | tuple) else [value])]
    texts = [text for text in several if isinstance(text, str)]
    return tuple(text for text in texts if 0 < len(text) <= _LONGEST)


def _decoded(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
