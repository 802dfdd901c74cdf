"""The figures of a table: what is drawn of its rows, and how the methods and the networks look."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.figures.curve_panels import Curves, draw_curve_panels
from wsolbench.figures.forest import Estimate, draw_forest
from wsolbench.figures.scatter import Dot, draw_scatter
from wsolbench.figures.score_grid import draw_score_grid
from wsolbench.figures.slopes import Slope, draw_slopes
from wsolbench.figures.style import Picture, Stroke, palette, pictured, strokes
from wsolbench.leaderboard.architectures import COMPARED
from wsolbench.leaderboard.entries import Entry
from wsolbench.leaderboard.equal import equal_methods
from wsolbench.leaderboard.figures import ENDINGS, Drawn, Names, figures_of, value_of
from wsolbench.leaderboard.rows import Row
from wsolbench.processes import ordered_map_beside, spare_processors
from wsolbench.protocol import cam_threshold_grid
from wsolbench.texts import counted

__all__ = ["draw_board", "draw_figure"]

MOST_PANELS = 12
"""Networks whose curves are drawn: those with the best scores."""

MOST_NETWORKS = 60
"""Networks that all other figures show: more cannot be told apart, and their names take minutes to place."""

MOST_METHODS = 40
"""Methods of the grid, whose numbers are too small to read with more."""

_MOST_EQUAL = 6
"""Names in an entry of a legend; of more methods that are equal, some are named."""

_OTHERS = "other methods"
_COLOURS = 96
_POINTS = 201
"""τ at which a curve is drawn; more cannot be seen in a panel."""

Plan: TypeAlias = Callable[[], Figure]
"""A function of `wsolbench.figures` with all that it draws."""

_MOST_HELPERS = 7
_WORTHWHILE = 8
"""Figures for each process that draws some: fewer are drawn in less time than it takes to start one."""


@dataclass(frozen=True)
class Looks:
    """How the methods and the networks of a leaderboard look, the same in all of its figures."""

    methods: Mapping[str, Stroke]
    networks: Mapping[str, str]

    @classmethod
    def of(cls, names: Names) -> Looks:
        """Return the looks of methods and networks."""
        return cls(strokes(COMPARED, names.methods), palette(names.networks))


def draw_board(tables: Sequence[tuple[Drawn, str]], names: Names) -> Generator[dict[str, bytes], None, None]:
    """Yield every figure of some tables as its files, file name -> content; where it is worth it, processes share them.

    Close the generator if you may leave it early.

    Args:
        tables: What to draw, with the fingerprint of each; see `draw_figure`.
        names: All that the leaderboard holds.
    """
    looks = Looks.of(names)
    figures = [(drawn, name, fingerprint) for drawn, fingerprint in tables for name in figures_of(drawn)]
    pictures = (_picture(drawn, looks, fingerprint, name, ENDINGS) for drawn, name, fingerprint in figures)
    helpers = min(spare_processors(), _MOST_HELPERS, len(figures) // _WORTHWHILE)
    with closing(ordered_map_beside(pictured, pictures, helpers=helpers)) as results:
        for (drawn, name, _), files in zip(figures, results, strict=True):
            yield {f"{drawn.table.slug}-{name}.{ending}": content for ending, content in files.items()}


def draw_figure(
    drawn: Drawn, names: Names, fingerprint: str, name: str, endings: Sequence[str] = ENDINGS
) -> dict[str, bytes]:
    """Return a figure of a table as files: ending -> content.

    Args:
        drawn: What to draw; of networks only trained ones.
        names: All that the leaderboard holds.
        fingerprint: Of what the figures are drawn from; it is written into every file, so that a stale one is noticed
            without comparing pixels, which differ between versions of the drawing library.
        name: One of `figures_of`.
        endings: Those wanted.
    """
    return pictured(_picture(drawn, Looks.of(names), fingerprint, name, endings))


def _picture(drawn: Drawn, looks: Looks, fingerprint: str, name: str, endings: Sequence[str]) -> Picture:
    source = f"records:{fingerprint}"
    said: dict[str, dict[str, str | None]] = {
        "png": {"Software": None, "Source": source},
        "svg": {"Date": None, "Description": source},
    }
    return Picture(_DRAW[name](drawn, looks), {ending: said[ending] for ending in endings}, _COLOURS)


def _draw_size(drawn: Drawn, looks: Looks) -> Plan:
    """Draw the score against parameters, a dot as large as the kernel: the compared methods, and the best one."""
    dots, best = [], {each.best.id for each in drawn.networks.values()}
    for name in _leading(drawn):
        rows, method = drawn.heads[name], drawn.networks[name].best.method
        label = name if method in COMPARED else f"{name}: {method}"
        for row in rows:
            value, is_best, is_compared = value_of(row, drawn.score), row.id in best, row.method in COMPARED
            if value is not None and row.parameters:
                place, group = (row.parameters / 1e6, value), row.method if is_compared else _OTHERS
                is_minor = not is_best and not is_compared
                dots.append(Dot(*place, label, group, row.kernel or 0, False, is_minor, is_best))
    sizes = [dot.x for dot in dots]
    colours = {name: looks.methods[name].colour for name in COMPARED} | {_OTHERS: "#888888"}
    return partial(
        draw_scatter,
        dots,
        [],
        colours,
        x="parameters (M); area of a dot ∝ side of the largest kernel",
        y=f"{drawn.scored} (%)",
        logarithmic=max(sizes) > 4 * min(sizes),
        references=drawn.references,
        caption=[f"{drawn.table.title}.", *_others(drawn), *_repeated(drawn, "dots are their means")],
    )


def _draw_slopes(drawn: Drawn, looks: Looks) -> Plan:
    slopes = _slopes(drawn)
    shown = slopes[:MOST_NETWORKS]
    colours = {each.name: looks.networks[f"{drawn.networks[each.name].best.network}"] for each in shown}
    caption = [f"{drawn.table.title}.", "Numbers on the right are the change from CAM to PC1."]
    return partial(
        draw_slopes,
        shown,
        colours,
        drawn.references,
        ends=("CAM", "PC1"),
        up=drawn.scored,
        caption=[
            *caption,
            *_not_drawn(len(shown), len(slopes)),
            *_repeated(drawn, "thin lines are single ones, thick lines their means"),
        ],
    )


def _slopes(drawn: Drawn) -> list[Slope]:
    found = []
    for name in drawn.networks:
        cam, pc1 = drawn.of_method(name, "cam"), drawn.of_method(name, "pc1")
        if cam is None or pc1 is None:
            continue
        other = {row.seeds: row.metrics[drawn.score] for row in drawn.singles(pc1)}
        pairs = [(row.metrics[drawn.score], other.get(row.seeds)) for row in drawn.singles(cam) if cam.is_mean]
        singles = tuple((left, right) for left, right in pairs if left is not None and right is not None)
        found.append(Slope(name, (cam.metrics[drawn.score] or 0.0, pc1.metrics[drawn.score] or 0.0), singles))
    return found


def _draw_intervals(drawn: Drawn, looks: Looks) -> Plan:
    lines = []
    for name in _leading(drawn):
        rows = [drawn.networks[name].best, drawn.of_method(name, "cam")]
        distinct = {row.id: row for row in rows if row is not None}
        lines.append((name, [_estimate(drawn, row) for row in distinct.values()]))
    caption = [f"{drawn.table.title}.", "A bar is the 95 % interval over images.", *_others(drawn)]
    if any(drawn.networks[name].best.is_mean for name, _ in lines):
        caption += _repeated(drawn, "a dot is their mean, a bar the interval of the mean; each has a stroke")
    return partial(
        draw_forest,
        lines,
        {name: stroke.colour for name, stroke in looks.methods.items()},
        drawn.references,
        along=drawn.scored,
        caption=caption,
    )


def _estimate(drawn: Drawn, row: Row) -> Estimate:
    score = drawn.score
    singles = [single.metrics[score] for single in drawn.singles(row)] if row.is_mean else []
    known = tuple(each for each in singles if each is not None)
    return Estimate(row.method, row.metrics[score] or 0.0, row.intervals.get(score), known)


def _draw_curves(drawn: Drawn, looks: Looks) -> Plan:
    """Draw BoxAcc(τ) at IoU 0.5, largest contour, a panel for each trained network; that of boxes is level."""
    step = drawn.table.first.protocol.threshold_step
    entries = {entry.name: entry for entry in drawn.table.entries}
    trained = [entry for entry in drawn.table.entries if entry.is_trained and entry.has_maps]
    named = {method: _joined(group) for group in equal_methods(trained) for method in group}
    panels: dict[str, list[Curves]] = {}
    has_boxes = False
    for name in list(drawn.networks)[:MOST_PANELS]:
        of_label: dict[str, Curves] = {}
        for head in drawn.heads[name]:
            singles = [entries[row.record] for row in drawn.singles(head) if row.record]
            if head.method in named and all(each.has_maps for each in singles):
                curves = np.stack([_curve(each, step) for each in singles])
                has_boxes |= any(each.makes_boxes for each in singles)
                of_label.setdefault(named[head.method], Curves(named[head.method], curves))
        panels[name] = list(of_label.values())
    strong = {named[method] for method in COMPARED if method in named}
    baselines = {name: entries[row.record] for name, row in drawn.baselines.items() if row.record}
    legend: dict[str, Stroke] = {}
    for method, stroke in looks.methods.items():
        if method in named:
            legend.setdefault(named[method], stroke)
    return partial(
        draw_curve_panels,
        _thresholds(step),
        panels,
        legend,
        {name: _curve(entry, step) for name, entry in baselines.items()},
        strong=sorted(strong),
        up="images localized (%)",
        caption=[
            f"{drawn.table.title}.",
            "BoxAcc(τ) at IoU 0.5, with the box of the largest contour.",
            *(["Predicted boxes have no τ: their lines are level."] if has_boxes else []),
            *_not_drawn(len(panels), len(drawn.networks)),
            *_repeated(drawn, "thin lines are single ones, lines in the legend their means"),
        ],
    )


def _curve(entry: Entry, step: float) -> NDArray[np.float64]:
    """Return the curve of an entry over the grid of its table, of which boxes may have another one."""
    curve = entry.record.evaluated.box_acc("single", 0.5)
    return np.full(len(_places(step)), curve[0]) if entry.makes_boxes else curve[_places(step)]


def _thresholds(step: float) -> NDArray[np.float64]:
    return cam_threshold_grid(step)[_places(step)]


def _places(step: float) -> NDArray[np.intp]:
    """Return the places of the τ at which curves are drawn."""
    return np.unique(np.linspace(0, len(cam_threshold_grid(step)) - 1, _POINTS).round().astype(np.intp))


def _draw_methods(drawn: Drawn, _looks: Looks) -> Plan:
    """Draw every method on every network: those measured on the most networks first, then those of the best mean."""
    networks = _leading(drawn)
    cells = {(name, row.method): row for name in networks for row in reversed(drawn.heads[name])}
    values = {cell: value for cell, row in cells.items() if (value := value_of(row, drawn.score)) is not None}
    of_method: dict[str, list[float]] = {}
    for (_, method), value in values.items():
        of_method.setdefault(method, []).append(value)
    found = sorted(of_method, key=lambda method: (-len(of_method[method]), -np.mean(of_method[method])))
    methods, others = found[:MOST_METHODS], found[MOST_METHODS:]
    empty = sorted({method for _, method in cells} - set(found))
    grid = [(name, method) for name in networks for method in methods]
    scores = np.array([values.get(cell, np.nan) for cell in grid]).reshape(-1, len(methods))
    undefined = {divmod(place, len(methods)) for place, cell in enumerate(grid) if cell in cells.keys() - values.keys()}
    notes = [f"{drawn.scored} (%); bold: the best {'of these methods' if others else 'method of the network'}"]
    notes += ["grey: not measured"] if any(cell not in cells for cell in grid) else []
    notes += ["n. d.: the method is not defined for the network"] if undefined else []
    notes += [f"defined for no network: {', '.join(empty)}"] if empty else []
    are = "is" if len(others) == 1 else "are"
    left = f"{counted(len(others), 'methods')} that fewer networks have or that {are} worse"
    notes += [f"not drawn: {left}"] if others else []
    caption = [f"{drawn.table.title}.", f"{'; '.join(notes)}.", *_others(drawn)]
    caption += _repeated(drawn, "scores are their means")
    without = dict.fromkeys(undefined, "n. d.")
    return partial(draw_score_grid, scores, networks, methods, without=without, caption=caption)


def _leading(drawn: Drawn) -> list[str]:
    """Return the networks that figures show: those with the best scores."""
    return list(drawn.networks)[:MOST_NETWORKS]


def _others(drawn: Drawn) -> list[str]:
    return _not_drawn(len(_leading(drawn)), len(drawn.networks))


def _not_drawn(shown: int, there: int) -> list[str]:
    """Return how many networks are missing from a figure, where some are."""
    more = there - shown
    return [f"The {shown} networks with the best scores; not drawn: {counted(more, 'others')}."] if more else []


def _joined(methods: Sequence[str]) -> str:
    """Return the names of equal methods, of many the first ones."""
    if len(methods) <= _MOST_EQUAL:
        return " = ".join(methods)
    named = methods[: _MOST_EQUAL - 2]
    return f"{' = '.join(named)} and {len(methods) - len(named)} more"


def _repeated(drawn: Drawn, how: str) -> list[str]:
    """Return how repeated trainings are drawn, where there are some."""
    return (
        [f"Of repeated trainings, {how}."] if any(row.is_mean for rows in drawn.heads.values() for row in rows) else []
    )


_DRAW: Final[Mapping[str, Callable[[Drawn, Looks], Plan]]] = {
    "size": _draw_size,
    "slopes": _draw_slopes,
    "intervals": _draw_intervals,
    "curves": _draw_curves,
    "methods": _draw_methods,
}
