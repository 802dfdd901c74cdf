"""Scores against a quantity: a dot for every network, and arrows between dots that differ in one thing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.reference_lines import draw_references
from wsolbench.figures.style import Caption, Look, own_style

__all__ = ["Arrow", "Dot", "draw_scatter"]

_LINES = ("-", "--", ":", "-.")
_AREA = 11
"""Points² of a dot for each cell of its kernel."""
_WIDE = 10
"""Of a logarithmic axis: the ratio of its ends from which its ticks are powers of ten and their multiples."""
_STEPS = (6, 12, 18, 24, 32, 40, 50, 60, 72, 84, 98, 112, 126, 142)
"""How far above or below its dot a name may be, in points."""
_ASIDE = (0, 12, -12, 30, -30, 55, -55, 85, -85, 115, -115)
"""And how far beside it."""
_SMALL = 7.5
"""Points of the letters of names."""
_MINOR = 9
"""Points² of a dot that is one of many."""
_CROWDED = 12
"""Networks of which a picture has room for the names; of more it is taller."""
_TRIES = 4
"""Heights that are tried until there is room for every name."""


@dataclass(frozen=True)
class Dot:
    """A network in a figure.

    Attributes:
        x: The quantity.
        y: The score.
        name: Of the network; dots of one name and one x share it in the figure.
        group: What its colour stands for.
        kernel: Side of its kernel; its area is proportional to it.
        is_random: Whether its weights are random.
        is_minor: Whether it is one of many: small, and without its name.
        is_best: Whether it has a ring.
    """

    x: float
    y: float
    name: str
    group: str
    kernel: int
    is_random: bool
    is_minor: bool = False
    is_best: bool = False


@dataclass(frozen=True)
class Arrow:
    """From one dot to another, of which only a setting differs."""

    start: Dot
    end: Dot
    setting: str


@own_style()
def draw_scatter(
    dots: Sequence[Dot],
    arrows: Sequence[Arrow],
    colours: Mapping[str, str],
    *,
    x: str,
    y: str,
    logarithmic: bool = False,
    references: Mapping[str, float] | None = None,
    caption: Sequence[str] = (),
) -> Figure:
    """Draw dots and arrows, and names that do not overlap.

    Args:
        dots: At least one.
        arrows: Between dots.
        colours: Group -> colour.
        x: What the horizontal axis is.
        y: What the vertical axis is.
        logarithmic: Whether the horizontal axis is.
        references: What needs no network -> its score, a level line.
        caption: Sentences on what is drawn.
    """
    crowd, below = len(_named(dots)), Caption.of(caption, 8.2)
    height = 4.8 + 0.11 * max(0, crowd - _CROWDED) + below.height
    figure = Figure(figsize=(8.2, height), dpi=120, layout="constrained")
    axes = figure.subplots()
    for dot in dots:
        look = Look(colours[dot.group], dot.is_random)
        _draw_dot(axes, dot, look)
    lines = dict(zip(dict.fromkeys(arrow.setting for arrow in arrows), cycle(_LINES), strict=False))
    for arrow in arrows:
        style = {"arrowstyle": "-|>", "color": "#444444", "ls": lines[arrow.setting], "lw": 1, "shrinkA": 5}
        start, end = (arrow.start.x, arrow.start.y), (arrow.end.x, arrow.end.y)
        axes.annotate("", end, start, arrowprops={**style, "shrinkB": 5}, zorder=2)
    if logarithmic:
        _scale(axes, [dot.x for dot in dots])
    axes.margins(x=0.14, y=0.22)
    axes.tick_params(labelsize=8)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(visible(y), fontsize=9)
    axes.grid(alpha=0.25)
    level = draw_references(axes, references or {}, upright=False)
    figure.legend(
        handles=[*_colour_keys(dots, colours), *_size_keys(dots), *_arrow_keys(lines), *level],
        loc="outside right upper",
        fontsize=8,
        frameon=False,
        labelspacing=0.9,
    )
    below.write(figure)
    _write_names(figure, axes, dots)
    return figure


def _draw_dot(axes: Axes, dot: Dot, look: Look) -> None:
    if dot.is_minor:
        axes.scatter(dot.x, dot.y, s=_MINOR, color=look.colour, alpha=0.5, lw=0, zorder=2)
        return
    face, edge = "none" if dot.is_random else look.colour, "k" if dot.is_best else look.colour
    axes.scatter(dot.x, dot.y, s=_size(dot.kernel), facecolor=face, edgecolor=edge, alpha=0.75, zorder=3)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic, with numbers that are no powers, and some in a narrow range too."""
    axes.set_xscale("log")
    wide = max(values) > _WIDE * min(values)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(6))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _size(kernel: int) -> float:
    return _AREA * max(kernel, 1)


