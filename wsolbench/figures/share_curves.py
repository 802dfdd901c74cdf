"""What part of an image holds a share of something, a curve for every network."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import Look, own_style

__all__ = ["draw_share_curves"]


@own_style()
def draw_share_curves(
    shares: NDArray[np.float64],
    curves: Mapping[str, NDArray[np.float64]],
    looks: Mapping[str, Look],
    *,
    x: str,
    y: str,
) -> Figure:
    """Draw a curve for every label, with that of something uniform beside them.

    Args:
        shares: Of the whole (T,), rising.
        curves: Label -> the part of the image that holds each share (T,).
        looks: Label -> how its curve looks.
        x: What the shares are of.
        y: What the part of the image is.
    """
    figure = Figure(figsize=(7.6, 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="#888888", lw=1, label="uniform")
    widths = np.linspace(3, 1, len(curves))  # a curve that lies on another one does not hide it
    for (label, curve), width in zip(curves.items(), widths, strict=True):
        look = looks[label]
        name = "\n".join(textwrap.wrap(visible(label), 34))
        axes.plot(shares, curve, look.line, color=look.colour, alpha=look.alpha, marker="o", ms=3, lw=width, label=name)
    axes.set(xlabel=visible(x), ylabel=visible(y), xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure
