"""What files of boxes say, whatever their format."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from wsolbench.api import DataError, Split
from wsolbench.data import BoxRule, Quad, plain_name, split_of_list

LARGEST_SIDE = 10**9 - 1
"""A longer side of an image is a mistake; no number of a list needs more digits."""

FaultHandler: TypeAlias = Callable[[DataError], None]


@dataclass(frozen=True)
class NamedBox:
    """One box of a file.

    Args:
        image: What the file calls the image.
        category: The class that the file gives the box; None where it gives none.
        quad: Its four numbers.
        place: File and line, for messages.
        split: The split that the file is named after; None where it is named after none.
    """

    image: str
    category: str | None
    quad: Quad
    place: str
    split: Split | None = None


@dataclass(frozen=True)
class NamedSize:
    """The size of one image in a file.

    Args:
        image: What the file calls the image.
        size: Its (width, height).
        place: File and line, for messages.
        split: The split that the file is named after; None where it is named after none.
    """

    image: str
    size: tuple[int, int]
    place: str
    split: Split | None = None


@dataclass(frozen=True)
class BoxFile:
    """What the box files say.

    Args:
        boxes: All boxes.
        rule: What the four numbers of a box are.
        form: The same in words, for users.
        sizes: The sizes of images, as far as the files say them; an image may have several.
        categories: All classes that the files know, with and without boxes; empty where they name none.
        faulty: What the files call the images of entries that are at fault, which were reported and left out.
        other_names: What the files call an image -> its other name, which counts where no image has the first.
    """

    boxes: tuple[NamedBox, ...]
    rule: BoxRule
    form: str
    sizes: tuple[NamedSize, ...] = ()
    categories: frozenset[str] = frozenset()
    faulty: frozenset[str] = frozenset()
    other_names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """What a data set knows, which shows what the values of a file are.

    Args:
        classes: The plain names of class folders, and of the categories of a class map.
        find_image: A name -> the images that it may mean.
        root: The file of boxes, or the folder of files.
    """

    classes: frozenset[str] = frozenset()
    find_image: Callable[[str], Sequence[str]] = field(default=lambda _: ())
    root: Path = Path()

    def is_image(self, text: str) -> bool:
        """Return whether a text is the name of an image."""
        return bool(self.find_image(self.image_name(text)))

    def image_name(self, text: str) -> str:
        """Return the name that a file has for an image: of an address, the path in it, or its last part."""
        path = _path_of_address(text)
        return text if path is None else path if self.find_image(path) else path.rpartition("/")[2]

    def split_of(self, file: Path) -> Split | None:
        """Return the split that a file, or a folder of it, is named after; of folders, those below the root alone."""
        is_below = file != self.root and file.is_relative_to(self.root)
        return split_of_list(file.relative_to(self.root).as_posix() if is_below else f"{file.parent.name}/{file.name}")

    def is_class(self, name: str) -> bool:
        """Return whether a text is the name of a class."""
        return plain_name(name) in self.classes


def _path_of_address(text: str) -> str | None:
    """Return the path in an address such as ``https://host/a/b.jpg?x=1``; None of other texts."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text) is None:
        return None
    with suppress(ValueError):  # of an address that is none
        return unquote(urlsplit(text).path).lstrip("/")
    return None


def check_quad(quad: Quad, place: str) -> None:
    """Refuse a box with a number that is none. Raises ``DataError``."""
    if not all(math.isfinite(value) for value in quad):
        numbers = ", ".join(f"{value:g}" for value in quad)
        raise DataError(f"{place}: expected a box of four finite numbers, got {numbers}")


def describe_rule(rule: BoxRule) -> str:
    """Return how the second corner and the first pixel of boxes are understood, in words."""
    if rule.convention == "half-open":
        second = "the second corner is the pixel after the last one"
    elif rule.extents or rule.normalised:
        second = "a box reaches the pixel x + width, y + height, at most the last one of its image"
    else:
        second = "the second corner is the last pixel of the box"
    unit = "fractions of the image" if rule.normalised else f"pixels counted from {rule.first_pixel}"
    return f"{unit}; {second}{', clipped to the image' if rule.convention == 'clip' else ''}"
