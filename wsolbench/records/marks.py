"""Marks in tables for claims that nobody can verify, and for what makes scores better, and what they mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from wsolbench.records.record import ResultRecord

__all__ = ["CLAIMED", "explain_marks", "marked", "marks_of", "network_marked"]

CLAIMED, UNSEALED, BEST_EPOCH, MANY_BOXES = "†", "‡", "§", "¶"
_MEANINGS = {
    CLAIMED: "PxAP is a claim: the record holds no numbers of pixels to verify it with",
    UNSEALED: "measured with schema version 1 or 2: no hash covered its claims, such as network, weights and options",
    BEST_EPOCH: "weights of the epoch that localizes best on train-fullsup: its boxes or masks were used in training",
    MANY_BOXES: "more than one predicted box an image: MaxBoxAccV2 counts an image as right where any of them is",
}


def marks_of(records: Iterable[ResultRecord]) -> frozenset[str]:
    """Return the marks that some of the records need."""
    found = set()
    for record in records:
        if record.pxap_is_claimed:
            found.add(CLAIMED)
        if record.migrated_from is not None:
            found.add(UNSEALED)
        if record.best_epoch is not None:
            found.add(BEST_EPOCH)
        if (record.boxes_per_image or 0) > 1:
            found.add(MANY_BOXES)
    return frozenset(found)


def marked(text: str, mark: str, marks: Collection[str]) -> str:
    """Return a text with a mark behind it where the mark is one of those given."""
    return f"{text} {mark}" if mark in marks else text


def network_marked(text: str, marks: Collection[str]) -> str:
    """Return what was measured with the marks behind it that are about the whole of a record or its weights."""
    for mark in (UNSEALED, BEST_EPOCH, MANY_BOXES):
        text = marked(text, mark, marks)
    return text


def explain_marks(marks: Collection[str]) -> list[str]:
    """Return what marks mean, a line each."""
    return [f"{mark} {meaning}" for mark, meaning in _MEANINGS.items() if mark in marks]
