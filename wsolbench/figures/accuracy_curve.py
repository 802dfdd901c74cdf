"""Box accuracy against the scoremap threshold."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from wsolbench.escaping import visible

__all__ = ["draw_accuracy_curves"]


def draw_accuracy_curves(
    thresholds: NDArray[np.float64],
    curves: Mapping[str, NDArray[np.float64]],
    chosen: Mapping[str, float],
    *,
    title: str,
    axes: Axes | None = None,
) -> Axes:
    """Draw BoxAcc(τ) as one line for each label, and mark chosen τ.

    Args:
        thresholds: The grid of τ (T,).
        curves: Label -> percent of images at every τ (T,).
        chosen: Label -> the τ to mark on its line.
        title: What stands above.
        axes: Where to draw; a new figure by default.
    """
    if axes is None:
        import matplotlib.pyplot as plt  # which shows the figure where it is drawn, as in a notebook

        _, axes = plt.subplots(figsize=(5.5, 3.6), dpi=110, layout="constrained")
    for (label, curve), style in zip(curves.items(), cycle(("-", "--", ":"))):  # lines may lie on one another
        (line,) = axes.plot(thresholds, curve, style, label=label, lw=1.5)
        if label in chosen:
            value = float(np.interp(chosen[label], thresholds, curve))
            axes.plot([chosen[label]], [value], "o", color=line.get_color(), ms=5)
    axes.set(xlabel="τ (fraction of the map's maximum)", ylabel="images localized (%)", xlim=(0, 1), ylim=(0, 100))
    axes.set_title(visible(title), fontsize=10, parse_math=False)
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.25)
    return axes
