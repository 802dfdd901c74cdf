"""The state dict inside a weights file: which mapping it is, without the prefixes that wrappers put before its names.

Training files hold more than a network: averages of its weights, an optimizer, options, counters. What is taken, and
why, is reported and recorded.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import takewhile

from torch import Tensor

from wsolbench.errors import WeightsError
from wsolbench.networks.bounds import LONGEST_NAME, MOST_MAPPINGS, MOST_OF_NETWORK, MOST_PARTS, MOST_STEPS
from wsolbench.networks.pickles import Foreign, shown
from wsolbench.networks.stored import REPEATED, StoredTensor, overlaps
from wsolbench.networks.tensors import tensor_of
from wsolbench.networks.weights_file import WeightsFile, holds_objects
from wsolbench.texts import first_names

__all__ = ["Entries", "choose_entries", "has_entry", "is_counter", "other_keys", "some"]

_USUAL = ("state_dict", "model", "model_state_dict", "module", "net", "network", "params", "weights")
"""Usual keys of a network's own state dict, the most usual first."""
_AVERAGES = {"ema", "avg", "average", "averaged", "swa", "teacher", "momentum", "polyak", "shadow", "slow"}
_BESIDE = re.compile(r"(^|[^a-z])(optim|sched|scaler|rng|callback|loop|loss|criterion|amp$|history)")
"""In keys of mappings that hold tensors and are no networks."""
_HELPERS = {"criterion", "loss", "optimizer", "metric", "metrics", "acc"} | _AVERAGES
"""Words in the first parts of names that a training adds beside its network in one mapping."""
_COUNTERS = ("num_batches_tracked", "total_ops", "total_params", "n_averaged", "relative_position_index", "attn_mask")
"""Entries that do not take part in a forward pass, or are computed from the network's form."""
_OF_INPUT = re.compile(r"(^|\.)_?(\w+_)?(?<!running_)(mean|std)$|normali[sz]\w*\.(mu|sigma)$")
_INNER = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
"""Names of wrappers around parts of a network: of compilation, of sharding, of recomputation."""
_CLASSIFIERS = ("head.fc.weight", "fc.weight", "classifier.weight", "head.weight")
_DEEPEST, _DEEPEST_TREE = 4, 16
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


@dataclass(frozen=True)
class _Candidate:
    """A mapping of names to tensors, where it lies in the file, and what stands before all names that are taken.

    An object among the tensors (`foreign` is its class) has the file refused. `head` is the layer that is taken for the
    classifier where this is a sequence of layers.
    """

    key: str
    tensors: dict[str, StoredTensor]
    prefix: str = ""
    skipped: dict[str, StoredTensor] = field(default_factory=dict)
    grouped: bool = False
    inner: tuple[str, ...] = ()
    foreign: str | None = None
    head: str = ""

    @property
    def place(self) -> str:
        """The key with the prefix."""
        return self.key if self.grouped else _joined(self.key, self.prefix.rstrip("."))

    @property
    def average(self) -> bool:
        """Whether the key is that of averaged weights."""
        return any(word in _AVERAGES or word.startswith("ema") or word.endswith("ema") for word in _words(self.key))


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


def _candidates(file: WeightsFile, classifier_key: str | None) -> list[_Candidate]:
    """Return the state dicts of a file, the one that is taken first; found once for a name of the classifier."""
    place = ("state dicts", classifier_key)
    if place not in file.found:
        mappings = _mappings(file)
        key = classifier_key or _usual_classifier(mappings)
        found = [each for mapping in mappings for each in _without_prefixes(mapping, key)]
        file.found[place] = sorted(found, key=lambda each: _rank(each, classifier_key))
    candidates: list[_Candidate] = file.found[place]
    return candidates


def _usual_classifier(mappings: list[_Candidate]) -> str | None:
    """Return the name of a classifier that a file of an unknown network has, as one that is known would have it."""
    names = {name for mapping in mappings for name in mapping.tensors}
    owners = (usual for usual in _CLASSIFIERS if any(name == usual or name.endswith(f".{usual}") for name in names))
    return next(owners, None)


