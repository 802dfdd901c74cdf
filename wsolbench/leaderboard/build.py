"""Writing the leaderboard from its records, and noticing when what is there is not what they give."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path

from wsolbench.errors import DataError, OutputError
from wsolbench.escaping import fence, markdown_text, visible
from wsolbench.files import atomic_write, file_name
from wsolbench.leaderboard.entries import Table, file_stem, group_tables, read_entries, read_entry
from wsolbench.leaderboard.figures import draw_figures, fingerprint_of, methods_drawn, records_shown
from wsolbench.leaderboard.render import (
    SEEDS_EXPLAINED,
    as_csv,
    as_json,
    as_latex,
    as_markdown,
    seeds_as_latex,
    seeds_as_markdown,
)
from wsolbench.records import ResultRecord, identity_of, write_record
from wsolbench.records.store import files_beside, read_summary

RECORDS = "records"
FIGURES = "figures"


def add(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Copy records, with their outcomes, into ``records/<dataset>/<backbone>__<method>__<weights>.json``.

    A record of the same experiment is replaced; where one of another has the name, a hash is added to the new one's.

    Returns:
        Where they are now.

    Raises:
        DataError: A file is no record, has no outcomes or contradicts itself, or two are of one experiment; then none
            is copied.
        OutputError: A file cannot be written.
    """
    sources: dict[Path, Path] = {}
    records: dict[Path, ResultRecord] = {}
    experiments: dict[Path, str] = {}
    for path in paths:
        entry = read_entry(path, path.name)
        name = entry.record.dataset.name
        if name != file_name(name) or not name.strip("."):
            raise DataError(f"{path}: the data set's name {name!r} cannot be that of a folder")
        measured = identity_of(entry.record).sha256
        target = folder / RECORDS / name / f"{file_stem(entry)}.json"
        if target not in experiments and target.exists():
            experiments[target] = identity_of(read_summary(target)).sha256
        if experiments.setdefault(target, measured) != measured:
            target = target.with_stem(f"{target.stem}-{measured[:8]}")
        if target in sources:
            raise DataError(f"{path} is of the same experiment as {sources[target]}; add the one that shall count")
        sources[target], records[target] = path, entry.record
    for target, record in records.items():
        write_record(record, target.parent, target.stem)
    return sorted(sources)


def build(folder: Path) -> list[Path]:
    """Write README.md, leaderboard.csv, leaderboard.json, LaTeX files for every table, and the figures.

    Returns:
        The files, in the order of their names.

    Raises:
        DataError: A record cannot be read or contradicts itself.
        OutputError: A file cannot be written.
    """
    tables = _tables(folder)
    written = {**_texts(tables, folder), **_figures(tables)}
    _write({folder / name: content for name, content in written.items()})
    for stale in _leftovers(folder, {*written, *_galleries(tables)}):
        stale.unlink()
    return sorted(folder / name for name in written)


def check(folder: Path) -> list[str]:
    """Return what differs from what the records give, a line each; nothing where all is fresh.

    Texts are compared to the letter, figures by the fingerprint of the records that they were drawn from. A gallery,
    which ``wsolbench gallery`` draws to ``figures/<table>-gallery.png``, may show only records of its table.

    Raises:
        DataError: A record cannot be read or contradicts itself.
    """
    tables = _tables(folder)
    texts = _texts(tables, folder)
    problems = []
    for name, content in texts.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif path.read_bytes() != content:
            problems.append(f"{path} is not what the records give")
    expected = _figure_names(tables)
    for name, fingerprint in expected.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif fingerprint_of(path.read_bytes()) != fingerprint:
            problems.append(f"{path} was drawn from other records")
    for name, table in _galleries(tables).items():
        path = folder / name
        if path.is_file() and not _is_of_table(path, table):
            problems.append(f"{path} shows records that are not there; draw it again with 'wsolbench gallery'")
    known = {*texts, *expected, *_galleries(tables)}
    problems += [f"{path} belongs to no table" for path in _leftovers(folder, known)]
    problems += [f"{path} belongs to no record" for path in _unused(folder / RECORDS, tables)]
    return problems


def _write(contents: Mapping[Path, bytes]) -> None:
    for path, content in contents.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, content)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _tables(folder: Path) -> list[Table]:
    records = folder / RECORDS
    if not records.is_dir():
        raise DataError(
            f"{records} is no folder; records lie in {RECORDS}/<dataset>/<backbone>__<method>__<weights>.json"
        )
    tables = group_tables(read_entries(records))
    if not tables:
        raise DataError(f"{records} holds no records; 'wsolbench leaderboard add' puts them there")
    return tables


