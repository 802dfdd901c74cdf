"""Files of boxes as other tools write them: CSV, COCO's JSON, VOC's XML."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree import ElementTree

from wsolbench.api import DataError
from wsolbench.data import BoxRule, Line, Quad, parse_each, read_lines

FaultHandler: TypeAlias = Callable[[DataError], None]

_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading raises where JSON holds something else, or where it is nested too deeply."""
CORNERS, EXTENT = ["image", "x0", "y0", "x1", "y1"], ["image", "x", "y", "width", "height"]


@dataclass(frozen=True)
class NamedBox:
    """One box of a file.

    Args:
        image: What the file calls the image.
        category: The class that the file gives the box; None where it gives none.
        quad: Its four numbers.
        place: File and line, for messages.
    """

    image: str
    category: str | None
    quad: Quad
    place: str


@dataclass(frozen=True)
class BoxFile:
    """What the box files say.

    Args:
        boxes: All boxes.
        rule: What the four numbers of a box are.
        sizes: What the files call an image -> (width, height); empty where they do not say.
        categories: All classes that the files know, with and without boxes; empty where they name none.
        faulty: What the files call the images of entries that are at fault, which were reported and left out.
    """

    boxes: tuple[NamedBox, ...]
    rule: BoxRule
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    categories: frozenset[str] = frozenset()
    faulty: frozenset[str] = frozenset()


def read_box_files(path: Path, on_fault: FaultHandler) -> BoxFile:
    """Read a file of boxes, or all those below a folder, which must be of one kind.

    Args:
        path: The file or folder.
        on_fault: Called with what is wrong with an entry, which is left out where it returns.

    Raises:
        DataError: There is none, one is damaged as a whole, or they are of several kinds.
    """
    files = [path] if path.is_file() else sorted(file for kind in _READERS for file in path.rglob(f"*{kind}"))
    kinds = sorted({file.suffix.lower() for file in files})
    if len(kinds) != 1 or kinds[0] not in _READERS:
        message = f"holds files of the kinds {', '.join(kinds)}" if len(kinds) > 1 else "is or holds no file of boxes"
        raise DataError(f"{path} {message}; expected one kind of {', '.join(_READERS)}")
    return _READERS[kinds[0]](path, files, on_fault)


def _read_csv(_: Path, files: Sequence[Path], on_fault: FaultHandler) -> BoxFile:
    boxes: list[NamedBox] = []
    faulty: set[str] = set()
    forms = set()

    def parse(line: Line) -> None:
        image, *numbers = _csv_fields(line)
        try:
            if len(numbers) != 4:
                raise line.error(f"expected {','.join(fields)}")
            x, y, second, third = line.numbers(numbers, ",".join(fields))
        except DataError:
            faulty.add(image)
            raise
        boxes.append(NamedBox(image, None, (x, y, second, third), f"{line.path}, line {line.number}"))

    for file in files:
        header, *lines = read_lines(file, on_fault) or [Line(file, 1, "")]
        fields = _csv_fields(header)
        if fields not in (CORNERS, EXTENT):
            raise header.error(f"expected the header {','.join(CORNERS)} or {','.join(EXTENT)}")
        forms.add(tuple(fields))
        parse_each(lines, parse, on_fault)
    if len(forms) > 1:
        raise DataError(f"{files[0].parent} holds CSV files with different headers; use one for all")
    return BoxFile(tuple(boxes), BoxRule(extents=forms != {tuple(CORNERS)}), faulty=frozenset(faulty))


def _csv_fields(line: Line) -> list[str]:
    try:
        return [text.strip() for text in next(csv.reader([line.text], strict=True), [])]
    except csv.Error as error:
        raise line.error(f"expected comma-separated fields ({error})") from error


