"""Class maps: which class of a data set, category of boxes and row of a classifier's head belong together.

A class map is a CSV file with the header ``folder,category,row``, of which one column may be missing::

    folder,category,row
    cat,domestic cat,281
    dog,chien,n02099601
    dog,hund,

``folder`` is a class of the data set, for photos in class folders the folder's name. ``category`` is what a file of
boxes calls it; a class may have several, a line each. ``row`` is a row of the head, from 0, or what the network calls
it: a WordNet id or a name. ``*`` stands for every class, or for every category; ``*,*`` of folder and row says that
every label is the row of its number.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path

from wsolbench.contract import DatasetRoots, Finding, ImageSplit, Severity
from wsolbench.data.lines import Line, read_lines
from wsolbench.data.names import folded, visible
from wsolbench.errors import DataError

__all__ = [
    "ANY",
    "ClassMap",
    "MapLine",
    "category_names",
    "find_name",
    "match_categories",
    "plain_name",
    "read_class_map",
    "some",
]

ANY = "*"
COLUMNS = ("folder", "category", "row")
CLASS_AGNOSTIC = frozenset({"object", "objects", "thing", "item", "instance", "foreground", "target", "roi"})
"""Categories that say of a box that it is of the image's object, whatever that is, where a file has no other one."""
_NAMED = 5
_WHOLE = re.compile(r"^([0-9]+)\.0+$")
"""A number as data frames write it where a column has a gap."""


@dataclass(frozen=True)
class MapLine:
    """One line of a class map; a field is empty where the line says nothing of it."""

    line: Line
    folder: str
    category: str
    row: str


@dataclass(frozen=True)
class ClassMap:
    """The lines of a class map."""

    path: Path
    lines: tuple[MapLine, ...]

    @property
    def categories(self) -> tuple[MapLine, ...]:
        """The lines that name a category."""
        return tuple(line for line in self.lines if line.category)

    @property
    def rows(self) -> tuple[MapLine, ...]:
        """The lines that name a row."""
        return tuple(line for line in self.lines if line.row)


def read_class_map(path: Path) -> ClassMap:
    """Read a class map.

    Raises:
        DataError: It cannot be read, has other columns, or a line names fewer than two things.
    """
    texts = dropwhile(lambda line: line.text.startswith("#"), read_lines(path))  # comments
    header, *lines = [*texts] or [Line(path, 1, "")]
    separator = next((mark for mark in ",;\t" if mark in header.text), ",")
    columns = [visible(name).strip().lower() for name in _fields(header, separator)]
    if len(columns) < 2 or len(set(columns)) < len(columns) or not set(columns) <= set(COLUMNS):
        raise header.error(f"expected the header {','.join(COLUMNS)}, or two of these columns")
    parsed = []
    for line in lines:
        fields = [visible(text).strip() for text in _fields(line, separator)]
        if len(fields) != len(columns):
            raise line.error(f"expected {','.join(columns)}")
        named = dict(zip(columns, fields, strict=True))
        if sum(map(bool, fields)) < 2:
            raise line.error(f"expected at least two of {', '.join(columns)}")
        folder = named.get("folder") or named.get("category", "")  # a class that its category is named like
        parsed.append(MapLine(line, folder, named.get("category", ""), _WHOLE.sub(r"\1", named.get("row", ""))))
    if not parsed:
        raise DataError(f"{path} holds no line below its header; expected {','.join(columns)}")
    return ClassMap(path, tuple(parsed))


