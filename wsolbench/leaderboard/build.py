"""Writing the leaderboard from its records, and noticing when what is there is not what they give."""

from __future__ import annotations

import gc
import hashlib
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

from wsolbench.errors import DataError
from wsolbench.escaping import markdown_text
from wsolbench.leaderboard.claims import claims_as_markdown
from wsolbench.leaderboard.data import as_csv, as_json
from wsolbench.leaderboard.details import DETAILS, details_of
from wsolbench.leaderboard.difference import as_lines, compare, read, standing_of
from wsolbench.leaderboard.entries import RANKED, RECORDS, Table, group_tables, read_all, whole_of
from wsolbench.leaderboard.equal import equal_on
from wsolbench.leaderboard.figures import (
    ENDINGS,
    TITLES,
    Drawn,
    Names,
    figures_of,
    fingerprint_of,
    left_out,
    names_of,
    records_shown,
)
from wsolbench.leaderboard.latex import as_latex
from wsolbench.leaderboard.lock import locked
from wsolbench.leaderboard.markdown import Section, as_readme
from wsolbench.leaderboard.output import (
    INDEX,
    MANIFEST,
    PAGE,
    ROWS,
    SAYS,
    SYSTEMS,
    check_own,
    leftovers,
    listed,
    mark_of,
    publish,
)
from wsolbench.leaderboard.page import Part, render_page
from wsolbench.leaderboard.reported import ReportedTable, read_reported, reported_rows
from wsolbench.leaderboard.rows import rows_of, score_of
from wsolbench.leaderboard.seeds import uncounted
from wsolbench.leaderboard.shown import fields_named, select_rows
from wsolbench.leaderboard.submissions import accepted
from wsolbench.leaderboard.systems import systems_as_markdown
from wsolbench.progress import Reporter
from wsolbench.records.store import files_beside
from wsolbench.texts import counted

FIGURES = "figures"
_MOST_CHANGES = 30
"""Rows that `check` names; 'wsolbench leaderboard diff' names all."""


def build(folder: Path, reporter: Reporter | None = None) -> list[Path]:
    """Write the page, README.md, claims.md, systems.md, rows as CSV and JSON, LaTeX of every table, and the figures.

    A record that contradicts itself is left out, and named when everything else is written. A file that was changed
    since it was built is never replaced. Files of an earlier build that no record produces any more are removed,
    unless they were changed since; no others are.

    Returns:
        The files, in the order of their names.

    Raises:
        DataError: A record cannot be read; or records were left out.
        OutputError: A file cannot be written, or would replace one that no build wrote or that was changed since.
    """
    reporter = reporter or Reporter()
    _check_folder(folder)
    with locked(folder, reporter):
        tables, refused = _tables(folder, reporter)
        parts = _parts(tables, folder)
        contents = _texts(parts, tables, len(refused))
        check_own(folder, {**contents, MANIFEST: b""})  # before figures are drawn, which takes long
        contents |= _figures(_drawn(tables, parts), names_of(tables), reporter)
        contents[MANIFEST] = as_json(parts, {name: mark_of(content) for name, content in contents.items()}).encode()
        check_own(folder, contents)
        removed, changed = leftovers(folder, contents)
        publish(folder, contents, removed)
    for name in (name for name in removed if not name.startswith(f"{DETAILS}/")):  # a name there says nothing
        reporter.say(f"removed {folder / name}, which no record produces any more")
    for name in changed:
        reporter.say(f"kept {folder / name}, which no record produces any more: it was changed since it was built")
    if refused:
        raise DataError(_told(refused, "left out; all others are in the leaderboard"))
    return sorted(folder / name for name in contents)