def _read_coco(_: Path, files: Sequence[Path], on_fault: FaultHandler) -> BoxFile:
    boxes: list[NamedBox] = []
    faulty: set[str] = set()
    sizes: dict[str, tuple[int, int]] = {}
    categories: set[str] = set()
    for file in files:
        try:
            content = json.loads(file.read_bytes())
            images = {image["id"]: str(image["file_name"]) for image in content["images"]}
            sizes |= {
                str(image["file_name"]): (int(image["width"]), int(image["height"])) for image in content["images"]
            }
            names = {category["id"]: str(category["name"]) for category in content.get("categories", [])}
            categories |= set(names.values())
            entries = list(content["annotations"])
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}") from error
        except _MALFORMED as error:
            raise DataError(f"{file} is no COCO file of boxes: {_reason(error)}") from error
        for number, entry in enumerate(entries, start=1):
            try:
                boxes += _coco_boxes(file, number, entry, images, names)
            except DataError as fault:
                on_fault(fault)
                with suppress(*_MALFORMED):
                    faulty.add(images[entry["image_id"]])
    return BoxFile(tuple(boxes), BoxRule(extents=True), sizes, frozenset(categories), frozenset(faulty))


def _coco_boxes(file: Path, number: int, entry: Any, images: dict[Any, str], names: dict[Any, str]) -> list[NamedBox]:
    """Return the box of an annotation; of a crowd, none."""
    known = isinstance(entry, dict) and "id" in entry
    place = f"{file}, annotation {entry['id'] if known else f'#{number}'}"
    try:
        x, y, width, height = (float(value) for value in entry["bbox"])
        category = names[entry["category_id"]] if names and "category_id" in entry else None
        box = NamedBox(images[entry["image_id"]], category, (x, y, width, height), place)
        crowd = entry.get("iscrowd")
    except _MALFORMED as error:
        raise DataError(f"{place}: {_reason(error)}") from error
    if not crowd:
        _check_finite(box.quad, place)
    return [] if crowd else [box]


def _reason(error: Exception) -> str:
    return f"lacks {error}" if isinstance(error, KeyError) else str(error)


def _read_voc(root: Path, files: Sequence[Path], on_fault: FaultHandler) -> BoxFile:
    boxes: list[NamedBox] = []
    sizes: dict[str, tuple[int, int]] = {}
    faulty: set[str] = set()
    for file in files:
        image = file.name if root == file else file.relative_to(root).as_posix()
        image = image.removesuffix(file.suffix)
        try:
            sizes[image], found = _read_annotation(file, image)
            boxes += found
        except DataError as fault:
            on_fault(fault)
            faulty.add(image)
    first = 0 if any(min(box.quad) < 1 for box in boxes) else 1
    counted = tuple(
        NamedBox(box.image, box.category, tuple(value - first for value in box.quad), box.place)  # type: ignore[arg-type]
        for box in boxes
    )
    categories = frozenset(box.category for box in boxes if box.category)
    return BoxFile(counted, BoxRule(), sizes, categories, frozenset(faulty))


def _read_annotation(file: Path, image: str) -> tuple[tuple[int, int], list[NamedBox]]:
    """Return the size and the boxes of an image, as they stand in its file."""
    boxes: list[NamedBox] = []
    try:
        top = ElementTree.fromstring(file.read_bytes())
        size = (int(_text(top, "size/width")), int(_text(top, "size/height")))
        for number, found in enumerate(top.findall("object"), start=1):
            x0, y0, x1, y1 = (float(_text(found, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
            place = f"{file}, object {number}"
            _check_finite((x0, y0, x1, y1), place)
            boxes.append(NamedBox(image, _text(found, "name"), (x0, y0, x1, y1), place))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{file} is damaged: {error}") from error
    return size, boxes


def _check_finite(quad: Quad, place: str) -> None:
    if not all(math.isfinite(value) for value in quad):
        numbers = ", ".join(f"{value:g}" for value in quad)
        raise DataError(f"{place}: expected a box of four finite numbers, got {numbers}")


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"expected <{path.replace('/', '><')}>")
    return text.strip()


_READERS = {".csv": _read_csv, ".json": _read_coco, ".xml": _read_voc}
