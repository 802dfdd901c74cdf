"""Predicted classes of images, the best first, from CSV or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.class_map import plain_name
from wsolbench.data.lines import Line, quote
from wsolbench.data.predictions.images import PredictedImages
from wsolbench.data.predictions.tables import check_kind, find_image_column, plain_title, read_json, read_rows
from wsolbench.errors import DataError

__all__ = ["OPTION", "read_predicted_classes"]

OPTION = "--predictions"
_LONGEST = 19
"""Digits that no number of a class has."""
FORMS = ("lines 'image,class' or 'image,class1,...,class5'", '{"image": class}', '{"image": [class1, ..., class5]}')


Preferred = Literal["labels", "names"]
"""How a text is read that is both: as the title of its column says."""


@dataclass(frozen=True)
class _Entry:
    image: str
    classes: Sequence[Any]
    place: str
    preferred: Preferred | None = None


def read_predicted_classes(
    path: Path, images: PredictedImages, class_names: Sequence[str], num_classes: int, option: str = OPTION
) -> NDArray[np.int64]:
    """Return the labels that a file predicts, the best first: (N, k), in the order of the evaluated images.

    Classes are numbers from 0, the labels of the data set, or its class names. Numbers of JSON are labels; a text of
    digits that is a label and the name of another class means what its column is called, and is refused elsewhere.

    Args:
        path: CSV with a line an image, perhaps under a header, or JSON: image -> a class or a list of classes.
        images: The images.
        class_names: One name a class, in the order of the labels.
        num_classes: The number of classes.
        option: The option that names the file, for messages.

    Raises:
        DataError: The file is of another form, an image has no entry or two, a class is none of the data set or may
            be two, or some classes are numbers and others names.
    """
    entries = _read_json(path) if check_kind(path, option, "record-*.json") == "json" else _read_csv(path)
    ids = images.find([entry.image for entry in entries], [entry.place for entry in entries], "predictions")
    found: dict[str, _Entry] = {}
    for image_id, entry in zip(ids, entries, strict=True):
        if image_id is not None and image_id in found:
            raise DataError(f"{entry.place}: '{image_id}' has predictions at {found[image_id].place} too; keep one")
        if image_id is not None:
            found[image_id] = entry
    images.check_complete(found, path, "predicted class", "add them")
    of_images = [found[image_id] for image_id in images.ids]
    _check_lengths(of_images)
    return np.array(_labels(of_images, class_names, num_classes), dtype=np.int64)


def _check_lengths(entries: Sequence[_Entry]) -> None:
    count = len(entries[0].classes)
    for entry in entries:
        if len(entry.classes) != count or count == 0:
            there = f"{count} as for {quote(entries[0].image)}" if count else "at least one"
            raise DataError(
                f"{entry.place}: expected {there} classes of {quote(entry.image)}, got {len(entry.classes)}"
            )
        if len(set(map(str, entry.classes))) < count:
            raise DataError(f"{entry.place}: expected different classes of {quote(entry.image)}, the best first")


def _labels(entries: Sequence[_Entry], names: Sequence[str], num_classes: int) -> list[list[int]]:
    """Return the labels of the classes of every entry.

    Raises:
        DataError: A class is none of the data set, or may be two, or some are numbers and others names.
    """
    meaning = _Meaning(names, num_classes)
    labels = [[meaning.label(each, entry) for each in entry.classes] for entry in entries]
    meaning.check_one_kind()
    return labels


class _Meaning:
    """What classes in a file mean, and whether they are numbers or names.

    Args:
        names: The names of the classes.
        num_classes: How many there are; labels are below it.
    """

    def __init__(self, names: Sequence[str], num_classes: int) -> None:
        self._names, self._num_classes = names, num_classes
        self._plain: dict[str, list[int]] = {}
        self._exact: dict[str, list[int]] = {}
        for label, name in enumerate(names):
            self._plain.setdefault(plain_name(name), []).append(label)
            self._exact.setdefault(name, []).append(label)
        self._known: dict[tuple[type, Any, Preferred | None], int] = {}
        self._first_number = self._first_name = ""

    def label(self, value: Any, entry: _Entry) -> int:
        """Return the label of a class. Raises ``DataError`` where it has none, or may have two."""
        key = (type(value), value, entry.preferred)
        if key not in self._known:
            self._known[key] = self._read(value, entry)
        return self._known[key]

    def check_one_kind(self) -> None:
        """Refuse a file in which some classes can only be numbers, and others only names. Raises ``DataError``."""
        if self._first_number and self._first_name:
            raise DataError(
                f"{self._first_name} is a name, but {self._first_number} is a number: classes are given partly as "
                "names and partly as numbers; write all of them in one way"
            )

    def _read(self, value: Any, entry: _Entry) -> int:
        where = f"{entry.place}: the class {quote(value)} of {quote(entry.image)}"
        named = self._named(value)
        number = _number(value)
        counted = number if number is not None and 0 <= number < self._num_classes else None
        if len(named) > 1 and counted is None:
            raise DataError(f"{where} is the name of {len(named)} classes: write their numbers, from 0")
        if len(named) == 1 and counted is not None:
            return self._of_both(where, named[0], counted, entry.preferred)
        if counted is not None:
            self._first_number = self._first_number or where
            return counted
        if named:
            self._first_name = self._first_name or where
            return named[0]
        if number is not None:
            raise DataError(f"{where} is out of range: the data set has the classes 0 to {self._num_classes - 1}")
        some = f", such as {quote(self._names[0])}" if self._names else ""
        raise DataError(
            f"{where} is no class of the data set: write numbers from 0 to {self._num_classes - 1}, or names{some}"
        )

    def _named(self, value: Any) -> list[int]:
        """Return the labels of the classes that have this name."""
        return (self._exact.get(value) or self._plain.get(plain_name(value), [])) if isinstance(value, str) else []

    def _of_both(self, where: str, named: int, counted: int, preferred: Preferred | None) -> int:
        if named == counted:
            return named
        if preferred is not None:
            return named if preferred == "names" else counted
        raise DataError(
            f"{where} may be the label {counted}, or the name of the class with the label {named}: write labels as "
            "numbers of JSON or under a CSV header 'image,label', names under 'image,class_name'"
        )


def _number(value: Any) -> int | None:
    """Return a class that is given by its number; None where it is none."""
    text = str(value).strip()
    number = text.removesuffix(".0") if isinstance(value, float | str) else text
    is_number = not isinstance(value, bool) and number.removeprefix("-").isdigit() and number.isascii()
    return int(number) if is_number and len(number) < _LONGEST else None


def _read_csv(path: Path) -> list[_Entry]:
    rows = read_rows(path)
    first, fields = rows[0]
    titles = [plain_title(field) for field in fields]
    column = find_image_column(titles)
    preferred: Preferred | None = None
    if column is not None:
        preferred = _check_titles([title for at, title in enumerate(titles) if at != column], first)
        rows = rows[1:]
        if not rows:
            raise first.error("expected a line an image below the header")
    place = column or 0
    entries = []
    for line, texts in rows:
        if len(texts) != len(fields) or len(texts) < 2:
            raise line.error(f"expected {FORMS[0]}, as many fields as in the first line")
        classes = [text for at, text in enumerate(texts) if at != place]
        entries.append(_Entry(texts[place], classes, line.place, preferred))
    return entries


def _check_titles(titles: Sequence[str], header: Line) -> Preferred | None:
    """Return what columns hold, as far as their titles say; they are the best class, the second best, and so on.

    Raises:
        DataError: They are of several kinds: one may be the true class, or a score.
    """
    kinds = {title.rstrip("0123456789") for title in titles}
    if len(kinds) > 1:
        raise header.error("expected a header such as 'image,class' or 'image,class1,...,class5', the best class first")
    kind = next(iter(kinds), "")
    return "names" if "name" in kind else "labels" if "label" in kind or "index" in kind else None


def _read_json(path: Path) -> list[_Entry]:
    content = read_json(path, FORMS[1:])
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: expected {' or '.join(FORMS[1:])}, got a list")
    entries = []
    for image, value in content.items():
        classes = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str | int | float) for each in classes):
            raise DataError(f"{path}, image {quote(image)}: expected a class or a list of classes, got {quote(value)}")
        entries.append(_Entry(image, classes, f"{path}, image {quote(image)}"))
    return entries
