"""Mask files: which pixels are the object, what does not say it clearly, and what is noted about masks.

As in the reference evaluator, every pixel whose grey value is not 0 is foreground. Files that would be misread so are
refused, where that is certain; otherwise the finding says what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Finding, MaskPair, Severity
from wsolbench.data.images import Picture, open_picture
from wsolbench.data.remarks import count_and_name
from wsolbench.data.storage import Storage
from wsolbench.errors import DataError, UsageError

__all__ = ["MaskFacts", "MaskFiles", "MaskPaths", "NotedMasks", "findings_of_masks", "look_at_masks"]

_HEAD = 64 * 1024
_LOSSY = ("JPEG", "JPEG2000", "WEBP", "AVIF")
_SHOWN = 5
_FEW = 3
_ADVICE = "save it as PNG with 0 for the background and 255 for the object"


# --------------------------------------------------------------------------------------------------------------- files


@dataclass
class MaskPaths:
    """Paths of an image's masks below the mask root; ``ignore`` is empty where there is none."""

    ignore: str
    instances: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MaskFiles:
    """The mask files of a split; they can be sent to another process.

    Args:
        storage: Their place; None where the user named none.
        paths: Image id -> paths of its masks.
        label: The split, for messages.
        source: The list that names them, for messages.
    """

    storage: Storage | None
    paths: Mapping[str, MaskPaths]
    label: str
    source: str

    def load(self, image_id: str) -> MaskPair:
        """Return the union of an image's masks, and its ignore mask.

        The protocol brings each mask to the evaluation frame and unites them there. Nearest-neighbour resizing picks
        single pixels, so that uniting first is the same as long as all sizes are equal. Where they are not, the union
        is that in the frame of the protocol, and the masks themselves are returned too, for another frame.

        Raises:
            UsageError: No place was named.
            DataError: The image has no mask, or a file is missing, damaged or unclear.
        """
        if self.storage is None:
            raise UsageError(f"{self.label} is annotated with masks; pass --masks DIR")
        if image_id not in self.paths:
            raise DataError(f"image {image_id!r} has no mask in {self.source}")
        files = self.paths[image_id]
        decoded = [_decode(self.storage, path) for path in files.instances]
        layers = [layer for layer, _ in decoded]
        apart = tuple(layers) if len({layer.shape for layer in layers}) > 1 else ()
        if apart:
            layers = [_to_frame(layer) for layer in layers]
        ignore = _decode(self.storage, files.ignore)[0] if files.ignore else None
        values = next((values for _, values in decoded if values), ())
        return MaskPair(np.logical_or.reduce(layers), ignore, values, apart)

    def size(self, image_id: str) -> tuple[int, int] | None:
        """Return (width, height) of an image's first mask, usually from its first bytes; None where none can be read.

        What is wrong with a file is reported where its pixels are needed.
        """
        if self.storage is None or image_id not in self.paths:
            return None
        path = self.paths[image_id].instances[0]
        with suppress(DataError):
            return _size(self.storage.read_head(path, _HEAD), path) or _size(self.storage.read(path), path)
        return None


def _size(content: bytes, place: str) -> tuple[int, int] | None:
    with suppress(DataError):
        return open_picture(content, place).header.size
    return None


