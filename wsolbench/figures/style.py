"""The style of all figures that are written to files."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

import matplotlib.style

from wsolbench.escaping import visible

__all__ = ["Look", "folded", "own_style", "palette"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#8C6D31", "#555555")
"""Colours that people who do not see red or green can tell apart: those of Okabe and Ito, and a few more."""

_SETTINGS = {
    "text.parse_math": False,  # a "$" in a name is no formula
    "svg.fonttype": "none",
    "svg.hashsalt": "wsolbench",
}


@dataclass(frozen=True)
class Look:
    """How a network looks in a figure.

    Attributes:
        colour: Its own, also with other weights.
        is_random: Whether its weights are random: it is drawn faint, and its lines are dashed.
    """

    colour: str
    is_random: bool

    @property
    def alpha(self) -> float:
        """The opacity of what is drawn."""
        return 0.45 if self.is_random else 0.9

    @property
    def line(self) -> str:
        """The style of lines."""
        return "--" if self.is_random else "-"


def palette(names: Iterable[str]) -> dict[str, str]:
    """Return name -> colour, in the order in which names first appear; after nine, colours come again."""
    return dict(zip(dict.fromkeys(names), cycle(_COLOURS), strict=False))


def folded(label: str, width: int) -> str:
    """Return a name in visible characters, in at most three lines of so many."""
    lines = textwrap.wrap(visible(label), width)
    return "\n".join([*lines[:2], *textwrap.wrap(" ".join(lines[2:]), width, max_lines=1, placeholder="…")])


@contextmanager
def own_style() -> Iterator[None]:
    """Draw with the defaults of the drawing library, whatever a ``matplotlibrc`` of the user says; also a decorator.

    Warnings of the drawing library are about the picture, which is what a user sees, and not about something to type.
    """
    with matplotlib.style.context(["default", _SETTINGS]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names may be in any script, and as long as they like
        yield
