"""The style of all figures that are written to files."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from wsolbench.escaping import visible

__all__ = [
    "Caption",
    "Look",
    "Picture",
    "Stroke",
    "encoded",
    "folded",
    "own_style",
    "palette",
    "pictured",
    "spread",
    "strokes",
]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#8C6D31", "#555555")
"""Colours that people who do not see red or green can tell apart: those of Okabe and Ito, and a few more."""

_DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)))

_PATH = re.compile(rb'(?<= d=")[^"]*')
_LONG = re.compile(rb"-?\d+\.\d{3,}")
"""In a path of an SVG: a number with digits that nobody sees, as its unit is a point."""

_SETTINGS = {
    "text.parse_math": False,  # a "$" in a name is no formula
    "svg.fonttype": "none",
    "svg.hashsalt": "wsolbench",
    "path.simplify_threshold": 0.25,  # of a pixel: points of curves that nobody sees
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
class Stroke:
    """How the line of a method looks in a figure.

    Attributes:
        colour: Its own, as long as there are colours.
        line: The style of lines, which tells methods of one colour apart.
    """

    colour: str
    line: Any


@dataclass(frozen=True)
class Picture:
    """A picture that is not drawn yet, so that another process can draw it.

    Attributes:
        draw: What draws it; it can be pickled.
        files: Ending of a file -> what the file says of itself; see `encoded`.
        colours: How many colours of a PNG are enough; see `encoded`.
    """

    draw: Callable[[], Figure]
    files: Mapping[str, Mapping[str, str | None]]
    colours: int | None = None


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


def strokes(first: Sequence[str], others: Iterable[str]) -> dict[str, Stroke]:
    """Return name -> stroke. Grey is left for what methods are compared to.

    Args:
        first: At most five names, each with a colour that no other name has.
        others: Names that share the other colours; their lines differ as long as there are styles.
    """
    colours = _COLOURS[len(first) : -1]
    looks = cycle(Stroke(colour, line) for line, colour in product(_DASHES, colours))
    own = {name: Stroke(colour, "-") for name, colour in zip(first, _COLOURS, strict=False)}
    return own | dict(zip((name for name in dict.fromkeys(others) if name not in own), looks, strict=False))


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Return places that keep a distance from each other, as near to the wanted ones as that allows.

    Args:
        wanted: (N,) in any order, which the places keep; equal ones stand in the order given.
        gap: The least distance between two places.
        low: The lowest place.
        high: The highest, which is passed where N places do not fit.
    """
    order = np.argsort(wanted, kind="stable")
    blocks: list[tuple[float, int]] = []  # mean and number of neighbours that push each other, less their gaps
    for place, value in enumerate(np.asarray(wanted, dtype=np.float64)[order]):
        mean, count = float(value) - gap * place, 1
        while blocks and blocks[-1][0] >= mean:
            other, many = blocks.pop()
            mean, count = (mean * count + other * many) / (count + many), count + many
        blocks.append((mean, count))
    means = np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])
    highest = max(low, high - gap * (len(means) - 1))
    found = np.empty(len(means), dtype=np.float64)
    found[order] = np.clip(means, low, highest) + gap * np.arange(len(means))
    return found


def folded(label: str, width: int) -> str:
    """Return a name in visible characters, in at most three lines of so many."""
    lines = textwrap.wrap(visible(label), width)
    return "\n".join([*lines[:2], *textwrap.wrap(" ".join(lines[2:]), width, max_lines=1, placeholder="…")])


def encoded(figure: Figure, ending: str, metadata: Mapping[str, str | None], colours: int | None = None) -> bytes:
    """Return a picture as the content of a file; the same picture gives the same bytes.

    Args:
        figure: The picture; its layout is settled here.
        ending: ``png``, ``svg`` or ``pdf``.
        metadata: What the file says of itself; None leaves an entry out.
        colours: Of a PNG without photos: how many colours are enough, which makes it several times smaller.
    """
    _settle_layout(figure)
    if ending == "png" and colours is not None:
        return _with_few_colours(figure, metadata, colours)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, metadata=dict(metadata))
    return _rounded(buffer.getvalue()) if ending == "svg" else buffer.getvalue()


def _with_few_colours(figure: Figure, metadata: Mapping[str, str | None], colours: int) -> bytes:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    said, buffer = PngInfo(), io.BytesIO()
    for name, text in metadata.items():
        if text is not None:
            said.add_text(name, text)
    drawn = pixels.quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    drawn.save(buffer, "png", pnginfo=said, optimize=True, dpi=(figure.dpi, figure.dpi))
    return buffer.getvalue()


def _rounded(svg: bytes) -> bytes:
    """Return an SVG whose paths have coordinates with two digits, which is a third of its size."""
    return _PATH.sub(lambda path: _LONG.sub(lambda number: b"%.2f" % float(number[0]), path[0]), svg)


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


@own_style()
def pictured(picture: Picture) -> dict[str, bytes]:
    """Draw a picture and return its files: ending -> content."""
    figure = picture.draw()
    return {ending: encoded(figure, ending, said, picture.colours) for ending, said in picture.files.items()}
