"""What a listed size means for an image file: the one rule, for every data set and every command.

A photo is stored as the camera held it, and its EXIF orientation says how to turn it upright. Lists of boxes refer to
one of the two. The listed size decides where it fits only one of them; without a listed size, the boxes decide where
they fit only one. Where neither does (the photo is square, mirrored or upside down), the first photo of the same lists
that does tell decides; where no photo tells, the convention of the lists: those in the layout of the reference
evaluator have photos as stored, as it reads them; the files of annotation tools have them upright, as every current
viewer and tool shows them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["UPRIGHT", "Header", "Remark", "SizeDecision", "decide_size", "find_reading"]

Size: TypeAlias = tuple[int, int]
"""(width, height) in pixels."""

UPRIGHT = 1
"""The EXIF orientation of an image that is stored upright."""
_SIDEWAYS = frozenset({5, 6, 7, 8})
_FEW_PIXELS = 3
_FEW_PERCENT = 0.02
_OBLONG = 1.1


class Remark(enum.Enum):
    """What was decided about an image file; the value is its name in records."""

    TURNED = "turned upright"
    STORED = "taken as stored"
    ASSUMED_UPRIGHT = "assumed to be listed upright"
    ASSUMED_STORED = "assumed to be listed as stored"
    RESIZED = "resized copies"
    INEXACT = "nearly of the listed size"
    RESHAPED = "of another aspect ratio than listed"
    UNLISTED = "without a listed size"
    RESPELLED = "found under another spelling"


@dataclass(frozen=True)
class Header:
    """An image file before its pixels are decoded: (width, height) as stored, and its EXIF orientation."""

    size: Size
    orientation: int = UPRIGHT

    @property
    def upright_size(self) -> Size:
        """(width, height) once the image is turned upright."""
        return self.size[::-1] if self.orientation in _SIDEWAYS else self.size


@dataclass(frozen=True)
class SizeDecision:
    """How an image is read.

    Attributes:
        upright: Whether it is turned upright by its EXIF orientation.
        size: (width, height) as it is read.
        remarks: What a user should know.
        problem: Why it cannot be scored; None where it can.
    """

    upright: bool
    size: Size
    remarks: tuple[Remark, ...] = ()
    problem: str | None = None


def find_reading(header: Header, listed: Size | None, reach: Size | None = None) -> bool | None:
    """Say whether lists refer to an image upright (True) or as stored (False); None where they do not tell.

    Args:
        header: The image file.
        listed: (width, height) in the lists; None where they have none.
        reach: The largest x and y of the image's boxes, which decides without a listed size.
    """
    stored, upright = header.size, header.upright_size
    if stored == upright:
        return None
    if listed is not None:
        fits_stored, fits_upright = _likeness(stored, listed), _likeness(upright, listed)
    elif reach is not None:
        fits_stored, fits_upright = int(_holds(stored, reach)), int(_holds(upright, reach))
    else:
        return None
    return None if fits_stored == fits_upright else fits_upright > fits_stored


def decide_size(
    header: Header, listed: Size | None, reach: Size | None = None, *, otherwise: bool = False
) -> SizeDecision:
    """Decide how an image is read, given what lists say of it.

    Args:
        header: The image file.
        listed: (width, height) in the lists; None where they have none.
        reach: The largest x and y of the image's boxes, which decides without a listed size.
        otherwise: Whether an image is turned upright where neither tells.
    """
    reading = find_reading(header, listed, reach)
    upright = header.orientation != UPRIGHT and (otherwise if reading is None else reading)
    size = header.upright_size if upright else header.size
    remarks: list[Remark] = []
    if header.orientation != UPRIGHT:
        if reading is None:
            remarks.append(Remark.ASSUMED_UPRIGHT if upright else Remark.ASSUMED_STORED)
        else:
            remarks.append(Remark.TURNED if upright else Remark.STORED)
    if listed is None:
        remarks += [] if reach is None else [Remark.UNLISTED]
        return SizeDecision(upright, size, tuple(remarks))
    if _is_swapped(size, listed):
        problem = f"is {format_size(size)}, but the lists say {format_size(listed)}"
        return SizeDecision(
            upright, size, tuple(remarks), f"{problem}: width and height are swapped in the list; exchange them there"
        )
    return SizeDecision(upright, size, (*remarks, *_compare(size, listed)))


def _compare(size: Size, listed: Size) -> tuple[Remark, ...]:
    if size == listed:
        return ()
    if all(abs(one - two) <= max(_FEW_PIXELS, _FEW_PERCENT * two) for one, two in zip(size, listed, strict=True)):
        return (Remark.INEXACT,)
    return (Remark.RESIZED if _same_shape(size, listed) else Remark.RESHAPED,)


def _is_swapped(size: Size, listed: Size) -> bool:
    """Whether a listed size fits an image, or a resized copy, only with width and height exchanged."""
    other = listed[::-1]
    if size == other:
        return size != listed
    oblong = max(listed) > _OBLONG * min(listed)  # copies squashed to about a square have the shape of either
    return oblong and _same_shape(size, other) and not _same_shape(size, listed)


def _likeness(size: Size, listed: Size) -> int:
    """Return 2 for equal sizes, 1 for those of one shape, else 0."""
    return 2 if size == listed else int(_same_shape(size, listed))


def _same_shape(size: Size, listed: Size) -> bool:
    """Whether one size is the other one scaled, its sides rounded to whole pixels."""
    (width, height), (listed_width, listed_height) = size, listed
    return (
        abs(width * listed_height / listed_width - height) <= 1
        or abs(height * listed_width / listed_height - width) <= 1
    )


def _holds(size: Size, reach: Size) -> bool:
    return reach[0] <= size[0] and reach[1] <= size[1]


def format_size(size: Size) -> str:
    """Return a size as messages have it: ``640x480``."""
    return f"{size[0]}x{size[1]}"
