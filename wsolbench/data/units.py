"""What the numbers of listed boxes measure: pixels, or fractions or per cent of their image, or pixels of another size.

Nothing in a list says it. Read in the wrong unit, every box is in one corner of its image or beyond it, and a score is
computed all the same; so the boxes of a list are looked at together, before any of them is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from wsolbench.contract import Finding, Severity
from wsolbench.data.boxes import BoxRule, Quad, Size
from wsolbench.errors import DataError

__all__ = ["check_units", "find_fractions"]

_MARGIN = 0.05
"""So far beyond 0 and 1 fractions of boxes at a border are found, by rounding or by hand."""
_FEW_BOXES = 5
"""Fewer boxes show nothing about all of them."""
_LOOKED_AT = 200
"""The most images of a split that are looked at."""
_HUNDRED = 100.5
"""Per cent, with what rounding adds."""
_LARGER = 1.5
_MUCH_LARGER = 2.0


def find_fractions(quads: Sequence[Quad], place: Callable[[int], str], *, expected: bool = False) -> bool:
    """Return whether boxes are in fractions of their images: all numbers are about 0 to 1, and some are neither.

    Args:
        quads: All boxes of a list.
        place: Position of a box -> its place in the list, for the message.
        expected: The list is of a form that has fractions, so that boxes of zeros and ones are such too.

    Raises:
        DataError: Some boxes are in fractions and others are not.
    """
    within = [all(-_MARGIN <= value <= 1 + _MARGIN for value in quad) for quad in quads]
    broken = [fits and any(value not in (0, 1) for value in quad) for fits, quad in zip(within, quads, strict=True)]
    if all(within):
        return bool(quads) and (expected or any(broken))
    if any(broken):
        many = 2 * sum(broken) > len(quads)
        odd = within.index(False) if many else broken.index(True)
        numbers = " ".join(f"{value:g}" for value in quads[odd])
        words = "pixels, but others are in fractions" if many else "fractions of the image, but others are in pixels"
        raise DataError(f"{place(odd)}: the box {numbers} is in {words}; list all in one unit")
    return False


def check_units(
    quads: Mapping[str, Sequence[Quad]],
    sizes: Mapping[str, Size],
    rule: BoxRule,
    source: str,
    on_fault: Callable[[DataError], None],
    on_finding: Callable[[Finding], None],
) -> bool:
    """Report boxes of a split that are in another unit than pixels of their images, and return whether they are usable.

    Args:
        quads: Image id -> its boxes as they are listed.
        sizes: Image id -> (width, height); a size that cannot be read is left to whoever reads the box.
        rule: How the numbers are read.
        source: The list, for the message.
        on_fault: Called with the error where the unit is another one.
        on_finding: Called with a warning where it may be.
    """
    boxes = [] if rule.normalised else _some_boxes(quads, sizes)
    problem = _beyond(boxes, rule) or (_per_cent(boxes, rule) if len(boxes) >= _FEW_BOXES else "")
    if problem:
        on_fault(DataError(f"{source}: {problem}"))
    elif len(boxes) >= _FEW_BOXES:
        doubt = _doubt(boxes, rule)
        if doubt:
            on_finding(Finding(Severity.WARNING, f"{source}: {doubt}"))
    return not problem


@dataclass(frozen=True)
class _Box:
    """A box as it is listed, in an image of a known size."""

    image_id: str
    quad: Quad
    size: Size

    def __str__(self) -> str:
        numbers = " ".join(f"{value:g}" for value in self.quad)
        return f"the box {numbers} of {self.image_id!r}, {self.size[0]}x{self.size[1]}"


def _some_boxes(quads: Mapping[str, Sequence[Quad]], sizes: Mapping[str, Size]) -> list[_Box]:
    """Return the boxes of images that are spread over the split."""
    ids = list(quads)
    found: list[_Box] = []
    for image_id in ids[:: max(1, len(ids) // _LOOKED_AT)]:
        with suppress(DataError):
            size = sizes[image_id]
            found += [_Box(image_id, quad, size) for quad in quads[image_id]]
    return found


def _beyond(boxes: Sequence[_Box], rule: BoxRule) -> str:
    """Say why boxes end beyond their images, where that is not the fault of a few."""
    beyond = [box for box in boxes if rule.exceeds(box.quad, box.size)]
    if len(beyond) > 1 and 2 * len(beyond) > len(boxes):
        what = "the photos may have been resized after their boxes were drawn: list their original sizes too"
        return f"{len(beyond):,} of {len(boxes):,} boxes end far beyond their images, such as {beyond[0]}; {what}"
    if beyond and len(boxes) >= _FEW_BOXES and rule.extents and all(_are_corners(box) for box in boxes):
        what = "all are inside their images as corners x0, y0, x1, y1; list them as the one or the other"
        return f"boxes end far beyond their images as x, y, width, height, such as {beyond[0]}, but {what}"
    return ""


def _per_cent(boxes: Sequence[_Box], rule: BoxRule) -> str:
    """Say that numbers are per cent, where boxes with fractions are all below a hundred in much larger images."""
    whole = all(value == int(value) for box in boxes for value in box.quad)
    if whole or not _end_before_hundred(boxes, rule, _MUCH_LARGER):
        return ""
    what = "no box ends beyond 100, and numbers have fractions: they are per cent of the image's width and height"
    return f"{what}, such as {boxes[0]}; divide them by 100, or cut the fractions off if they are pixels"


def _doubt(boxes: Sequence[_Box], rule: BoxRule) -> str:
    """Say why the numbers may not be pixels, where they may be."""
    if _end_before_hundred(boxes, rule, _LARGER):
        what = "no box ends beyond 100"
    elif not any(2 * end > side for box in boxes for end, side in zip(rule.ends(box.quad), box.size, strict=True)):
        what = "no box reaches the middle of its image"
    else:
        return ""
    return f"{what}, such as {boxes[0]}: the numbers may be per cent, or pixels of a smaller copy of the photo"


def _are_corners(box: _Box) -> bool:
    x0, y0, x1, y1 = box.quad
    return 0 <= x0 < x1 <= box.size[0] and 0 <= y0 < y1 <= box.size[1]


def _end_before_hundred(boxes: Sequence[_Box], rule: BoxRule, times: float) -> bool:
    """Whether boxes end before a hundred, one of them not long before, in images so many times larger than that."""
    largest = max(end for box in boxes for end in rule.ends(box.quad))
    return _HUNDRED / 2 < largest <= _HUNDRED and min(side for box in boxes for side in box.size) >= _HUNDRED * times
