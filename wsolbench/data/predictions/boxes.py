"""Predicted boxes of images, the best first, from CSV, JSON or COCO's results; written as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Finding
from wsolbench.contract.datasets import raise_fault
from wsolbench.data.boxes import BoxRule, Quad, format_quad, is_far_beyond, is_inside
from wsolbench.data.lines import Line, is_blank, quote
from wsolbench.data.predictions.images import PredictedImages
from wsolbench.data.predictions.tables import check_kind, find_image_column, plain_title, read_json, read_rows
from wsolbench.data.units import check_units, find_fractions
from wsolbench.errors import DataError

__all__ = ["OPTION", "PredictedBoxes", "read_predicted_boxes", "write_predicted_boxes"]

OPTION = "--predicted-boxes"
CORNERS = (
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"),
)
EXTENTS = (("x", "y", "width", "height"), ("x", "y", "w", "h"))
SCORES = ("score", "confidence", "conf", "probability", "prob")
HEADERS = "'image,x0,y0,x1,y1' or 'image,x,y,width,height', perhaps with a column 'score'"
FORMS = (
    '{"image": [x0, y0, x1, y1]} or {"image": [[x0, y0, x1, y1], ...]}',
    'COCO\'s results, [{"image_id": ..., "bbox": [x, y, width, height], "score": ...}, ...]',
    "COCO's object with 'images' and 'annotations'",
)
NONE_ADVICE = (
    "where nothing was predicted, write the image with empty numbers (CSV) or with [] (JSON): it counts as wrong"
)


@dataclass(frozen=True)
class _Entry:
    """One box of a file, or an image without one."""

    image: str
    quad: Quad | None
    score: float | None
    place: str


@dataclass(frozen=True)
class _Form:
    """How a file lists boxes: as x, y, width, height or corners, and whether as COCO does, in pixels."""

    extents: bool = False
    is_coco: bool = False


COCO = _Form(extents=True, is_coco=True)


@dataclass(frozen=True)
class PredictedBoxes:
    """The predicted boxes of the evaluated images.

    Attributes:
        boxes: Image id -> (n, 4) inclusive corners in original pixels, the best box first; n may be 0.
        notes: What was decided, in sentences.
        doubts: Why the numbers may be in another unit, in sentences.
    """

    boxes: Mapping[str, NDArray[np.int64]]
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def read_predicted_boxes(
    path: Path, images: PredictedImages, sizes: Mapping[str, tuple[int, int]], option: str = OPTION
) -> PredictedBoxes:
    """Return the boxes that a file predicts, those with the highest score first, else in the order of the file.

    Corners are inclusive; fractions of a pixel are truncated. Boxes in fractions of their images, all of them, become
    pixels as listed ones do, except in COCO's files, which have pixels. An edge that is a little beyond the image, as
    detectors round, is moved to its border.

    Args:
        path: CSV under a header, JSON that maps images to boxes, or COCO's results.
        images: The images.
        sizes: Image id -> (width, height).
        option: The option that names the file, for messages.

    Raises:
        DataError: The file is of another form, an image has no entry, an entry is of no image, a box is not inside
            its image, or boxes are in another unit than pixels of their images.
    """
    entries, form = _read_json(path) if check_kind(path, option) == "json" else _read_csv(path)
    rule = _rule_of(path, entries, form)
    ids = images.find([entry.image for entry in entries], [entry.place for entry in entries], "boxes")
    by_image: dict[str, list[_Entry]] = {}
    for image_id, entry in zip(ids, entries, strict=True):
        if image_id is not None:
            by_image.setdefault(image_id, []).append(entry)
    images.check_complete(by_image, path, "predicted box", NONE_ADVICE)
    doubts = list[Finding]()
    quads = {image_id: [entry.quad for entry in found if entry.quad] for image_id, found in by_image.items()}
    check_units(quads, sizes, rule, str(path), raise_fault, doubts.append)
    placed = _Placed(path, rule)
    boxes = {image_id: placed.corners(_ordered(by_image[image_id]), image_id, sizes) for image_id in images.ids}
    return PredictedBoxes(boxes, placed.notes(boxes), tuple(doubt.text for doubt in doubts))


def write_predicted_boxes(
    path: Path,
    boxes: Mapping[str, NDArray[np.int64]],
    scores: Mapping[str, NDArray[np.float64]] | None = None,
) -> None:
    """Write boxes as CSV that `read_predicted_boxes` reads as the same; an image without a box has empty numbers.

    Args:
        path: The file, in a folder that nobody reads yet.
        boxes: Image id -> (n, 4) inclusive corners in original pixels, the best first.
        scores: Image id -> (n,) descending; None without scores.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["image", *CORNERS[0], *([] if scores is None else SCORES[:1])])
    for image_id, corners in boxes.items():
        of_image = [[]] * len(corners) if scores is None else [[score] for score in scores[image_id].tolist()]
        rows = [[image_id, *box, *score] for box, score in zip(corners.tolist(), of_image, strict=True)]
        writer.writerows(rows or [[image_id, *[""] * (4 if scores is None else 5)]])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(buffer.getvalue(), encoding="utf-8")


