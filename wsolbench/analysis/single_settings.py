"""Which measurements differ in one setting only, from what identifies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsolbench.records import ResultRecord, identity_of
from wsolbench.records.labels import flat
from wsolbench.texts import natural_key

__all__ = ["Step", "settings_of", "steps_between"]

_STARTED_FROM = "trained from"
_TRAINED = "training/"


@dataclass(frozen=True)
class Step:
    """From one measurement to another, of which one setting differs.

    Attributes:
        start: Place of the first.
        end: Place of the second.
        setting: What differs, such as ``size``.
        before: Its value at the start; "default" where the measurement does not name it.
        after: Its value at the end.
    """

    start: int
    end: int
    setting: str
    before: str
    after: str


def settings_of(record: ResultRecord) -> dict[str, str]:
    """Return what network and method are, as names and values; seeds are no part of it."""
    measured = identity_of(record)
    facts = flat((*measured.network, *measured.method))
    return {name: value for name, value in facts.items() if not _is_seed(name, value)}


def _is_seed(name: str, value: str) -> bool:
    return name.rpartition("/")[2] == "seed" or value.startswith("seed ")


def steps_between(settings: Sequence[Mapping[str, str]]) -> list[Step]:
    """Return the steps between measurements that differ in one setting, neighbours only where it has several values.

    Another network is no setting, but for names that differ in the part after a dot: what its weights were trained on.

    Args:
        settings: Of each measurement, as `settings_of` returns them.
    """
    places = range(len(settings))
    found = [step for a in places for b in places if a < b and (step := _step(settings, a, b)) is not None]
    joined = {(step.start, step.end, step.setting) for step in found}
    return [
        step
        for step in found
        if not any((step.start, c, step.setting) in joined and (c, step.end, step.setting) in joined for c in places)
    ]


def _step(settings: Sequence[Mapping[str, str]], one: int, other: int) -> Step | None:
    changed = _difference(settings[one], settings[other])
    if changed is None:
        return None
    setting, ours, theirs = changed
    forward = natural_key(ours) <= natural_key(theirs)
    start, end, before, after = (one, other, ours, theirs) if forward else (other, one, theirs, ours)
    return Step(start, end, setting, before, after)


def _difference(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Return the one setting in which two differ, with both values, or None."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    if "network" in names:
        return _pretraining_by_name(one, other, names)
    changes: dict[str, set[tuple[str, str]]] = {}
    for name in names:
        if name.startswith(_STARTED_FROM):
            changes.setdefault(_STARTED_FROM, set()).add((_start(one), _start(other)))
        else:
            values = one.get(name, "default"), other.get(name, "default")
            changes.setdefault(name.removeprefix(_TRAINED), set()).add(values)
    if len(changes) != 1 or any(len(values) > 1 for values in changes.values()):
        return None
    ((setting, ((ours, theirs),)),) = changes.items()
    return "start of the training" if setting == _STARTED_FROM else setting.rpartition("/")[2], ours, theirs


def _start(settings: Mapping[str, str]) -> str:
    """Return what a training started from, for people: a data set, a source of weights or the content of a file."""
    facts = {name.partition("/")[2]: value for name, value in settings.items() if name.startswith(_STARTED_FROM)}
    told = facts.get("training/dataset") or facts.get("weights") or "default"
    return f"{told} {facts['weights hash'][:8]}" if "weights hash" in facts else told


def _pretraining_by_name(
    one: Mapping[str, str], other: Mapping[str, str], names: Sequence[str]
) -> tuple[str, str, str] | None:
    """Return what weights were trained on where names of networks say it, as ``timm:convnext_base.fb_in1k``."""
    (stem, _, ours), (its_stem, _, theirs) = (each["network"].partition(".") for each in (one, other))
    implied = {"network", "weights", "weights hash", "weights key"}
    if stem == its_stem and ours and theirs and set(names) <= implied:
        return "training of the weights", ours, theirs
    return None
