"""The leaderboard's figures: score against size (as Fig. 1 of the large-kernel paper), and BoxAcc against τ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from wsolbench.escaping import visible
from wsolbench.figures.style import encoded, own_style
from wsolbench.leaderboard.entries import Entry, Table
from wsolbench.leaderboard.equal import equal_methods
from wsolbench.protocol import cam_threshold_grid

MARKERS = "osD^vPX*<>hd"
_BLUE, _RED, _GREY = 0, 3, 7
STRONG = {"cam": mpl.color_sequences["tab10"][_BLUE], "pc1": mpl.color_sequences["tab10"][_RED]}
"""The colours of the two methods that people compare; they lie above others."""
COLOURS = [mpl.color_sequences["tab10"][place] for place in range(10) if place not in (_BLUE, _RED, _GREY)]
"""Those of other methods; baselines are grey."""
TITLES = {"size": "score against size", "curves": "BoxAcc against τ"}
"""The figures of a table, and what they show."""
LINES = ("--", ":", "-.", (0, (1, 3)))
ONE_SIZE = "all networks of the table have the same number of parameters"
MOST_METHODS = 8
"""More cannot be distinguished in one figure."""


def methods_drawn(table: Table, tables: Iterable[Table]) -> list[str]:
    """Return the methods that the figures of a table show, at most as many as can be distinguished.

    Of methods that are equal on all networks the first stands for all; those without any map are not shown.

    Those that the leaderboard has the most records of come first, so that the figures of all tables show the same
    methods as far as they have them; among equals the best of the table.
    """
    measured = Counter(entry.method for each in tables for entry in each.entries if entry.is_trained)
    trained = [entry for entry in table.entries if entry.is_trained]  # the best first
    shown = [entry for entry in trained if entry.has_maps] or trained  # of no map at all, `left_out` says why
    first = {group[0] for group in equal_methods(shown)}
    ranked = [method for method in dict.fromkeys(entry.method for entry in shown) if method in first]
    return sorted(sorted(ranked, key=lambda method: -measured[method])[:MOST_METHODS])


def figures_of(table: Table, methods: list[str]) -> list[str]:
    """Return the figures that a table has: none without trained networks, and none that would be empty."""
    return [name for name in TITLES if _trained(table, methods) and name not in left_out(table, methods)]


def left_out(table: Table, methods: list[str]) -> dict[str, str]:
    """Return the figures that a table of trained networks cannot have, each with the reason."""
    trained = _trained(table, methods)
    records = [entry.record for entry in trained]
    needed = {"size": "fullsup_box_acc_v2", "curves": "max_box_acc"}
    reasons = {
        name: "; ".join(dict.fromkeys(record.missing[metric] for record in records if metric in record.missing))
        for name, metric in needed.items()
        if records and all(getattr(record.metrics, metric) is None for record in records)
    }
    if records and len(_network_positions(_scored(trained))) == 1:
        reasons["size"] = ONE_SIZE
    return reasons


@own_style()
def draw_figures(table: Table, methods: list[str], fingerprint: str) -> dict[str, bytes]:
    """Return the figures of a table, each as PNG and SVG: file name -> content.

    Args:
        table: What to draw; only trained networks and, as lines, baselines.
        methods: The methods to draw.
        fingerprint: Of what the figures are drawn from; it is written into every file, so that a stale one is noticed
            without comparing pixels, which differ between versions of the drawing library.
    """
    draw = {"size": _size_figure, "curves": _curves_figure}
    figures = {name: draw[name](table, methods) for name in figures_of(table, methods)}
    return {
        f"{table.slug}-{name}.{ending}": _encoded(figure, ending, fingerprint)
        for name, figure in figures.items()
        for ending in ("png", "svg")
    }


def fingerprint_of(content: bytes) -> str | None:
    """Return the fingerprint that is written into a figure, or None where there is none."""
    start = content.find(b"records:")
    return content[start + 8 : start + 72].decode("ascii", "replace") if start >= 0 else None


def records_shown(gallery: bytes) -> list[str]:
    """Return the hashes of the outcomes of the records that a gallery shows, as ``wsolbench gallery`` writes them."""
    found = re.search(rb"records:((?:[0-9a-f]{64},?)+)", gallery)
    return found[1].decode().split(",") if found else []


def _size_figure(table: Table, methods: list[str]) -> Figure:
    """Draw V2 at the fullsup τ against parameters, the marker as large as the kernel."""
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    trained = _trained(table, methods)
    for entry in trained:
        network, score = entry.record.backbone, entry.record.metrics.fullsup_box_acc_v2
        if network is None or score is None or not entry.has_maps:
            continue
        axes.scatter(
            network.parameters / 1e6,
            score,
            s=12 * network.largest_kernel,
            color=_colour(entry.method, methods),
            alpha=0.75,
            lw=0,
        )
    for x, names in _network_positions(_scored(trained)).items():
        axes.annotate(
            visible(", ".join(names)),
            (x, 1.01),
            xycoords=("data", "axes fraction"),
            rotation=30,
            va="bottom",
            fontsize=8,
        )
    for method in methods:
        axes.scatter([], [], s=60, color=_colour(method, methods), label=visible(_named(method, table)))
    _baseline_lines(axes, table)
    axes.margins(x=0.12)
    axes.set_xlabel("parameters (M); marker area ∝ side of the largest kernel")
    axes.set_ylabel("MaxBoxAccV2 at the fullsup τ (%)")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.grid(alpha=0.25)
    return figure


def _colour(method: str, methods: list[str]) -> Any:
    others = [name for name in methods if name not in STRONG]
    return STRONG[method] if method in STRONG else COLOURS[others.index(method) % len(COLOURS)]


def _height(entry: Entry) -> float:
    """Return what lies above what: higher numbers do."""
    return 3 if entry.method in STRONG else 2


def _named(method: str, table: Table) -> str:
    """Return a method for a legend, with those that equal it, and the networks for which it is not defined."""
    trained = [entry for entry in table.entries if entry.is_trained]
    entries = [entry for entry in trained if entry.method == method]
    undefined = sorted({entry.backbone for entry in entries if not entry.has_maps})
    equal = next(
        group for group in equal_methods([each for each in trained if each.has_maps] or trained) if method in group
    )
    named = " = ".join(equal)
    if not undefined:
        return named
    return f"{named} (not defined for {', '.join(undefined) if len(undefined) < 3 else f'{len(undefined)} networks'})"


def _network_positions(trained: list[Entry]) -> dict[float, list[str]]:
    """Return the networks by their size in millions of parameters; some have the same."""
    positions: dict[float, list[str]] = {}
    for name, size in sorted(
        {(e.record.backbone.label, e.record.backbone.parameters) for e in trained if e.record.backbone}
    ):
        positions.setdefault(size / 1e6, []).append(name)
    return positions


def _scored(trained: list[Entry]) -> list[Entry]:
    """Return the entries that have a place in the figure of sizes."""
    return [entry for entry in trained if entry.record.metrics.fullsup_box_acc_v2 is not None]


def _baseline_lines(axes: mpl.axes.Axes, table: Table) -> None:
    for entry, style in _baselines(table):
        score = entry.record.metrics.fullsup_box_acc_v2
        if score is not None:
            axes.axhline(score, color="0.35", lw=1, ls=style, label=visible(entry.method))


def _trained(table: Table, methods: list[str]) -> list[Entry]:
    """Return the entries of trained networks to draw."""
    return [entry for entry in table.entries if entry.is_trained and entry.method in methods]


def _baselines(table: Table) -> Iterator[tuple[Entry, Any]]:
    """Yield the baselines, each with its kind of line."""
    return zip((entry for entry in table.entries if entry.is_baseline), cycle(LINES), strict=False)


def _curves_figure(table: Table, methods: list[str]) -> Figure:
    """Draw BoxAcc(τ) at IoU 0.5, largest contour, a panel for each trained network, a line for each method."""
    trained = _trained(table, methods)
    names = sorted({entry.backbone for entry in trained})
    figure = Figure(figsize=(3.2 * max(len(names), 1), 3.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, max(len(names), 1), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=False):
        for entry in trained:
            if entry.backbone == name and entry.has_maps:
                panel.plot(*_curve(entry), color=_colour(entry.method, methods), lw=1.5, zorder=_height(entry))
        for entry, style in _baselines(table):
            panel.plot(*_curve(entry), color="0.35", lw=1, ls=style)
        panel.set_title(visible(name), fontsize=9)
        panel.set_xlabel("τ")
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("BoxAcc(τ, 0.5), largest contour (%)")
    handles = [
        mpl.lines.Line2D([], [], color=_colour(method, methods), label=visible(_named(method, table)))
        for method in methods
    ]
    for entry, style in _baselines(table):
        handles.append(mpl.lines.Line2D([], [], color="0.35", ls=style, lw=1, label=visible(entry.method)))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _curve(entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    scored = entry.record.evaluated
    thresholds = cam_threshold_grid(entry.record.protocol.threshold_step)
    values = np.full(len(thresholds), np.nan) if scored.correct is None else scored.box_acc("single", 0.5)
    return thresholds, values


def _encoded(figure: Figure, ending: str, fingerprint: str) -> bytes:
    source = f"records:{fingerprint}"
    metadata = {"Software": None, "Source": source} if ending == "png" else {"Date": None, "Description": source}
    return encoded(figure, ending, metadata)
