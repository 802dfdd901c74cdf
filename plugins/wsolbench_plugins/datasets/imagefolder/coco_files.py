"""COCO's JSON: ``images``, ``annotations`` with ``bbox`` (x, y, width, height), ``categories``."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

from wsolbench.api import DataError, DatasetRoots, Split
from wsolbench.data import BoxRule, Finding, Severity, quote, read_file
from wsolbench_plugins.datasets.imagefolder.named_boxes import (
    LARGEST_SIDE,
    BoxFile,
    FaultHandler,
    Known,
    NamedBox,
    NamedSize,
    check_quad,
)

_CATEGORY_TEXTS = ("category_name", "category", "label")
"""Keys of boxes that name the category in a file that does not list categories."""
_EXPECTED = "expected COCO, an object with the lists 'images' and 'annotations'"


def read_coco(_: Path, files: Sequence[Path], roots: DatasetRoots, known: Known) -> BoxFile:
    """Return the boxes of COCO files; ids count within a file. Crowds are left out.

    Raises:
        DataError: A file is no COCO file; or, where ``on_fault`` raises it, an entry is at fault.
    """
    boxes: list[NamedBox] = []
    sizes: list[NamedSize] = []
    categories: set[str] = set()
    faulty: set[str] = set()
    crowds = 0
    for file in files:
        coco = _CocoFile(file, roots.on_fault, known)
        content = _load(file)
        coco.read_images(content["images"])
        coco.read_categories(content.get("categories"))
        coco.read_annotations(content["annotations"])
        boxes += coco.boxes
        sizes += coco.sizes
        categories |= {*coco.categories.values(), *(box.category for box in coco.boxes if box.category is not None)}
        faulty |= coco.faulty
        crowds += coco.crowds
    if crowds:
        what = "1 crowd is" if crowds == 1 else f"{crowds:,} crowds are"
        roots.on_finding(Finding(Severity.NOTE, f"{files[0]}: {what} left out, as marked by 'iscrowd'"))
    rule = BoxRule(roots.conventions.boxes, roots.conventions.first_pixel or 0, extents=True)
    form = "COCO's x, y, width, height"
    return BoxFile(tuple(boxes), rule, form, tuple(sizes), frozenset(categories), frozenset(faulty))


def _load(file: Path) -> dict[str, Any]:
    """Return the content of a COCO file. Raises ``DataError`` where it is another thing, and says which."""
    try:
        content = json.loads(read_file(file))
    except (ValueError, RecursionError) as error:
        lines = "; is it a file of JSON lines?" if "Extra data" in str(error) else ""
        raise DataError(f"{file} is no COCO file of boxes: {error}{lines}") from error
    other = _other_format(content)
    if other:
        raise DataError(f"{file} is no COCO file of boxes but {other}; export the boxes as COCO, VOC or CSV")
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            keys = f"it has the keys {quote(list(content)[:10])}" if isinstance(content, dict) else "it is no object"
            raise DataError(f"{file} is no COCO file of boxes: {_EXPECTED}; {keys if content else 'it is empty'}")
    return dict(content)


def _other_format(content: Any) -> str:
    """Return what a JSON file is that is not COCO's, as far as it is known."""
    entries = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    entry = next(iter(entries), None)
    keys: set[str] = set(content) if isinstance(content, dict) else set()
    inside: set[str] = set(entry) if isinstance(entry, dict) else set()
    marks = {
        "LabelMe's JSON": {"shapes", "imagePath"} <= keys,
        "VIA's JSON": "_via_img_metadata" in keys or {"filename", "regions"} <= inside,
        "a list of COCO's detections": {"image_id", "bbox"} <= inside and isinstance(content, list),
        "CreateML's JSON": {"image", "annotations"} <= inside and isinstance(content, list),
        "Label Studio's JSON": {"data", "annotations"} <= inside and isinstance(content, list),
    }
    return next((name for name, is_it in marks.items() if is_it), "")


