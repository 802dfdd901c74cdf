"""Listed boxes as inclusive corners, which depend on a convention and on the size of their image.

Lists of boxes differ in three ways, and nothing in a list says which it follows:

- four corners, or a corner, a width and a height (extents);
- in pixels, or in fractions of the image's width and height (normalised);
- pixels counted from 0 or from 1, the second corner being the last pixel of the box or the one after it (half-open).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Finding, Severity
from wsolbench.contract.choices import BoxConvention
from wsolbench.errors import DataError

__all__ = [
    "BoxRule",
    "Corners",
    "Quad",
    "SizedBoxes",
    "findings_of_changes",
    "findings_of_dummies",
    "format_quad",
    "is_inside",
    "outside_advice",
    "xywh_to_xyxy",
]

Quad: TypeAlias = tuple[float, float, float, float]
"""The four numbers of a listed box, perhaps with fractions: corners, or x, y, width and height."""
Corners: TypeAlias = tuple[int, int, int, int]
Size: TypeAlias = tuple[int, int]

TRUNCATED = "with fractions, truncated to whole pixels"
HALF_OPEN = "half-open, with 1 subtracted from the second corner"
CLIPPED = "beyond the image, clipped to it"
CLIPPED_FAR = "far beyond the image, clipped to it: were they drawn on an image of this size?"
CUT = "more than a pixel beyond the image, cut at its border"
_RESIZED = "the photos may have been resized after their boxes were drawn: list their original sizes too"
_HUNDREDTHS = 2
_NO_BOX: tuple[Quad, ...] = ((0, 0, 0, 0), (-1, -1, -1, -1))
_SEVERAL = 2
"""Fewer boxes in the corner may be objects."""
_FEW_PIXELS = 2
_FEW_PERCENT = 0.02


@dataclass(frozen=True)
class BoxRule:
    """How the four numbers of a listed box become inclusive corners in whole pixels, counted from 0.

    Extents and normalised numbers end at an edge, which may be that of the image: their second corner is at most the
    image's last pixel. The published lists of CUB and predicted boxes are computed this way (Choe et al., CVPR 2020).
    Fractions are truncated, not rounded: our reading, as no published box with one was available for comparison.

    Args:
        convention: What the second corner is; of extents, (x + w, y + h).
        first_pixel: The number of the first pixel, 0 or 1; normalised numbers have none.
        extents: The numbers are x, y, width and height, not corners.
        normalised: The numbers are fractions of the image's width and height. They are listed with about six digits, so
            that they are rounded to hundredths of a pixel first.
    """

    convention: BoxConvention = "inclusive"
    first_pixel: int = 0
    extents: bool = False
    normalised: bool = False

    def __call__(self, quad: Quad, size: Size) -> Corners:
        """Return inclusive corners, which may be outside the image of this (width, height)."""
        x0, y0, x1, y1 = self._bounded(self._placed(quad, size), size)
        return int(x0), int(y0), int(x1), int(y1)

    def reach(self, quads: Sequence[Quad]) -> Size | None:
        """Return the largest x and y of boxes as they are listed; None of normalised ones, which fit every image."""
        ends = [] if self.normalised else [self.ends(quad) for quad in quads]
        return (int(max(x for x, _ in ends)), int(max(y for _, y in ends))) if ends else None

    def changes(self, quad: Quad, size: Size) -> list[str]:
        """Return what is done to a box besides counting: one or more of the words above."""
        placed = self._placed(quad, size)
        bounded = self._bounded(placed, size)
        found = [] if self.normalised or all(value == int(value) for value in quad) else [TRUNCATED]
        found += [HALF_OPEN] if self.convention == "half-open" else []
        excess = max(listed - moved for listed, moved in zip(placed[2:], bounded[2:], strict=True))
        edge = 1 if self._ends_at_edge else 0  # an edge at the image's border is no excess
        if self.convention == "clip":
            is_clipped = excess > edge or placed[:2] != bounded[:2]
            return [*found, CLIPPED_FAR if self.exceeds(quad, size) else CLIPPED] if is_clipped else found
        return [*found, CUT] if excess > edge + 1 else found

    def ends(self, quad: Quad) -> tuple[float, float]:
        """Return the x and y at which a box ends as it is listed; not of normalised ones."""
        return self._placed(quad, (1, 1))[2:]

    def exceeds(self, quad: Quad, size: Size) -> bool:
        """Return whether a box ends so far beyond an image that it was hardly drawn on one of this (width, height)."""
        if self.normalised:
            return False
        return any(is_far_beyond(end, side) for end, side in zip(self.ends(quad), size, strict=True))

    def is_empty(self, quad: Quad) -> bool:
        """Return whether a box has no area, or is what tools write where there is none: four zeros, or four times -1.

        Inclusive corners that are equal are one pixel, elsewhere than there.
        """
        return quad in _NO_BOX or (self.extents and 0 in quad[2:])

    @property
    def _ends_at_edge(self) -> bool:
        return (self.extents or self.normalised) and self.convention != "half-open"

    def _placed(self, quad: Quad, size: Size) -> Quad:
        """Return corners counted from 0 in pixels, as they are listed."""
        x0, y0, x1, y1 = quad
        if self.extents:
            x1, y1 = x0 + x1, y0 + y1
        if self.normalised:
            width, height = size
            x0, x1 = round(x0 * width, _HUNDREDTHS), round(x1 * width, _HUNDREDTHS)
            y0, y1 = round(y0 * height, _HUNDREDTHS), round(y1 * height, _HUNDREDTHS)
        first = 0 if self.normalised else self.first_pixel
        last = first + (self.convention == "half-open")
        return x0 - first, y0 - first, x1 - last, y1 - last

    def _bounded(self, corners: Quad, size: Size) -> Quad:
        (x0, y0, x1, y1), (width, height) = corners, size
        if self.convention == "clip" and x0 < width and y0 < height and x1 >= 0 and y1 >= 0:
            x0, y0 = max(x0, 0), max(y0, 0)
            x1, y1 = min(x1, width - 1), min(y1, height - 1)
        elif self._ends_at_edge:
            x1, y1 = min(x1, width - 1), min(y1, height - 1)
        return x0, y0, x1, y1


def xywh_to_xyxy(extent: Quad, size: Size) -> Corners:
    """Return the corners (x, y, min(x + w, W - 1), min(y + h, H - 1)) of a box x, y, w, h, truncated to whole pixels.

    x + w has no - 1: the published lists of CUB and predicted boxes are computed this way (Choe et al., CVPR 2020).
    """
    return BoxRule(extents=True)(extent, size)


def is_inside(corners: Corners, size: Size) -> bool:
    """Return whether inclusive corners are in order and inside an image of this (width, height)."""
    (x0, y0, x1, y1), (width, height) = corners, size
    return 0 <= x0 <= x1 < width and 0 <= y0 <= y1 < height


def format_quad(quad: Sequence[float]) -> str:
    """Return the numbers of a box as messages have them: ``17 104 400 218.5``."""
    return " ".join(f"{value:g}" for value in quad)


def is_far_beyond(end: float, side: int) -> bool:
    """Return whether a box ends farther beyond a side of its image than rounding or a slip of the hand explains."""
    return end - side > (max(_FEW_PIXELS, _FEW_PERCENT * side) if side > 1 else _FEW_PERCENT)


def outside_advice(outside: Sequence[tuple[Quad, Size]], rule: BoxRule) -> str:
    """Return what to type where boxes are outside their images, or an empty text.

    Corners are moved into an image where they are a little beyond it; where any is far beyond, its box may be of an
    image of another size, which no convention mends.

    Args:
        outside: The boxes that are outside, as they are listed, and the (width, height) of their images.
        rule: How they were read.
    """
    placed = [(rule(quad, size), size) for quad, size in outside]
    reachable = [box for box in placed if _overlaps(box)]
    if rule.convention != "half-open" and _are_exchanged(placed):
        exchanged = "inside images with width and height exchanged; list the sizes that the boxes were drawn on"
        return f"all of them are {exchanged}" if len(placed) > 1 else f"it is {exchanged}"
    far = [(quad, size) for quad, size in outside if rule.exceeds(quad, size)]
    if far and rule.convention != "half-open":
        numbers = format_quad(far[0][0])
        some = f"{len(far):,} of {len(outside):,} boxes that do end far beyond, such as {numbers}: "
        return _RESIZED if len(far) == len(outside) else some + _RESIZED
    if rule.convention != "inclusive" or not reachable:
        return ""
    clip = "--boxes clip to move corners into the image"
    if not all(is_inside((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), size) for (x0, y0, x1, y1), size in reachable):
        return f"pass {clip}"
    count = "" if rule.first_pixel or rule.extents else ", --first-pixel 1 if pixels count from 1"
    return f"pass --boxes half-open if second corners are the pixel after the last one{count}, or {clip}"


def findings_of_changes(label: str, changes: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Yield a finding for each thing that was done to boxes of a split: a note, or a warning where nobody asked for it.

    Args:
        label: The split.
        changes: Image id -> what was done to its boxes, once for each.
    """
    counts = Counter(change for found in changes.values() for change in found)
    for change, count in sorted(counts.items()):
        severity = Severity.WARNING if change in (CUT, CLIPPED_FAR) else Severity.NOTE
        yield Finding(severity, f"{label}: {count:,} {'box' if count == 1 else 'boxes'} {change}")


