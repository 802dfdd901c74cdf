"""Texts of other people: what they may hold, how they are shown, and the order in which people count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "LONGEST",
    "counted",
    "first_names",
    "in_pixels",
    "natural_key",
    "natural_order",
    "one_line",
    "percentage",
    "printable",
    "singular",
    "text_problem",
]

LONGEST = 1000
"""Characters of a name, an id or a remark; more is taken for damage."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, separators of lines, controls of the writing direction, and bytes that are no text."""


def text_problem(text: str, longest: int = LONGEST) -> str | None:
    """Say why a text cannot be shown as one line, or return None where it can.

    Args:
        text: The text.
        longest: So many characters it may have.
    """
    if len(text) > longest:
        return f"expected at most {longest:,} characters, got {len(text):,}"
    if text.isascii() and text.isprintable():  # most texts are, and this is found out in less time
        return None
    found = _UNPRINTABLE.search(text)
    return None if found is None else f"expected no control character, got U+{ord(found[0]):04X}"


def printable(text: str, longest: int = LONGEST) -> str:
    """Return a text as one line: every character that `text_problem` refuses becomes "\N{REPLACEMENT CHARACTER}"."""
    shown = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def one_line(error: Exception, longest: int = 200) -> str:
    """Return what an exception of another library says, as one line."""
    return printable(" ".join(str(error).split()), longest)


def natural_key(text: str) -> tuple[tuple[str | int, ...], str]:
    """Return a key that sorts texts as people count: ``9.png`` before ``10.png``; no two texts have one key."""
    parts = re.split("([0-9]+)", text[:LONGEST])
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), text


def natural_order(texts: Sequence[str]) -> list[int]:
    """Return the places of texts in the order of `natural_key`."""
    keys = [natural_key(text) for text in texts]
    return sorted(range(len(keys)), key=keys.__getitem__)


def first_names(names: Sequence[str], most: int, show: Callable[[str], str] = str) -> str:
    """Return the first of some names for a message: ``a.jpg, b.jpg, ...``.

    Args:
        names: The names.
        most: At most so many of them.
        show: How a name is written.
    """
    return ", ".join(map(show, names[:most])) + (", ..." if len(names) > most else "")


def in_pixels(sizes: Iterable[int]) -> str:
    """Return the different sizes of inputs: ``1,024 px``, or ``64, 224 and 384 px``."""
    *others, largest = (f"{size:,}" for size in sorted(set(sizes)))
    return f"{', '.join(others)} and {largest} px" if others else f"{largest} px"


def percentage(share: float) -> str:
    """Return a share of 1 in percent, of which a small one is not 0: ``<0.1 %``, ``4.2 %`` or ``37 %``."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.0f} %" if percent == 0 or percent >= 9.95 else f"{percent:.1f} %"


def counted(count: int, things: str) -> str:
    """Return a number of things, such as "1 image" or "2,000 images"."""
    return f"{count:,} {singular(things) if count == 1 else things}"


def singular(things: str) -> str:
    """Return the singular of a regular plural: ``row`` of ``rows``, ``box`` of ``boxes``, ``entry`` of ``entries``."""
    if things.endswith(("xes", "sses")):
        return things[:-2]
    return f"{things[:-3]}y" if things.endswith("ies") else things.removesuffix("s")
