"""BoxAcc against τ with the τ at which it is nearly the best, a curve for every label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.figures.style import Look, folded, own_style

__all__ = ["RangedCurve", "draw_threshold_ranges"]

_NAMED = 4
"""Parts of a range that are named."""


@dataclass(frozen=True, eq=False)
class RangedCurve:
    """A curve over τ.

    Attributes:
        thresholds: (T,) the grid of τ.
        values: (T,) percent.
        within: (T,) bool, which τ are of the range; one at least, perhaps with gaps.
        best: Place of the best τ.
        note: What the legend says of the range beside its ends.
    """

    thresholds: NDArray[np.float64]
    values: NDArray[np.float64]
    within: NDArray[np.bool_]
    best: int
    note: str = ""

    @property
    def told(self) -> str:
        """The ends of all parts of the range: ``0.41 to 0.45, 0.47``; of many, those of the first ones."""
        changes = np.flatnonzero(np.diff(np.concatenate([[False], self.within, [False]]).astype(np.int8)))
        parts = [self.thresholds[[start, stop - 1]] for start, stop in changes.reshape(-1, 2)]
        told = [f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}" for low, high in parts]
        return ", ".join(told[:_NAMED]) + (f", {len(told) - _NAMED} more" if len(told) > _NAMED else "")


@own_style()
def draw_threshold_ranges(curves: Mapping[str, RangedCurve], looks: Mapping[str, Look], *, caption: str) -> Figure:
    """Draw the curves, the range of each as thick lines, which stand below too, and its best τ as a dot.

    Args:
        curves: Label -> curve; at least one.
        looks: Label -> how it looks.
        caption: What the range is.
    """
    strip = 0.16 * len(curves) + 0.2
    legend = 0.16 * sum(1 + len(f"{label}{curve.told}{curve.note}") // 88 for label, curve in curves.items()) + 0.15
    figure = Figure(figsize=(6.0, 2.9 + strip + legend), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, strip))
    for place, (label, curve) in enumerate(curves.items()):
        look = looks[label]
        style = {"color": look.colour, "alpha": look.alpha}
        above.plot(curve.thresholds, curve.values, look.line, lw=1, **style)
        above.plot(
            curve.thresholds, np.where(curve.within, curve.values, np.nan), lw=3.5, solid_capstyle="butt", **style
        )
        told = folded(f"{label}: τ {curve.told}{curve.note and f'; {curve.note}'}", 96)
        heights = np.where(curve.within, -place, np.nan)
        below.plot(curve.thresholds, heights, lw=3.5, solid_capstyle="butt", label=told, **style)
        for axes, height in ((above, curve.values[curve.best]), (below, -place)):
            axes.plot(curve.thresholds[curve.best], height, "o", ms=5, mfc="white", mec=look.colour)
    above.set(xlim=(0, 1), ylim=(0, 100))
    above.set_ylabel("images localized (%)", fontsize=9)
    above.grid(alpha=0.25)
    below.set_ylim(0.7 - len(curves), 0.7)
    below.set_yticks([])
    below.set_xlabel(f"τ (fraction of the map's maximum); {caption}", fontsize=9)
    below.grid(axis="x", alpha=0.25)
    for axes in (above, below):
        axes.tick_params(labelsize=8)
    figure.legend(loc="outside upper left", fontsize=8, frameon=False)
    return figure
