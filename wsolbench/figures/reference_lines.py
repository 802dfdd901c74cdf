"""Scores and curves that need no network, as grey lines beside those of networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from wsolbench.escaping import visible

__all__ = ["draw_references", "reference_looks"]

_LINES: tuple[Any, ...] = ("--", ":", "-.", (0, (1, 3)), (0, (6, 3)), (0, (5, 1, 1, 1, 1, 1)))


def reference_looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return how the line of each looks."""
    return {name: {"color": "0.35", "lw": 1, "ls": line} for name, line in zip(names, cycle(_LINES), strict=False)}


def draw_references(axes: Axes, scores: Mapping[str, float], *, upright: bool = True) -> list[Line2D]:
    """Draw a line for every score, upright or level, and return what a legend shows of them."""
    looks = reference_looks(scores)
    for name, score in scores.items():
        (axes.axvline if upright else axes.axhline)(score, zorder=1, **looks[name])
    return [Line2D([], [], label=f"{visible(name)} {score:.1f}", **looks[name]) for name, score in scores.items()]