def _fields(line: Line, separator: str) -> list[str]:
    try:
        return next(csv.reader([line.text], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise line.error(f"expected fields separated by '{separator}' ({error})") from error


def plain_name(name: str) -> str:
    """Return a name as names are compared: in NFC, without case; spaces, ``_`` and ``-`` are one, 1 and 1.0 too.

    Characters that nobody sees do not count.
    """
    return _WHOLE.sub(r"\1", re.sub(r"[\s_-]+", " ", folded(name)).strip())


def find_name(name: str, among: Sequence[str]) -> tuple[str, ...]:
    """Return the names that a name means: itself where it is among them, otherwise those that are plainly the same."""
    if name in among:
        return (name,)
    plain = plain_name(name)
    return tuple(other for other in among if plain_name(other) == plain)


def close_names(name: str, among: Iterable[str]) -> str:
    """Return the end of a message that says which names are nearly a name; empty where none is."""
    spelled = {other.lower(): other for other in among}
    close = difflib.get_close_matches(name.lower(), spelled, n=3)
    return f" (did you mean {' or '.join(repr(spelled[other]) for other in close)}?)" if close else ""


# ----------------------------------------------------------------------------------------------- classes of a data set


def names_of_classes(class_names: Sequence[str], count: int, parts: Iterable[ImageSplit]) -> dict[int, tuple[str, ...]]:
    """Return label -> what its class is called: its name, and the folder of its images where a class has one alone.

    Args:
        class_names: One name a class, in the order of the labels.
        count: The number of classes.
        parts: The images, whose folders are names too.
    """
    folders: dict[int, set[str]] = {}
    for part in parts:
        for image_id, label in zip(part.ids, part.labels.tolist(), strict=True):
            folders.setdefault(label, set()).add(image_id.rpartition("/")[0].rpartition("/")[2])
    shared = Counter(folder for of_label in folders.values() for folder in of_label)
    names: dict[int, tuple[str, ...]] = {label: (str(name),) for label, name in enumerate(class_names)}
    for label in range(count):
        alone = [folder for folder in folders.get(label, ()) if folder and shared[folder] == 1]
        extra = alone if len(alone) == len(folders.get(label, ())) == 1 else []
        names[label] = (*names.get(label, (str(label),)), *extra)
    return names


def find_label(each: MapLine, names: Mapping[int, Sequence[str]]) -> int:
    """Return the label of the class that a line of a class map names.

    Args:
        each: The line.
        names: Label -> what its class is called.

    Raises:
        DataError: It is the name of no class, or of several.
    """
    labels = [label for label, of_label in names.items() if find_name(each.folder, of_label)]
    if len(labels) == 1:
        return labels[0]
    several = f" alone; it is a name of the labels {', '.join(map(str, labels))}" if labels else ""
    close = "" if labels else close_names(each.folder, (name for of_label in names.values() for name in of_label))
    classes = some([of_label[0] for of_label in names.values()])
    raise each.line.error(f"expected one of the classes ({classes}), which {each.folder!r} is not{several}{close}")


def check_rows(class_map: ClassMap, names: Mapping[int, Sequence[str]], on_fault: Callable[[DataError], None]) -> None:
    """Check the classes of the lines that name a row; the rows are those of a network, which is not known here.

    Args:
        class_map: The class map.
        names: Label -> what its class is called.
        on_fault: Called with the error about a line.
    """
    for each in class_map.rows:
        try:
            if (each.folder == ANY) != (each.row == ANY):
                raise each.line.error(f"expected a class and a row, or '{ANY}' for both")
            if each.folder != ANY:
                find_label(each, names)
        except DataError as fault:
            on_fault(fault)


# ---------------------------------------------------------------------------------------------------- whose boxes count


def category_names(folders: Iterable[str], class_map: Path | None) -> frozenset[str]:
    """Return what categories of boxes may be called, by `plain_name`: class folders, and categories of a class map.

    Raises:
        DataError: The class map is damaged.
    """
    mapped = () if class_map is None else read_class_map(class_map).categories
    return frozenset(map(plain_name, folders)) | {plain_name(line.category) for line in mapped if line.category != ANY}


def match_categories(
    folders: Sequence[str],
    used: Iterable[str],
    listed: Iterable[str],
    source: Path,
    roots: DatasetRoots,
) -> Mapping[str, frozenset[str]]:
    """Return the categories of a file of boxes, each with the class folders in whose images its boxes count.

    A category belongs to the folder of its name, compared by `plain_name`; a class map says otherwise. A file whose
    boxes are all of one category such as ``object`` says nothing of classes: all of its boxes count.

    Args:
        folders: The class folders.
        used: The categories of the boxes.
        listed: The categories that the file lists, with and without boxes.
        source: The file, for messages.
        roots: The class map; a line of it with a fault is left out where ``on_fault`` returns.

    Raises:
        DataError: No category belongs to a folder, a name is that of several folders, or the class map is damaged.
    """
    used = sorted(set(used))
    categories = sorted({*used, *listed})
    mapped = _map_categories(folders, categories, source, roots)
    found = {
        category: mapped.everywhere
        | mapped.folders_of.get(category, frozenset(_of_name(category, folders, source)) - mapped.own)
        for category in categories
    }
    if not categories or any(found.values()):
        return found
    if len(used) == 1 and plain_name(used[0]) in CLASS_AGNOSTIC:
        text = f"{source}: all boxes count, as their one category {used[0]!r} says nothing of classes"
        roots.on_finding(Finding(Severity.NOTE, text))
        return {**found, used[0]: frozenset(folders)}
    raise DataError(
        f"{source}: no category of its boxes is the name of a class folder; categories: {some(used or categories)}; "
        f"class folders: {some(folders)}; say which belong together with --class-map FILE, "
        "a CSV file with the header folder,category"
    )


def _of_name(category: str, folders: Sequence[str], source: Path) -> tuple[str, ...]:
    found = find_name(category, folders)
    if len(found) > 1:
        raise DataError(
            f"{source}: the category {category!r} is the name of the class folders {some(found)}; "
            "rename one, or say with --class-map FILE which is meant"
        )
    return found


@dataclass
class _Mapped:
    """What a class map says of categories.

    Attributes:
        folders_of: Category -> its folders.
        own: Folders that are named with a category: only such categories are theirs.
        everywhere: Folders in whose images the boxes of all categories count.
    """

    folders_of: dict[str, frozenset[str]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    everywhere: frozenset[str] = frozenset()


def _map_categories(
    folders: Sequence[str],
    categories: Sequence[str],
    source: Path,
    roots: DatasetRoots,
) -> _Mapped:
    mapped = _Mapped()
    class_map, on_fault = roots.conventions.class_map, roots.on_fault
    for each in () if class_map is None else read_class_map(class_map).categories:
        meant = frozenset(folders if each.folder == ANY else find_name(each.folder, folders))
        named = () if each.category == ANY else find_name(each.category, categories)
        if not categories:
            on_fault(each.line.error(f"{source} names no category; omit the column"))
        elif not meant:
            close = close_names(each.folder, folders)
            on_fault(each.line.error(f"expected a class folder ({some(folders)}), which {each.folder!r} is not{close}"))
        elif each.category == ANY:
            mapped.everywhere |= meant
        elif not named:
            known = f"a category of {source} ({some(categories)})"
            close = close_names(each.category, categories)
            on_fault(each.line.error(f"expected {known}, which {each.category!r} is not{close}"))
        for category in named:
            mapped.folders_of[category] = mapped.folders_of.get(category, frozenset()) | meant
            mapped.own |= meant if each.folder != ANY else frozenset()
    return mapped


def some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many there are: ``'cat', 'dog' and 8 more``."""
    shown = ", ".join(repr(name) for name in names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
