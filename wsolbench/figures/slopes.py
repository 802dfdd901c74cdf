"""Two scores of everything that is compared, joined by a line: what a change from one to the other is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from wsolbench.escaping import visible
from wsolbench.figures.reference_lines import draw_references
from wsolbench.figures.style import Caption, folded, own_style, spread

__all__ = ["Slope", "draw_slopes"]

_LINE = 0.16
"""Inches between the lines of names."""
_LEFT, _ACROSS = 0.65, 4.4
"""Inches on the left of the lines, and from their left ends to their right ones."""


@dataclass(frozen=True)
class Slope:
    """One line.

    Attributes:
        name: What it is of.
        ends: The score on the left, and that on the right.
        singles: The ends of single trainings, where these are their means.
    """

    name: str
    ends: tuple[float, float]
    singles: tuple[tuple[float, float], ...] = ()

    @property
    def told(self) -> str:
        """Its name, and the change."""
        name = folded(self.name, 30).replace("\n", " ")
        change = f"{self.ends[1] - self.ends[0]:+.1f}".replace("-", "−")
        return f"{name}  {change}"


@own_style()
def draw_slopes(
    slopes: Sequence[Slope],
    colours: Mapping[str, str],
    references: Mapping[str, float],
    *,
    ends: tuple[str, str],
    up: str,
    caption: Sequence[str],
) -> Figure:
    """Draw the lines; the name of each stands on the right, beside its end, and covers no other.

    Args:
        slopes: At least one.
        colours: Name -> colour.
        references: What needs no network -> its score.
        ends: What the scores on the left and on the right are of.
        up: What they are.
        caption: Sentences on what is drawn.
    """
    width = _LEFT + _ACROSS + 0.6 + 0.068 * max(len(slope.told) for slope in slopes)
    below = Caption.of(caption, width)
    inner = max(2.9, _LINE * (len(slopes) + 1))
    height = inner + 0.8 + below.height
    figure = Figure(figsize=(width, height), dpi=120)
    axes = figure.add_axes((_LEFT / width, (0.35 + below.height) / height, _ACROSS / width, inner / height))
    for slope in slopes:
        colour = colours[slope.name]
        for single in slope.singles:
            axes.plot((0, 1), single, color=colour, lw=0.6, alpha=0.45)
        axes.plot((0, 1), slope.ends, "o-", color=colour, lw=1.8, ms=4.5, zorder=3)
    handles = draw_references(axes, references, upright=False)
    axes.margins(y=0.08)
    low, high = axes.get_ylim()
    gap = _LINE * (high - low) / inner
    for slope, place in zip(
        slopes, spread([each.ends[1] for each in slopes], gap, low + gap / 2, high - gap / 2), strict=True
    ):
        axes.annotate(
            slope.told,
            (1, slope.ends[1]),
            xytext=(1.16, place),
            textcoords="data",
            va="center",
            fontsize=8,
            color="0.15",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colours[slope.name],
                "lw": 0.6,
                "shrinkA": 1,
                "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )
    axes.set_xticks((0, 1), [visible(end) for end in ends], fontsize=9)
    axes.set_xlim(-0.08, 1.08)
    axes.set_ylim(low, high)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylabel(f"{visible(up)} (%)", fontsize=9)
    axes.grid(axis="y", alpha=0.25)
    if handles:
        figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(_LEFT / width - 0.02, 1),
            ncols=3,
            fontsize=8,
            frameon=False,
        )
    below.write(figure)
    return figure
