"""Writing the leaderboard from its records, and noticing when what is there is not what they give."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from wsolbench.errors import DataError, OutputError
from wsolbench.leaderboard.entries import Table, file_stem, group_tables, read_entries, read_entry
from wsolbench.leaderboard.figures import draw_figures, fingerprint_of
from wsolbench.leaderboard.render import as_csv, as_json, as_latex, as_markdown

RECORDS = "records"
FIGURES = "figures"


def add(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Copy records into ``records/<dataset>/<backbone>__<method>__<weights>.json``, replacing those of the same name.

    Returns:
        Where they are now.

    Raises:
        DataError: A file is no record or contradicts itself; then none is copied.
        OutputError: A file cannot be written.
    """
    contents = {}
    for path in paths:
        entry = read_entry(path, path.name)
        target = folder / RECORDS / entry.record.dataset.name / f"{file_stem(entry)}.json"
        if target in contents:
            raise DataError(f"{path}: another of these records would have the same name, {target.name}")
        contents[target] = path.read_bytes()
    _write(contents)
    return sorted(contents)


def build(folder: Path) -> list[Path]:
    """Write README.md, leaderboard.csv, leaderboard.json, a LaTeX file a table, and the figures.

    Returns:
        The files, in the order of their names.

    Raises:
        DataError: A record cannot be read or contradicts itself.
        OutputError: A file cannot be written.
    """
    tables = _tables(folder)
    written = {**_texts(tables), **_figures(tables)}
    _write({folder / name: content for name, content in written.items()})
    for stale in _leftovers(folder, set(written)):
        stale.unlink()
    return sorted(folder / name for name in written)


def check(folder: Path) -> list[str]:
    """Return what differs from what the records give, a line each; nothing where all is fresh.

    Texts are compared to the letter, figures by the fingerprint of the records that they were drawn from.

    Raises:
        DataError: A record cannot be read or contradicts itself.
    """
    tables = _tables(folder)
    problems = []
    for name, content in _texts(tables).items():
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
    problems += [f"{path} belongs to no table" for path in _leftovers(folder, {*_texts(tables), *expected})]
    return problems


def _write(contents: Mapping[Path, bytes]) -> None:
    for path, content in contents.items():
        draft = path.with_name(f".{path.name}.draft")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(path)
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


def _texts(tables: list[Table]) -> dict[str, bytes]:
    texts = {"README.md": _page(tables), "leaderboard.csv": as_csv(tables), "leaderboard.json": as_json(tables)}
    texts.update({f"{table.slug}.tex": as_latex(table) for table in tables})
    return {name: text.encode() for name, text in texts.items()}


def _fingerprint(table: Table) -> str:
    told = "\n".join(f"{entry.sha256} {entry.name}" for entry in table.entries)
    return hashlib.sha256(told.encode()).hexdigest()


def _figure_names(tables: list[Table]) -> dict[str, str]:
    return {
        f"{FIGURES}/{table.slug}-{name}.{ending}": _fingerprint(table)
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
        for name, content in draw_figures(table, _fingerprint(table))
    }


def _leftovers(folder: Path, expected: set[str]) -> list[Path]:
    generated = [*folder.glob("*.tex"), *folder.glob(f"{FIGURES}/*.png"), *folder.glob(f"{FIGURES}/*.svg")]
    return sorted(path for path in generated if path.relative_to(folder).as_posix() not in expected)


def _page(tables: list[Table]) -> str:
    parts = [_HEAD]
    for table in tables:
        parts.append(f"## {table.title}\n\n{as_markdown(table)}\n")
        if any(entry.is_trained for entry in table.entries):
            parts.append(
                f"![score against size]({FIGURES}/{table.slug}-size.png)\n\n"
                f"![BoxAcc against τ]({FIGURES}/{table.slug}-curves.png)\n"
            )
        parts.append(f"{_commands(table)}\n")
    return "\n".join(parts)


def _commands(table: Table) -> str:
    """Return the commands that made the records, each once."""
    commands = sorted({entry.record.environment.command for entry in table.entries})
    lines = "\n".join(commands)
    return f"<details><summary>The commands that measured these rows</summary>\n\n```sh\n{lines}\n```\n\n</details>\n"


_HEAD = """# Leaderboard

Generated by `wsolbench leaderboard build` from the records in `records/`; `wsolbench leaderboard check` fails when it
is stale. Rows stand in one table only where data, split, protocol settings and target are equal. Percent. MaxBoxAcc and
V2 are at the best τ of the evaluated split (the oracle); the columns marked @fullsup are at the τ that train-fullsup
chose, and tables are sorted by the last of them.
"""
