"""CSV files of boxes, one a line, with the headers of the common tools.

Columns may stand in any order and case; those that say nothing of a box are not read. Fields are separated by commas,
semicolons, tabs or bars, whichever the header has; where it is not a comma, a decimal comma is legal.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from wsolbench.api import DataError, DatasetRoots
from wsolbench.data import BoxRule, Finding, Line, Quad, Severity, parse_each, quote, read_lines
from wsolbench_plugins.datasets.imagefolder.named_boxes import BoxFile, NamedBox, check_quad

_Row: TypeAlias = dict[str, str]
"""Plain name of a column -> its field."""


@dataclass(frozen=True)
class Layout:
    """Which columns hold the four numbers of a box, and what they are.

    Args:
        columns: Their plain names: one with four numbers, four with one each, or none, where `numbers` reads VIA's.
        extents: They are x, y, width and height.
        centred: x and y are the centre.
        normalised: They are fractions of the image's width and height.
    """

    columns: tuple[str, ...]
    extents: bool = False
    centred: bool = False
    normalised: bool = False


_VIA = "regionshapeattributes"
_VIA_CLASSES = "regionattributes"

LAYOUTS = (
    Layout(("imageid", "labelname", "xmin", "xmax", "ymin", "ymax"), normalised=True),
    Layout(("x0", "y0", "x1", "y1")),
    Layout(("x1", "y1", "x2", "y2")),
    Layout(("xmin", "ymin", "xmax", "ymax")),
    Layout(("minx", "miny", "maxx", "maxy")),
    Layout(("xtl", "ytl", "xbr", "ybr")),
    Layout(("left", "top", "right", "bottom")),
    Layout(("bboxx0", "bboxy0", "bboxx1", "bboxy1")),
    Layout(("bboxx1", "bboxy1", "bboxx2", "bboxy2")),
    Layout(("bboxxmin", "bboxymin", "bboxxmax", "bboxymax")),
    Layout(("x", "y", "width", "height"), extents=True),
    Layout(("x", "y", "w", "h"), extents=True),
    Layout(("xmin", "ymin", "width", "height"), extents=True),
    Layout(("left", "top", "width", "height"), extents=True),
    Layout(("left", "top", "w", "h"), extents=True),
    Layout(("bboxx", "bboxy", "bboxwidth", "bboxheight"), extents=True),
    Layout(("bboxx", "bboxy", "bboxw", "bboxh"), extents=True),
    Layout(("xcenter", "ycenter", "width", "height"), extents=True, centred=True),
    Layout(("xcenter", "ycenter", "w", "h"), extents=True, centred=True),
    Layout(("centerx", "centery", "width", "height"), extents=True, centred=True),
    Layout(("cx", "cy", "w", "h"), extents=True, centred=True),
    Layout(("xc", "yc", "w", "h"), extents=True, centred=True),
    Layout(("bbox",), extents=True),
    Layout((_VIA,), extents=True),
)
"""Ways to write a box, by plain names of columns; the first that a header has counts."""

IMAGES = (
    *("image", "filename", "filepath", "path", "file", "fname"),
    *("imagepath", "imagename", "imagefile", "imagefilename", "imageid", "img", "imgpath", "imgname", "imgid"),
)
CATEGORIES = ("class", "label", "category", "classname", "labelname", "categoryname", "classlabel")
SIZES = (("width", "height"), ("imagewidth", "imageheight"), ("imgwidth", "imgheight"))
"""Columns of the size of the image, where they are not those of the box."""

ACCEPTED = (
    "image,x0,y0,x1,y1",
    "image,x,y,width,height",
    "filename,width,height,class,xmin,ymin,xmax,ymax",
    "image_id,width,height,bbox",
    "image_path,x_min,y_min,x_max,y_max,label",
    "ImageID,LabelName,XMin,XMax,YMin,YMax",
    "image,x_center,y_center,width,height",
    "filename,region_shape_attributes",
)
_CROWD = "isgroupof"
_SEPARATOR = re.compile(r"sep=.", re.IGNORECASE)
"""A line that spreadsheets put before the header."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a file are, by plain name."""

    layout: Layout
    image: str
    category: str | None
    size: tuple[str, str] | None


