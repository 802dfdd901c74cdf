"""Names of entries without what wrappers of networks put before or inside them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import takewhile

from wsolbench.networks.candidates import AVERAGES, Candidate, dotted, words_of
from wsolbench.networks.entry_names import is_counter, normalises_input
from wsolbench.networks.stored import StoredTensor

__all__ = ["without_prefixes"]

_HELPERS = {"criterion", "loss", "optimizer", "metric", "metrics", "acc"} | AVERAGES
"""Words in the first parts of names that a training adds beside its network in one mapping."""
_INNER = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
"""Names of wrappers around parts of a network: of compilation, of sharding, of recomputation."""


def without_prefixes(mapping: Candidate, classifier_key: str | None) -> list[Candidate]:
    """Return a mapping without the names of wrappers, or its parts with the classifier."""
    plain = _without_inner(mapping, _INNER, len(_INNER))
    found = _without_common_prefixes(_with_plain_head(plain, classifier_key), classifier_key)
    return [_without_inner(each, {"module"}, 2) for each in found]


def _with_plain_head(mapping: Candidate, classifier_key: str | None) -> Candidate:
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


def _without_common_prefixes(mapping: Candidate, classifier_key: str | None) -> list[Candidate]:
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
        own = [name for name in names if not _HELPERS.intersection(words_of(name.partition(".")[0]))]
        prefix = _common_prefix(own) if len(own) < len(names) else ""
    return [_part(mapping, prefix)] if prefix else [mapping]


def _without_inner(mapping: Candidate, wrappers: AbstractSet[str], deepest: int) -> Candidate:
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


def _body_and_head(mapping: Candidate, classifier_key: str) -> list[Candidate]:
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


def _groups(mapping: Candidate, classifier_key: str) -> list[Candidate]:
    """Return the parts of a mapping whose names, after a prefix of their own, include the classifier's."""
    names = sorted(mapping.tensors)
    # A prefix within a network, such as that of its head, leaves most of the network outside.
    head = classifier_key.partition(".")[0] + "."
    prefixes = [name.removesuffix(classifier_key) for name in mapping.tensors if name.endswith(f".{classifier_key}")]
    wide = [each for each in prefixes if 4 * (_count(names, each) - _count(names, each + head)) >= len(names)]
    parts = [_part(mapping, prefix) for prefix in wide]
    if len(parts) < 2:
        return parts
    return [replace(part, key=dotted(part.key, part.prefix.rstrip(".")), grouped=True) for part in parts]


def _count(names: list[str], prefix: str) -> int:
    """Return how many sorted names start with a prefix."""
    return bisect_left(names, f"{prefix}\U0010ffff") - bisect_left(names, prefix)


def _part(mapping: Candidate, prefix: str) -> Candidate:
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