def findings_of_dummies(source: str, quads: Mapping[str, Sequence[Quad]]) -> Iterator[Finding]:
    """Yield a warning where several boxes in pixels are the same few pixels in the corner.

    Training code that needs a box for every image has 0 0 1 1 where there is no object.

    Args:
        source: The list, or the split, for the message.
        quads: Image id -> its boxes as they are listed.
    """
    counts = Counter(tuple(quad) for found in quads.values() for quad in found if 1 in quad and set(quad) <= {0, 1})
    for quad, count in counts.items():
        if count >= _SEVERAL:
            numbers = format_quad(quad)
            text = f"{count:,} boxes are {numbers}, which stands for no object in some lists, and count"
            advice = "if they are none, delete their lines and pass --unannotated omit"
            yield Finding(Severity.WARNING, f"{source}: {text}; {advice}")


def _are_exchanged(outside: Sequence[tuple[Corners, Size]]) -> bool:
    """Whether boxes outside their images are all inside those with width and height exchanged, and not by an edge."""
    beyond = any(x1 > width or y1 > height for (_, _, x1, y1), (width, height) in outside)
    return beyond and all(is_inside(corners, size[::-1]) for corners, size in outside)


def _overlaps(box: tuple[Corners, Size]) -> bool:
    (x0, y0, x1, y1), (width, height) = box
    return max(x0, 0) <= min(x1, width - 1) and max(y0, 0) <= min(y1, height - 1)


