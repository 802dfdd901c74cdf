"""The mappings of names to tensors in a weights file, each of which may be the state dict of a network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from wsolbench.errors import WeightsError
from wsolbench.networks.bounds import LONGEST_NAME, MOST_MAPPINGS, MOST_OF_NETWORK, MOST_PARTS, MOST_STEPS
from wsolbench.networks.pickles import Foreign
from wsolbench.networks.stored import StoredTensor
from wsolbench.networks.weights_file import WeightsFile

__all__ = ["AVERAGES", "Candidate", "dotted", "find_mappings", "named_items", "words_of"]

_BESIDE = re.compile(r"(^|[^a-z])(optim|sched|scaler|rng|callback|loop|loss|criterion|amp$|history)")
"""In keys of mappings that hold tensors and are no networks."""
AVERAGES = {"ema", "avg", "average", "averaged", "swa", "teacher", "momentum", "polyak", "shadow", "slow"}
_DEEPEST, _DEEPEST_TREE = 4, 16
_MOST_LISTED = 12
"""So many items of a list are looked at."""


@dataclass(frozen=True)
class Candidate:
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
        return self.key if self.grouped else dotted(self.key, self.prefix.rstrip("."))

    @property
    def average(self) -> bool:
        """Whether the key is that of averaged weights."""
        return any(word in AVERAGES or word.startswith("ema") or word.endswith("ema") for word in words_of(self.key))


def find_mappings(file: WeightsFile) -> list[Candidate]:
    """Return the mappings of names to tensors in a file; those that hold a matrix, where there are any.

    Raises:
        WeightsError: There are too many.
    """
    found: list[Candidate] = []
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
        items = named_items(value)
        tree = _joined_tree(items, spend)
        tensors = tree or {name: item for name, item in items if isinstance(item, StoredTensor)}
        if tensors:
            if len(found) >= MOST_MAPPINGS or len(tensors) > MOST_OF_NETWORK:
                raise too_much
            foreign = next((item.name for _, item in items if isinstance(item, Foreign)), None)
            found.extend(_without_averages(Candidate(".".join(path), tensors, foreign=foreign)))
        for name, item in () if tree else items:
            if not _BESIDE.search(name.lower()):
                visit(item, (*path, name))

    visit(file.content, ())
    return [each for each in found if any(len(value.shape) > 1 for value in each.tensors.values())] or found


def named_items(value: object) -> list[tuple[str, object]]:
    """Return the items of a mapping, of a list of pairs, or of a list of mappings, whose names are their numbers."""
    if isinstance(value, dict):
        return [(name, item) for name, item in value.items() if isinstance(name, str)]
    if not isinstance(value, list | tuple) or not value:
        return []
    if all(isinstance(item, list | tuple) and len(item) == 2 and _is_name(item[0]) for item in value):
        return [(name, item) for name, item in value]
    return [
        (str(place), item) for place, item in enumerate(value[:_MOST_LISTED]) if isinstance(item, dict | list | tuple)
    ]


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
        stack += [(f"{name}.{key}", inner) for key, inner in reversed(named_items(item))]
    return joined if len(mappings) > 2 and not any("." in name for name, _ in items) else {}


def _without_averages(mapping: Candidate) -> list[Candidate]:
    """Return a mapping apart from the averages that mmcv's hook keeps in it: ``ema_conv1_weight`` of `conv1.weight`."""
    tensors = mapping.tensors
    averages = {name: f"ema_{name.replace('.', '_')}" for name in tensors}
    averages = {name: average for name, average in averages.items() if average in tensors}
    if len(averages) < 2:
        return [mapping]
    others = set(averages.values())
    raw = {name: value for name, value in tensors.items() if name not in others}
    averaged = {name: tensors[average] for name, average in averages.items()}
    return [replace(mapping, tensors=raw), replace(mapping, key=dotted(mapping.key, "ema"), tensors=averaged)]


def words_of(text: str) -> list[str]:
    """Return the words of a name, in lower case and without numbers."""
    return re.split("[^a-z]+", text.lower())


def dotted(*parts: str) -> str:
    """Return the parts of a name with dots between them; empty ones are left out."""
    return ".".join(part for part in parts if part)