def _mappings(file: WeightsFile) -> list[_Candidate]:
    """Return the mappings of names to tensors in a file; those that hold a matrix, where there are any.

    Raises:
        WeightsError: There are too many.
    """
    found: list[_Candidate] = []
    seen: set[int] = set()
    too_much = WeightsError(
        f"weights file {file.path} holds more than {MOST_MAPPINGS:,} mappings of names to tensors, or one of more than "
        f"{MOST_OF_NETWORK:,}; save the state dict of the network alone: torch.save(network.state_dict(), FILE)"
    )
    steps = 0

    def spend(more: int) -> None:  # one part of a file can be referred to from many places
        nonlocal steps
        steps += more
        if steps > MOST_STEPS:
            raise too_much

    def visit(value: object, path: tuple[str, ...]) -> None:
        if not isinstance(value, dict | list | tuple) or id(value) in seen or len(path) > _DEEPEST:
            return
        seen.add(id(value))
        spend(len(value))
        items = _named_items(value)
        tree = _joined_tree(items, spend)
        tensors = tree or {name: item for name, item in items if isinstance(item, StoredTensor)}
        if tensors:
            if len(found) >= MOST_MAPPINGS or len(tensors) > MOST_OF_NETWORK:
                raise too_much
            foreign = next((item.name for _, item in items if isinstance(item, Foreign)), None)
            found.extend(_without_averages(_Candidate(".".join(path), tensors, foreign=foreign)))
        for name, item in () if tree else items:
            if not _BESIDE.search(name.lower()):
                visit(item, (*path, name))

    visit(file.content, ())
    return [each for each in found if any(len(value.shape) > 1 for value in each.tensors.values())] or found


def _named_items(value: object) -> list[tuple[str, object]]:
    """Return the items of a mapping, of a list of pairs, or of a list of mappings, whose names are their numbers."""
    if isinstance(value, dict):
        return [(name, item) for name, item in value.items() if isinstance(name, str)]
    if not isinstance(value, list | tuple) or not value:
        return []
    if all(isinstance(item, list | tuple) and len(item) == 2 and _is_name(item[0]) for item in value):
        return [(name, item) for name, item in value]
    return [(str(place), item) for place, item in enumerate(value[:_SHOWN]) if isinstance(item, dict | list | tuple)]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_NAME and value.count(".") < MOST_PARTS


def _joined_tree(items: list[tuple[str, object]], spend: Callable[[int], None]) -> dict[str, StoredTensor]:
    """Return the tensors of a tree of modules, mappings of mappings, under joined names; nothing for anything else.

    A state dict has joined names already, so that no mapping of a tree has a dot in a name.
    """
    joined: dict[str, StoredTensor] = {}
    mappings: set[int] = set()
    stack = list(reversed(items))
    while stack:
        name, item = stack.pop()
        spend(len(item) if isinstance(item, dict) else 1)
        if isinstance(item, StoredTensor):
            joined[name] = item
            continue
        plain = isinstance(item, dict) and not any("." in str(key) for key in item)
        if not plain or id(item) in mappings or name.count(".") >= _DEEPEST_TREE:
            return {}
        mappings.add(id(item))
        stack += [(f"{name}.{key}", inner) for key, inner in reversed(_named_items(item))]
    return joined if len(mappings) > 2 and not any("." in name for name, _ in items) else {}


def _without_averages(mapping: _Candidate) -> list[_Candidate]:
    """Return a mapping apart from the averages that mmcv's hook keeps in it: ``ema_conv1_weight`` of `conv1.weight`."""
    tensors = mapping.tensors
    averages = {name: f"ema_{name.replace('.', '_')}" for name in tensors}
    averages = {name: average for name, average in averages.items() if average in tensors}
    if len(averages) < 2:
        return [mapping]
    others = set(averages.values())
    raw = {name: value for name, value in tensors.items() if name not in others}
    averaged = {name: tensors[average] for name, average in averages.items()}
    return [replace(mapping, tensors=raw), replace(mapping, key=_joined(mapping.key, "ema"), tensors=averaged)]


def _without_prefixes(mapping: _Candidate, classifier_key: str | None) -> list[_Candidate]:
    """Return a mapping without the names of wrappers, or its parts with the classifier."""
    plain = _without_inner(mapping, _INNER, len(_INNER))
    found = _without_common_prefixes(_with_plain_head(plain, classifier_key), classifier_key)
    return [_without_inner(each, {"module"}, 2) for each in found]


