"""Files of boxes as other tools write them: CSV, COCO's JSON, VOC's XML."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from wsolbench.api import DataError, Line, Quad, corners_of_extent, read_lines, whole_corners

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
        corners: Four numbers and an image's size -> corners.
        sizes: What the files call an image -> (width, height); empty where they do not say.
        categories: All classes that the files know, with and without boxes; empty where they name none.
    """

    boxes: tuple[NamedBox, ...]
    corners: Callable[[Quad, tuple[int, int]], tuple[int, int, int, int]]
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    categories: frozenset[str] = frozenset()


def read_box_files(path: Path) -> BoxFile:
    """Read a file of boxes, or all those below a folder, which must be of one kind.

    Raises:
        DataError: There is none, one is damaged, or they are of several kinds.
    """
    files = [path] if path.is_file() else sorted(file for kind in _READERS for file in path.rglob(f"*{kind}"))
    kinds = sorted({file.suffix.lower() for file in files})
    if len(kinds) != 1 or kinds[0] not in _READERS:
        told = f"holds files of the kinds {', '.join(kinds)}" if len(kinds) > 1 else "is or holds no file of boxes"
        raise DataError(f"{path} {told}; expected one kind of {', '.join(_READERS)}")
    return _READERS[kinds[0]](path, files)


def _read_csv(_: Path, files: Sequence[Path]) -> BoxFile:
    boxes: list[NamedBox] = []
    forms = set()
    for file in files:
        header, *lines = read_lines(file) or [Line(file, 1, "")]
        fields = _csv_fields(header)
        if fields not in (CORNERS, EXTENT):
            raise header.error(f"expected the header {','.join(CORNERS)} or {','.join(EXTENT)}")
        forms.add(tuple(fields))
        for line in lines:
            image, *numbers = _csv_fields(line)
            if len(numbers) != 4:
                raise line.error(f"expected {','.join(fields)}")
            x, y, second, third = line.numbers(numbers, ",".join(fields))
            boxes.append(NamedBox(image, None, (x, y, second, third), f"{file}, line {line.number}"))
    if len(forms) > 1:
        raise DataError(f"{files[0].parent} holds CSV files with different headers; use one for all")
    return BoxFile(tuple(boxes), whole_corners if forms == {tuple(CORNERS)} else corners_of_extent)


def _csv_fields(line: Line) -> list[str]:
    try:
        return [text.strip() for text in next(csv.reader([line.text], strict=True), [])]
    except csv.Error as error:
        raise line.error(f"expected comma-separated fields ({error})") from error


def _read_coco(_: Path, files: Sequence[Path]) -> BoxFile:
    boxes: list[NamedBox] = []
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
            single = [entry for entry in content["annotations"] if not entry.get("iscrowd")]
            boxes += [_coco_box(file, entry, images, names) for entry in single]
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}") from error
        except _MALFORMED as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else error
            raise DataError(f"{file} is no COCO file of boxes: {reason}") from error
    return BoxFile(tuple(boxes), corners_of_extent, sizes, frozenset(categories))


def _coco_box(file: Path, entry: dict[str, Any], images: dict[Any, str], names: dict[Any, str]) -> NamedBox:
    x, y, width, height = (float(value) for value in entry["bbox"])
    place = f"{file}, annotation {entry.get('id', '?')}"
    _check_finite((x, y, width, height), place)
    category = names[entry["category_id"]] if names and "category_id" in entry else None
    return NamedBox(images[entry["image_id"]], category, (x, y, width, height), place)


def _read_voc(root: Path, files: Sequence[Path]) -> BoxFile:
    boxes: list[NamedBox] = []
    sizes: dict[str, tuple[int, int]] = {}
    for file in files:
        image = file.name if root == file else file.relative_to(root).as_posix()
        image = image.removesuffix(file.suffix)
        try:
            top = ElementTree.fromstring(file.read_bytes())
            sizes[image] = (int(_text(top, "size/width")), int(_text(top, "size/height")))
            for number, found in enumerate(top.findall("object"), start=1):
                x0, y0, x1, y1 = (float(_text(found, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
                place = f"{file}, object {number}"
                _check_finite((x0, y0, x1, y1), place)
                boxes.append(NamedBox(image, _text(found, "name"), (x0, y0, x1, y1), place))
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}") from error
        except (ElementTree.ParseError, ValueError) as error:
            raise DataError(f"{file} is damaged: {error}") from error
    first = 0 if any(min(box.quad) < 1 for box in boxes) else 1
    counted = tuple(
        NamedBox(box.image, box.category, tuple(value - first for value in box.quad), box.place)  # type: ignore[arg-type]
        for box in boxes
    )
    return BoxFile(counted, whole_corners, sizes, frozenset(box.category for box in boxes if box.category))


def _check_finite(quad: Quad, place: str) -> None:
    if not all(math.isfinite(value) for value in quad):
        told = ", ".join(f"{value:g}" for value in quad)
        raise DataError(f"{place}: expected a box of four finite numbers, got {told}")


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"expected <{path.replace('/', '><')}>")
    return text.strip()


_READERS = {".csv": _read_csv, ".json": _read_coco, ".xml": _read_voc}