def _rule_of(path: Path, entries: Sequence[_Entry], form: _Form) -> BoxRule:
    """Return how the numbers of a file are read.

    Raises:
        DataError: One is not finite, some boxes have no score, or all are in another unit than those of their form.
    """
    boxes = [(entry.quad, entry) for entry in entries if entry.quad is not None]
    for quad, entry in boxes:
        if not all(math.isfinite(value) for value in (*quad, entry.score or 0)):
            raise DataError(f"{entry.place}: expected finite numbers, got {format_quad(quad)}")
    fractions = find_fractions([quad for quad, _ in boxes], lambda position: boxes[position][1].place)
    if fractions and form.is_coco:
        text = "all numbers are from 0 to 1: they are fractions, but boxes of COCO are in pixels"
        raise DataError(f"{path}: {text}; multiply them by width and height, or write a CSV file with {HEADERS}")
    scored = [entry for _, entry in boxes if entry.score is not None]
    if scored and len(scored) < len(boxes):
        without = next(entry for _, entry in boxes if entry.score is None)
        raise DataError(f"{without.place}: the box has no score, but others have; give all a score, or none")
    return BoxRule(extents=form.extents, normalised=fractions)


def _ordered(entries: Sequence[_Entry]) -> list[_Entry]:
    """Return the boxes of an image, the highest score first."""
    boxes = [entry for entry in entries if entry.quad is not None]
    return sorted(boxes, key=lambda entry: -(entry.score or 0))  # stable: without scores, the order of the file


class _Placed:
    """Turns listed boxes into corners inside their images, and counts what was done to them."""

    def __init__(self, path: Path, rule: BoxRule) -> None:
        self._path, self._rule = path, rule
        self._moved = 0

    def corners(
        self, entries: Sequence[_Entry], image_id: str, sizes: Mapping[str, tuple[int, int]]
    ) -> NDArray[np.int64]:
        """Return the boxes of an image, (n, 4). Raises ``DataError`` where one is not inside it."""
        size = sizes[image_id]
        found = [self._corner(entry, image_id, size) for entry in entries]
        return np.array(found, dtype=np.int64).reshape(-1, 4)

    def _corner(self, entry: _Entry, image_id: str, size: tuple[int, int]) -> tuple[int, ...]:
        assert entry.quad is not None  # images without a box have no entry here
        x0, y0, x1, y1 = self._rule(entry.quad, size)
        where = f"{entry.place}: the box {format_quad(entry.quad)} of '{image_id}'"
        if x1 < x0 or y1 < y0:
            order = "a width and height of 0 or more" if self._rule.extents else "x0 <= x1 and y0 <= y1"
            raise DataError(f"{where} ends before it begins: expected {order}")
        width, height = size
        inside = (max(x0, 0), max(y0, 0), min(x1, width - 1), min(y1, height - 1))
        as_listed, frame = (
            (replace(self._rule, normalised=False), (1, 1)) if self._rule.normalised else (self._rule, size)
        )
        begins_far = any(is_far_beyond(side - start, side) for start, side in zip(entry.quad[:2], frame, strict=True))
        if begins_far or as_listed.exceeds(entry.quad, frame) or not is_inside(inside, size):
            unit = "fractions of it" if self._rule.normalised else "pixels of the original"
            raise DataError(f"{where} is not inside its {width}x{height} image; boxes are in {unit}")
        self._moved += inside != (x0, y0, x1, y1)
        return inside

    def notes(self, boxes: Mapping[str, NDArray[np.int64]]) -> tuple[str, ...]:
        """Return what was done, in sentences."""
        moved, empty = self._moved, sum(len(of_image) == 0 for of_image in boxes.values())
        notes = []
        if self._rule.normalised:
            notes.append("the numbers are fractions of the image's width and height, as none of them is above 1")
        if moved:
            notes.append(f"{moved:,} {'box' if moved == 1 else 'boxes'} a little beyond the image, moved to its border")
        if empty:
            have, count = ("image has", "counts") if empty == 1 else ("images have", "count")
            notes.append(f"{empty:,} {have} no predicted box and {count} as wrong")
        return tuple(f"{self._path}: {note}" for note in notes)


