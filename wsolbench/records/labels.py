"""What tells apart rows, columns and tables that would have one label."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from wsolbench.records.identity import Facts, identity_of
from wsolbench.records.record import ResultRecord

__all__ = ["Told", "facts_of", "flat", "label_apart", "recorded_facts", "tell_apart", "told_as_text"]

Told: TypeAlias = tuple[tuple[str, str], ...]
"""The facts that tell something apart, as pairs of a name and a value, both short."""

_LONGEST = 80
_SHA256 = re.compile("[0-9a-f]{64}")


def tell_apart(labels: Sequence[Hashable], facts: Callable[[int], Mapping[str, str]]) -> list[Told]:
    """Return the facts that tell apart things of one label: as few as possible, none for a label of its own.

    Args:
        labels: What people see of each thing.
        facts: The place of a thing -> what is known of it, the more telling facts first: name -> value. Asked of those
            alone that share their label.
    """
    groups: dict[Hashable, list[int]] = {}
    for place, label in enumerate(labels):
        groups.setdefault(label, []).append(place)
    told: list[Told] = [() for _ in labels]
    for places in groups.values():
        if len(places) > 1:
            known = [facts(place) for place in places]
            names = _telling(known)
            for place, of in zip(places, known, strict=True):
                told[place] = tuple((_last(name), _short(of.get(name, "not recorded"))) for name in names)
    return told


def told_as_text(told: Told) -> str:
    """Return the facts for a label, as in ``key ema, weights 3fa4b2c1``."""
    return ", ".join(f"{name} {value}" for name, value in told)


def label_apart(labels: Sequence[str], facts: Sequence[Mapping[str, str]]) -> list[str]:
    """Return labels of which no two are the same as far as facts tell them apart; see `tell_apart`."""
    told = tell_apart(labels, facts.__getitem__)
    return [f"{label} ({told_as_text(each)})" if each else label for label, each in zip(labels, told, strict=True)]


def facts_of(record: ResultRecord) -> dict[str, str]:
    """Return what was measured as facts without structure, those of the method first, the hash of the weights last."""
    measured = identity_of(record)
    weights = record.backbone.weights.sha256 if record.backbone else None
    return {**flat(measured.method), **flat(measured.network), "file/weights": weights or "not recorded"}


def recorded_facts(record: ResultRecord) -> dict[str, str]:
    """Return all that a record says of what was measured and how as facts without structure, the outcomes last."""
    measured = identity_of(record)
    return {**flat((*measured.data, *measured.protocol)), "outcomes": record.outcomes_sha256}


def flat(facts: Facts | Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Return facts of which each has one value: JSON objects in them become facts of their own, ``name/part``."""
    found: dict[str, str] = {}
    for name, value in facts:
        inner = _object(value)
        if inner is None:
            found[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        else:
            found |= flat((f"{name}/{key}", part) for key, part in inner.items())
    return found


def _object(value: Any) -> dict[str, Any] | None:
    """Return an object, perhaps in a text of JSON, or None of anything else."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def _telling(facts: Sequence[Mapping[str, str]]) -> list[str]:
    """Return names of facts that together tell all apart, or as many as can be; each tells more apart than before."""
    chosen: list[str] = []
    count = 1
    names = dict.fromkeys(chain.from_iterable(reversed([*each]) for each in facts))
    for name in reversed(names):  # what only some have comes first, what is last in all comes last
        apart = len({tuple(each.get(known) for known in (*chosen, name)) for each in facts})
        if apart > count:
            chosen, count = [*chosen, name], apart
    return chosen


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _short(value: str) -> str:
    """Return a value for a label: of a hash its beginning, of another long text its hash."""
    if _SHA256.fullmatch(value):
        return value[:8]
    return value if len(value) <= _LONGEST else hashlib.sha256(value.encode(errors="replace")).hexdigest()[:8]