def _colour_keys(dots: Sequence[Dot], colours: Mapping[str, str]) -> list[Line2D]:
    shown = [group for group in colours if any(dot.group == group for dot in dots)]
    minor = {dot.group for dot in dots if dot.is_minor}
    keys = [_key(visible(group), colours[group], _MINOR**0.5 if group in minor else 7) for group in shown]
    if any(dot.is_best for dot in dots):
        keys.append(_key("the best method of a network", "k", 7, face="none"))
    if any(dot.is_random for dot in dots):
        keys.append(_key("random weights", "#555555", 7, face="none"))
    return keys


def _size_keys(dots: Sequence[Dot]) -> list[Line2D]:
    kernels = sorted({dot.kernel for dot in dots if not dot.is_minor})
    shown = kernels if len(kernels) < 4 else [kernels[0], kernels[len(kernels) // 2], kernels[-1]]
    return [_key(f"kernel {kernel}" if kernel else "no kernel", "#bbbbbb", _size(kernel) ** 0.5) for kernel in shown]


def _arrow_keys(lines: Mapping[str, str]) -> list[Line2D]:
    names = {setting: "\n".join(textwrap.wrap(f"only {visible(setting)} differs", 26)) for setting in lines}
    return [Line2D([], [], color="#444444", ls=line, lw=1, label=names[setting]) for setting, line in lines.items()]


def _key(label: str, colour: str, size: float, face: str | None = None) -> Line2D:
    wrapped = "\n".join(textwrap.wrap(label, 26))
    return Line2D([], [], marker="o", ls="", ms=size, color=colour, mfc=face or colour, label=wrapped)


# ------------------------------------------------------------------------------------------------------------- names


@dataclass(frozen=True)
class _Name:
    """A name at its place: how far from its dot, in points."""

    dot: Dot
    text: str
    aside: float
    offset: float


def _write_names(figure: Figure, axes: Axes, dots: Sequence[Dot]) -> None:
    """Write every name once at each x, where it covers no dot and no other name; the figure grows until there is room.

    Names for which there is none stand above the figure.
    """
    for _ in range(_TRIES):
        names, without = _arranged(figure, axes, dots)
        if not without:
            break
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, 1.25 * height)
    else:
        listed = textwrap.wrap(f"no room for {len(without)} names: {', '.join(map(visible, without))}", 110)
        axes.set_title("\n".join(listed), fontsize=7.5)
        names, _ = _arranged(figure, axes, dots)
    figure.set_layout_engine("none")
    for name in names:
        axes.annotate(
            name.text,
            (name.dot.x, name.dot.y),
            xytext=(name.aside, name.offset),
            textcoords="offset points",
            ha="center",
            va="bottom" if name.offset > 0 else "top",
            fontsize=_SMALL,
            arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.6, "shrinkA": 0, "shrinkB": 3},
            zorder=4,
        )