def check(folder: Path, reporter: Reporter | None = None) -> list[str]:
    """Return what differs from what the records give, a line each; nothing where all is fresh.

    Texts are compared to the letter, figures by the fingerprint of the records that they were drawn from, and with
    what the last build drew, since pixels differ between versions of the drawing library. A gallery,
    which ``wsolbench gallery`` draws to ``figures/<table>-gallery.png``, may show only records of its table. The last
    lines say which rows, scores and ranks are not those of the last build.

    Raises:
        DataError: Records cannot be read or contradict themselves; all are named.
    """
    reporter = reporter or Reporter()
    _check_folder(folder)
    with locked(folder, reporter, shared=True):
        tables, refused = _tables(folder, reporter)
        if refused:
            raise DataError(_told(refused, "wrong; remove or replace what is wrong"))
        return _differences(folder, tables)


def _check_folder(folder: Path) -> None:
    if not (folder / RECORDS).is_dir():
        raise DataError(_without_records(folder))


def _without_records(folder: Path) -> str:
    command = f"wsolbench leaderboard add runs/*/record-*.json --folder {shlex.quote(str(folder))}"
    return f"{folder} has no records; add some: '{command}'"


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the collector of cycles: millions of records' parts stay, and looking through them again finds nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_uncollected()
def _tables(folder: Path, reporter: Reporter) -> tuple[list[Table], list[str]]:
    """Return the tables, and a line for every record that stands in none because it contradicts itself."""
    entries, refused = read_all(folder / RECORDS, reporter)
    entries, not_accepted = accepted(entries, folder / RECORDS)
    refused += not_accepted
    if not entries and refused:
        raise DataError(_told(refused, "wrong; no record remains"))
    if not entries:
        raise DataError(_without_records(folder))
    return group_tables(entries), refused


def _told(refused: Sequence[str], what: str) -> str:
    """Say what becomes of wrong records before each says what is wrong, as some of them end with a remedy."""
    if len(refused) == 1:
        return f"1 record is {what}: {refused[0]}"
    listed = "".join(f"\n  {line}" for line in refused)
    return f"{len(refused)} records are {what}:{listed}"


def _differences(folder: Path, tables: list[Table]) -> list[str]:
    parts, marks = _parts(tables, folder), listed(folder)
    expected = _figure_names(_drawn(tables, parts), names_of(tables))
    texts = _texts(parts, tables)
    files = {name: mark_of(content) for name, content in texts.items()} | {name: marks.get(name) for name in expected}
    texts[MANIFEST] = as_json(parts, files).encode()
    problems = []
    for name, content in texts.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif path.read_bytes() != content:
            changed = name in marks and mark_of(path.read_bytes()) != marks[name]
            problems.append(_changed(path) if changed else f"{path} is not what the records give")
    for name, fingerprint in expected.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif fingerprint_of(path.read_bytes()) != fingerprint:
            problems.append(f"{path} was drawn from other records")
        elif name in marks and mark_of(path.read_bytes()) != marks[name]:
            problems.append(_changed(path))
    for name, table in _galleries(tables).items():
        path = folder / name
        if path.is_file() and not _is_of_table(path, table):
            problems.append(f"{path} shows records that are not there; draw it again with 'wsolbench gallery'")
    problems += [f"{folder / name} belongs to no table" for name in chain(*leftovers(folder, {*texts, *expected}))]
    problems += [f"{path} belongs to no record" for path in _unused(folder / RECORDS, tables)]
    return problems + (_changed_rows(folder, parts) if problems else [])


def _changed_rows(folder: Path, parts: Sequence[Part]) -> list[str]:
    """Return which rows differ from those of the last build, a line each; nothing where no build is known."""
    try:
        before = read(str(folder), folder)
    except DataError:
        return []
    after = [standing_of(row) for part in parts for row in part.rows]
    difference = compare(before, after, ("its last build", str(folder)))
    return as_lines(difference, _MOST_CHANGES) if difference.changes else []


def _changed(path: Path) -> str:
    return f"{path} was changed after it was built; move it, or delete it, before you build again"


@_uncollected()
def _parts(tables: Sequence[Table], folder: Path) -> list[Part]:
    """Return the tables with their rows, and what papers report."""
    galleries = {name for name in _galleries(tables) if (folder / name).is_file()}
    return _with_reported([_part(table, galleries) for table in tables], read_reported(folder))


