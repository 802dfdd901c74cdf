"""Shares of a whole as stacked bars, a bar for every label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import folded, own_style, palette

__all__ = ["draw_stacked_bars"]

_NARROWEST = 4.0
"""Percent of a part whose number is written on it."""


@own_style()
def draw_stacked_bars(
    parts: Sequence[str], bars: Mapping[str, NDArray[np.float64]], notes: Mapping[str, str], *, across: str
) -> Figure:
    """Draw a horizontal bar for every label, the parts in one order, with their numbers where there is room.

    Args:
        parts: K names.
        bars: Label -> (K,) percent; at least one label.
        notes: Label -> what stands behind its bar.
        across: What the whole is.
    """
    labels, names = list(bars), [folded(label, 34) for label in bars]
    colours, places = palette(parts), np.arange(len(labels))[::-1]
    room = max(0.36, 0.16 * max(name.count("\n") + 1 for name in names))
    figure = Figure(figsize=(8.4, 1.25 + room * len(labels)), dpi=120, layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(labels))
    for number, part in enumerate(parts):
        widths = np.array([bars[label][number] for label in labels])
        if not widths.any():
            continue
        axes.barh(places, widths, left=left, height=0.75, color=colours[part], alpha=0.85, label=visible(part))
        for place, start, width in zip(places, left, widths, strict=True):
            if width >= _NARROWEST:
                axes.text(start + width / 2, place, f"{width:.1f}", ha="center", va="center", fontsize=8, color="black")
        left += widths
    for place, end, label in zip(places, left, labels, strict=True):
        axes.text(end, place, f" {visible(notes[label])}", ha="left", va="center", fontsize=8, color="0.3")
    axes.set_yticks(places, names, fontsize=8)
    axes.set_xlabel(visible(across), fontsize=9)
    axes.set_xlim(0, 1.2 * max(float(left.max()), 1.0))  # room for the notes
    axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= 100])
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure
