"""CSV files of boxes, one a line, with the headers of the common tools.

Columns may stand in any order and case; those that say nothing of a box are not read, and named. Fields are separated
by commas, semicolons, tabs or bars, whichever the header has, or else by spaces. A decimal comma is legal where it
cannot be anything else: between other separators, and in quotes.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import dropwhile
from pathlib import Path

from wsolbench.api import DataError, DatasetRoots, Split
from wsolbench.data import (
    BoxRule,
    Finding,
    Line,
    Quad,
    Severity,
    find_fractions,
    is_blank,
    parse_each,
    quote,
    read_lines,
    visible,
)
from wsolbench_plugins.datasets.imagefolder.csv_columns import (
    VIA,
    VIA3,
    find_columns,
    find_layout,
    plain_title,
    plain_titles,
)
from wsolbench_plugins.datasets.imagefolder.named_boxes import (
    BoxFile,
    Known,
    NamedBox,
    NamedSize,
    check_quad,
)

_VIA_CLASSES = {VIA: "regionattributes", VIA3: "metadata"}
"""Column of the region -> that of its attributes, of VIA 2 and VIA 3."""
_RECTANGLE = "2"
"""What regions of VIA 3 begin with that are rectangles."""
_CROWDS = ("isgroupof", "iscrowd")
_MARKED = frozenset({"1", "1.0", "true"})
_NUMBERS = 4
_LABEL_STUDIO = ("originalwidth", "originalheight")
_HUNDRED = 100.5
"""Per cent, with what rounding adds."""
_SEPARATOR = re.compile(r"sep=.", re.IGNORECASE)
"""A line that spreadsheets put before the header."""
_LIST_OF_ONE = re.compile(r"""^\[\s*(["'])([^"',]*)\1\s*\]$""")
"""A category as tools write it that may give a box several."""
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,([0-9]{1,2}|[0-9]{4,})")
"""Three digits behind a comma may be thousands."""


def read_csv(_: Path, files: Sequence[Path], roots: DatasetRoots, known: Known) -> BoxFile:
    """Return the boxes of CSV files, which must hold them in one form.

    Raises:
        DataError: A header is not known or the forms differ; or a line is at fault, where ``on_fault`` raises that.
    """
    read = [_CsvFile(file, roots, known) for file in files]
    for file in read:
        file.read()
    if len({file.columns.layout for file in read}) > 1:
        raise DataError(f"{files[0].parent} holds CSV files with different headers; use one for all")
    layout, form = read[0].columns.layout, read[0].form
    boxes = tuple(box for file in read for box in file.boxes)
    real = [box for box in boxes if not BoxRule(extents=layout.extents).is_empty(box.quad)]
    normalised = find_fractions(
        [box.quad for box in real], lambda position: real[position].place, expected=layout.fractional
    )
    if normalised:
        form += ", normalised"
        why = "" if layout.fractional else ", as none of them is above 1"
        text = f"{files[0]}: {form}: the numbers are fractions of the image's width and height{why}"
        roots.on_finding(Finding(Severity.NOTE, text))
    if layout.centred:
        boxes = tuple(replace(box, quad=_uncentred(box.quad)) for box in boxes)
    conventions = roots.conventions
    rule = BoxRule(conventions.boxes, conventions.first_pixel or 0, layout.extents, normalised)
    if not normalised and any(file.is_in_per_cent(rule) for file in read):
        text = f"{form} are per cent of the image, as in all exports of Label Studio; divide them by 100"
        raise DataError(f"{files[0]}: {text}")
    crowds = sum(file.crowds for file in read)
    if crowds:
        text = f"{files[0]}: {crowds:,} boxes of groups are left out, as marked by 'IsGroupOf' or 'iscrowd'"
        roots.on_finding(Finding(Severity.NOTE, text))
    for file in read:
        file.report_unread()
    categories = frozenset(box.category for box in boxes if box.category is not None)
    faulty = frozenset(image for file in read for image in file.faulty)
    sizes = tuple(size for file in read for size in file.sizes)
    return BoxFile(boxes, rule, form, sizes, categories, faulty)


@dataclass
class _CsvFile:
    """One file while it is read."""

    file: Path
    roots: DatasetRoots
    known: Known
    boxes: list[NamedBox] = field(default_factory=list)
    sizes: list[NamedSize] = field(default_factory=list)
    extents: list[tuple[tuple[int, int], Quad]] = field(default_factory=list)
    faulty: set[str] = field(default_factory=set)
    crowds: int = 0

    def read(self) -> None:
        """Read all lines. Raises ``DataError``."""
        lines = read_lines(self.file, lambda _: None) or [Line(self.file, 1, "")]  # blank lines of tables hide nothing
        header, *lines = _from_header(lines)
        self.separator = max(",;\t|", key=header.text.count)
        if self.separator not in header.text:
            self.separator = " "
        self.titles = [visible(title).strip() for title in _split(header, self.separator)]
        self.names = plain_titles(self.titles)
        entries: list[tuple[Line, list[str]]] = []
        parse_each(lines, lambda line: entries.append((line, self._fields(line))), self.roots.on_fault)
        rows = [self._row(fields) for _, fields in entries]
        whole = [row for row in rows if row]
        spread = [name for region, name in _VIA_CLASSES.items() if {region, name}.issubset(self.names)]
        attributes = [title for name in spread for title in _spread_attributes(whole, name)]
        self.columns = find_columns(header, [*self.names, *attributes], whole, self.known)
        for (line, fields), row in zip(entries, rows, strict=True):
            try:
                self._parse(line, fields, row)
            except DataError as fault:
                self.roots.on_fault(fault)
        if self._sizes_are_of_boxes():
            self.sizes.clear()

    def is_in_per_cent(self, rule: BoxRule) -> bool:
        """Whether the file has the columns of Label Studio, and no box ends beyond 100 though images do."""
        ends = [end for box in self.boxes for end in rule.ends(box.quad)]
        larger = any(min(listed.size) > _HUNDRED for listed in self.sizes)
        return self.columns.size == _LABEL_STUDIO and larger and max(ends, default=_HUNDRED + 1) <= _HUNDRED

    def report_unread(self) -> None:
        """Report the columns that say nothing of a box."""
        unread = [name for name in self.columns.unread if name not in (*_CROWDS, *_VIA_CLASSES.values())]
        if not unread:
            return
        text = f"{self.file}: columns that are not read: {self._titled(unread).replace(',', ', ')}"
        text += "" if self.columns.category else "; none names a category, so that all boxes count"
        doubtful = [name for name in self.columns.doubtful if name in unread]
        if doubtful:
            text += f"; if {self._titled(doubtful[:1])!r} does, say with --class-map FILE which class is which"
        self.roots.on_finding(Finding(Severity.WARNING if doubtful else Severity.NOTE, text))

    @property
    def form(self) -> str:
        """The columns of the box, as they are titled."""
        return self._titled(self.columns.layout.columns).replace(",", ", ")

    @cached_property
    def _split(self) -> Split | None:
        """The split that the file is named after."""
        return self.known.split_of(self.file)

    @cached_property
    def _numbers(self) -> str:
        """The columns of image and box, as they are titled."""
        return self._titled((self.columns.image, *self.columns.layout.columns))

    def _titled(self, names: Iterable[str]) -> str:
        """Return columns as the header has them, for messages."""
        titles = dict(zip(self.names, self.titles, strict=True))
        return quote(",".join(titles.get(name, name) for name in names))[1:-1]

    def _fields(self, line: Line) -> list[str]:
        """Return the fields of a line, without empty ones beyond those that the header has."""
        fields = _split(line, self.separator)
        while len(fields) > len(self.names) and not fields[-1].strip():
            fields.pop()
        return fields

    def _row(self, fields: Sequence[str]) -> dict[str, str]:
        """Return the fields by title, without what nobody sees; empty where they are not as many as the titles."""
        if len(fields) != len(self.names):
            return {}
        return {name: self._cleaned(text) for name, text in zip(self.names, fields, strict=True)}

    def _cleaned(self, text: str) -> str:
        """Return a field as somebody would type it who sees it."""
        text = visible(text).strip()
        if text.startswith("["):
            return _LIST_OF_ONE.sub(r"\2", text)
        return "" if is_blank(text) and not self.known.is_class(text) else text

    def _parse(self, line: Line, fields: Sequence[str], row: Mapping[str, str]) -> None:
        if not row:
            if fields and self.columns.image in self.names[: len(fields)]:
                self.faulty.add(self.known.image_name(fields[self.names.index(self.columns.image)].strip()))
            raise line.error(f"expected {self._titled(self.names)}, as the header has")
        if not any(row.values()):  # the last rows of a table that a spreadsheet has cleared
            return
        image = self.known.image_name(row[self.columns.image])
        try:
            if not image:
                raise line.error("expected the name of an image")
            quad = self._quad(line, row)
            self._read_size(line, row, image, quad)
            if quad is None:
                return
            check_quad(quad, line.place)
            if any(row.get(title, "").lower() in _MARKED for title in _CROWDS):
                self.crowds += 1
                return
            self.boxes.append(NamedBox(image, self._category(row), quad, line.place, self._split))
        except DataError:
            self.faulty.add(image)
            raise

    def _category(self, row: Mapping[str, str]) -> str | None:
        return None if self.columns.category is None else row[self.columns.category] or None

    def _read_size(self, line: Line, row: Mapping[str, str], image: str, quad: Quad | None) -> None:
        if self.columns.size is None:
            return
        texts = [self._number(row[name]) for name in self.columns.size]
        if all(text in ("", "0", "0.0") for text in texts):
            return
        width, height = line.whole_numbers(texts, ",".join(self.columns.size))
        if width < 1 or height < 1:
            raise line.error("expected a width and height of 1 or more")
        self.sizes.append(NamedSize(image, (width, height), line.place, self._split))
        if quad is not None:
            self.extents.append(((width, height), quad))

    def _sizes_are_of_boxes(self) -> bool:
        """Whether what may be the sizes of the images are those of the boxes."""
        corners = not self.columns.layout.extents
        found = [(size, (quad[2] - quad[0], quad[3] - quad[1]) if corners else quad[2:]) for size, quad in self.extents]
        differ = (abs(one - two) for size, extent in found for one, two in zip(size, extent, strict=True))
        return self.columns.size in (("width", "height"), ("w", "h")) and bool(found) and max(differ) <= 1

    def _quad(self, line: Line, row: Mapping[str, str]) -> Quad | None:
        """Return the numbers of a box; None where the line has none, as of an image without an object."""
        layout = self.columns.layout
        if layout.columns == (VIA,):
            return _via_quad(line, row[VIA])
        if layout.columns == (VIA3,):
            return _via3_quad(line, row[VIA3])
        if len(layout.columns) == 1:
            text = row[layout.columns[0]].strip("[]() ")
            texts = re.split(r"[,;\s]+", text) if text else [""] * 4
        else:
            texts = [self._number(row[name]) for name in layout.columns]
        if all(map(is_blank, texts)):
            return None
        expected = self._numbers
        if len(texts) != 4:
            raise line.error(f"expected {expected} with four numbers")
        x, y, second, third = line.numbers(texts, expected)
        if layout.extents and (second < 0 or third < 0) and not BoxRule().is_empty((x, y, second, third)):
            raise line.error("expected a width and height of 0 or more")
        return x, y, second, third

    def _number(self, text: str) -> str:
        """Return a number as it is written with a decimal point and without its unit."""
        text = text.removesuffix("px").rstrip()
        is_decimal = "," in text and (self.separator != "," or _DECIMAL_COMMA.fullmatch(text))
        return text.replace(",", ".") if is_decimal else text


def _from_header(lines: Sequence[Line]) -> Sequence[Line]:
    """Return the lines from the header on, without what spreadsheets and comments put above it."""
    start = 1 if _SEPARATOR.fullmatch(lines[0].text) and len(lines) > 1 else 0
    return [*dropwhile(_is_comment, lines[start:])] or lines


def _is_comment(line: Line) -> bool:
    """Whether a line is a comment; headers of VIA begin with the same sign."""
    if not line.text.startswith("#"):
        return False
    with suppress(DataError):
        return find_layout(plain_titles(_split(line, ","))) is None
    return True


def _split(line: Line, separator: str) -> list[str]:
    try:
        return next(csv.reader([line.text.rstrip(" ")], delimiter=separator, strict=True, skipinitialspace=True), [])
    except csv.Error as error:
        raise line.error(f"expected comma-separated fields ({error})") from error


def _uncentred(quad: Quad) -> Quad:
    x, y, width, height = quad
    return quad if min(width, height) < 0 else (x - width / 2, y - height / 2, width, height)


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


def _via3_quad(line: Line, text: str) -> Quad | None:
    """Return the rectangle of a region of VIA 3; None where the line has no region."""
    kind, *texts = [part for part in re.split(r"[\s,\[\]]+", text) if part] or [""]
    if not kind:
        return None
    if kind != _RECTANGLE or len(texts) != _NUMBERS:
        raise line.error("expected a rectangle [2, x, y, width, height] in the column spatial_coordinates")
    x, y, width, height = line.numbers(texts, "x, y, width, height of the region")
    return x, y, width, height


def _spread_attributes(rows: Sequence[dict[str, str]], column: str) -> list[str]:
    """Put the attributes that VIA gives regions into columns of their own, and return their titles."""
    read = [_via_attributes(row.get(column, "")) for row in rows]
    names = list(dict.fromkeys(name for attributes in read for name in attributes))
    titles = {name: "category" if len(names) == 1 else plain_title(name) for name in names}
    titles = {name: title for name, title in titles.items() if rows and title not in rows[0]}
    for row, attributes in zip(rows, read, strict=True):
        row.update((title, attributes.get(name, "")) for name, title in titles.items())
    return list(dict.fromkeys(titles.values()))


def _via_attributes(text: str) -> dict[str, str]:
    """Return the attributes of a region of VIA as text: of checkboxes, the one that is checked."""
    try:
        attributes = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    for name, value in attributes.items() if isinstance(attributes, dict) else ():
        checked = [key for key, is_set in value.items() if is_set is True] if isinstance(value, dict) else [value]
        if len(checked) == 1 and isinstance(checked[0], str):
            found[name] = visible(checked[0]).strip()
    return found


def _object(line: Line, text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise line.error(f"expected JSON in the column region_shape_attributes ({error})") from error
    if not isinstance(found, dict):
        raise line.error("expected an object in the column region_shape_attributes")
    return found