@_uncollected()
def _texts(parts: Sequence[Part], tables: Sequence[Table], refused: int = 0) -> dict[str, bytes]:
    usual = [table for table in tables if table.first.protocol.is_usual]
    further = {SAYS: claims_as_markdown(usual), SYSTEMS: systems_as_markdown(usual)}
    pages = {name: text for name, text in further.items() if text is not None}
    texts = {
        PAGE: _readme(parts, tables, pages, refused),
        ROWS: as_csv(row for part in parts for row in part.rows),
    }
    texts |= pages
    for part in parts:
        rows = select_rows(part.rows, (), part.score)
        texts[f"{part.slug}.tex"] = as_latex(part.title, rows, fields_named(()), part.score)
    encoded = {name: text.encode() for name, text in texts.items()}
    for table in tables:
        encoded |= details_of(table)
    return {INDEX: render_page(parts, pages, refused), **encoded}


def _part(table: Table, galleries: Collection[str]) -> Part:
    """Return a table as the page shows it."""
    drawn, gallery = Drawn(table, rows_of(table), score_of(table)), f"{FIGURES}/{table.slug}-gallery.png"
    return Part(
        slug=table.slug,
        name=table.first.dataset.name,
        title=table.title,
        rows=drawn.rows,
        score=drawn.score,
        figures={TITLES[name]: f"{FIGURES}/{table.slug}-{name}.svg" for name in figures_of(drawn)},
        gallery=gallery if gallery in galleries else None,
        unusual=table.first.protocol.unusual,
    )


def _with_reported(parts: Sequence[Part], reported: Mapping[str, ReportedTable]) -> list[Part]:
    """Return the tables with what papers report of their data sets, and tables of what they report of others."""
    usual = [part for part in parts if part.is_usual]  # papers report scores of the protocol
    measured = [row for part in usual for row in part.rows]
    rows = reported_rows(reported, measured, {part.slug: part.name for part in usual})
    own = {part.slug for part in usual}
    papers = {table.source: table.bibtex for table in reported.values() if table.bibtex is not None}
    joined = [replace(part, rows=[*part.rows, *(row for row in rows if row.table == part.slug)]) for part in parts]
    others = [name for name in dict.fromkeys(row.table for row in rows) if name not in own]
    alone = [
        Part(name, name, f"{name}, as papers report it", [row for row in rows if row.table == name], RANKED[0])
        for name in others
    ]
    return [replace(part, papers=papers) for part in (*joined, *alone)]


def _drawn(tables: Iterable[Table], parts: Iterable[Part]) -> list[Drawn]:
    """Return the tables that were measured, with their rows, as their figures show them."""
    of_slug = {part.slug: part for part in parts}
    return [Drawn(table, of_slug[table.slug].rows, of_slug[table.slug].score) for table in tables]


def _fingerprint(table: Table, names: Names) -> str:
    records = [f"{entry.sha256} {entry.name}" for entry in table.entries]
    return hashlib.sha256("\n".join([*records, *names.methods, *names.networks]).encode()).hexdigest()


def _figure_names(drawn: Iterable[Drawn], names: Names) -> dict[str, str]:
    return {
        f"{FIGURES}/{each.table.slug}-{name}.{ending}": _fingerprint(each.table, names)
        for each in drawn
        for name in figures_of(each)
        for ending in ENDINGS
    }


def _figures(drawn: Sequence[Drawn], names: Names, reporter: Reporter) -> dict[str, bytes]:
    from wsolbench.leaderboard.drawing import draw_board  # with the drawing library, which `check` does not need

    found: dict[str, bytes] = {}
    count = sum(len(figures_of(each)) for each in drawn)
    marked = [(each, _fingerprint(each.table, names)) for each in drawn]
    with (
        reporter.phase("drawing figures", count, "figures") as advance,
        closing(draw_board(marked, names)) as figures,
    ):
        for files in figures:
            found |= {f"{FIGURES}/{name}": content for name, content in files.items()}
            advance(1)
    return found