def read_csv(_: Path, files: Sequence[Path], roots: DatasetRoots) -> BoxFile:
    """Return the boxes of CSV files, which must hold them in one form.

    Raises:
        DataError: A header is not known or the forms differ; or a line is at fault, where ``on_fault`` raises that.
    """
    read = [_CsvFile(file, roots) for file in files]
    for file in read:
        file.read()
    if len({file.columns.layout for file in read}) > 1:
        raise DataError(f"{files[0].parent} holds CSV files with different headers; use one for all")
    layout, form = read[0].columns.layout, read[0].form
    boxes = tuple(box for file in read for box in file.boxes)
    normalised = layout.normalised or _are_fractions(boxes, layout)
    if normalised:
        form += ", normalised"
        why = "" if layout.normalised else ", as none of them is above 1"
        text = f"{files[0]}: {form}: the numbers are fractions of the image's width and height{why}"
        roots.on_finding(Finding(Severity.NOTE, text))
    if layout.centred:
        boxes = tuple(NamedBox(box.image, box.category, _uncentred(box.quad), box.place) for box in boxes)
    conventions = roots.conventions
    rule = BoxRule(conventions.boxes, conventions.first_pixel or 0, layout.extents, normalised)
    sizes = {image: size for file in read for image, size in file.sizes.items()}
    crowds = sum(file.crowds for file in read)
    if crowds:
        text = f"{files[0]}: {crowds:,} boxes of groups are left out, as marked by 'IsGroupOf'"
        roots.on_finding(Finding(Severity.NOTE, text))
    categories = frozenset(box.category for box in boxes if box.category is not None)
    faulty = frozenset(image for file in read for image in file.faulty)
    return BoxFile(boxes, rule, form, sizes, categories, faulty)


@dataclass
class _CsvFile:
    """One file while it is read."""

    file: Path
    roots: DatasetRoots
    boxes: list[NamedBox] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    faulty: set[str] = field(default_factory=set)
    crowds: int = 0

    def read(self) -> None:
        """Read all lines. Raises ``DataError``."""
        lines = read_lines(self.file, self.roots.on_fault) or [Line(self.file, 1, "")]
        header, *lines = lines[1:] if _SEPARATOR.fullmatch(lines[0].text) and len(lines) > 1 else lines
        self.separator = max(",;\t|", key=header.text.count)
        self.titles = [title.strip() for title in _split(header, self.separator)]
        self.names = [_plain(title) for title in self.titles]
        self.columns = _columns(header, self.names)
        parse_each(lines, self._parse, self.roots.on_fault)

    @property
    def form(self) -> str:
        """The columns of the box, as they are titled."""
        return self._titled(self.columns.layout.columns).replace(",", ", ")

    def _titled(self, names: Iterable[str]) -> str:
        """Return columns as the header has them, for messages."""
        titles = dict(zip(self.names, self.titles, strict=True))
        return quote(",".join(titles[name] for name in names))[1:-1]

    def _parse(self, line: Line) -> None:
        fields = _split(line, self.separator)
        if len(fields) != len(self.names):
            if fields and self.columns.image in self.names[: len(fields)]:
                self.faulty.add(fields[self.names.index(self.columns.image)].strip())
            raise line.error(f"expected {self._titled(self.names)}, as the header has")
        if not any(fields):  # the last rows of a table that a spreadsheet has cleared
            return
        row = {name: text.strip() for name, text in zip(self.names, fields, strict=True)}
        image = row[self.columns.image]
        try:
            if not image:
                raise line.error("expected the name of an image")
            self._read_size(line, row, image)
            quad = self._quad(line, row)
            if quad is None:
                return
            check_quad(quad, f"{line.path}, line {line.number}")
            if row.get(_CROWD) == "1":
                self.crowds += 1
                return
            self.boxes.append(NamedBox(image, self._category(row), quad, f"{line.path}, line {line.number}"))
        except DataError:
            self.faulty.add(image)
            raise

    def _read_size(self, line: Line, row: _Row, image: str) -> None:
        if self.columns.size is None:
            return
        texts = [row[name] for name in self.columns.size]
        if all(text in ("", "0") for text in texts):
            return
        width, height = line.whole_numbers([text.removesuffix(".0") for text in texts], ",".join(self.columns.size))
        if width < 1 or height < 1:
            raise line.error("expected a width and height of 1 or more")
        if self.sizes.setdefault(image, (width, height)) != (width, height):
            before = "x".join(map(str, self.sizes[image]))
            raise line.error(f"expected one size an image, this one is {before} before")

    def _quad(self, line: Line, row: _Row) -> Quad | None:
        """Return the numbers of a box; None where the line has none, as of an image without an object."""
        layout = self.columns.layout
        if layout.columns == (_VIA,):
            return _via_quad(line, row[_VIA])
        if len(layout.columns) == 1:
            text = row[layout.columns[0]].strip("[]() ")
            texts = re.split(r"[,;\s]+", text) if text else [""] * 4
        else:
            texts = [row[name] for name in _corner_columns(layout)]
        if not any(texts):
            return None
        if self.separator != ",":
            texts = [text.replace(",", ".") for text in texts]
        expected = self._titled((self.columns.image, *layout.columns))
        if len(texts) != 4:
            raise line.error(f"expected {expected} with four numbers")
        x, y, second, third = line.numbers(texts, expected)
        if layout.extents and (second < 0 or third < 0):
            raise line.error("expected a width and height of 0 or more")
        return x, y, second, third

    def _category(self, row: _Row) -> str | None:
        if self.columns.layout.columns == (_VIA,):
            return _via_category(row.get(_VIA_CLASSES, ""))
        return None if self.columns.category is None else row[self.columns.category] or None


