"""Sentences about several images: how many, which, and what was decided about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wsolbench.contract import Finding, ImageSplit, Severity
from wsolbench.data.sizes import Header, Remark, compare_mask, decide_size, swapped_mask_problem
from wsolbench.errors import DataError
from wsolbench.texts import first_names

__all__ = ["MAX_NAMES", "count_and_name", "findings_of_readings", "findings_of_remarks", "remarks_on"]

MAX_NAMES = 10
"""The most images that one finding names."""
_FEW = 3

_SENTENCES: Mapping[Remark, tuple[Severity, str]] = {
    Remark.LISTED_UPRIGHT: (Severity.NOTE, "{images} turned upright by EXIF orientation, as the lists state"),
    Remark.LISTED_STORED: (Severity.NOTE, "the EXIF orientation of {images} is ignored, as the lists state"),
    Remark.TURNED: (Severity.NOTE, "{images} turned upright by EXIF orientation, as the lists have them"),
    Remark.STORED: (Severity.NOTE, "the EXIF orientation of {images} is ignored: the lists have the size as stored"),
    Remark.TURNED_FOR_BOXES: (
        Severity.NOTE,
        "{images} turned upright by EXIF orientation: no size is listed, and only so do the boxes fit",
    ),
    Remark.STORED_FOR_BOXES: (
        Severity.NOTE,
        "the EXIF orientation of {images} is ignored: no size is listed, and only so do the boxes fit",
    ),
    Remark.TURNED_FOR_MASKS: (
        Severity.NOTE,
        "{images} turned upright by EXIF orientation: no size is listed, and only so do the masks fit",
    ),
    Remark.STORED_FOR_MASKS: (
        Severity.NOTE,
        "the EXIF orientation of {images} is ignored: no size is listed, and only so do the masks fit",
    ),
    Remark.TURNED_LIKE_OTHERS: (
        Severity.NOTE,
        "{images} turned upright by EXIF orientation, like the other photos of the lists that tell",
    ),
    Remark.STORED_LIKE_OTHERS: (
        Severity.NOTE,
        "the EXIF orientation of {images} is ignored, like that of the other photos of the lists that tell",
    ),
    Remark.ASSUMED_UPRIGHT: (
        Severity.WARNING,
        "{images} turned upright by EXIF orientation, as viewers and annotation tools show them; "
        "neither sizes nor boxes tell whether the boxes were drawn so",
    ),
    Remark.ASSUMED_STORED: (
        Severity.WARNING,
        "the EXIF orientation of {images} is ignored, as in the reference evaluator; "
        "boxes or masks must refer to the pixels as they are stored",
    ),
    Remark.RESIZED: (Severity.NOTE, "{images} resized; boxes and sizes remain those of the originals"),
    Remark.INEXACT: (
        Severity.WARNING,
        "{images} nearly of the listed size: another version of the photo, to which the boxes are stretched",
    ),
    Remark.RESHAPED: (
        Severity.WARNING,
        "{images} of another aspect ratio than listed: squashed, cropped or another photo; "
        "the boxes are stretched to it",
    ),
    Remark.MASKS_RESHAPED: (
        Severity.WARNING,
        "{images} with a mask of another aspect ratio: of another photo, or one of them was cropped or squashed; "
        "the mask is stretched to the image",
    ),
    Remark.MASKS_SWAPPED: (
        Severity.WARNING,
        "{images} with a mask whose width and height are swapped, unlike nearly all others; transpose it",
    ),
    Remark.RESPELLED: (
        Severity.NOTE,
        "{images} found under another spelling of the name: letter case, accents or the folder in front differ",
    ),
    Remark.UNLISTED: (Severity.NOTE, "{images} without a size in the lists: the size of the file is used"),
}


def remarks_on(
    images: ImageSplit, index: int, size: tuple[int, int], mask: tuple[int, int] | None = None
) -> tuple[str, ...]:
    """Return what was decided about an image that was loaded, as records have it.

    A data set that does not decide itself gets the same rule here, on the image as it was loaded.

    Args:
        images: The split.
        index: The image's position in it.
        size: (width, height) as loaded.
        mask: (width, height) of its mask, if it has one.

    Raises:
        DataError: Its width and height are swapped in the lists, or in its mask.
    """
    if images.remarks is not None:
        return tuple(images.remarks(index))
    image_id = images.ids[index]
    decision = decide_size(Header(size), images.sizes.get(image_id))
    of_mask = None if mask is None else compare_mask(size, mask)
    swapped = None if mask is None or of_mask is not Remark.MASKS_SWAPPED else swapped_mask_problem(size, mask)
    problem = decision.problem or swapped
    if problem is not None:
        raise DataError(f"image '{image_id}' {problem}")
    return tuple(remark.value for remark in (*decision.remarks, of_mask) if remark is not None)


def findings_of_remarks(label: str, remarked: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Yield a finding for every remark.

    Args:
        label: The split.
        remarked: Remark, as records have it -> ids of the images.
    """
    for remark, (severity, sentence) in _SENTENCES.items():
        names = remarked.get(remark.value, ())
        if names:
            images = count_and_name(names, "image", "images", _FEW)
            yield Finding(severity, f"{label}: {sentence.format(images=images)}")


def findings_of_readings(remarked_of: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[Finding]:
    """Yield a warning where lists have some photos upright and others as stored.

    Args:
        remarked_of: Split -> remark, as records have it -> ids of the images.
    """
    upright = _named(remarked_of, Remark.TURNED, Remark.TURNED_FOR_BOXES, Remark.TURNED_FOR_MASKS)
    stored = _named(remarked_of, Remark.STORED, Remark.STORED_FOR_BOXES, Remark.STORED_FOR_MASKS)
    if upright and stored:
        ways = [count_and_name(names, "image", "images", _FEW) for names in (upright, stored)]
        text = (
            f"the lists contradict themselves: they have {ways[0]} upright by EXIF orientation, and {ways[1]} as stored"
        )
        yield Finding(Severity.WARNING, f"{text}; the sizes or boxes of some may be wrong")


def _named(remarked_of: Mapping[str, Mapping[str, Sequence[str]]], *remarks: Remark) -> list[str]:
    """Return the ids of the images with any of some remarks, of all splits."""
    return [name for remarked in remarked_of.values() for remark in remarks for name in remarked.get(remark.value, ())]


def count_and_name(names: Sequence[str], one: str, many: str, most: int = MAX_NAMES) -> str:
    """Return the number of names and the first of them: ``12 images (a.jpg, b.jpg, ...)``."""
    return f"{len(names):,} {one if len(names) == 1 else many} ({first_names(names, most)})"