def _texts(tables: list[Table], folder: Path) -> dict[str, bytes]:
    galleries = {name for name in _galleries(tables) if (folder / name).is_file()}
    texts = {
        "README.md": _page(tables, galleries),
        "leaderboard.csv": as_csv(tables),
        "leaderboard.json": as_json(tables),
    }
    texts.update({f"{table.slug}.tex": as_latex(table) for table in tables})
    texts.update({f"{table.slug}-seeds.tex": seeds for table in tables if (seeds := seeds_as_latex(table))})
    return {name: text.encode() for name, text in texts.items()}


def _fingerprint(table: Table, methods: list[str]) -> str:
    records = [f"{entry.sha256} {entry.name}" for entry in table.entries]
    return hashlib.sha256("\n".join([*records, *methods]).encode()).hexdigest()


def _figure_names(tables: list[Table]) -> dict[str, str]:
    return {
        f"{FIGURES}/{table.slug}-{name}.{ending}": _fingerprint(table, methods_drawn(table, tables))
        for table in tables
        if any(entry.is_trained for entry in table.entries)
        for name in ("size", "curves")
        for ending in ("png", "svg")
    }


def _figures(tables: list[Table]) -> dict[str, bytes]:
    return {
        f"{FIGURES}/{name}": content
        for table in tables
        if any(entry.is_trained for entry in table.entries)
        for methods in [methods_drawn(table, tables)]
        for name, content in draw_figures(table, methods, _fingerprint(table, methods)).items()
    }


def _galleries(tables: list[Table]) -> dict[str, Table]:
    """Return where the gallery of each table may lie; a network is needed to draw it, so `build` does not."""
    return {f"{FIGURES}/{table.slug}-gallery.png": table for table in tables}


def _is_of_table(gallery: Path, table: Table) -> bool:
    shown = records_shown(gallery.read_bytes())
    return bool(shown) and set(shown) <= {entry.record.outcomes_sha256 for entry in table.entries}


def _leftovers(folder: Path, expected: set[str]) -> list[Path]:
    generated = [*folder.glob("*.tex"), *folder.glob(f"{FIGURES}/*.png"), *folder.glob(f"{FIGURES}/*.svg")]
    return sorted(path for path in generated if path.relative_to(folder).as_posix() not in expected)


def _unused(records: Path, tables: list[Table]) -> list[Path]:
    """Return files of outcomes and image ids that no record names; `build` leaves them, for they are no output."""
    entries = [entry for table in tables for entry in table.entries]
    needed = {path for entry in entries for path in files_beside(records / entry.name, entry.record)}
    return sorted(path for path in records.rglob("*.gz") if path not in needed)


def _page(tables: list[Table], galleries: Collection[str]) -> str:
    parts = [_HEAD]
    for table in tables:
        parts.append(f"## {markdown_text(table.title)}\n")
        seeds = seeds_as_markdown(table)
        if seeds is not None:
            heading = f"{SEEDS_EXPLAINED.capitalize()}; baselines for comparison; every seed by itself stands below:"
            parts.append(f"{heading}\n\n{seeds}\n")
        parts.append(f"{as_markdown(table)}\n")
        if any(entry.is_trained for entry in table.entries):
            parts.append(
                f"![score against size]({FIGURES}/{table.slug}-size.png)\n\n"
                f"![BoxAcc against τ]({FIGURES}/{table.slug}-curves.png)\n"
            )
        gallery = f"{FIGURES}/{table.slug}-gallery.png"
        if gallery in galleries:
            parts.append(f"![the same images across networks and methods]({gallery})\n")
        parts.append(f"{_commands(table)}\n")
    return "\n".join(parts)


def _commands(table: Table) -> str:
    """Return the commands that trained the networks and made the records, each once."""
    trainings = sorted({tuple(each.command for each in entry.history) for entry in table.entries if entry.history})
    commands = [
        *dict.fromkeys(chain.from_iterable(trainings)),
        *sorted({entry.record.environment.command for entry in table.entries}),
    ]
    done = "trained these networks and measured these rows" if trainings else "measured these rows"
    lines = "\n".join(map(visible, commands))
    block = f"{fence(lines)}sh\n{lines}\n{fence(lines)}"
    return f"<details><summary>The commands that {done}</summary>\n\n{block}\n\n</details>\n"


_HEAD = """# Leaderboard

Generated by `wsolbench leaderboard build` from the records in `records/`; `wsolbench leaderboard check` fails when it
is stale. Rows stand in one table only where data, split, protocol settings and target are equal. Percent. MaxBoxAcc and
V2 are at the best τ of the evaluated split (the oracle); the columns marked @fullsup are at the τ that train-fullsup
chose, and tables are sorted by the last of them. In brackets is the 95 % bootstrap interval over images, τ chosen anew
in every resample. An oracle's maximum is biased upwards, and more so on fewer images. Overlapping intervals of two rows
do not say that the rows are alike: `wsolbench compare RECORD RECORD` resamples both on the same images.
"""
