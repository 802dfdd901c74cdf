"""The figures of a table, from its rows: which there are, and what each of them shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.figures.curve_panels import Curves, draw_curve_panels
from wsolbench.figures.forest import Estimate, draw_forest
from wsolbench.figures.scatter import Dot, draw_scatter
from wsolbench.figures.score_grid import draw_score_grid
from wsolbench.figures.slopes import Slope, draw_slopes
from wsolbench.figures.style import Stroke, encoded, own_style, palette, strokes
from wsolbench.leaderboard.architectures import COMPARED, Architecture, architectures_of
from wsolbench.leaderboard.entries import Entry, Table
from wsolbench.leaderboard.equal import equal_methods
from wsolbench.leaderboard.rows import Row
from wsolbench.protocol import cam_threshold_grid

__all__ = [
    "ENDINGS",
    "TITLES",
    "Drawn",
    "Looks",
    "draw_figure",
    "draw_figures",
    "figures_of",
    "fingerprint_of",
    "looks_of",
    "records_shown",
]

TITLES: Final = {
    "size": "score against size",
    "slopes": "CAM against PC1",
    "intervals": "the best method of every network and CAM, with intervals",
    "curves": "BoxAcc against τ",
    "methods": "every method on every network",
}
"""The figures of a table, and what they show."""

ENDINGS = ("png", "svg")
"""The files of a figure."""

ONE_SIZE = "all networks of the table have the same number of parameters"
ONE_METHOD = "the table has one method only"
NO_PAIR = "no network has scores of both cam and pc1"
NO_THRESHOLD = "predicted boxes have no τ"

MOST_PANELS = 12
"""Networks whose curves are drawn: those with the best scores."""

_OTHERS = "other methods"
_COLOURS = 96
_POINTS = 201
"""τ at which a curve is drawn; more cannot be seen in a panel."""
_SCORES = {
    "fullsup_box_acc_v2": "MaxBoxAccV2 at the fullsup τ",
    "max_box_acc_v2": "MaxBoxAccV2 at the best τ",
    "pxap": "PxAP",
}


@dataclass(frozen=True)
class Looks:
    """How the methods and the networks of a leaderboard look, the same in all of its figures."""

    methods: Mapping[str, Stroke]
    networks: Mapping[str, str]


def looks_of(tables: Iterable[Table]) -> Looks:
    """Return the looks of all that the tables of a leaderboard hold."""
    trained = [entry for table in tables for entry in table.entries if entry.is_trained]
    methods = strokes(COMPARED, sorted({entry.method for entry in trained}))
    return Looks(methods, palette(sorted({entry.backbone for entry in trained})))


@dataclass(frozen=True)
class Drawn:
    """A table with its rows, as figures show it.

    Attributes:
        table: The table.
        rows: Its rows; what papers report is not drawn.
        score: The metric by which rows are compared.
    """

    table: Table
    rows: Sequence[Row]
    score: str

    @cached_property
    def networks(self) -> dict[str, Architecture]:
        """The trained networks with a score, the best first, each by a name that no other has."""
        found = [each for each in architectures_of(self.rows, self.score) if _value(each.best, self.score) is not None]
        count = Counter(each.best.network for each in found)
        return {
            f"{each.best.network}, {each.best.weights}"
            if count[each.best.network] > 1
            else f"{each.best.network}": each
            for each in found
        }

    @cached_property
    def heads(self) -> dict[str, list[Row]]:
        """Network -> a row of each of its methods, repeated trainings as their mean."""
        return {
            name: [row for row in self.rows if row.group is None and _is_of(row, each)]
            for name, each in self.networks.items()
        }

    @cached_property
    def baselines(self) -> dict[str, Row]:
        """The baselines with a score; what was measured twice is there once."""
        return {row.method: row for row in reversed(self.rows) if row.kind == "baseline" and _has(row, self.score)}

    @property
    def references(self) -> dict[str, float]:
        """Baseline -> its score."""
        return {name: value for name, row in self.baselines.items() if (value := row.metrics[self.score]) is not None}

    @property
    def scored(self) -> str:
        """What the scores are."""
        boxes = self.table.first.protocol.scored == "boxes"
        return "MaxBoxAccV2 of predicted boxes" if boxes else _SCORES[self.score]

    def singles(self, head: Row) -> list[Row]:
        """Return the rows of the trainings that a row is the mean of; of a row of one training itself."""
        return [row for row in self.rows if row.group == head.id] if head.is_mean else [head]

    def of_method(self, name: str, method: str) -> Row | None:
        """Return the row of a method on a network, if it has a score."""
        return next((row for row in self.heads[name] if row.method == method and _has(row, self.score)), None)


def figures_of(drawn: Drawn) -> list[str]:
    """Return the figures that a table has: none without trained networks, and none that would be empty."""
    return [name for name in TITLES if drawn.networks and name not in left_out(drawn)]


def left_out(drawn: Drawn) -> dict[str, str]:
    """Return the figures that a table with trained networks cannot have, each with the reason."""
    trained = [entry for entry in drawn.table.entries if entry.is_trained]
    if not drawn.networks:
        why = dict.fromkeys(row.incomplete for row in drawn.rows if row.kind != "baseline" and row.incomplete)
        return dict.fromkeys(TITLES, "; ".join(map(str, why))) if trained else {}
    found = {}
    if len({each.best.parameters for each in drawn.networks.values()} - {None}) < 2:
        found["size"] = ONE_SIZE
    if not _slopes(drawn):
        found["slopes"] = NO_PAIR
    if all(entry.makes_boxes for entry in trained):
        found["curves"] = NO_THRESHOLD
    elif all(entry.record.metrics.max_box_acc is None for entry in trained):
        found["curves"] = "; ".join(
            dict.fromkeys(
                entry.record.missing["max_box_acc"] for entry in trained if "max_box_acc" in entry.record.missing
            )
        )
    if len({row.method for rows in drawn.heads.values() for row in rows if _has(row, drawn.score)}) < 2:
        found["methods"] = ONE_METHOD
    return found


def draw_figures(drawn: Drawn, looks: Looks, fingerprint: str) -> dict[str, bytes]:
    """Return the figures of a table, each as PNG and SVG: file name -> content; see `draw_figure`."""
    figures = {name: draw_figure(drawn, looks, fingerprint, name) for name in figures_of(drawn)}
    return {
        f"{drawn.table.slug}-{name}.{ending}": content
        for name, files in figures.items()
        for ending, content in files.items()
    }


@own_style()
def draw_figure(
    drawn: Drawn, looks: Looks, fingerprint: str, name: str, endings: Sequence[str] = ENDINGS
) -> dict[str, bytes]:
    """Return a figure of a table as files: ending -> content.

    Args:
        drawn: What to draw; of networks only trained ones.
        looks: How methods and networks look.
        fingerprint: Of what the figures are drawn from; it is written into every file, so that a stale one is noticed
            without comparing pixels, which differ between versions of the drawing library.
        name: One of `figures_of`.
        endings: Those wanted.
    """
    figure = _DRAW[name](drawn, looks)
    return {ending: _encoded(figure, ending, fingerprint) for ending in endings}


def fingerprint_of(content: bytes) -> str | None:
    """Return the fingerprint that is written into a figure, or None where there is none."""
    start = content.find(b"records:")
    return content[start + 8 : start + 72].decode("ascii", "replace") if start >= 0 else None


def records_shown(gallery: bytes) -> list[str]:
    """Return the hashes of the outcomes of the records that a gallery shows, as ``wsolbench gallery`` writes them."""
    found = re.search(rb"records:((?:[0-9a-f]{64},?)+)", gallery)
    return found[1].decode().split(",") if found else []


def _draw_size(drawn: Drawn, looks: Looks) -> Figure:
    """Draw the score against parameters, a dot as large as the kernel: the compared methods, and the best one."""
    dots, best = [], {each.best.id for each in drawn.networks.values()}
    for name, rows in drawn.heads.items():
        method = drawn.networks[name].best.method
        label = name if method in COMPARED else f"{name}: {method}"
        for row in rows:
            value, is_best, is_compared = _value(row, drawn.score), row.id in best, row.method in COMPARED
            if value is not None and row.parameters:
                place, group = (row.parameters / 1e6, value), row.method if is_compared else _OTHERS
                is_minor = not is_best and not is_compared
                dots.append(Dot(*place, label, group, row.kernel or 0, False, is_minor, is_best))
    sizes = [dot.x for dot in dots]
    colours = {name: looks.methods[name].colour for name in COMPARED} | {_OTHERS: "#888888"}
    return draw_scatter(
        dots,
        [],
        colours,
        x="parameters (M); area of a dot ∝ side of the largest kernel",
        y=f"{drawn.scored} (%)",
        logarithmic=max(sizes) > 4 * min(sizes),
        references=drawn.references,
        caption=[f"{drawn.table.title}.", *_repeated(drawn, "dots are their means")],
    )


def _draw_slopes(drawn: Drawn, looks: Looks) -> Figure:
    slopes = _slopes(drawn)
    colours = {name: looks.networks[f"{drawn.networks[name].best.network}"] for name in drawn.networks}
    caption = [f"{drawn.table.title}.", "Numbers on the right are the change from CAM to PC1."]
    return draw_slopes(
        slopes,
        colours,
        drawn.references,
        ends=("CAM", "PC1"),
        up=drawn.scored,
        caption=[*caption, *_repeated(drawn, "thin lines are single ones, thick lines their means")],
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


def _draw_intervals(drawn: Drawn, looks: Looks) -> Figure:
    lines = []
    for name, each in drawn.networks.items():
        rows = [each.best, drawn.of_method(name, "cam")]
        distinct = {row.id: row for row in rows if row is not None}
        lines.append((name, [_estimate(drawn, row) for row in distinct.values()]))
    caption = [f"{drawn.table.title}.", "A bar is the 95 % interval over images."]
    if any(drawn.networks[name].best.is_mean for name, _ in lines):
        caption += _repeated(drawn, "a dot is their mean, a bar the interval of the mean; each has a stroke")
    return draw_forest(
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


def _draw_curves(drawn: Drawn, looks: Looks) -> Figure:
    """Draw BoxAcc(τ) at IoU 0.5, largest contour, a panel for each trained network; that of boxes is level."""
    step = drawn.table.first.protocol.threshold_step
    entries = {entry.name: entry for entry in drawn.table.entries}
    trained = [entry for entry in drawn.table.entries if entry.is_trained and entry.has_maps]
    named = {method: " = ".join(group) for group in equal_methods(trained) for method in group}
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
    more = len(drawn.networks) - len(panels)
    return draw_curve_panels(
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
            *([f"The {len(panels)} networks with the best scores; not drawn: {more} others."] if more else []),
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


def _draw_methods(drawn: Drawn, _looks: Looks) -> Figure:
    """Draw every method on every network: those measured on the most networks first, then those of the best mean."""
    cells = {(name, row.method): row for name, rows in drawn.heads.items() for row in reversed(rows)}
    values = {cell: value for cell, row in cells.items() if (value := _value(row, drawn.score)) is not None}
    of_method: dict[str, list[float]] = {}
    for (_, method), value in values.items():
        of_method.setdefault(method, []).append(value)
    methods = sorted(of_method, key=lambda method: (-len(of_method[method]), -np.mean(of_method[method])))
    empty = sorted({method for _, method in cells} - set(methods))
    grid = [(name, method) for name in drawn.networks for method in methods]
    scores = np.array([values.get(cell, np.nan) for cell in grid]).reshape(-1, len(methods))
    undefined = {divmod(place, len(methods)) for place, cell in enumerate(grid) if cell in cells.keys() - values.keys()}
    notes = [f"{drawn.scored} (%); bold: the best method of the network"]
    notes += ["grey: not measured"] if any(cell not in cells for cell in grid) else []
    notes += ["n. d.: the method is not defined for the network"] if undefined else []
    notes += [f"defined for no network: {', '.join(empty)}"] if empty else []
    caption = [f"{drawn.table.title}.", f"{'; '.join(notes)}.", *_repeated(drawn, "scores are their means")]
    without = dict.fromkeys(undefined, "n. d.")
    return draw_score_grid(scores, list(drawn.networks), methods, without=without, caption=caption)


def _repeated(drawn: Drawn, how: str) -> list[str]:
    """Return how repeated trainings are drawn, where there are some."""
    return (
        [f"Of repeated trainings, {how}."] if any(row.is_mean for rows in drawn.heads.values() for row in rows) else []
    )


def _is_of(row: Row, network: Architecture) -> bool:
    return row.id in network.rows


def _has(row: Row, score: str) -> bool:
    return _value(row, score) is not None


def _value(row: Row, score: str) -> float | None:
    """Return the score of a complete row."""
    return row.metrics[score] if row.incomplete is None else None


_DRAW: Final[Mapping[str, Callable[[Drawn, Looks], Figure]]] = {
    "size": _draw_size,
    "slopes": _draw_slopes,
    "intervals": _draw_intervals,
    "curves": _draw_curves,
    "methods": _draw_methods,
}


def _encoded(figure: Figure, ending: str, fingerprint: str) -> bytes:
    source = f"records:{fingerprint}"
    metadata = {"Software": None, "Source": source} if ending == "png" else {"Date": None, "Description": source}
    return encoded(figure, ending, metadata, _COLOURS)