class OutsideError(DataError):
    """A box is not inside its image; the message counts the other images of the split with such boxes."""


@dataclass(frozen=True, eq=False)
class SizedBoxes(Mapping[str, NDArray[np.int64]]):
    """Image id -> boxes (n, 4) in original pixels, inclusive corners, computed when they are looked up.

    Args:
        quads: Image id -> the four numbers of each box.
        sizes: Image id -> (width, height).
        source: The file that lists the boxes, for messages.
        rule: What the four numbers are.
        unlisted: Images whose size is that of their file, as no list has one. A box that leaves it is refused, not
            clipped: the photo may have been resized since the box was drawn.
    """

    quads: Mapping[str, Sequence[Quad]]
    sizes: Mapping[str, Size]
    source: str
    rule: BoxRule = field(default=BoxRule(extents=True))
    unlisted: Container[str] = frozenset()

    def __getitem__(self, image_id: str) -> NDArray[np.int64]:
        """Return the boxes of an image. Raises ``OutsideError`` where one is not inside it."""
        size = self.sizes[image_id]
        boxes = [self.rule(quad, size) for quad in self.quads[image_id]]
        for quad, corners in zip(self.quads[image_id], boxes, strict=True):
            if not self._is_inside(image_id, quad, corners, size):
                raise self._refusal(image_id, quad, size)
        return np.array(boxes, dtype=np.int64)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.quads

    def __iter__(self) -> Iterator[str]:
        return iter(self.quads)

    def __len__(self) -> int:
        return len(self.quads)

    @property
    def changes(self) -> Mapping[str, Sequence[str]]:
        """Image id -> what is done to its boxes, once for each, worked out when it is looked up."""
        return _Changes(self)

    def _refusal(self, image_id: str, quad: Quad, size: Size) -> OutsideError:
        """Return the error about a box, which counts the other images and says what may help."""
        numbers = format_quad(quad)
        x0, y0, x1, y1 = self.rule(quad, size)
        problem = f"is not inside its {size[0]}x{size[1]} image"
        if not self.rule.extents and (x0 > x1 or y0 > y1):
            problem = "ends before it begins: expected x0 <= x1 and y0 <= y1"
        others = len(self._outside.keys() - {image_id})
        if others:
            problem += f"; {others:,} other {'image has' if others == 1 else 'images have'} such boxes"
        advice = f"; {self._advice}" if self._advice else ""
        return OutsideError(f"{self.source}: the box {numbers} of {image_id!r} {problem}{advice}")

    @cached_property
    def _advice(self) -> str:
        outside = [box for boxes in self._outside.values() for box in boxes]
        return outside_advice(outside, self.rule)

    @cached_property
    def _outside(self) -> dict[str, list[tuple[Quad, Size]]]:
        """Image id -> its boxes that are outside, of the images whose size is known."""
        found: dict[str, list[tuple[Quad, Size]]] = {}
        for image_id, quads in self.quads.items():
            with suppress(DataError):
                size = self.sizes[image_id]
                boxes = [(quad, self.rule(quad, size)) for quad in quads]
                outside = [(quad, size) for quad, box in boxes if not self._is_inside(image_id, quad, box, size)]
                if outside:
                    found[image_id] = outside
        return found

    def _is_inside(self, image_id: str, quad: Quad, corners: Corners, size: Size) -> bool:
        return is_inside(corners, size) and (image_id not in self.unlisted or not self.rule.exceeds(quad, size))


@dataclass(frozen=True, eq=False)
class _Changes(Mapping[str, Sequence[str]]):
    """Image id -> what is done to its boxes; of an image whose size cannot be read, nothing."""

    boxes: SizedBoxes

    def __getitem__(self, image_id: str) -> Sequence[str]:
        quads = self.boxes.quads[image_id]
        with suppress(DataError):
            size = self.boxes.sizes[image_id]
            return [change for quad in quads for change in self.boxes.rule.changes(quad, size)]
        return []

    def __iter__(self) -> Iterator[str]:
        return iter(self.boxes)

    def __len__(self) -> int:
        return len(self.boxes)
