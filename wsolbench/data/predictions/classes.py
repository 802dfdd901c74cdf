"""Predicted classes of images, the best first, from CSV or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.class_map import plain_name
from wsolbench.data.lines import quote
from wsolbench.data.predictions.images import PredictedImages
from wsolbench.data.predictions.tables import check_kind, find_image_column, plain_title, read_json, read_rows
from wsolbench.errors import DataError

__all__ = ["OPTION", "read_predicted_classes"]

OPTION = "--predictions"
FORMS = ("lines 'image,class' or 'image,class1,...,class5'", '{"image": class}', '{"image": [class1, ..., class5]}')


@dataclass(frozen=True)
class _Entry:
    image: str
    classes: Sequence[Any]
    place: str


def read_predicted_classes(
    path: Path, images: PredictedImages, class_names: Sequence[str], num_classes: int
) -> NDArray[np.int64]:
    """Return the labels that a file predicts, the best first: (N, k), in the order of the evaluated images.

    Classes are numbers from 0, the labels of the data set, or its class names; names count where all are names.

    Args:
        path: CSV with a line an image, perhaps under a header, or JSON: image -> a class or a list of classes.
        images: The images.
        class_names: One name a class, in the order of the labels.
        num_classes: The number of classes.

    Raises:
        DataError: The file is of another form, an image has no entry or two, or a class is none of the data set.
    """
    entries = _read_json(path) if check_kind(path, OPTION) == "json" else _read_csv(path)
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
    label_of = {plain_name(name): label for label, name in enumerate(names)} | {
        name: label for label, name in enumerate(names)
    }
    meant = {str(each): label_of.get(str(each), label_of.get(plain_name(str(each)))) for each in _classes_of(entries)}
    labels = [[meant[str(each)] for each in entry.classes] for entry in entries]
    if len(set(map(plain_name, names))) == len(names) and None not in meant.values():
        return [[label for label in of_image if label is not None] for of_image in labels]
    return [[_label(each, entry, names, num_classes) for each in entry.classes] for entry in entries]


def _classes_of(entries: Sequence[_Entry]) -> set[Any]:
    return {each for entry in entries for each in entry.classes}


def _label(value: Any, entry: _Entry, names: Sequence[str], num_classes: int) -> int:
    """Return a class that is given by its number."""
    text = str(value).strip()
    number = text.removesuffix(".0") if isinstance(value, float | str) else text
    where = f"{entry.place}: the class {quote(value)} of {quote(entry.image)}"
    if isinstance(value, bool) or not number.removeprefix("-").isdigit() or not number.isascii():
        some = f", such as {quote(names[0])}" if names else ""
        raise DataError(
            f"{where} is no class of the data set: write numbers from 0 to {num_classes - 1}, or names{some}"
        )
    if not 0 <= int(number) < num_classes:
        raise DataError(f"{where} is out of range: the data set has the classes 0 to {num_classes - 1}")
    return int(number)


def _read_csv(path: Path) -> list[_Entry]:
    rows = read_rows(path)
    first, fields = rows[0]
    titles = [plain_title(field) for field in fields]
    column = find_image_column(titles)
    if column is not None and any(title.startswith(("class", "pred", "label", "top")) for title in titles):
        rows = rows[1:]
        if not rows:
            raise first.error("expected a line an image below the header")
    place = column or 0
    entries = []
    for line, texts in rows:
        if len(texts) != len(fields) or len(texts) < 2:
            raise line.error(f"expected {FORMS[0]}, as many fields as in the first line")
        entries.append(_Entry(texts[place], [text for at, text in enumerate(texts) if at != place], line.place))
    return entries


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
