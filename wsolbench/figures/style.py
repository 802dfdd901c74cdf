"""The style of all figures that are written to files."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

from wsolbench.escaping import visible

__all__ = ["Caption", "Look", "encoded", "folded", "own_style", "palette"]

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


@dataclass(frozen=True)
class Caption:
    """Small text below a picture, which says what is drawn.

    Attributes:
        text: Its lines.
    """

    text: str

    @classmethod
    def of(cls, sentences: Iterable[str], width: float) -> Caption:
        """Fold sentences, each from a line of its own, to a width in inches."""
        letters = max(24, int(17 * width))
        return cls("\n".join(line for each in sentences for line in textwrap.wrap(visible(each), letters)))

    @property
    def height(self) -> float:
        """The room that it takes, in inches."""
        return 0.135 * len(self.text.splitlines()) + 0.15 if self.text else 0.0

    def write(self, figure: Figure) -> None:
        """Write it at the lower end of a figure that has room for it, or whose layout makes room."""
        width, height = figure.get_size_inches()
        look: dict[str, Any] = {"fontsize": 7.5, "color": "0.3", "ha": "left", "va": "bottom"}
        if figure.get_layout_engine() is None:
            figure.text(0.08 / width, 0.06 / height, self.text, **look)
        else:
            figure.supxlabel(self.text, x=0.08 / width, **look)


def palette(names: Iterable[str]) -> dict[str, str]:
    """Return name -> colour, in the order in which names first appear; after nine, colours come again."""
    return dict(zip(dict.fromkeys(names), cycle(_COLOURS), strict=False))


def folded(label: str, width: int) -> str:
    """Return a name in visible characters, in at most three lines of so many."""
    lines = textwrap.wrap(visible(label), width)
    return "\n".join([*lines[:2], *textwrap.wrap(" ".join(lines[2:]), width, max_lines=1, placeholder="…")])


def encoded(figure: Figure, ending: str, metadata: Mapping[str, str | None]) -> bytes:
    """Return a picture as the content of a file; the same picture gives the same bytes.

    Args:
        figure: The picture; its layout is settled here.
        ending: ``png``, ``svg`` or ``pdf``.
        metadata: What the file says of itself; None leaves an entry out.
    """
    _settle_layout(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, metadata=dict(metadata))
    return buffer.getvalue()


def _settle_layout(figure: Figure) -> None:
    """Lay a figure out once and for all, at positions that are round numbers.

    The solver of the layout goes through its variables in the order of their addresses, so the last digits of its
    positions differ from one process to the next; an SVG names clip paths by a hash of all digits.
    """
    engine = figure.get_layout_engine()
    if engine is None:
        return
    engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


@contextmanager
def own_style() -> Iterator[None]:
    """Draw with the defaults of the drawing library, whatever a ``matplotlibrc`` of the user says; also a decorator.

    Warnings of the drawing library are about the picture, which is what a user sees, and not about something to type.
    """
    with matplotlib.style.context(["default", _SETTINGS]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names may be in any script, and as long as they like
        yield
