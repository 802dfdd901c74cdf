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
    names = {label: "\n".join(textwrap.wrap(visible(label), 44)) for label in curves}
    lines = sum(name.count("\n") + 1.4 for name in names.values())
    figure = Figure(figsize=(8.4, max(4.0, 0.5 + 0.13 * lines)), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="#888888", lw=1, label="uniform")
    widths = np.linspace(2.5, 1, len(curves))  # a curve that lies on another one does not hide it
    for (label, curve), width in zip(curves.items(), widths, strict=True):
        drawn = {"color": looks[label].colour, "alpha": looks[label].alpha, "lw": width, "label": names[label]}
        axes.plot(shares, curve, looks[label].line, marker="o", ms=3, **drawn)
    axes.set(xlabel=visible(x), ylabel=visible(y), xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=7.5, frameon=False)
    return figure