def _to_frame(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from wsolbench.protocol import FRAME, mask_in_frame

    return mask_in_frame(mask, (FRAME, FRAME), "mask")


def _decode(storage: Storage, path: str) -> tuple[NDArray[np.bool_], tuple[int, ...]]:
    """Return the foreground of a mask file, bool (H, W), and its grey values above 0 where there are several.

    Raises:
        DataError: The file is missing or damaged, or its grey values do not say what the object is.
    """
    picture = open_picture(storage.read(path), storage.place(path))
    others = picture.other_readings()
    grey = picture.grey()
    foreground = np.asarray(grey > 0)
    for what, other in others.items():
        if not np.array_equal(other, foreground):
            text = f"{what} and its grey values disagree about what is background"
            raise DataError(f"mask {picture.place}: {text}; {_ADVICE}")
    values = _values(grey)
    if len(values) > 1:
        _check_values(picture, values, is_full=bool(foreground.all()))
        return foreground, values
    return foreground, ()


def _values(grey: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return the grey values above 0; most masks have one, for which nothing is sorted."""
    highest = grey.max()
    if np.count_nonzero(grey) == np.count_nonzero(grey == highest):
        return (int(highest),) if highest else ()
    return tuple(np.flatnonzero(np.bincount(grey.ravel(), minlength=256)[1:]) + 1)


def _check_values(picture: Picture, values: tuple[int, ...], *, is_full: bool) -> None:
    """Refuse a mask with several grey values above 0 that count as foreground though they cannot be meant so."""
    counted = f"its grey values {_some(values)} would all count as foreground"
    if picture.format in _LOSSY:
        raise DataError(
            f"mask {picture.place} is a {picture.format} file, whose compression changes grey values: {counted}; "
            f"{_ADVICE}"
        )
    if is_full:
        raise DataError(f"mask {picture.place} has no pixel of value 0: {counted}, the whole image; {_ADVICE}")


def _some(values: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, values[:_SHOWN]))
    return f"{shown} and {len(values) - _SHOWN} more" if len(values) > _SHOWN else shown


# --------------------------------------------------------------------------------------------------------------- notes


@dataclass(frozen=True)
class MaskFacts:
    """What is noted about the masks of one image.

    Attributes:
        size: (width, height).
        has_foreground: Whether any pixel is of the object.
        is_full: Whether all pixels that are scored are.
        has_corners: Whether the pixels in all four corners are.
        values: The grey values that count as foreground, where there are several.
    """

    size: tuple[int, int]
    has_foreground: bool
    is_full: bool
    has_corners: bool
    values: tuple[int, ...] = ()


def look_at_masks(masks: MaskPair) -> MaskFacts:
    """Return what is noted about the masks of an image."""
    foreground = np.asarray(masks.foreground)
    height, width = foreground.shape
    has_corners = bool(foreground.size) and bool(foreground[:: max(height - 1, 1), :: max(width - 1, 1)].all())
    ignore = masks.ignore
    if ignore is not None and ignore.shape == foreground.shape and ignore.any():
        is_full = bool((foreground | ignore).all())
    else:
        is_full = has_corners and bool(foreground.all())
    return MaskFacts((width, height), bool(foreground.any()), is_full, has_corners, masks.values)


@dataclass(frozen=True)
class NotedMasks:
    """A function that loads masks, and notes what it loads.

    Args:
        load: Image id -> masks.
        facts: Image id -> what is noted; it grows.
    """

    load: Callable[[str], MaskPair]
    facts: dict[str, MaskFacts]

    def __call__(self, image_id: str) -> MaskPair:
        """Return the masks of an image."""
        masks = self.load(image_id)
        if image_id not in self.facts:
            self.facts[image_id] = look_at_masks(masks)
        return masks


def findings_of_masks(label: str, facts: Mapping[str, MaskFacts]) -> Iterator[Finding]:
    """Yield what a user should know about the masks of a split.

    Args:
        label: The split.
        facts: Image id -> what is noted about its masks.
    """
    black = [name for name, fact in facts.items() if not fact.has_foreground]
    full = [name for name, fact in facts.items() if fact.is_full]
    corners = [name for name, fact in facts.items() if fact.has_corners]
    several = [name for name, fact in facts.items() if fact.values]
    values_count = "0 is the background, every other value the object"
    if facts and len(black) == len(facts):
        text = f"{label}: no mask has any foreground, so PxAP is undefined; are these the instance masks?"
        yield Finding(Severity.ERROR, text)
    elif black:
        named = count_and_name(black, "image", "images")
        yield Finding(Severity.NOTE, f"{label}: masks without foreground (one is published): {named}")
    if facts and len(full) == len(facts):
        text = f"{label}: all masks are foreground wherever they are scored, so PxAP is 100 for any map; {values_count}"
        yield Finding(Severity.ERROR, text)
    elif 2 * len(corners) > len(facts):
        named = count_and_name(corners, "image", "images", _FEW)
        text = f"{label}: most masks have foreground in all four corners; are they inverted? {values_count}: {named}"
        yield Finding(Severity.WARNING, text)
    if several:
        named, first = count_and_name(several, "image", "images", _FEW), several[0]
        text = (
            f"{label}: {named} with a mask of several grey values above 0, which all count as foreground, also of a "
            "border, a void region, another object or noise"
        )
        advice = "give what is not scored an ignore mask of its own"
        yield Finding(Severity.WARNING, f"{text}; those of '{first}' are {_some(facts[first].values)}; {advice}")
