"""The leaderboard as one HTML page: it opens from disk, holds all rows, and asks no server for anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from itertools import product
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from wsolbench import __version__
from wsolbench.escaping import csv_cell, finite_json, latex_text, markdown_text, visible
from wsolbench.leaderboard.architectures import Architecture, architectures_of
from wsolbench.leaderboard.details import DETAILS
from wsolbench.leaderboard.entries import COMPARED
from wsolbench.leaderboard.output import FURTHER
from wsolbench.leaderboard.rows import COLUMNS, BoardTable, Row
from wsolbench.leaderboard.shown import FIELDS, NO_THRESHOLD, heading_of, method_of
from wsolbench.records.marks import explain_marks
from wsolbench.templates import html_template
from wsolbench.texts import counted

__all__ = ["Part", "render_page"]

PAPER_METHODS = {"cam": "CAM", "pc1": "PC1", "cam-pos": "pos", "cam-neg": "neg"}
"""The methods that the table of architectures has side by side, and their headings."""

_FACTS = {
    "rank": "Rank",
    "method": "Method",
    "weights": "Weights",
    "parameters": "Params (M)",
    "kernel": "Kernel",
    "family": "Family",
    "precision": "Precision",
}
"""The columns of a row beside its network and its metrics, and their headings."""

_HEADINGS = {
    **{column.key: column.heading.partition(" [")[0] for column in COLUMNS},
    **_FACTS,
    **PAPER_METHODS,
    "network": "Network",
    "best": "Best method",
}
"""Column -> its heading."""

_FIRST = {"fullsup_box_acc_v2": 1, "fullsup_box_acc": 2, "max_box_acc_v2": 3, "max_box_acc": 4}
_COLUMNS = sorted(COLUMNS, key=lambda column: _FIRST.get(column.key, 9))
"""The metrics, that of ranks first."""

_KINDS_OF_SCORES = {"MaxBoxAcc": ("max_box_acc", "fullsup_box_acc"), "V2": ("max_box_acc_v2", "fullsup_box_acc_v2")}
"""What papers report under one name, at the τ of train-fullsup or at the best one."""

_HIDDEN = ("family", "precision", "max_box_acc", "max_box_acc_v2", "top1_acc", "pxap")
"""Columns that a reader turns on."""

_MINOR = ("parameters", "kernel", "weights", "top1_loc", "max_box_acc_v2", "cam-pos", "cam-neg")
"""Columns that a phone shows when its reader asks for them."""


@dataclass(frozen=True)
class Part(BoardTable):
    """A table as the page shows it.

    Attributes:
        figures: What a figure shows -> its file.
        gallery: The file of its gallery, or None.
        papers: What the sources of reported rows begin with -> the paper as BibTeX.
        unusual: What of frame and δ is not that of the protocol, for people.
    """

    figures: Mapping[str, str] = field(default_factory=dict)
    gallery: str | None = None
    papers: Mapping[str, str] = field(default_factory=dict)
    unusual: Sequence[str] = ()

    @property
    def is_usual(self) -> bool:
        """Whether frame and δ are those of the protocol."""
        return not self.unusual

    @property
    def label(self) -> str:
        """What people call it: the data set, and what is unusual."""
        return ", ".join([self.name, *self.unusual])

    @cached_property
    def is_reported(self) -> bool:
        """Whether nothing of it was measured."""
        return all(row.kind == "reported" for row in self.rows)

    @cached_property
    def headings(self) -> Mapping[str, str]:
        """Column -> its heading in this table."""
        metrics = {column.key: heading_of(FIELDS[column.key], self.rows).partition(" [")[0] for column in COLUMNS}
        return _HEADINGS | metrics

    @property
    def images(self) -> int | None:
        """How many images its rows are of; None where a paper does not say."""
        return self.rows[0].images

    @property
    def notes(self) -> list[str]:
        """What the marks behind its rows mean, and where reported ones are from, a line each."""
        marks = {mark for row in self.rows for mark in row.marks}
        told = [part for row in self.rows if row.source for part in _source_notes(row.source, row.marks)]
        return [*dict.fromkeys(told), *explain_marks(marks)]

    @property
    def peaks(self) -> list[tuple[str, str, Row]]:
        """The best reported row by each kind of score, at whatever τ: name of the kind, key of the figure, row."""
        found = []
        for name, keys in _KINDS_OF_SCORES.items():
            figures = [
                (value, key, row)
                for row in self.rows
                for key in keys
                if (value := row.metrics.get(key)) is not None and key in row.printed
            ]
            found += [(name, *max(figures, key=lambda each: each[0])[1:])] if figures else []
        return found

    @cached_property
    def filled(self) -> set[str]:
        """The columns in which any of its rows has something."""
        metrics = {key for row in self.rows for key, value in row.metrics.items() if value is not None}
        facts = {key for key in _FACTS for row in self.rows if getattr(row, key) is not None}
        return metrics | facts - {"family"}  # which is read off the name

    def paper_of(self, row: Row) -> str | None:
        """What the source of a reported row begins with, where its paper is known."""
        return next((source for source in self.papers if (row.source or "").startswith(source)), None)

    @cached_property
    def measured(self) -> list[Row]:
        """The rows of networks."""
        return [row for row in self.rows if row.kind in ("measured", "submitted")]

    @cached_property
    def baselines(self) -> list[Row]:
        """The rows that no network has a part in."""
        return [row for row in self.rows if row.kind == "baseline"]

    @cached_property
    def architectures(self) -> list[Architecture]:
        """A line for every trained network."""
        return architectures_of(self.rows, self.score)

    @cached_property
    def lines(self) -> list[Architecture | Row]:
        """The architectures with the baselines among them, by score; one that was measured again is there once."""

        def place(line: Architecture | Row) -> float:
            value = (line.best if isinstance(line, Architecture) else line).metrics[self.score]
            return 1.0 if value is None else -value

        baselines = {(row.method, row.metrics[self.score]): row for row in reversed(self.baselines)}
        return sorted([*self.architectures, *baselines.values()], key=place)

    @cached_property
    def place_of(self) -> dict[str, int]:
        """The place of the architecture that a row is of: id -> place."""
        return {row: place for place, each in enumerate(self.architectures) for row in each.rows}


@dataclass(frozen=True)
class Strip:
    """A line of the summary: the best row of a table, between the others.

    Attributes:
        part: The table.
        best: Its best row.
        value: Its score.
        ends: Of its interval; of a mean without one, mean ± sd.
        others: The best scores of the other networks.
        rivals: How many other networks may be as good.
        baseline: The best row that no network has a part in, with its score.
    """

    part: Part
    best: Row
    value: float
    ends: tuple[float, float] | None
    others: Sequence[tuple[str, float]]
    rivals: int | None
    baseline: tuple[Row, float] | None


def _source_notes(source: str, marks: Sequence[str]) -> list[str]:
    """Return where a reported row is from, and what its marks mean; what else it says is about this row alone."""
    first, *others = source.split("; ")
    return [first, *(part for part in others if part.partition(" ")[0] in marks)]


def render_page(parts: Sequence[Part], pages: Collection[str] = (), left_out: int = 0) -> bytes:
    """Return ``index.html``.

    Args:
        parts: The tables: those of what was measured, and then those of what papers report of other data sets.
        pages: Those of `FURTHER` that there are.
        left_out: How many records are wrong, and so are in no table.
    """
    measured = [part for part in parts if not part.is_reported]
    strips = [strip for part in parts if part.is_usual and (strip := _strip(part)) is not None]
    rows = [row for part in parts for row in part.rows]
    page = html_template("wsolbench.leaderboard", "index.html.jinja").render(
        parts=parts,
        names=_names(parts),
        strips=strips,
        axis=_axis(strips),
        facets=_facets(parts, rows),
        counts=_counts(measured, rows),
        columns=_COLUMNS,
        facts=_FACTS,
        headings=_HEADINGS,
        paper_methods=PAPER_METHODS,
        hidden=_HIDDEN,
        minor=_MINOR,
        further={file: told for file, told in FURTHER.items() if file in pages},
        left_out=left_out,
        settings=_json(_settings(parts, rows)),
        style=_asset("page.css"),
        scripts=[_asset(name) for name in _SCRIPTS],
        version=__version__,
        number=_number,
        link=quote,
        detail=_detail,
        method_of=method_of,
        short=_short,
        classes_of=_classes,
    )
    return page.encode()


_SCRIPTS = ("state.js", "tables.js", "details.js", "intervals.js", "compare.js", "export.js", "start.js")


def _asset(name: str) -> Markup:
    return Markup((files(__package__) / "templates" / name).read_text(encoding="utf-8"))


def _json(value: Any) -> Markup:
    """Return a value for a script element, which nothing in it ends."""
    return Markup(finite_json(value).replace("<", "\\u003c"))


def _settings(parts: Sequence[Part], rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the scripts have to know: it has one home, which is not in them."""
    return {
        "details": DETAILS,
        "compared": list(COMPARED),
        "metrics": [*(column.key for column in COLUMNS), *PAPER_METHODS],
        "no_threshold": NO_THRESHOLD,
        "own_reference": _OWN_REFERENCE,
        "papers": {source: entry for part in parts for source, entry in part.papers.items()},
        "headings": _HEADINGS,
        "escaped": _escaped(parts, rows),
        "version": __version__,
    }


