"""Trainings that differ in their seeds alone: which count, and which say so by mistake."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wsolbench.leaderboard.entries import Entry, Table, rank
from wsolbench.records import ResultRecord, SplitOutcomes
from wsolbench.records.compare import in_order_of_ids
from wsolbench.records.identity import facts_but_seeds
from wsolbench.records.labels import flat, tell_apart, told_as_text
from wsolbench.records.outcomes import share_alike

__all__ = ["group_seeds", "name_trainings", "uncounted"]

_MOST_ALIKE = 0.5
"""Share of images that two trainings can have in common; of 126 pairs on the leaderboard no one has more than 0.02."""


def group_seeds(table: Table) -> list[tuple[Entry, ...]]:
    """Return the entries of a table that differ in the seed of their training alone, the best group first.

    A training counts once, however often its weights were measured; see `uncounted`. Baselines stand among the groups,
    each a group of its own, for comparison; nothing is returned where no seed is repeated.
    """
    groups = [_trainings(group)[0] for group in _groups_but_seeds(table)]
    repeated = [tuple(group) for group in groups if len(group) > 1]
    if not repeated:
        return []
    baselines = [(entry,) for entry in table.entries if entry.is_baseline]
    return sorted([*repeated, *baselines], key=lambda group: sum(rank(entry)[0] for entry in group) / len(group))


def name_trainings(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """Return the recipes of groups of seeds for people, with what tells apart groups that would have one label."""
    first = [group[0] for group in groups]

    def facts(place: int) -> dict[str, str]:
        entry = first[place]
        training = entry.training and entry.training.without_seed().model_dump(mode="json")
        return flat((*facts_but_seeds(entry.identity), ("training", training), ("record", entry.name)))

    told = tell_apart([(entry.backbone, entry.recipes, entry.method) for entry in first], facts)
    return [
        f"{entry.recipes} ({told_as_text(what)})" if what else entry.recipes
        for entry, what in zip(first, told, strict=True)
    ]


def uncounted(table: Table) -> list[tuple[Entry, str]]:
    """Return the entries that are no further seed, each with the reason in words that follow its name."""
    return [pair for group in _groups_but_seeds(table) for pair in _trainings(group)[1]]


def _groups_but_seeds(table: Table) -> list[list[Entry]]:
    """Return the entries with trainings, grouped by all but their seeds, each group in the order of names.

    What others submitted never changes a mean of what was measured here.
    """
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in sorted(table.entries, key=lambda entry: entry.name):
        if entry.training is not None:
            key = entry.is_submitted, *facts_but_seeds(entry.identity), entry.trained
            groups.setdefault(key, []).append(entry)
    return list(groups.values())


def _trainings(group: Iterable[Entry]) -> tuple[list[Entry], list[tuple[Entry, str]]]:
    """Return the first entry of every training, and the others with the reason why they are no further seed."""
    first: list[Entry] = []
    others: list[tuple[Entry, str]] = []
    for entry in group:
        why = next((why for why in (_why_no_other_training(entry, known) for known in [None, *first]) if why), None)
        if why is None:
            first.append(entry)
        else:
            others.append((entry, why))
    return first, others


def _why_no_other_training(entry: Entry, known: Entry | None) -> str | None:
    """Say why an entry of a group is no training beside a known one, or beside none; None where it is one.

    Two trainings have weights and outcomes of their own: whoever changes a seed in a card by mistake has one twice.
    """
    if entry.weights_sha256 is None:
        return "names no hash of its weights"
    if known is None:
        return None
    if entry.seed == known.seed or entry.weights_sha256 == known.weights_sha256:
        return f"is of the training of {known.name}"
    if entry.record.outcomes_sha256 == known.record.outcomes_sha256 or _share_alike(entry, known) > _MOST_ALIKE:
        return f"has the outcomes of {known.name}, so that both are of one training"
    return None


def _share_alike(entry: Entry, known: Entry) -> float:
    """Return the share of images that are alike in two entries.

    Boxes are right at every τ or at none, so that those of two trainings often are alike: the boxes themselves count,
    where records have them.
    """
    if entry.makes_boxes and known.makes_boxes:
        ours, theirs = (_evaluated(each.record).predicted_boxes for each in (entry, known))
        if ours is not None and theirs is not None:
            return float((ours == theirs).all(axis=1).mean())
    return share_alike(entry.record.evaluated, known.record.evaluated)


def _evaluated(record: ResultRecord) -> SplitOutcomes:
    """Return the outcomes of the evaluated split, its images in an order that all records of a table have."""
    return next(part for part in in_order_of_ids(record) if part.split == record.protocol.split)