# ---------------------------------------------------------------------------------------------------------------- files


def _read_csv(path: Path) -> tuple[list[_Entry], _Form]:
    """Return the boxes of a table, and their form."""
    rows = read_rows(path)
    header, fields = rows[0]
    titles = [plain_title(field) for field in fields]
    image = find_image_column(titles)
    forms = [form for form in (*CORNERS, *EXTENTS) if set(form) <= set(titles)]
    if image is None or len(forms) != 1 or len(set(titles)) < len(titles):
        raise header.error(f"expected a header that says what the columns are, such as {HEADERS}")
    (form,) = forms
    score = next((titles.index(title) for title in SCORES if title in titles), None)
    columns = [titles.index(title) for title in form]
    return [_row(line, texts, len(fields), image, columns, score) for line, texts in rows[1:]], _Form(form in EXTENTS)


def _row(line: Line, texts: list[str], count: int, image: int, columns: Sequence[int], score: int | None) -> _Entry:
    if len(texts) != count:
        raise line.error(f"expected {count} fields, as the header has")
    numbers = [texts[column] for column in columns]
    if all(map(is_blank, numbers)):
        return _Entry(texts[image], None, None, line.place)
    x0, y0, x1, y1 = line.numbers(numbers, "a box of four finite numbers")
    said = None if score is None or is_blank(texts[score]) else line.numbers([texts[score]], "a score")[0]
    return _Entry(texts[image], (x0, y0, x1, y1), said, line.place)


def _read_json(path: Path) -> tuple[list[_Entry], _Form]:
    """Return the boxes of a file of JSON, and their form."""
    content = read_json(path, FORMS)
    if isinstance(content, Mapping) and isinstance(content.get("annotations"), list):
        return _read_coco(path, content), COCO
    if isinstance(content, list):
        return [_result(path, number, entry, str) for number, entry in enumerate(content, start=1)], COCO
    return [entry for image, value in content.items() for entry in _boxes_of(path, image, value)], _Form()


def _boxes_of(path: Path, image: str, value: Any) -> list[_Entry]:
    place = f"{path}, image {quote(image)}"
    if not isinstance(value, list):
        raise DataError(f"{place}: expected {FORMS[0]}, got {quote(value)}")
    boxes = [value] if value and not isinstance(value[0], list) else value
    return [_Entry(image, _quad(box, place), None, place) for box in boxes] or [_Entry(image, None, None, place)]


def _read_coco(path: Path, content: Mapping[str, Any]) -> list[_Entry]:
    listed = content.get("images")
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "file_name" in one for one in listed):
        raise DataError(f"{path}: expected {FORMS[2]}, each of 'images' with 'id' and 'file_name'")
    names = {str(one.get("id")): str(one["file_name"]) for one in listed}

    def name_of(image_id: Any) -> str:
        if str(image_id) not in names:
            raise DataError(f"{path}: the 'image_id' {quote(image_id)} is no id of 'images'")
        return names[str(image_id)]

    entries = [_result(path, number, entry, name_of) for number, entry in enumerate(content["annotations"], start=1)]
    with_box = {entry.image for entry in entries}
    return entries + [_Entry(name, None, None, str(path)) for name in names.values() if name not in with_box]


def _result(path: Path, number: int, entry: Any, name_of: Callable[[Any], str]) -> _Entry:
    place = f"{path}, entry {number}"
    if not isinstance(entry, dict) or "bbox" not in entry or not isinstance(entry.get("image_id"), str | int):
        raise DataError(f"{place}: expected {FORMS[1]}, got {quote(entry)}")
    score = entry.get("score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise DataError(f"{place}: expected a number as 'score', got {quote(score)}")
    return _Entry(name_of(entry["image_id"]), _quad(entry["bbox"], place), score, place)


def _quad(numbers: Any, place: str) -> Quad | None:
    """Return the numbers of a box; None of four NaN, which some detectors write where they find nothing."""
    are_numbers = isinstance(numbers, list) and all(
        (isinstance(each, int | float) and not isinstance(each, bool) and abs(each) < 1e9) or each != each
        for each in numbers
    )
    if not are_numbers or len(numbers) != 4:
        raise DataError(f"{place}: expected a box of four numbers, got {quote(numbers)}")
    x0, y0, x1, y1 = map(float, numbers)
    return None if all(map(math.isnan, numbers)) else (x0, y0, x1, y1)
