"""What part of an image holds a share of something, a curve for every network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import Caption, Look, folded, own_style

__all__ = ["draw_share_curves"]


@own_style()
def draw_share_curves(
    shares: NDArray[np.float64],
    curves: Mapping[str, NDArray[np.float64]],
    looks: Mapping[str, Look],
    *,
    title: str,
    x: str,
    y: str,
    notes: Mapping[str, str],
    caption: Sequence[str],
) -> Figure:
    """Draw a curve for every label, with that of something uniform: areas are those of the linear axis on the left.

    Parts of less than a hundredth of the image are told apart on the logarithmic axis on the right.

    Args:
        shares: Of the whole (T,), rising.
        curves: Label -> the part of the image that holds each share (T,), above 0.
        looks: Label -> how its curve looks.
        title: What the curves are of.
        x: What the shares are of.
        y: What the part of the image is.
        notes: Label -> what the legend says of its curve.
        caption: Sentences on what is drawn.
    """
    names = {label: f"{folded(label, 96)}: {visible(notes[label])}" for label in curves}
    lines = sum(name.count("\n") + 1.35 for name in names.values()) + 3
    below = Caption.of(caption, 8.4)
    figure = Figure(figsize=(8.4, 3.9 + 0.135 * lines + below.height), dpi=120, layout="constrained")
    linear, logarithmic = figure.subplots(1, 2)
    widths = np.linspace(2.5, 1, len(curves))  # a curve that lies on another one does not hide it
    even = np.linspace(shares[0], shares[-1])
    for axes in (linear, logarithmic):
        axes.plot(even, even, ":", color="#777777", lw=1.2, label="uniform")
        for (label, curve), width in zip(curves.items(), widths, strict=True):
            drawn = {"color": looks[label].colour, "alpha": looks[label].alpha, "lw": width, "label": names[label]}
            axes.plot(shares, curve, looks[label].line, marker="o", ms=3, **drawn)
        axes.set_xlim(0, 1)
        axes.set_xlabel(visible(x), fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    linear.set_ylim(0, 1.02)
    linear.set_ylabel(visible(y), fontsize=9)
    linear.set_title("linear", fontsize=9)
    logarithmic.set_yscale("log")
    logarithmic.yaxis.set_major_formatter("{x:g}")
    logarithmic.set_title("the same, logarithmic", fontsize=9)
    handles, labels = linear.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside upper left", fontsize=8, frameon=False, alignment="left")
    legend.set_title(visible(title))
    legend.get_title().set_fontsize(10)
    below.write(figure)
    return figure
