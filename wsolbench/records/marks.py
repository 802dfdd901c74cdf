"""Marks for what a record claims and nobody can verify: where they stand in tables, and what they mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from wsolbench.records.record import ResultRecord

__all__ = ["CLAIMED", "UNSEALED", "explain_marks", "marked", "marks_of"]

CLAIMED, UNSEALED = "†", "‡"
_MEANINGS = {
    CLAIMED: "PxAP is a claim: the record holds no numbers of pixels to verify it with",
    UNSEALED: "measured with schema version 1 or 2: no hash covered its claims, such as network, weights and options",
}


def marks_of(records: Iterable[ResultRecord]) -> frozenset[str]:
    """Return the marks that some of the records need."""
    found = set()
    for record in records:
        if record.pxap_is_claimed:
            found.add(CLAIMED)
        if record.migrated_from is not None:
            found.add(UNSEALED)
    return frozenset(found)


def marked(text: str, mark: str, marks: Collection[str]) -> str:
    """Return a text with a mark behind it where the mark is one of those given."""
    return f"{text} {mark}" if mark in marks else text


def explain_marks(marks: Collection[str]) -> list[str]:
    """Return what marks mean, a line each."""
    return [f"{mark} {meaning}" for mark, meaning in _MEANINGS.items() if mark in marks]
