"""What the numbers of listed boxes measure: pixels, or fractions or per cent of their image, or pixels of another size.

Nothing in a list says it. Read in the wrong unit, every box is in one corner of its image or beyond it, and a score is
computed all the same; so the boxes of a list are looked at together, before any of them is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from wsolbench.contract import Finding, Severity
from wsolbench.data.boxes import BoxRule, Quad, Size, format_quad, is_far_beyond
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
_SEVERAL = 2
"""Fewer that are wrong may be mistakes of their own."""
_MANY = 5
"""One in so many boxes is many."""
_NEAR = 0.01
"""So far outside an image, as a share of its side, a box is as good as inside."""
_LARGER = 1.5
_MUCH_LARGER = 2.0
"""How many hundred pixels the sides of an image have."""
_INPUTS = (224, 256, 384, 448)
"""Sides in pixels to which photos are often warped for a network."""
_NEARLY = 0.9
"""So much of its side the boxes of a warped photo reach."""


def find_fractions(quads: Sequence[Quad], place: Callable[[int], str], *, expected: bool = False) -> bool:
    """Return whether boxes are in fractions of their images: all numbers are about 0 to 1, and some are neither.

    Boxes of zeros and ones alone are of whole images, in fractions, rather than all of them of a few pixels: where they
    are several, or expected.

    Args:
        quads: All boxes of a list.
        place: Position of a box -> its place in the list, for the message.
        expected: The list is of a form that has fractions.

    Raises:
        DataError: Some boxes are in fractions and others are not.
    """
    within = [all(-_MARGIN <= value <= 1 + _MARGIN for value in quad) for quad in quads]
    broken = [fits and any(value not in (0, 1) for value in quad) for fits, quad in zip(within, quads, strict=True)]
    if all(within):
        return bool(quads) and (expected or any(broken) or len(quads) >= _FEW_BOXES)
    if any(broken):
        many = 2 * sum(broken) > len(quads)
        odd = within.index(False) if many else broken.index(True)
        numbers = format_quad(quads[odd])
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
    boxes = _some_boxes(quads, sizes)
    if rule.normalised:
        rule, boxes = replace(rule, normalised=False), [replace(box, size=(1, 1)) for box in boxes]
        problem, doubt = _other_numbers(boxes, rule), ""
    else:
        problem = _other_numbers(boxes, rule) or _other_size(boxes, rule) or _per_cent(boxes, rule)
        doubt = _doubt(boxes, rule)
    if problem:
        on_fault(DataError(f"{source}: {problem}"))
    elif doubt:
        on_finding(Finding(Severity.WARNING, f"{source}: {doubt}"))
    return not problem


@dataclass(frozen=True)
class _Box:
    """A box as it is listed, in an image of a known size."""

    image_id: str
    quad: Quad
    size: Size

    def __str__(self) -> str:
        numbers = format_quad(self.quad)
        size = "" if self.size == (1, 1) else f", {self.size[0]}x{self.size[1]}"  # fractions are of any size
        return f"the box {numbers} of {self.image_id!r}{size}"


def _some_boxes(quads: Mapping[str, Sequence[Quad]], sizes: Mapping[str, Size]) -> list[_Box]:
    """Return the boxes of images that are spread over the split."""
    ids = list(quads)
    found: list[_Box] = []
    for image_id in ids[:: max(1, len(ids) // _LOOKED_AT)]:
        with suppress(DataError):
            size = sizes[image_id]
            found += [_Box(image_id, quad, size) for quad in quads[image_id]]
    return found


def _other_numbers(boxes: Sequence[_Box], rule: BoxRule) -> str:
    """Say that numbers are another four than they are read as, where only those are inside all images."""
    if rule.extents:
        wrong = [box for box in boxes if _is_far_beyond(box, rule.ends(box.quad))]
        others = {"corners x0, y0, x1, y1": _as_corners, "x_center, y_center, width, height": _as_centred}
        what = "end far beyond their images as x, y, width, height"
    else:
        wrong = [box for box in boxes if box.quad[2] < box.quad[0] or box.quad[3] < box.quad[1]]
        others = {"x, y, width, height": _as_extents}
        what = "end before they begin as corners x0, y0, x1, y1"
    if len(boxes) < _FEW_BOXES or len(wrong) < (1 if rule.extents else _SEVERAL):  # corners are refused one by one, too
        return ""
    fitting = next((name for name, read in others.items() if all(_holds(box, read(box.quad)) for box in boxes)), "")
    return fitting and f"boxes {what}, such as {wrong[0]}, and all are inside as {fitting}; list them as what they are"


def _other_size(boxes: Sequence[_Box], rule: BoxRule) -> str:
    """Say that boxes are of images of another size, where most end far beyond theirs."""
    beyond = [box for box in boxes if _is_far_beyond(box, rule.ends(box.quad))]
    if len(beyond) < _SEVERAL or 2 * len(beyond) <= len(boxes):
        return ""
    what = "the photos may have been resized after their boxes were drawn: list their original sizes too"
    return f"{len(beyond):,} of {len(boxes):,} boxes end far beyond their images, such as {beyond[0]}; {what}"


def _per_cent(boxes: Sequence[_Box], rule: BoxRule) -> str:
    """Say that numbers are per cent, where boxes with fractions are all below a hundred in much larger images."""
    whole = all(value == int(value) for box in boxes for value in box.quad)
    if whole or not _end_before_hundred(boxes, rule, _MUCH_LARGER):
        return ""
    what = "no box ends beyond 100, and numbers have fractions: they are per cent of the image's width and height"
    advice = "multiply them by it and divide by 100, or cut the fractions off if they are pixels"
    return f"{what}, such as {boxes[0]}; {advice}"


def _doubt(boxes: Sequence[_Box], rule: BoxRule) -> str:
    """Say why the numbers may not be pixels, where they may be."""
    beyond = [box for box in boxes if _is_far_beyond(box, rule.ends(box.quad))]
    if len(boxes) >= _FEW_BOXES and _MANY * len(beyond) > len(boxes):
        what = f"{len(beyond):,} of {len(boxes):,} boxes end far beyond their images, such as {beyond[0]}"
        return f"{what}: were the photos resized after their boxes were drawn?"
    if _end_before_hundred(boxes, rule, _LARGER):
        what = "no box ends beyond 100"
    elif side := _input_of(boxes, rule):
        what = f"no box ends beyond {side}, the input of many networks"
    elif len(boxes) >= _FEW_BOXES and not any(_reaches_middle(box, rule.ends(box.quad)) for box in boxes):
        what = "no box reaches the middle of its image"
    else:
        return ""
    return f"{what}, such as {boxes[0]}: the numbers may be per cent, or pixels of a smaller copy of the photo"


def _end_before_hundred(boxes: Sequence[_Box], rule: BoxRule, times: float) -> bool:
    """Whether boxes end before a hundred, one of them not long before, and enough are in images so much larger."""
    larger = [box for box in boxes if min(box.size) >= _HUNDRED * times]
    ends = [end for box in boxes for end in rule.ends(box.quad)]
    return len(larger) >= _FEW_BOXES and _HUNDRED / 2 < max(ends) <= _HUNDRED


def _input_of(boxes: Sequence[_Box], rule: BoxRule) -> int:
    """Return the side of a network's input at which boxes end, where enough of their images are larger; else 0."""
    ends = [rule.ends(box.quad) for box in boxes]
    reach = max((x for x, _ in ends), default=0), max((y for _, y in ends), default=0)
    for side in _INPUTS:
        larger = [box for box in boxes if max(box.size) >= side * _LARGER]
        if len(larger) >= _FEW_BOXES and _NEARLY * side <= min(reach) and max(reach) <= side:
            return side
    return 0


def _reaches_middle(box: _Box, ends: tuple[float, float]) -> bool:
    return any(2 * end > side for end, side in zip(ends, box.size, strict=True))


def _is_far_beyond(box: _Box, ends: tuple[float, float]) -> bool:
    return any(is_far_beyond(end, side) for end, side in zip(ends, box.size, strict=True))


def _holds(box: _Box, corners: Quad) -> bool:
    """Whether corners are those of a box inside an image, give or take a little."""
    x0, y0, x1, y1 = corners
    width, height = box.size
    margins = _NEAR * width, _NEAR * height
    return -margins[0] <= x0 <= x1 <= width + margins[0] and -margins[1] <= y0 <= y1 <= height + margins[1]


def _as_corners(quad: Quad) -> Quad:
    return quad


def _as_extents(quad: Quad) -> Quad:
    x, y, width, height = quad
    return x, y, x + width, y + height


def _as_centred(quad: Quad) -> Quad:
    x, y, width, height = quad
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
