"""Methods whose rows are equal: on some networks their formulas come to the same map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wsolbench.leaderboard.entries import Entry
from wsolbench.records.outcomes import share_alike

__all__ = ["equal_methods", "equal_on"]


def equal_methods(entries: Iterable[Entry]) -> list[list[str]]:
    """Return the methods in groups; those of a group are equal on every network, and on the same networks."""
    rows: dict[str, dict[tuple[str, str], Entry]] = {}
    for entry in entries:
        rows.setdefault(entry.method, {})[entry.backbone, entry.weights] = entry
    groups: list[list[str]] = []
    for method in sorted(rows):
        alike = next((group for group in groups if _all_equal(rows[group[0]], rows[method])), None)
        if alike is None:
            groups.append([method])
        else:
            alike.append(method)
    return groups


def equal_on(entries: Sequence[Entry]) -> dict[tuple[str, ...], list[str]]:
    """Return the groups of methods with equal rows -> the networks on which they are equal."""
    networks: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        networks.setdefault((entry.backbone, entry.weights), []).append(entry)
    found: dict[tuple[str, ...], list[str]] = {}
    for (name, _), rows in sorted(networks.items()):
        for group in equal_methods(rows):
            if len(group) > 1:
                found.setdefault(tuple(group), []).append(name)
    return {group: list(dict.fromkeys(names)) for group, names in sorted(found.items())}


def _all_equal(ours: dict[tuple[str, str], Entry], theirs: dict[tuple[str, str], Entry]) -> bool:
    return ours.keys() == theirs.keys() and all(_is_equal(ours[network], theirs[network]) for network in ours)


def _is_equal(one: Entry, other: Entry) -> bool:
    """Return whether the very same τ localize every image in both."""
    ours, theirs = one.record, other.record
    return (
        one.has_maps
        and other.has_maps
        and ours.metrics.max_box_acc == theirs.metrics.max_box_acc
        and share_alike(ours.evaluated, theirs.evaluated) == 1
    )