def _split(line: Line, separator: str) -> list[str]:
    try:
        return next(csv.reader([line.text], delimiter=separator, strict=True, skipinitialspace=True), [])
    except csv.Error as error:
        raise line.error(f"expected comma-separated fields ({error})") from error


def _plain(title: str) -> str:
    """Return a title of a column without case, spaces and signs: ``x_min`` and ``XMin`` are one."""
    return re.sub(r"[^a-z0-9]", "", title.lower().replace("centre", "center"))


def _columns(header: Line, names: Sequence[str]) -> Columns:
    """Return what the columns are. Raises ``DataError``."""
    there = set(names)
    layout = next((layout for layout in LAYOUTS if there.issuperset(layout.columns)), None)
    image = next((name for name in IMAGES if name in there), None)
    if layout is None or image is None:
        accepted = " or ".join(ACCEPTED)
        lacks = "" if image or layout is None else "; no column names the image"
        raise header.error(f"expected the header {accepted}{lacks}")
    used = {image, *layout.columns}
    twice = next((name for name in names if names.count(name) > 1 and name in used), None)
    if twice:
        raise header.error(f"expected each column once, {twice!r} is there twice")
    category = next((name for name in CATEGORIES if name in there), None)
    size = next((pair for pair in SIZES if there.issuperset(pair) and used.isdisjoint(pair)), None)
    return Columns(layout, image, category, size)


def _corner_columns(layout: Layout) -> Iterable[str]:
    """Return the columns in the order x, y, x, y, whatever the order in which the layout is written."""
    return ("xmin", "ymin", "xmax", "ymax") if len(layout.columns) > 4 else layout.columns


def _are_fractions(boxes: Sequence[NamedBox], layout: Layout) -> bool:
    """Whether all numbers of all boxes are from 0 to 1, and some are neither."""
    numbers = [value for box in boxes for value in box.quad]
    return (
        bool(numbers)
        and max(numbers) <= 1
        and min(numbers) >= 0
        and (layout.centred or any(value not in (0, 1) for value in numbers))
    )


def _uncentred(quad: Quad) -> Quad:
    x, y, width, height = quad
    return x - width / 2, y - height / 2, width, height


def _via_quad(line: Line, text: str) -> Quad | None:
    """Return the rectangle of a region of VIA; None where the line has no region."""
    shape = _object(line, text)
    if not shape:
        return None
    if shape.get("name") != "rect":
        raise line.error(f"expected a region 'rect', got {quote(shape.get('name'))}")
    texts = [str(shape.get(key, "")) for key in ("x", "y", "width", "height")]
    x, y, width, height = line.numbers(texts, "x, y, width, height of the region")
    return x, y, width, height


def _via_category(text: str) -> str | None:
    """Return the class of a region of VIA: its attribute of a known name, or its only one."""
    try:
        attributes = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(attributes, dict):
        return None
    texts = {_plain(key): value for key, value in attributes.items() if isinstance(value, str) and value}
    known = next((texts[name] for name in (*CATEGORIES, "name", "type") if name in texts), None)
    return known or (next(iter(texts.values())) if len(texts) == 1 else None)


def _object(line: Line, text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise line.error(f"expected JSON in the column region_shape_attributes ({error})") from error
    if not isinstance(found, dict):
        raise line.error("expected an object in the column region_shape_attributes")
    return found
