"""Analyses as one HTML page, which opens from disk; its figures are in the folders beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from wsolbench import __version__
from wsolbench.analysis.stored import StoredAnalysis
from wsolbench.analysis.study import Part
from wsolbench.escaping import visible

__all__ = ["render_page"]


def render_page(parts: Sequence[Part], command: str, cannot_say: str) -> str:
    """Return a page with a section for every analysis.

    Args:
        parts: The analyses, carried out or not.
        command: How the page was asked for.
        cannot_say: What must not be concluded from all of them.
    """
    templates = Environment(
        loader=PackageLoader("wsolbench.analysis", "templates"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    networks = dict.fromkeys(each.label for part in parts if part.stored for each in part.stored.networks)
    return templates.get_template("report.html.jinja").render(
        sections=[_Section(part) for part in parts],
        networks=list(networks),
        datasets=list(dict.fromkeys(_datasets(parts))),
        command=command,
        cannot_say=cannot_say,
        version=__version__,
    )


@dataclass(frozen=True)
class _Picture:
    """A figure of an analysis: its file, and the same picture as SVG."""

    source: str
    link: str
    alt: str


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
    def columns(self) -> list[str]:
        """The columns of the table."""
        return list(self.stored.table[0]) if self.stored and self.stored.table else []

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the table."""
        return [[_cell(row[name]) for name in self.columns] for row in self.stored.table] if self.stored else []

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


def _datasets(parts: Sequence[Part]) -> Iterable[str]:
    return (part.stored.dataset.name for part in parts if part.stored and part.stored.dataset)


def _in_order(files: Sequence[str], name: str) -> list[str]:
    """Return files with those of the main figure and table first."""
    return sorted(files, key=lambda file: (Path(file).stem != name, file))


def _picture(part: Part, file: str) -> _Picture:
    assert part.stored is not None
    which = Path(file).stem.removeprefix(part.name).removeprefix("-")
    alt = f"Figure of {part.name}{f', {which}' if which else ''}. {part.stored.shows}"
    return _Picture(_link(part, file), _link(part, f"{Path(file).stem}.svg"), alt)


def _link(part: Part, file: str) -> str:
    return quote(f"{part.name}/{file}")


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finalize(value: Any) -> Any:
    """Return what an expression of the template becomes: texts have no hidden characters."""
    return visible(value) if type(value) is str else value