def _with_plain_head(mapping: _Candidate, classifier_key: str | None) -> _Candidate:
    """Return a mapping in which the one linear layer of a sequence, as of dropout and it, is the classifier itself.

    Dropout does nothing in evaluation, so that the scores are the same.
    """
    owner, _, last = (classifier_key or "").rpartition(".")
    if last != "weight" or any(f".{name}".endswith(f".{classifier_key}") for name in mapping.tensors):
        return mapping
    layers: dict[str, set[str]] = {}
    for name in mapping.tensors:
        before, found, within = f".{name}".rpartition(f".{owner}.")
        if found:
            layers.setdefault(before, set()).add(within.rpartition(".")[0])
    alone = [(before.lstrip("."), within) for before, (within, *others) in layers.items() if not others and within]
    names = {f"{before}.{owner}.{within}".lstrip("."): f"{before}.{owner}".lstrip(".") for before, within in alone}
    linear = {layer: head for layer, head in names.items() if _is_linear(mapping.tensors, layer)}
    if len(linear) != 1 or len(layers) != 1:  # other parts of a network can have such a name too
        return mapping
    ((layer, head),) = linear.items()
    renamed = {
        name.replace(layer, head, 1) if name.startswith(f"{layer}.") else name: each
        for name, each in mapping.tensors.items()
    }
    return replace(mapping, tensors=renamed, head=layer)


def _is_linear(tensors: Mapping[str, StoredTensor], layer: str) -> bool:
    """Return whether a layer has the weight and perhaps the bias of a linear layer, and nothing else."""
    shapes = {
        name.removeprefix(f"{layer}."): each.shape for name, each in tensors.items() if name.startswith(f"{layer}.")
    }
    weight = shapes.pop("weight", ())
    return len(weight) == 2 and shapes in ({}, {"bias": weight[:1]})


def _without_common_prefixes(mapping: _Candidate, classifier_key: str | None) -> list[_Candidate]:
    """Return a mapping without the prefixes that wrappers put before all names, or its parts with the classifier."""
    if classifier_key in mapping.tensors:
        return [mapping]
    parts = _groups(mapping, classifier_key) if classifier_key else []
    parts = parts or (_body_and_head(mapping, classifier_key) if classifier_key else [])
    if parts:
        return parts
    names = [name for name in mapping.tensors if "." in name or not is_counter(name)]
    prefix = _common_prefix(names)
    if not prefix:
        own = [name for name in names if not _HELPERS.intersection(_words(name.partition(".")[0]))]
        prefix = _common_prefix(own) if len(own) < len(names) else ""
    return [_part(mapping, prefix)] if prefix else [mapping]


def _without_inner(mapping: _Candidate, wrappers: AbstractSet[str], deepest: int) -> _Candidate:
    """Return a mapping without the names that wrappers of parts of a network put inside names.

    Args:
        mapping: The mapping.
        wrappers: Names of wrappers.
        deepest: Only the first so many parts of a name count; a network may have a part of such a name further down.
    """
    names = list(mapping.tensors)
    if not any(wrapper in name for name in names for wrapper in wrappers):
        return mapping
    prefix = _common_prefix(names)  # reported as such
    found: set[str] = set()
    renamed: dict[str, StoredTensor] = {}
    for name, value in mapping.tensors.items():
        *parts, last = name.removeprefix(prefix).split(".")
        inner = {part for place, part in enumerate(parts) if part in wrappers and place < deepest}
        found |= inner
        kept = [part for place, part in enumerate(parts) if part not in inner or place >= deepest]
        renamed[prefix + ".".join([*kept, last])] = value
    if not found or len(renamed) < len(names):
        return mapping
    return replace(mapping, tensors=renamed, inner=(*mapping.inner, *sorted(found)))


def _body_and_head(mapping: _Candidate, classifier_key: str) -> list[_Candidate]:
    """Return a mapping whose body and classifier have prefixes of their own (``backbone.``, ``head.``) without them."""
    heads = [name.removesuffix(classifier_key) for name in mapping.tensors if name.endswith(f".{classifier_key}")]
    skipped = {name: value for name, value in mapping.tensors.items() if normalises_input(name)}
    taken = {name: value for name, value in mapping.tensors.items() if name not in skipped}
    body = _common_prefix(name for name in taken if not name.startswith(tuple(heads)))
    if len(heads) != 1 or not body:
        return []
    renamed = {name.removeprefix(body).removeprefix(heads[0]): value for name, value in taken.items()}
    prefix = f"{body}' and '{heads[0]}"
    return [replace(mapping, tensors=renamed, prefix=prefix, skipped=skipped)] if len(renamed) == len(taken) else []