@dataclass
class _CocoFile:
    """One COCO file while it is read.

    Ids are compared as text: tools write 7 in one list and "7" in the other. In a file without categories, the ids of
    its boxes stand for them: which class they are of, nothing else says.
    """

    file: Path
    on_fault: FaultHandler
    known: Known
    images: dict[str, str] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)
    sizes: list[NamedSize] = field(default_factory=list)
    boxes: list[NamedBox] = field(default_factory=list)
    faulty: set[str] = field(default_factory=set)
    crowds: int = 0

    def read_images(self, entries: list[Any]) -> None:
        """Read names and sizes of the images."""
        names = Counter(entry.get("file_name") for entry in entries if _has_text(entry, "file_name"))
        for number, entry in enumerate(entries, start=1):
            place = _place(self.file, "image", number, entry)
            try:
                name = _text(entry, "file_name", place)
                key = _id(entry, "id", place)
                if key in self.images:
                    raise DataError(f"{place}: expected each id once, {self.images[key]!r} has it too")
                if names[name] > 1:
                    raise DataError(f"{place}: expected each image once, {name!r} is listed {names[name]} times")
                name = self.images[key] = self.known.image_name(name)
                size = _size(entry, place)
                if size is not None:
                    self.sizes.append(NamedSize(name, size, place, self._split))
            except DataError as fault:
                self.on_fault(fault)
                if _has_text(entry, "file_name"):
                    self.faulty.add(entry["file_name"])

    def read_categories(self, entries: Any) -> None:
        """Read the names of the categories; a file may have none."""
        if entries is not None and not isinstance(entries, list):
            self.on_fault(DataError(f"{self.file}: expected a list of 'categories', got {quote(entries)}"))
            return
        for number, entry in enumerate(entries or [], start=1):
            place = _place(self.file, "category", number, entry)
            try:
                key, name = _id(entry, "id", place), _text(entry, "name", place)
                if self.categories.setdefault(key, name) != name:
                    raise DataError(f"{place}: expected each id once, {self.categories[key]!r} has it too")
            except DataError as fault:
                self.on_fault(fault)

    def read_annotations(self, entries: list[Any]) -> None:
        """Read the boxes."""
        for number, entry in enumerate(entries, start=1):
            place = _place(self.file, "annotation", number, entry)
            try:
                image = self._image(entry, place)
                if _is_crowd(entry):
                    self.crowds += 1
                    continue
                category, quad = self._category(entry, place), _quad(entry, place)
                self.boxes.append(NamedBox(image, category, quad, place, self._split))
            except DataError as fault:
                self.on_fault(fault)
                with suppress(DataError):
                    self.faulty.add(self._image(entry, place))

    @cached_property
    def _split(self) -> Split | None:
        """The split that the file is named after."""
        return self.known.split_of(self.file)

    def _image(self, entry: Any, place: str) -> str:
        key = _id(entry, "image_id", place)
        if key not in self.images:
            some = f"such as {quote(next(iter(self.images)))}" if self.images else "there are none"
            raise DataError(f"{place}: its 'image_id' {quote(entry['image_id'])} is no id of 'images', {some}")
        return self.images[key]

    def _category(self, entry: Any, place: str) -> str | None:
        if not self.categories:
            texts = (entry.get(key) for key in _CATEGORY_TEXTS)
            named = next((text.strip() for text in texts if isinstance(text, str) and text.strip()), None)
            return named or (None if entry.get("category_id") is None else _id(entry, "category_id", place))
        if entry.get("category_id") is None:
            return None
        key = _id(entry, "category_id", place)
        if key not in self.categories:
            some = quote(next(iter(self.categories)))
            number = quote(entry["category_id"])
            raise DataError(f"{place}: its 'category_id' {number} is no id of 'categories', such as {some}")
        return self.categories[key]


def _place(file: Path, what: str, number: int, entry: Any) -> str:
    known = isinstance(entry, dict) and isinstance(entry.get("id"), int | str)
    return f"{file}, {what} {quote(entry['id']) if known else f'#{number}'}"


def _id(entry: Any, key: str, place: str) -> str:
    """Return an id as text: 7, 7.0 and "7" are one."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"{place}: expected {key!r}, a number or text, got {quote(entry if value is None else value)}")
    return str(value).strip()


def _has_text(entry: Any, key: str) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get(key), str) and bool(entry[key].strip())


def _text(entry: Any, key: str, place: str) -> str:
    if not _has_text(entry, key):
        raise DataError(f"{place}: expected {key!r}, a text, got {quote(entry)}")
    return str(entry[key])


def _size(entry: dict[str, Any], place: str) -> tuple[int, int] | None:
    """Return the listed (width, height); None where there is none, or zeros."""
    size = [int(side) if _is_digits(side) else side for side in (entry.get("width"), entry.get("height"))]
    if all(value in (None, 0) for value in size):
        return None
    numbers = [value for value in size if _is_number(value) and 1 <= value <= LARGEST_SIDE and value == int(value)]
    if len(numbers) != 2:
        raise DataError(f"{place}: expected 'width' and 'height' in whole pixels, got {quote(size)}")
    return int(numbers[0]), int(numbers[1])


def _quad(entry: dict[str, Any], place: str) -> tuple[float, float, float, float]:
    numbers = entry.get("bbox")
    if numbers is None:
        outline = "; a segmentation alone has no box" if entry.get("segmentation") else ""
        raise DataError(f"{place}: lacks 'bbox'{outline}")
    if isinstance(numbers, list) and all(value is None for value in numbers):  # of an image without an object
        return 0, 0, 0, 0
    if not isinstance(numbers, list) or len(numbers) != 4:
        raise DataError(f"{place}: expected 'bbox' [x, y, width, height], got {quote(numbers)}")
    try:
        x, y, width, height = (float(value) for value in numbers)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{place}: expected 'bbox' of four numbers, got {quote(numbers)}") from error
    check_quad((x, y, width, height), place)
    if (width < 0 or height < 0) and not BoxRule(extents=True).is_empty((x, y, width, height)):
        raise DataError(f"{place}: expected 'bbox' with a width and height of 0 or more, got {quote(numbers)}")
    return x, y, width, height


def _is_crowd(entry: dict[str, Any]) -> bool:
    return entry.get("iscrowd") not in (None, False, 0, "0", "")


def _is_digits(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and re.fullmatch(" *[0-9]{1,9} *", value) is not None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