def _arranged(figure: Figure, axes: Axes, dots: Sequence[Dot]) -> tuple[list[_Name], list[str]]:
    """Return the names at places where they cover nothing, and those for which there is no such place.

    Of these places, the nearest is taken where no line to a dot crosses a name; if there is none, the nearest of all.
    """
    figure.draw_without_rendering()  # the layout decides where dots are
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    scale, frame = figure.dpi / 72, np.array(axes.bbox.extents)
    covered = [_box_of(axes, dot, scale) for dot in dots if not dot.is_minor]
    boxes: list[NDArray[np.float64]] = []
    lines: list[NDArray[np.float64]] = []
    names, without = [], []
    for dot in _named(dots):
        text = "\n".join(textwrap.wrap(visible(dot.name), 28))
        measured = axes.text(0, 0, text, fontsize=_SMALL)
        size = np.array(measured.get_window_extent(renderer).size)
        measured.remove()
        at = axes.transData.transform((dot.x, dot.y))
        aside, offsets, corners = _places(size, scale)
        free = _are_free(corners + np.tile(at, 2), [*covered, *boxes], frame)
        if not free.any():
            without.append(dot.name)
            continue
        candidates = np.flatnonzero(free)
        found = (place for place in candidates if _is_clear(at, corners[place] + np.tile(at, 2), boxes, lines))
        place = next(found, candidates[0])
        names.append(_Name(dot, text, aside[place], offsets[place]))
        boxes.append(corners[place] + np.tile(at, 2))
        lines.append(_line(at, boxes[-1]))
    return names, without


def _places(
    size: NDArray[np.float64], scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return where a name may be, the nearest places first.

    Args:
        size: Width and height of the name in pixels.
        scale: Pixels of a point.

    Returns:
        (P,) how far beside its dot, (P,) how far above it, in points, and (P, 4) the corners from there, in pixels.
    """
    steps = [side * step for step in _STEPS for side in (1, -1)]
    nearest = sorted(product(_ASIDE, steps), key=lambda each: (abs(each[0]) + abs(each[1]), -each[1]))
    aside, offsets = np.array(nearest, dtype=np.float64).T
    left, low = aside * scale - size[0] / 2, offsets * scale - np.where(offsets > 0, 0, size[1])
    return aside, offsets, np.stack([left, low, left + size[0], low + size[1]], axis=1)


def _are_free(
    corners: NDArray[np.float64], covered: Sequence[NDArray[np.float64]], frame: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which boxes (P, 4), each left, low, right, high, are inside a frame and cover no other box."""
    inside = (corners[:, :2] >= frame[:2]).all(axis=1) & (corners[:, 2:] <= frame[2:]).all(axis=1)
    free: NDArray[np.bool_] = np.array(inside, dtype=np.bool_)
    for other in covered:
        free &= ~((other[:2] < corners[:, 2:]) & (other[2:] > corners[:, :2])).all(axis=1)
    return free


def _is_clear(
    dot: NDArray[np.float64],
    corners: NDArray[np.float64],
    boxes: Sequence[NDArray[np.float64]],
    lines: Sequence[NDArray[np.float64]],
) -> bool:
    """Return whether the line from a dot to a name crosses no other name, and no other line crosses this name."""
    return not _crosses(_line(dot, corners), boxes) and not _crosses(np.concatenate([dot[None], *lines]), [corners])


def _line(dot: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points on the line from a dot to the middle of its name, as far as the name."""
    middle = (corners[:2] + corners[2:]) / 2
    points = dot + np.linspace(0, 1, 40)[:, None] * (middle - dot)
    inside = (points >= corners[:2]).all(axis=1) & (points <= corners[2:]).all(axis=1)
    return points[~inside]


def _crosses(points: NDArray[np.float64], boxes: Sequence[NDArray[np.float64]]) -> bool:
    """Return whether any point is in any box."""
    return any(bool(((points >= box[:2]) & (points <= box[2:])).all(axis=1).any()) for box in boxes)


def _named(dots: Sequence[Dot]) -> list[Dot]:
    """Return the highest dot of each name and x, from the left to the right."""
    columns: dict[tuple[str, float], list[Dot]] = {}
    for dot in dots:
        if not dot.is_minor:
            columns.setdefault((dot.name, dot.x), []).append(dot)
    highest = [max(column, key=lambda dot: dot.y) for column in columns.values()]
    return sorted(highest, key=lambda dot: (dot.x, dot.y))


def _box_of(axes: Axes, dot: Dot, scale: float) -> NDArray[np.float64]:
    across, up = axes.transData.transform((dot.x, dot.y))
    half = _size(dot.kernel) ** 0.5 / 2 * scale
    return np.array([across - half, up - half, across + half, up + half])