_OWN_REFERENCE = f"""@misc{{wsolbench,
  title = {{wsolbench: a benchmark harness for weakly supervised object localization}},
  note = {{Leaderboard, version {__version__}}}
}}
"""


def _escaped(parts: Sequence[Part], rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Return the texts of the page that a format writes otherwise: format -> text -> how it is written there."""
    names = (
        text
        for row in rows
        for text in (
            row.network,
            method_of(row),
            row.weights,
            row.family,
            row.precision,
            row.source,
            *row.marks,
            *row.printed.values(),
        )
    )
    titles = (text for part in parts for text in (part.name, part.title))
    headings = (text for part in parts for text in part.headings.values())
    known = sorted({visible(text) for text in (*names, *titles, *headings) if text})
    formats = {"latex": latex_text, "markdown": markdown_text, "csv": csv_cell}
    return {
        name: {text: written for text in known if (written := escape(text)) != text} for name, escape in formats.items()
    }


def _strip(part: Part) -> Strip | None:
    """Return the line of a table in the summary; None where no network has a score."""
    scored = [(each, value) for each in part.architectures if (value := each.best.metrics[part.score]) is not None]
    if not scored:
        return None
    (first, value), *others = scored
    best = first.best
    ends = best.intervals.get(part.score)
    if ends is None and part.score in best.sd:
        ends = value - best.sd[part.score], value + best.sd[part.score]
    baselines = [(row, found) for row in part.baselines if (found := row.metrics[part.score]) is not None]
    first_of = {part.place_of.get(row.id) for row in part.measured if row.rank is not None and row.rank[0] == 1}
    return Strip(
        part,
        best,
        value,
        ends,
        [(each.best.network or "–", found) for each, found in others],
        len(first_of - {0, None}) if best.rank is not None else None,
        max(baselines, key=lambda each: each[1], default=None),
    )


def _axis(strips: Iterable[Strip]) -> tuple[int, int]:
    """Return whole tens around all that the summary draws."""
    drawn = [
        value
        for strip in strips
        for value in (
            strip.value,
            *(strip.ends or ()),
            *(found for _, found in strip.others),
            *([strip.baseline[1]] if strip.baseline else []),
        )
    ]
    if not drawn:
        return 0, 100
    return int(min(drawn) // 10 * 10), min(100, int(max(drawn) // 10 * 10 + 10))


def _facets(parts: Sequence[Part], rows: Sequence[Row]) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Return by what rows are filtered: name -> heading, and the values with what they are called."""

    def values(found: Iterable[str | None]) -> list[tuple[str, str]]:
        return [
            (value, value)
            for value in sorted({value for value in found if value}, key=lambda value: (value.casefold(), value))
        ]

    kinds, names = {row.kind for row in rows}, _names(parts)
    return {
        "data": ("Data set", [(part.slug, _label(part, names[part.slug])) for part in parts]),
        "family": ("Architecture", values(row.family for row in rows)),
        "method": ("Method", values(row.method for row in rows)),
        "weights": ("Weights", values(row.weights_kind for row in rows)),
        "kind": ("Source", [(kind, kind) for kind in _KINDS if kind in kinds]),
    }


def _names(parts: Sequence[Part]) -> dict[str, str]:
    """Return what people call tables, or the name of their files where two would look the same."""
    count = Counter((part.label, part.images) for part in parts)
    return {part.slug: part.label if count[part.label, part.images] == 1 else part.slug for part in parts}


def _label(part: Part, name: str) -> str:
    return f"{name}, {counted(part.images, 'images')}" if part.images else name


_KINDS = ("measured", "submitted", "baseline", "reported")


def _counts(parts: Sequence[Part], rows: Sequence[Row]) -> dict[str, int]:
    measured = [row for row in rows if row.kind != "reported" and not row.is_mean]
    return {
        "rows": len(measured),
        "networks": len({row.network for row in measured if row.network}),
        "methods": len({row.method for row in measured if row.kind != "baseline"}),
        "data": len({part.name for part in parts}),
    }


def _classes(part: Part) -> dict[str | tuple[str, bool], str]:
    """Return the classes of the cells of a table's rows: column -> classes; of a text also whether it is short."""
    empty = {key: " empty" if part.is_reported and key not in part.filled else "" for key in ("pick", *_HEADINGS)}
    found: dict[str | tuple[str, bool], str] = {"pick": f"pick scripted{empty['pick']}"}
    found |= {
        key: f"n{' minor' if key in _MINOR else ''}{empty[key]}"
        for key in (*(column.key for column in _COLUMNS), "parameters", "kernel")
    }
    for key, is_short in product(("family", "weights", "precision"), (True, False)):
        minor, more = "minor" if key in _MINOR else "", f"{'w' if is_short else ''}{empty[key]}"
        found[key, is_short] = " ".join(filter(None, [minor, more]))
    return found


def _detail(row: Row) -> str | None:
    """Return the name of the file with the details of a row; None of what no record has."""
    return row.record_sha256[:16] if row.record_sha256 else None


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _short(value: float) -> str:
    """Return a number for a script: digits beyond these decide nothing."""
    return f"{value:.6g}"
