"""Records into a leaderboard: all are checked first, then all are added, under names that tell what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsolbench.drafts import draft_folder
from wsolbench.errors import DataError, OutputError, WsolbenchError
from wsolbench.leaderboard.entries import RECORDS, Entry, file_stem, read_entry
from wsolbench.leaderboard.lock import locked
from wsolbench.progress import Reporter
from wsolbench.records import identity_of
from wsolbench.records.store import files_beside, put_record, read_summary

__all__ = ["add", "copy_records", "make_folder", "read_new", "targets_of"]


def add(folder: Path, paths: Sequence[Path], reporter: Reporter | None = None) -> list[Path]:
    """Copy records, with their outcomes, into ``records/<dataset>/<backbone>__<method>__<weights>.json``.

    A record of the same experiment is replaced; where one of another has the name, a hash is added to the new one's.
    Commands that run at the same time wait for each other.

    Returns:
        Where they are now.

    Raises:
        DataError: A file is no record, has no outcomes or contradicts itself, or two are of one experiment; then none
            is copied.
        OutputError: A file cannot be written.
    """
    reporter = reporter or Reporter()
    entries = read_new(paths, reporter)
    make_folder(folder)
    with locked(folder, reporter):
        targets = targets_of(folder / RECORDS, entries)
        copy_records(folder, targets)
    return sorted(targets)


def make_folder(folder: Path) -> None:
    """Make the folder of a leaderboard, where it is not there.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error


def read_new(paths: Sequence[Path], reporter: Reporter) -> dict[Path, Entry]:
    """Read and verify records.

    Raises:
        DataError: Some are none; the message names each.
    """
    entries: dict[Path, Entry] = {}
    problems: list[str] = []
    with reporter.phase("checking records", len(paths), "records") as advance:
        for path in paths:
            try:
                entries[path] = _read_one(path)
            except WsolbenchError as error:
                problems.append(str(error))
            advance(1)
    if len(problems) > 1:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise DataError(f"{len(problems)} of {len(paths)} files cannot be added, so none is:{listed}")
    if problems:
        raise DataError(problems[0] + ("; none is added" if len(paths) > 1 else ""))
    return entries


def _read_one(path: Path) -> Entry:
    if path.is_dir():
        raise DataError(f"{path}: cannot be read (it is a folder); name its records, as in {path / 'record-*.json'}")
    if not path.exists() and not path.is_symlink() and set("*?[") & set(str(path)):
        raise DataError(f"{path}: cannot be read (no file has a name of this pattern)")
    return read_entry(path, path.name)


def targets_of(records: Path, entries: dict[Path, Entry]) -> dict[Path, Entry]:
    """Return where each record goes.

    Args:
        records: The folder that has a folder for every data set.
        entries: The records, by the file that each comes from.

    Raises:
        DataError: Two are of the same experiment, or a record that is there already cannot be read.
    """
    targets: dict[Path, Entry] = {}
    sources: dict[Path, Path] = {}
    experiments: dict[Path, str] = {}
    for path, entry in entries.items():
        measured = identity_of(entry.record).sha256
        target = records / entry.record.dataset.name / f"{file_stem(entry)}.json"
        if target not in experiments and target.exists():
            experiments[target] = _experiment(target)
        if experiments.setdefault(target, measured) != measured:
            target = target.with_stem(f"{target.stem}-{measured[:8]}")
        if target in sources:
            raise DataError(f"{path} is of the same experiment as {sources[target]}; add the one that shall count")
        sources[target], targets[target] = path, entry
    return targets


def _experiment(path: Path) -> str:
    """Return what a record of the leaderboard measured.

    Raises:
        DataError: It cannot be read: it may be of another experiment than the one that would replace it.
    """
    try:
        return identity_of(read_summary(path)).sha256
    except DataError as error:
        raise DataError(f"{error}; remove it, then add the new one again") from error


def copy_records(folder: Path, targets: dict[Path, Entry]) -> None:
    """Write all records to a hidden folder, then rename them: a full disk changes nothing.

    Args:
        folder: The leaderboard.
        targets: Where each record goes.

    Raises:
        OutputError: A file cannot be written.
    """
    place = folder
    try:
        with draft_folder(folder / RECORDS) as draft:
            written = {
                target: put_record(entry.record, draft / target.parent.name, target.stem)
                for target, entry in targets.items()
            }
            for target, summary in written.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                record = targets[target].record
                beside = zip(files_beside(summary, record), files_beside(target, record), strict=True)
                for source, place in [*beside, (summary, target)]:  # the summary is last: it names the others
                    if source.exists():  # ids of images are shared by records
                        source.replace(place)
    except OSError as error:
        raise OutputError(f"{place}: cannot be written ({error.strerror})") from error
