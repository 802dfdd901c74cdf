"""What a contributed record must be, beside what every record must be: it comes from somebody whom nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsolbench.leaderboard.entries import SUBMITTED, Entry, file_stem
from wsolbench.records import SCHEMA_VERSION, identity_of

__all__ = ["accepted", "names_of", "problem_of"]


def accepted(entries: Iterable[Entry], records: Path) -> tuple[list[Entry], list[str]]:
    """Divide the entries of a leaderboard.

    Args:
        entries: Those that contradict nothing.
        records: The folder of their files.

    Returns:
        Those that may stand in tables, and a line for every contributed one that may not.
    """
    kept: list[Entry] = []
    refused: list[str] = []
    for entry in entries:
        problem = (problem_of(entry) or _misplaced(entry)) if entry.is_submitted else None
        if problem is None:
            kept.append(entry)
        else:
            refused.append(f"{records / entry.name}: {problem}")
    return kept, refused


def problem_of(entry: Entry) -> str | None:
    """Say why a record cannot be contributed, or return None where it can.

    Only records of the newest schema can: the summaries of older ones had no hash when they were measured.
    """
    version = entry.record.migrated_from
    if version is None:
        return None
    return (
        f"a contributed record has schema version {SCHEMA_VERSION}, and this one was measured with version {version}, "
        "whose summary had no hash; measure it again"
    )


def names_of(entry: Entry) -> tuple[str, str]:
    """Return the names that a contributed record may have: the second where another experiment has the first."""
    stem, digest = file_stem(entry), identity_of(entry.record).sha256[:8]
    place = f"{SUBMITTED}/{entry.record.dataset.name}"
    return f"{place}/{stem}.json", f"{place}/{stem}-{digest}.json"


def _misplaced(entry: Entry) -> str | None:
    """Say that a file has another name than its record gives; a name may not claim something else."""
    names = names_of(entry)
    return None if entry.name in names else f"expected the name {names[0]}; 'wsolbench leaderboard submit' gives it"
