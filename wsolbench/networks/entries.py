"""The state dict inside a weights file: which mapping it is, without the prefixes that wrappers put before its names.

Training files hold more than a network: averages of its weights, an optimizer, options, counters. What is taken, and
why, is reported and recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from wsolbench.errors import WeightsError
from wsolbench.networks.candidates import Candidate, find_mappings, named_items
from wsolbench.networks.entry_names import is_counter, some
from wsolbench.networks.pickles import shown
from wsolbench.networks.prefixes import without_prefixes
from wsolbench.networks.stored import REPEATED, StoredTensor, overlaps
from wsolbench.networks.tensors import tensor_of
from wsolbench.networks.weights_file import WeightsFile, holds_objects
from wsolbench.texts import first_names

__all__ = ["Entries", "choose_entries", "has_entry", "other_keys"]

_USUAL = ("state_dict", "model", "model_state_dict", "module", "net", "network", "params", "weights")
"""Usual keys of a network's own state dict, the most usual first."""
_CLASSIFIERS = ("head.fc.weight", "fc.weight", "classifier.weight", "head.weight")
_SMALL = 16
"""Numbers of an entry that may describe the input of a network."""
_SHOWN = 12
"""So many state dicts of a file are named in a message."""


@dataclass(frozen=True)
class Entries:
    """The entries of one state dict of a weights file, under its own names without prefixes.

    Args:
        tensors: Name -> tensor.
        key: Which state dict of the file it is, where there are several; otherwise None.
        notes: What was decided, for the user and the record; empty for a plain state dict.
        beside: The small tensors among the entries that are skipped, such as a mean by which a network normalises its
            input itself.
    """

    tensors: dict[str, Tensor]
    key: str | None
    notes: tuple[str, ...]
    beside: dict[str, Tensor] = field(default_factory=dict)


def choose_entries(file: WeightsFile, key: str | None = None, classifier_key: str | None = None) -> Entries:
    """Return the state dict of a weights file.

    Of several, those with the network's classifier come first, then raw weights before averages (``ema``), then the
    usual keys, then the one with most entries.

    Args:
        file: The file.
        key: The key of the state dict to take, or the prefix of its names; None for the first by this rule.
        classifier_key: The network's entry of class weights, where the network is known.

    Raises:
        WeightsError: The file holds no state dict, or none of this key.
    """
    found = _candidates(file, classifier_key)
    if not found and file.foreign:
        raise holds_objects(file.path, file.foreign[0])
    if not found:
        raise WeightsError(
            f"weights file {file.path} holds no state dict (a mapping of names to tensors); it holds "
            f"{_described(file.content)}; save the state dict of the network: torch.save(network.state_dict(), FILE)"
        )
    taken = found[0] if key is None else _of_key(file, found, key)
    if taken.foreign is not None:
        raise holds_objects(file.path, taken.foreign)
    several = len(found) > 1
    notes = [*([_choice(found, taken, by_rule=key is None)] if several else []), *_prefix_notes(taken)]
    if file.foreign:
        notes.append(_left_out(file.foreign))
    for name, stored in taken.tensors.items():
        if overlaps(stored.shape, stored.stride) and not is_counter(name):
            # Refused now: what converts such a tensor would need the memory that its shape says.
            raise WeightsError(f"weights file {file.path}: the entry '{shown(name)}' {REPEATED}")
    tensors = {name: tensor_of(file, stored) for name, stored in taken.tensors.items()}
    small = {name: each for name, each in taken.skipped.items() if each.count <= _SMALL and len(each.shape) < 5}
    beside = {name: tensor_of(file, each) for name, each in small.items()}
    return Entries(tensors, taken.key if several else None, tuple(notes), beside)


def other_keys(file: WeightsFile, key: str | None, classifier_key: str) -> list[str]:
    """Return the keys of the state dicts of a file, a few of them, without the one that is taken."""
    found = _candidates(file, classifier_key)
    taken = found[0] if key is None else _of_key(file, found, key)
    return [each.key for each in found if each is not taken and each.key][:_SHOWN]


def has_entry(file: WeightsFile, name: str) -> bool:
    """Return whether the state dict that is taken for a network with this entry of class weights has the entry."""
    return any(name in each.tensors for each in _candidates(file, name)[:1])


def _candidates(file: WeightsFile, classifier_key: str | None) -> list[Candidate]:
    """Return the state dicts of a file, the one that is taken first; found once for a name of the classifier."""
    place = ("state dicts", classifier_key)
    if place not in file.found:
        mappings = find_mappings(file)
        key = classifier_key or _usual_classifier(mappings)
        found = [each for mapping in mappings for each in without_prefixes(mapping, key)]
        file.found[place] = sorted(found, key=lambda each: _rank(each, classifier_key))
    candidates: list[Candidate] = file.found[place]
    return candidates


