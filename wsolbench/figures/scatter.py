"""Scores against a quantity: a dot for every network, and arrows between dots that differ in one thing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from wsolbench.escaping import visible
from wsolbench.figures.style import Look, own_style

__all__ = ["Arrow", "Dot", "draw_scatter"]

_LINES = ("-", "--", ":", "-.")
_AREA = 11
"""Points² of a dot for each cell of its kernel."""
_WIDE = 10
"""Of a logarithmic axis: the ratio of its ends from which its ticks are powers of ten and their multiples."""
_STEPS = (6, 14, 24, 36, 50, 66, 84, 104, 126)
"""How far a name may be from its dot, in points."""


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
    """

    x: float
    y: float
    name: str
    group: str
    kernel: int
    is_random: bool


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
) -> Figure:
    """Draw dots and arrows, and names that do not overlap.

    Args:
        dots: At least one.
        arrows: Between dots.
        colours: Group -> colour.
        x: What the horizontal axis is.
        y: What the vertical axis is.
        logarithmic: Whether the horizontal axis is.
    """
    figure = Figure(figsize=(8.2, 4.8), dpi=120, layout="constrained")
    axes = figure.subplots()
    for dot in dots:
        look = Look(colours[dot.group], dot.is_random)
        face = "none" if dot.is_random else look.colour
        axes.scatter(dot.x, dot.y, s=_size(dot.kernel), facecolor=face, edgecolor=look.colour, alpha=0.75, zorder=3)
    lines = dict(zip(dict.fromkeys(arrow.setting for arrow in arrows), cycle(_LINES), strict=False))
    for arrow in arrows:
        style = {"arrowstyle": "-|>", "color": "#444444", "ls": lines[arrow.setting], "lw": 1, "shrinkA": 5}
        start, end = (arrow.start.x, arrow.start.y), (arrow.end.x, arrow.end.y)
        axes.annotate("", end, start, arrowprops={**style, "shrinkB": 5}, zorder=2)
    if logarithmic:
        _scale(axes, [dot.x for dot in dots])
    axes.margins(x=0.14, y=0.22)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(visible(y), fontsize=9)
    axes.grid(alpha=0.25)
    figure.legend(
        handles=[*_colour_keys(dots, colours), *_size_keys(dots), *_arrow_keys(lines)],
        loc="outside right upper",
        fontsize=8,
        frameon=False,
        labelspacing=0.9,
    )
    _write_names(figure, axes, dots)
    return figure


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
    keys = [_key(visible(group), colours[group], 7) for group in shown]
    if any(dot.is_random for dot in dots):
        keys.append(_key("random weights", "#555555", 7, face="none"))
    return keys


def _size_keys(dots: Sequence[Dot]) -> list[Line2D]:
    kernels = sorted({dot.kernel for dot in dots})
    shown = kernels if len(kernels) < 4 else [kernels[0], kernels[len(kernels) // 2], kernels[-1]]
    return [_key(f"kernel {kernel}" if kernel else "no kernel", "#bbbbbb", _size(kernel) ** 0.5) for kernel in shown]


def _arrow_keys(lines: Mapping[str, str]) -> list[Line2D]:
    names = {setting: "\n".join(textwrap.wrap(f"only {visible(setting)} differs", 26)) for setting in lines}
    return [Line2D([], [], color="#444444", ls=line, lw=1, label=names[setting]) for setting, line in lines.items()]


def _key(label: str, colour: str, size: float, face: str | None = None) -> Line2D:
    wrapped = "\n".join(textwrap.wrap(label, 26))
    return Line2D([], [], marker="o", ls="", ms=size, color=colour, mfc=face or colour, label=wrapped)


# ------------------------------------------------------------------------------------------------------------- names


def _write_names(figure: Figure, axes: Axes, dots: Sequence[Dot]) -> None:
    """Write every name once at each x, above or below its dots, where it covers no dot and no other name."""
    figure.draw_without_rendering()  # the layout decides where dots are
    figure.set_layout_engine("none")
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    taken = [_box_of(axes, dot) for dot in dots]
    for dot in _named(dots):
        candidates = ((side * step, shift) for step in _STEPS for shift in (0.5, 0.0, 1.0) for side in (1, -1))
        best: tuple[float, Annotation | None, Bbox | None] = (float("inf"), None, None)
        for offset, shift in candidates:
            text = _name(axes, dot, offset, shift)
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)  # without the line to the dot
            covered = _covered(box, taken, axes.bbox)
            if covered < best[0]:
                if best[1] is not None:
                    best[1].remove()
                best = (covered, text, box)
            else:
                text.remove()
            if covered == 0:
                break
        if best[2] is not None:
            taken.append(best[2])


def _named(dots: Sequence[Dot]) -> list[Dot]:
    """Return the highest dot of each name and x, from the left to the right."""
    columns: dict[tuple[str, float], list[Dot]] = {}
    for dot in dots:
        columns.setdefault((dot.name, dot.x), []).append(dot)
    highest = [max(column, key=lambda dot: dot.y) for column in columns.values()]
    return sorted(highest, key=lambda dot: (dot.x, dot.y))


def _name(axes: Axes, dot: Dot, offset: float, shift: float) -> Annotation:
    wrapped = "\n".join(textwrap.wrap(visible(dot.name), 28))
    align = {0.5: "center", 0.0: "left", 1.0: "right"}[shift]
    return axes.annotate(
        wrapped,
        (dot.x, dot.y),
        xytext=(0, offset),
        textcoords="offset points",
        ha=align,
        va="bottom" if offset > 0 else "top",
        fontsize=7.5,
        arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.6, "shrinkA": 0, "shrinkB": 3},
        zorder=4,
    )


def _box_of(axes: Axes, dot: Dot) -> Bbox:
    across, up = axes.transData.transform((dot.x, dot.y))
    half = _size(dot.kernel) ** 0.5 / 2 * axes.figure.dpi / 72
    return Bbox([[across - half, up - half], [across + half, up + half]])


def _covered(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """Return how much of other boxes a box covers, and how much of it is outside the frame, in pixels²."""
    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside else 0)
    overlaps = (Bbox.intersection(box, other) for other in taken)
    return outside + sum(overlap.width * overlap.height for overlap in overlaps if overlap is not None)
