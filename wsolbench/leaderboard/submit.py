"""Contributing records to a leaderboard of others: verified, copied to where they belong, and told for a pull request.

Nothing is uploaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup
from tabulate import tabulate

from wsolbench.errors import DataError, WsolbenchError
from wsolbench.escaping import fence, markdown_text, visible
from wsolbench.leaderboard.add import copy_records, make_folder, read_new, targets_of
from wsolbench.leaderboard.difference import Difference, Standing, as_markdown, compare, standing_of
from wsolbench.leaderboard.entries import RECORDS, SUBMITTED, Entry, group_tables, read_entry, record_paths
from wsolbench.leaderboard.lock import locked
from wsolbench.leaderboard.rows import COLUMNS, Row, rows_of
from wsolbench.leaderboard.shown import FIELDS, heading_of
from wsolbench.leaderboard.submissions import accepted, problem_of
from wsolbench.progress import Reporter
from wsolbench.records import identity_of
from wsolbench.records.verify import CLAIMED, MARKED
from wsolbench.templates import markdown_template
from wsolbench.texts import counted, first_names

__all__ = ["Submission", "submit"]

_MOST_NAMES = 3
_SHOWN = ("network", "weights", "method", *(column.key for column in COLUMNS), "rank")
"""The columns of a row in the text of a pull request, between its table and its record."""


@dataclass(frozen=True)
class Submission:
    """Records that wait for a pull request.

    Attributes:
        files: Where they are now.
        title: Of the pull request.
        body: Of the pull request, in Markdown.
    """

    files: Sequence[Path]
    title: str
    body: str


def submit(folder: Path, paths: Sequence[Path], reporter: Reporter | None = None) -> Submission:
    """Copy records to ``records/submitted/``, and write what a pull request says of them.

    All records are verified first: their schema and hashes, and every score and interval from the outcomes of the
    images. All are copied, or none. A record that somebody submitted before is replaced by one of the same experiment;
    what was measured by those who keep the leaderboard stays.

    Args:
        folder: The leaderboard.
        paths: The files of records.
        reporter: Is told how far it is.

    Raises:
        DataError: A file is no record, contradicts itself, is of an older schema or on the leaderboard already.
        OutputError: A file cannot be written.
    """
    reporter = reporter or Reporter()
    entries = read_new(paths, reporter)
    _refuse({path: problem for path, entry in entries.items() if (problem := problem_of(entry))})
    make_folder(folder)
    with locked(folder, reporter):
        records = folder / RECORDS
        targets = targets_of(records / SUBMITTED, entries)
        known = _known(records, {entry.record.dataset.name for entry in entries.values()}, reporter)
        _refuse(_there_already(entries, known))
        new = [replace(entry, name=path.relative_to(records).as_posix()) for path, entry in targets.items()]
        replaced = {entry.name for entry in new}
        before, after = _rows(known), _rows([*(each for each in known if each.name not in replaced), *new])
        copy_records(folder, targets)
    rows = [row for row in after if row.record in replaced]
    difference = compare(_standings(before), _standings(after), ("the leaderboard without them", "with these records"))
    return Submission(sorted(targets), _title(new), _body(rows, difference))


def _refuse(problems: Mapping[Path, str]) -> None:
    """Refuse files, each with the reason.

    Raises:
        DataError: There is one.
    """
    lines = [f"{path}: {problem}" for path, problem in problems.items()]
    if len(lines) == 1:
        raise DataError(f"{lines[0]}; nothing is copied")
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        raise DataError(f"{len(lines)} records cannot be submitted, so nothing is copied:{listed}")


def _known(records: Path, datasets: Iterable[str], reporter: Reporter) -> list[Entry]:
    """Return what the leaderboard has of some data sets; ranks of others do not change."""
    names = set(datasets)
    paths = [path for path in record_paths(records) if path.parent.name in names] if records.is_dir() else []
    entries: list[Entry] = []
    with reporter.phase("checking records of the leaderboard", len(paths), "records") as advance:
        for path in paths:
            try:
                entries.append(read_entry(path, path.relative_to(records).as_posix()))
            except WsolbenchError as error:
                reporter.warn(f"not compared with: {error}")
            advance(1)
    kept, refused = accepted(entries, records)
    for line in refused:
        reporter.warn(f"not compared with: {line}")
    return kept


def _there_already(entries: Mapping[Path, Entry], known: Sequence[Entry]) -> dict[Path, str]:
    """Return which records are copies of what the leaderboard has, by file; one measured again is none."""
    places = {_measurement(entry): entry.name for entry in known}
    found = {path: places.get(_measurement(entry)) for path, entry in entries.items()}
    return {path: f"the leaderboard has it already, as {place}" for path, place in found.items() if place is not None}


def _measurement(entry: Entry) -> tuple[str, str]:
    return identity_of(entry.record).sha256, entry.record.outcomes_sha256


def _rows(entries: Sequence[Entry]) -> list[Row]:
    return [row for table in group_tables(entries) for row in rows_of(table)]


def _standings(rows: Iterable[Row]) -> list[Standing]:
    return [standing_of(row) for row in rows]


# ------------------------------------------------------------------------------------------------------------- telling


def _title(entries: Sequence[Entry]) -> str:
    """Return a title that names methods, networks and data sets, a few of each."""
    methods, networks, datasets = (
        first_names(list(dict.fromkeys(names)), _MOST_NAMES, visible)
        for names in (
            (entry.method for entry in entries),
            (entry.backbone for entry in entries if entry.network),
            (entry.record.dataset.name for entry in entries),
        )
    )
    return f"Leaderboard: {methods}{f' of {networks}' if networks else ''} on {datasets}"


def _body(rows: Sequence[Row], difference: Difference) -> str:
    """Return the text of a pull request."""
    commands = "\n".join(map(visible, dict.fromkeys(command for row in rows for command in row.commands)))
    text = markdown_template("wsolbench.leaderboard", "pull_request.md.jinja").render(
        count=counted(len(rows), "rows"),
        rows=Markup(tabulate(map(_cells, rows), "keys", tablefmt="pipe", disable_numparse=True)),
        difference=Markup(as_markdown(difference)),
        commands=Markup(commands),
        fence=Markup(fence(commands)),
        claimed=[name for name in CLAIMED if name not in MARKED],
    )
    return text.rstrip()


def _cells(row: Row) -> dict[str, str]:
    """Return a row for the text of a pull request: heading -> cell, escaped."""
    shown = {heading_of(FIELDS[key], [row]): markdown_text(FIELDS[key].text(row)) for key in _SHOWN}
    return {"Table": markdown_text(row.table), **shown, "Record": f"`{row.record}`"}
