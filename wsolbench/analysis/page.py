"""Analyses as one HTML page, which opens from disk; its figures are in the folders beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from wsolbench import __version__
from wsolbench.analysis.stored import StoredAnalysis
from wsolbench.analysis.study import Part
from wsolbench.templates import html_template

__all__ = ["render_page"]


def render_page(parts: Sequence[Part], command: str, cannot_say: str) -> str:
    """Return a page with a section for every analysis.

    Args:
        parts: The analyses, carried out or not.
        command: How the page was asked for.
        cannot_say: What must not be concluded from all of them.
    """
    subjects = _subjects([part.stored for part in parts if part.stored])
    return html_template("wsolbench.analysis", "report.html.jinja").render(
        sections=[_Section(part) for part in parts],
        title=f"Analyses of {', '.join(subjects['networks']) or 'records'}",
        subjects=subjects,
        command=command,
        cannot_say=cannot_say,
        version=__version__,
    )


@dataclass(frozen=True)
class _Picture:
    """A figure of an analysis: its file, and the same picture as SVG."""

    source: str
    link: str
    vector: str
    alt: str


@dataclass(frozen=True)
class _Column:
    """A column of the table of an analysis; one of texts is aligned on the left."""

    name: str
    is_text: bool


class _Section:
    """An analysis as the template reads it."""

    def __init__(self, part: Part) -> None:
        self.name, self.title, self.stored = part.name, part.title, part.stored
        self.refusals = part.refusals
        self.quick = ", ".join(f"{name} {value}" for name, value in part.quick.items())
        files = part.stored.files if part.stored else []
        self.links = [(name, _link(part, name)) for name in [f"{part.name}.json", *files] if not name.endswith(".png")]
        self.pictures = [_picture(part, name) for name in _in_order(files, part.name) if name.endswith(".png")]

    @property
    def columns(self) -> list[_Column]:
        """The columns of the table."""
        table = self.stored.table if self.stored else []
        return [_Column(name, any(isinstance(row[name], str) for row in table)) for name in (table[0] if table else ())]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the table."""
        return (
            [[_cell(row[column.name]) for column in self.columns] for row in self.stored.table] if self.stored else []
        )

    @property
    def terms(self) -> dict[str, str]:
        """What words of the table and the figures mean."""
        return self.stored.terms if self.stored else {}

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What was analyzed, and how."""
        return list(_facts(self.stored)) if self.stored else []


def _facts(stored: StoredAnalysis) -> Iterable[tuple[str, str]]:
    if stored.dataset is not None:
        sizes = " + ".join(f"{count} images of {split}" for split, count in stored.dataset.split_sizes.items())
        yield "data", f"{stored.dataset.name}, {sizes}, annotations {stored.dataset.content_sha256}"
        yield "images", f"ids {stored.image_ids_sha256}"
    if stored.seed is not None:
        yield "seed", str(stored.seed)
    if stored.options:
        yield "options", ", ".join(f"{name}={_cell(value)}" for name, value in stored.options.items())
    for network in stored.networks:
        weights = network.backbone.weights
        content = f" {weights.sha256}" if weights.sha256 else ""
        yield network.label, f"{network.backbone.preprocessing.size} px, {weights.source} weights{content}"
    for record in stored.records:
        yield record.label, f"outcomes {record.outcomes_sha256}"
    environment = stored.environment
    revision = f", revision {environment.git_revision}" if environment.git_revision else ""
    yield "computed", f"{environment.created}, wsolbench {environment.wsolbench}{revision}, {environment.device}"


def _subjects(found: Sequence[StoredAnalysis]) -> dict[str, list[str]]:
    """Return what was analyzed, each thing once: networks whatever their weights and input, records, and data sets."""
    networks = (network.backbone.name for each in found for network in each.networks)
    records = (record.label for each in found for record in each.records)
    datasets = (each.dataset.name for each in found if each.dataset)
    named = {"networks": networks, "records": records, "data": datasets}
    return {kind: list(dict.fromkeys(names)) for kind, names in named.items()}


def _in_order(files: Sequence[str], name: str) -> list[str]:
    """Return files with those of the main figure and table first."""
    return sorted(files, key=lambda file: (Path(file).stem != name, file))


def _picture(part: Part, file: str) -> _Picture:
    assert part.stored is not None
    stem = Path(file).stem
    which = stem.removeprefix(part.name).removeprefix("-")
    if not which:
        alt = f"Figure of {part.name}. {part.stored.shows}"
    else:
        alt = f"Figure of {part.name}: {which}."
        if f"{stem}.csv" in part.stored.files:
            alt += f" Its numbers are in {stem}.csv."
    return _Picture(_link(part, file), _link(part, f"{stem}.svg"), f"{stem}.svg", alt)


def _link(part: Part, file: str) -> str:
    return quote(f"{part.name}/{file}")


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
