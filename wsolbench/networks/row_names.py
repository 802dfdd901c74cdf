"""What the rows of a classifier's head are called, as a weights file or a description beside it states."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from wsolbench.data.class_map import plain_name, some
from wsolbench.networks.pickles import shown
from wsolbench.networks.plain_data import Statement

__all__ = ["KnownClasses", "are_numbers", "find_row_names", "names_rows"]

_CERTAIN = re.compile(
    "classes|class(name|label)s|class(list|label)|(class|label)(to|2)(idx|index|id)|(idx|index|id)(to|2)(class|label)"
    "|(label|target)names|wnids|synsets"
)
_PERHAPS = re.compile("names|labels|categories|catnames|vocab|labelmap")
"""Names that stand for other things too: what does not fit the head is passed over."""
_MOST_CLASSES = 50_000
_MOST_STATEMENTS = 20
_LONGEST = 200


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
    return _CERTAIN.fullmatch(_folded(name)) is not None


def find_row_names(statements: Iterable[Statement], num_classes: int) -> tuple[KnownClasses | None, list[str]]:
    """Return what the rows of a head are called, and a line for every statement of names that does not fit the head.

    Where several statements name the rows, each row has all of its names.

    Args:
        statements: What a weights file and the descriptions beside it state.
        num_classes: Number of rows of the head.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    misfits = []
    named = (each for each in statements if names_rows(each.name) or _PERHAPS.fullmatch(_folded(each.name)))
    for statement in islice((each for each in named if isinstance(each.value, list | dict | str)), _MOST_STATEMENTS):
        certain = names_rows(statement.name)
        names = _names(statement.value)
        if names is None:
            continue
        what = f"'{shown(statement.name, 40)}' of {statement.source}"
        if sorted(names) == list(range(num_classes)):
            found.setdefault(what, [names[row] for row in range(num_classes)])
        elif certain:
            misfits.append(
                f"{what} names {len(names):,} classes, the rows {min(names):,} to {max(names):,}, and the head has "
                f"{num_classes:,} rows, from 0; the names are not used"
            )
    if not found:
        return None, list(dict.fromkeys(misfits))
    together = zip(*found.values(), strict=True)
    names_of = tuple(tuple(dict.fromkeys(name for names in of_row for name in names)) for of_row in together)
    return KnownClasses(" and ".join(found), names_of, binding=True), list(dict.fromkeys(misfits))


def _names(value: object) -> dict[int, tuple[str, ...]] | None:
    """Return row -> names of a list of names, or of a mapping in either direction; None for anything else."""
    if isinstance(value, str) and "," in value and value[:1] not in "[{":
        value = [name.strip() for name in value.split(",")]
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
    first = [names[:1] for names in rows.values()]
    distinct = all(rows.values()) and len(set(first)) == len(first)
    generic = all(re.fullmatch(r"(LABEL_|class_?)?\d+", name, re.I) for names in rows.values() for name in names)
    return rows if distinct and not generic else None


def _row(value: object) -> int | None:
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 7 else None


def _texts(value: object) -> tuple[str, ...]:
    texts = [text for text in (value if isinstance(value, list | tuple) else [value]) if isinstance(text, str)]
    return tuple(text for text in texts if 0 < len(text) <= _LONGEST)


def _folded(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
