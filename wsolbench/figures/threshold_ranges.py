"""BoxAcc against τ with the τ at which it is nearly the best, a curve for every label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.figures.style import Look, folded, own_style

__all__ = ["RangedCurve", "draw_threshold_ranges"]


@dataclass(frozen=True, eq=False)
class RangedCurve:
    """A curve over τ.

    Attributes:
        thresholds: (T,) the grid of τ.
        values: (T,) percent.
        within: (T,) bool, which τ are of the range; one at least.
        best: Place of the best τ.
    """

    thresholds: NDArray[np.float64]
    values: NDArray[np.float64]
    within: NDArray[np.bool_]
    best: int

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest τ of the range."""
        within = self.thresholds[self.within]
        return float(within[0]), float(within[-1])


@own_style()
def draw_threshold_ranges(curves: Mapping[str, RangedCurve], looks: Mapping[str, Look], *, caption: str) -> Figure:
    """Draw the curves, the range of each as thick lines, which stand below too, and its best τ as a dot.

    Args:
        curves: Label -> curve; at least one.
        looks: Label -> how it looks.
        caption: What the range is.
    """
    strip = 0.16 * len(curves) + 0.2
    legend = 0.16 * len(curves) + 0.15
    figure = Figure(figsize=(6.0, 2.9 + strip + legend), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, strip))
    for place, (label, curve) in enumerate(curves.items()):
        look = looks[label]
        style = {"color": look.colour, "alpha": look.alpha}
        above.plot(curve.thresholds, curve.values, look.line, lw=1, **style)
        above.plot(
            curve.thresholds, np.where(curve.within, curve.values, np.nan), lw=3.5, solid_capstyle="butt", **style
        )
        told = f"{folded(label, 60)}: τ {curve.ends[0]:.3g} to {curve.ends[1]:.3g}"
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
