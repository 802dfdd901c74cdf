"""What a listed size means for an image file: the one rule, for every data set and every command.

A photo is stored as the camera held it, and its EXIF orientation says how to turn it upright. Lists of boxes refer to
one of the two. The first of these that tells decides:

1. the lists, where they state it;
2. the listed size, where it fits only one of the two; boxes that fit only the other one contradict it, an error;
3. without a listed size, the size of the mask or else the boxes, where they fit only one of the two;
4. the other photos of the same file, whatever their split, where more of them tell one than the other;
5. the convention of the lists: those in the layout of the reference evaluator have photos as stored, as it reads them;
   the files of annotation tools have them upright, as every current viewer and tool shows them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "UPRIGHT",
    "Header",
    "Readings",
    "Remark",
    "SizeDecision",
    "compare_mask",
    "decide_size",
    "find_reading",
    "is_squashed",
    "is_swapped",
    "swapped_mask_problem",
]

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

    LISTED_UPRIGHT = "listed as upright"
    LISTED_STORED = "listed as stored"
    TURNED = "turned upright"
    STORED = "taken as stored"
    TURNED_FOR_BOXES = "turned upright as the boxes fit"
    STORED_FOR_BOXES = "taken as stored as the boxes fit"
    TURNED_FOR_MASKS = "turned upright as the masks fit"
    STORED_FOR_MASKS = "taken as stored as the masks fit"
    TURNED_LIKE_OTHERS = "turned upright like the others"
    STORED_LIKE_OTHERS = "taken as stored like the others"
    ASSUMED_UPRIGHT = "assumed to be listed upright"
    ASSUMED_STORED = "assumed to be listed as stored"
    RESIZED = "resized copies"
    INEXACT = "nearly of the listed size"
    RESHAPED = "of another aspect ratio than listed"
    MASKS_RESHAPED = "with masks of another aspect ratio"
    MASKS_SWAPPED = "with masks of swapped width and height"
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
class Readings:
    """How many photos of some lists tell that the lists have them upright, and as stored."""

    upright: int = 0
    stored: int = 0

    @property
    def usual(self) -> bool | None:
        """Whether most are listed upright; None where as many are as stored, or none tells."""
        return None if self.upright == self.stored else self.upright > self.stored

    @property
    def agree(self) -> bool:
        """Whether all that tell have told the same."""
        return (self.upright == 0) != (self.stored == 0)


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
    header: Header,
    listed: Size | None,
    reach: Size | None = None,
    *,
    mask: Size | None = None,
    stated: bool | None = None,
    others: Readings | None = None,
    otherwise: bool = False,
) -> SizeDecision:
    """Decide how an image is read, given what lists say of it.

    Args:
        header: The image file.
        listed: (width, height) in the lists; None where they have none.
        reach: The largest x and y of the image's boxes, which decides without a listed size.
        mask: (width, height) of the image's mask, which may be another resolution; it decides without a listed size.
        stated: Whether the lists state that the image is upright; None where they state nothing.
        others: What the photos of the same lists tell; asked where this one does not tell.
        otherwise: Whether an image is turned upright where none tells.
    """
    upright, *remarks = _choose_reading(header, listed, reach, mask, stated, others or Readings(), otherwise=otherwise)
    size = header.upright_size if upright else header.size
    if listed is None:
        remarks += [] if reach is None else [Remark.UNLISTED]
        return SizeDecision(upright, size, tuple(remarks))
    problem = find_contradiction(header, listed, reach)
    if problem is None and is_swapped(size, listed):
        problem = f"is {format_size(size)}, but the lists say {format_size(listed)}"
        problem += ": width and height are swapped in the list; exchange them there"
    if problem is not None:
        return SizeDecision(upright, size, tuple(remarks), problem)
    return SizeDecision(upright, size, (*remarks, *_compare(size, listed)))


def _choose_reading(
    header: Header,
    listed: Size | None,
    reach: Size | None,
    mask: Size | None,
    stated: bool | None,
    others: Readings,
    *,
    otherwise: bool,
) -> tuple[bool, *tuple[Remark, ...]]:
    """Return whether an image is turned upright, and the remark on it."""
    if header.orientation == UPRIGHT:
        return (False,)
    if stated is not None:
        return stated, Remark.LISTED_UPRIGHT if stated else Remark.LISTED_STORED
    reading = find_reading(header, listed, reach)
    if reading is not None and listed is not None:
        return reading, Remark.TURNED if reading else Remark.STORED
    if reading is not None:
        return reading, Remark.TURNED_FOR_BOXES if reading else Remark.STORED_FOR_BOXES
    reading = find_reading(header, mask)
    if reading is not None:
        return reading, Remark.TURNED_FOR_MASKS if reading else Remark.STORED_FOR_MASKS
    reading = otherwise if others.usual is None else others.usual
    if others.agree:
        return reading, Remark.TURNED_LIKE_OTHERS if reading else Remark.STORED_LIKE_OTHERS
    return reading, Remark.ASSUMED_UPRIGHT if reading else Remark.ASSUMED_STORED


def find_contradiction(header: Header, listed: Size, reach: Size | None) -> str | None:
    """Return why the listed size and the boxes of a photo stored sideways contradict each other, or None.

    Args:
        header: The image file.
        listed: (width, height) in the lists.
        reach: The largest x and y of the image's boxes.
    """
    reading, turned = find_reading(header, listed), listed[::-1]
    if reading is None or reach is None or not _exceeds(reach, listed) or _exceeds(reach, turned):
        return None
    of_size, of_boxes = ("turned upright", "as it is stored") if reading else ("as it is stored", "turned upright")
    problem = f"is listed with the size of the photo {of_size}, {format_size(listed)}, but its boxes"
    fit = f"reach {reach[0]},{reach[1]} and fit only the photo {of_boxes}, {format_size(turned)}"
    return f"{problem} {fit} (its EXIF orientation turns it); list both alike"


def _exceeds(reach: Size, size: Size) -> bool:
    """Whether boxes end beyond a size by more than the pixel that conventions of edges differ in."""
    return any(end - side > 1 for end, side in zip(reach, size, strict=True))


def _compare(size: Size, listed: Size) -> tuple[Remark, ...]:
    if size == listed:
        return ()
    if all(abs(one - two) <= max(_FEW_PIXELS, _FEW_PERCENT * two) for one, two in zip(size, listed, strict=True)):
        return (Remark.INEXACT,)
    return (Remark.RESIZED if _same_shape(size, listed) else Remark.RESHAPED,)


def swapped_mask_problem(size: Size, mask: Size) -> str:
    """Return why an image cannot be scored against a mask whose sides are swapped."""
    problem = f"is {format_size(size)}, but its mask is {format_size(mask)}"
    return f"{problem}: width and height are swapped in the mask; transpose it"


def compare_mask(size: Size, mask: Size) -> Remark | None:
    """Return in what the shape of a mask differs from that of its image; masks may have another resolution.

    Args:
        size: (width, height) of the image as it is read.
        mask: (width, height) of the mask.
    """
    if is_swapped(size, mask):
        return Remark.MASKS_SWAPPED
    alike = _same_shape(size, mask) or abs(size[0] * mask[1] / (size[1] * mask[0]) - 1) <= _FEW_PERCENT
    return None if alike else Remark.MASKS_RESHAPED


def is_squashed(size: Size, listed: Size) -> bool:
    """Whether an image has another shape than listed, also with width and height exchanged: it was squashed to it."""
    return not _same_shape(size, listed) and not _same_shape(size, listed[::-1])


def is_swapped(size: Size, listed: Size) -> bool:
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
