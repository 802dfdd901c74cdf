"""Numbers of groups with their intervals, those of several labels side by side in every group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.escaping import visible
from wsolbench.figures.style import Look, folded, own_style

__all__ = ["GroupedIntervals", "draw_grouped_intervals"]


@dataclass(frozen=True, eq=False)
class GroupedIntervals:
    """What one panel shows.

    Attributes:
        groups: G names.
        values: Label -> (G, 3) number, lower and upper end; NaN where a group has none.
        counts: Label -> (G,) of how many images each number is.
    """

    groups: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]
    counts: Mapping[str, NDArray[np.intp]]

    @property
    def told(self) -> list[str]:
        """Groups with their numbers of images, which may differ between labels."""
        counts = np.array(list(self.counts.values()))
        ends = zip(self.groups, counts.min(axis=0).tolist(), counts.max(axis=0).tolist(), strict=True)
        return [f"{visible(name)}\nn={low:,}" + ("" if low == high else f" to {high:,}") for name, low, high in ends]


@own_style()
def draw_grouped_intervals(panels: Mapping[str, GroupedIntervals], looks: Mapping[str, Look], *, up: str) -> Figure:
    """Draw a panel for every way to group: dots with intervals, the dots of one group close together.

    Args:
        panels: What the groups are -> numbers; at least one panel, perhaps without labels.
        looks: Label -> how it looks.
        up: What the numbers are.
    """
    widths = [
        max(1.1 if len(panel.groups) == 1 else 2.2, 0.45 * len(panel.groups) * (1 + 0.35 * len(panel.values)))
        for panel in panels.values()
    ]
    names = {label: folded(label, 80) for label in looks}
    legend = 0.16 * sum(name.count("\n") + 1 for name in names.values()) + 0.15
    longest = max(len(line) for name in names.values() for line in name.splitlines())
    width = max(sum(widths) + 0.9, 0.07 * longest + 0.6)  # room for the legend
    figure = Figure(figsize=(width, 2.85 + legend), dpi=120, layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=widths)[0]
    for axes, (name, panel) in zip(all_axes, panels.items(), strict=True):
        _draw_panel(axes, panel, looks)
        axes.set_xlabel(visible(name), fontsize=9)
    all_axes[0].set_ylabel(visible(up), fontsize=9)
    shown = {
        label: handle for axes in all_axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        shown.values(), [names[label] for label in shown], loc="outside upper left", fontsize=8, frameon=False
    )
    return figure


def _draw_panel(axes: Axes, panel: GroupedIntervals, looks: Mapping[str, Look]) -> None:
    places = np.arange(len(panel.groups), dtype=float)
    step = 0.8 / max(len(looks), 3)
    for number, (label, look) in enumerate(looks.items()):
        if label not in panel.values:
            continue
        value, low, high = panel.values[label].T
        axes.errorbar(
            places + (number - (len(looks) - 1) / 2) * step,
            value,
            yerr=np.maximum([value - low, high - value], 0),
            fmt="o",
            ms=4,
            lw=1.3,
            color=look.colour,
            alpha=look.alpha,
            label=label,
        )
    axes.set_xticks(places, panel.told, fontsize=8)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_ylim(-2, 102)  # room for the dots of 0 and 100
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", alpha=0.25)