def _galleries(tables: Sequence[Table]) -> dict[str, Table]:
    """Return where the gallery of each table may lie; a network is needed to draw it, so `build` does not."""
    return {f"{FIGURES}/{table.slug}-gallery.png": table for table in tables}


def _is_of_table(gallery: Path, table: Table) -> bool:
    shown = records_shown(gallery.read_bytes())
    return bool(shown) and set(shown) <= {entry.record.outcomes_sha256 for entry in table.entries}


def _unused(records: Path, tables: list[Table]) -> list[Path]:
    """Return files of outcomes and image ids that no record names; `build` leaves them, for they are no output."""
    entries = [entry for table in tables for entry in table.entries]
    needed = {path for entry in entries for path in files_beside(records / entry.name, entry.record)}
    return sorted(path for path in records.rglob("*.gz") if path not in needed)


def _readme(parts: Sequence[Part], tables: Sequence[Table], pages: Collection[str], refused: int = 0) -> str:
    measured = {table.slug: table for table in tables}
    sections = [
        Section(part, _remarks(part, measured[part.slug], tables) if part.slug in measured else [], _files(part))
        for part in parts
    ]
    return as_readme(sections, pages, refused)


def _remarks(part: Part, table: Table, tables: Sequence[Table]) -> list[str]:
    """Return what has to be known to read a table, a line each, as Markdown."""
    uncounted_lines = [
        f"Not counted as a seed: {markdown_text(entry.name)} {markdown_text(why)}." for entry, why in uncounted(table)
    ]
    without: dict[str, list[str]] = {}
    for name, why in left_out(Drawn(table, part.rows, part.score)).items():
        without.setdefault(why, []).append(TITLES[name])
    absent = [f"No figure of {'; '.join(titles)}: {markdown_text(why)}." for why, titles in without.items()]
    others = (_selection(table, tables), _pretrained(table), *uncounted_lines, _equal_rows(table), *absent)
    return [line for line in others if line]


def _files(part: Part) -> list[tuple[str, str]]:
    """Return the figures of a table, and what each shows."""
    gallery = [("the same images across networks and methods", part.gallery)] if part.gallery else []
    return [*part.figures.items(), *gallery]


def _selection(table: Table, tables: Sequence[Table]) -> str | None:
    """Return that the images are a part of those of another table, and the folder that lists them; None where not."""
    whole = whole_of(table, tables)
    if whole is None:
        return None
    lists = {(entry.record.config or {}).get("metadata_root") for entry in table.entries}
    folders = {Path(str(folder)).name for folder in lists if folder is not None}
    listed = f", listed in {markdown_text(min(folders))}," if len(folders) == len(lists) == 1 else ""
    images = len(table.first.evaluated.image_ids)
    these, are = ("This", "is") if images == 1 else ("These", "are")
    return f"{these} {counted(images, 'images')}{listed} {are} a part of the {whole:,} of another table."


def _pretrained(table: Table) -> str | None:
    """Return the pretrained networks with the source of their weights and their accuracy, or None where none is."""
    named: dict[tuple[str, str], float | None] = {
        (entry.backbone, entry.weights): entry.record.metrics.top1_acc for entry in table.entries if entry.is_pretrained
    }
    if not named:
        return None
    shown = (
        f"{markdown_text(network)} ({markdown_text(weights)}{'' if top1 is None else f', top-1 {top1:.1f}'})"
        for (network, weights), top1 in sorted(named.items())
    )
    return f"Pretrained networks: {'; '.join(shown)}."


def _equal_rows(table: Table) -> str | None:
    """Return which methods have equal rows, and on which networks; None where no two are equal."""
    groups = equal_on([entry for entry in table.entries if entry.is_trained])
    if not groups:
        return None
    of = [f"{' = '.join(methods)} on {', '.join(networks)}" for methods, networks in groups.items()]
    return f"Equal on every image, as their formulas come to the same map there: {markdown_text('; '.join(of))}."
