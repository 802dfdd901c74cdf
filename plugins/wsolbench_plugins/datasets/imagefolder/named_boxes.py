"""What files of boxes say, whatever their format."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from wsolbench.api import DataError
from wsolbench.data import BoxRule, Quad

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
    """

    image: str
    category: str | None
    quad: Quad
    place: str


@dataclass(frozen=True)
class BoxFile:
    """What the box files say.

    Args:
        boxes: All boxes.
        rule: What the four numbers of a box are.
        form: The same in words, for users.
        sizes: What the files call an image -> (width, height), of the images whose size they say.
        categories: All classes that the files know, with and without boxes; empty where they name none.
        faulty: What the files call the images of entries that are at fault, which were reported and left out.
        other_names: What the files call an image -> its other name, which counts where no image has the first.
    """

    boxes: tuple[NamedBox, ...]
    rule: BoxRule
    form: str
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    categories: frozenset[str] = frozenset()
    faulty: frozenset[str] = frozenset()
    other_names: dict[str, str] = field(default_factory=dict)


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