def _usual_classifier(mappings: list[Candidate]) -> str | None:
    """Return the name of a classifier that a file of an unknown network has, as one that is known would have it."""
    names = {name for mapping in mappings for name in mapping.tensors}
    owners = (usual for usual in _CLASSIFIERS if any(name == usual or name.endswith(f".{usual}") for name in names))
    return next(owners, None)


def _rank(candidate: Candidate, classifier_key: str | None) -> tuple[bool, bool, int, int]:
    last = candidate.key.rpartition(".")[2]
    usual = _USUAL.index(last) if last in _USUAL else len(_USUAL)
    lacks_classifier = classifier_key is not None and classifier_key not in candidate.tensors
    return lacks_classifier, candidate.average, usual, -len(candidate.tensors)


def _of_key(file: WeightsFile, found: list[Candidate], key: str) -> Candidate:
    """Return the candidate of a key: its whole key, the last parts of it, or any parts that follow one another."""
    readings: list[Callable[[Candidate], bool]] = [
        lambda each: key in (each.key, each.place),
        lambda each: f".{each.place}".endswith(f".{key}") or f".{each.key}".endswith(f".{key}"),
        lambda each: f".{key}." in f".{each.place}.",
    ]
    matching = next(filter(None, ([each for each in found if reading(each)] for reading in readings)), [])
    if len(matching) == 1:
        return matching[0]
    keys = _shown_keys(matching or found)
    start = f"--weights-key {shown(key)}: {file.path} holds"
    if len(found) == 1:
        under = "without a key" if not found[0].key else f"under {keys}"
        raise WeightsError(f"{start} one state dict, {under}; omit the option{_what_is(file, key)}")
    if matching:
        raise WeightsError(f"{start} {len(matching)} state dicts of this key: {keys}; write one of them in full")
    raise WeightsError(f"{start} no one state dict of this key; it holds {keys}{_what_is(file, key)}")


def _what_is(file: WeightsFile, key: str) -> str:
    """Return what stands under a key that is that of no state dict."""
    value: object = file.content
    for part in key.split("."):
        items = dict(named_items(value))
        if part not in items:
            return ""
        value = items[part]
    return f"; '{shown(key)}' is {_described(value)}"


def _described(value: object) -> str:
    """Return what a value of a file is, for a message."""
    if isinstance(value, StoredTensor):
        return f"a tensor {value.shape}"
    if isinstance(value, dict):
        names = [name for name in value if isinstance(name, str)]
        listed = first_names(names, 5, lambda name: f"'{shown(name, 40)}'")
        return f"a mapping of {listed}" if names else "nothing"
    if isinstance(value, list | tuple):
        tensors = sum(isinstance(item, StoredTensor) for item in value)
        return f"a list of {tensors:,} tensors without names" if tensors else f"a list of {len(value):,} items"
    kinds = {bool: "a truth value", int: "a number", float: "a number", str: "a text", type(None): "nothing"}
    return kinds.get(type(value), "an object that is not read")


def _choice(found: list[Candidate], taken: Candidate, *, by_rule: bool) -> str:
    keys = _shown_keys(found)
    how = " (raw weights come before averages, then the usual keys; --weights-key chooses)" if by_rule else ""
    return f"the file holds {len(found)} state dicts, under {keys}; {_shown_key(taken)} is used{how}"


def _shown_keys(candidates: list[Candidate]) -> str:
    return first_names([_shown_key(each) for each in candidates], _SHOWN)


def _shown_key(candidate: Candidate) -> str:
    return f"'{shown(candidate.key, 80)}'" if candidate.key else "no key"


def _prefix_notes(taken: Candidate) -> list[str]:
    several = "' and '" in taken.prefix
    words = ("the prefixes", "are") if several else ("the prefix", "is")
    notes = [f"{words[0]} '{shown(taken.prefix, 80)}' {words[1]} removed from the names"] if taken.prefix else []
    if taken.inner:
        notes.append(f"names of wrappers inside names are removed: {', '.join(taken.inner)}")
    if taken.head:
        notes.append(f"'{shown(taken.head, 80)}', the only layer of the head with weights, is taken for the head")
    skipped = {} if taken.grouped else taken.skipped
    if skipped:
        notes.append(f"{len(skipped)} entries without this prefix are skipped: {some(skipped)}")
    return notes


def _left_out(names: tuple[str, ...]) -> str:
    classes = list(dict.fromkeys(names))
    listed = first_names(classes, 3, lambda name: f"'{shown(name, 60)}'")
    return f"objects of {len(classes):,} classes beside the weights are not loaded: {listed}"