def _groups(mapping: _Candidate, classifier_key: str) -> list[_Candidate]:
    """Return the parts of a mapping whose names, after a prefix of their own, include the classifier's."""
    names = sorted(mapping.tensors)
    # A prefix within a network, such as that of its head, leaves most of the network outside.
    head = classifier_key.partition(".")[0] + "."
    prefixes = [name.removesuffix(classifier_key) for name in mapping.tensors if name.endswith(f".{classifier_key}")]
    wide = [each for each in prefixes if 4 * (_count(names, each) - _count(names, each + head)) >= len(names)]
    parts = [_part(mapping, prefix) for prefix in wide]
    if len(parts) < 2:
        return parts
    return [replace(part, key=_joined(part.key, part.prefix.rstrip(".")), grouped=True) for part in parts]


def _count(names: list[str], prefix: str) -> int:
    """Return how many sorted names start with a prefix."""
    return bisect_left(names, f"{prefix}\U0010ffff") - bisect_left(names, prefix)


def _part(mapping: _Candidate, prefix: str) -> _Candidate:
    taken = {name.removeprefix(prefix): value for name, value in mapping.tensors.items() if name.startswith(prefix)}
    skipped = {name: value for name, value in mapping.tensors.items() if not name.startswith(prefix)}
    return replace(mapping, tensors=taken, prefix=prefix, skipped=skipped)


def _common_prefix(names: Iterable[str]) -> str:
    """Return the parts, up to a dot, that all names start with; a last part is never taken."""
    owners = {name[: name.rfind(".") + 1] for name in names}
    if not owners:
        return ""
    # What the first and the last of sorted texts share, all of them share.
    pairs = zip(min(owners).split(".")[:-1], max(owners).split(".")[:-1], strict=False)
    shared = [part for part, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    if len(owners) == 1:  # the names of one layer: its own name stays
        shared = shared[:-1]
    return "".join(f"{part}." for part in shared)


def _words(text: str) -> list[str]:
    return re.split("[^a-z]+", text.lower())


def _rank(candidate: _Candidate, classifier_key: str | None) -> tuple[bool, bool, int, int]:
    last = candidate.key.rpartition(".")[2]
    usual = _USUAL.index(last) if last in _USUAL else len(_USUAL)
    lacks_classifier = classifier_key is not None and classifier_key not in candidate.tensors
    return lacks_classifier, candidate.average, usual, -len(candidate.tensors)


def _of_key(file: WeightsFile, found: list[_Candidate], key: str) -> _Candidate:
    """Return the candidate of a key: its whole key, the last parts of it, or any parts that follow one another."""
    readings: list[Callable[[_Candidate], bool]] = [
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
        items = dict(_named_items(value))
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


def _choice(found: list[_Candidate], taken: _Candidate, *, by_rule: bool) -> str:
    keys = _shown_keys(found)
    how = " (raw weights come before averages, then the usual keys; --weights-key chooses)" if by_rule else ""
    return f"the file holds {len(found)} state dicts, under {keys}; {_shown_key(taken)} is used{how}"


def _shown_keys(candidates: list[_Candidate]) -> str:
    return first_names([_shown_key(each) for each in candidates], _SHOWN)


def _shown_key(candidate: _Candidate) -> str:
    return f"'{shown(candidate.key, 80)}'" if candidate.key else "no key"


def _prefix_notes(taken: _Candidate) -> list[str]:
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


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def is_counter(name: str) -> bool:
    """Return whether an entry is one that a network can do without: a counter, or computed from its form."""
    return name.rpartition(".")[2] in _COUNTERS


def normalises_input(name: str) -> bool:
    """Return whether an entry is by its name the mean or deviation by which a network normalises its own input."""
    return _OF_INPUT.search(name.lower()) is not None


def some(names: Iterable[str], most: int = 3) -> str:
    """Return the first of some names, printable, for a message."""
    return first_names(list(names), most, shown)
