"""VOC's XML: one file an image, with ``bndbox`` corners of its ``object`` entries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from wsolbench.api import DataError, DatasetRoots
from wsolbench.data import BoxRule, Finding, Quad, Severity, read_xml
from wsolbench_plugins.datasets.imagefolder.named_boxes import (
    LARGEST_SIDE,
    BoxFile,
    Known,
    NamedBox,
    NamedSize,
    check_quad,
)

_DECIMAL_COMMA = re.compile(r"(?<=[0-9]),(?=([0-9]{1,2}|[0-9]{4,})$)")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _Annotation:
    """One file: the image's other name, its size where the file says it, and its boxes as they are listed."""

    other_name: str
    size: tuple[int, int] | None
    boxes: tuple[NamedBox, ...]


def read_voc(root: Path, files: Sequence[Path], roots: DatasetRoots, _known: Known) -> BoxFile:
    """Return the boxes of VOC files; an image is named by the path of its file, else by ``filename``.

    Raises:
        DataError: A file is damaged or no VOC file, where ``on_fault`` raises that.
    """
    found: dict[str, _Annotation] = {}
    faulty: set[str] = set()
    for file in files:
        path = file.name if root == file else file.relative_to(root).as_posix()
        image = path.removesuffix(file.suffix)
        try:
            found[image] = _read_file(file, image)
        except DataError as fault:
            roots.on_fault(fault)
            faulty.add(image)
    sizes = {image: annotation.size for image, annotation in found.items() if annotation.size is not None}
    boxes = tuple(box for annotation in found.values() for box in annotation.boxes)
    rule, reasons = conclude_rule([box for box in boxes if not BoxRule().is_empty(box.quad)], sizes, roots)
    for reason in reasons:
        roots.on_finding(Finding(Severity.NOTE, f"{root}: {reason}"))
    categories = frozenset(box.category for box in boxes if box.category)
    others = {image: annotation.other_name for image, annotation in found.items() if annotation.other_name}
    named = tuple(NamedSize(image, size, f"{root}, {image}") for image, size in sizes.items())
    return BoxFile(boxes, rule, "VOC's xmin, ymin, xmax, ymax", named, categories, frozenset(faulty), others)


def conclude_rule(
    boxes: Sequence[NamedBox], sizes: dict[str, tuple[int, int]], roots: DatasetRoots
) -> tuple[BoxRule, list[str]]:
    """Return how the corners are read, and why: VOC counts from 1, but CVAT and others write VOC counted from 0.

    A corner below 1 shows that pixels count from 0, unless more boxes begin at 1 exactly. Where they count from 0, a
    box that ends at the width or height of its image shows that second corners are edges, not pixels.

    Args:
        boxes: All boxes.
        sizes: Image -> (width, height), where it is known.
        roots: What the user said.
    """
    conventions = roots.conventions
    below = [box for box in boxes if min(box.quad[:2]) < 1]
    at_one = [box for box in boxes if min(box.quad[:2]) == 1]
    first, reasons = conventions.first_pixel, []
    if first is None and below and len(at_one) <= len(below):
        first = 0
        reasons.append(f"pixels count from 0, as {_count(below, 'begins', 'begin')} below 1, first {below[0].place}")
    elif first is None and below:
        first = 1
        reasons.append(
            f"pixels count from 1, as {_count(at_one, 'begins', 'begin')} at 1, first {at_one[0].place}; "
            f"{_count(below, 'begins', 'begin')} below it, first {below[0].place}"
        )
    elif first is None:
        first = 0 if conventions.boxes == "half-open" else 1
        why = "boxes are half-open" if first == 0 else "no box begins below 1"
        reasons.append(f"pixels count from {first}, as {why}")
    reasons = [f"{reason}; --first-pixel {1 - first} if that is wrong" for reason in reasons]
    edges = [box for box in boxes if box.image in sizes and _ends_at_edge(box.quad, sizes[box.image])]
    if first == 0 and edges and conventions.boxes == "inclusive":
        reasons.append(
            f"second corners are edges, read as half-open, as {_count(edges, 'ends', 'end')} at the width or height of "
            f"the image, first {edges[0].place}; --boxes clip if that is wrong"
        )
        return BoxRule("half-open", first), reasons
    return BoxRule(conventions.boxes, first), reasons


def _count(boxes: Sequence[NamedBox], one: str, many: str) -> str:
    return f"1 box {one}" if len(boxes) == 1 else f"{len(boxes):,} boxes {many}"


def _ends_at_edge(quad: Quad, size: tuple[int, int]) -> bool:
    return any(last - 1 < value <= last for value, last in zip(quad[2:], size, strict=True))


def _read_file(file: Path, image: str) -> _Annotation:
    """Return what a file says, its boxes as they are listed. Raises ``DataError``."""
    top = read_xml(file)
    if top.tag == "annotations":
        raise DataError(
            f"{file}: expected <annotation>, got <annotations>, as in CVAT's own format; export as Pascal VOC"
        )
    if top.tag != "annotation":
        raise DataError(f"{file}: expected <annotation>, got <{top.tag[:40]}>")
    try:
        size = _size(top)
        boxes = tuple(NamedBox(image, _text(entry, "name"), quad, place) for entry, quad, place in _objects(top, file))
    except ValueError as error:
        raise DataError(f"{file}: {error}") from error
    return _Annotation((top.findtext("filename") or "").strip(), size, boxes)


def _size(top: ElementTree.Element) -> tuple[int, int] | None:
    """Return the (width, height) of an annotation; None where it has none, or zeros."""
    texts = [(top.findtext(f"size/{side}") or "").strip() for side in ("width", "height")]
    if all(text.lower() in ("", "0", "none", "null", "nan") for text in texts):
        return None
    try:
        width, height = (int(re.sub(r"(\.0*)?\s*(px)?$", "", text)) for text in texts)
    except ValueError as error:
        raise ValueError(f"expected <size> with a width and height in whole pixels, got {texts}") from error
    if not 1 <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
        raise ValueError(f"expected <size> with a width and height of 1 or more, of at most 9 digits, got {texts}")
    return width, height


def _objects(top: ElementTree.Element, file: Path) -> Iterator[tuple[ElementTree.Element, Quad, str]]:
    for number, entry in enumerate(top.findall("object"), start=1):
        place = f"{file}, object {number}"
        boxes = entry.findall("bndbox")
        if len(boxes) != 1:
            raise DataError(f"{place}: expected one <bndbox>, got {len(boxes) or 'none'}")
        yield entry, _quad(boxes[0], place), place


def _quad(box: ElementTree.Element, place: str) -> Quad:
    try:
        x0, y0, x1, y1 = (float(_DECIMAL_COMMA.sub(".", _text(box, side))) for side in _SIDES)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error
    check_quad((x0, y0, x1, y1), place)
    return x0, y0, x1, y1


def _text(element: ElementTree.Element, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"expected <{path}> in <{element.tag}>")
    return text
