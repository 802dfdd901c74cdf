"""What names of entries say about them, whatever the network is."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wsolbench.networks.pickles import shown
from wsolbench.texts import first_names

__all__ = ["is_counter", "normalises_input", "some"]

_COUNTERS = ("num_batches_tracked", "total_ops", "total_params", "n_averaged", "relative_position_index", "attn_mask")
"""Entries that do not take part in a forward pass, or are computed from the network's form."""
_OF_INPUT = re.compile(r"(^|\.)_?(\w+_)?(?<!running_)(mean|std)$|normali[sz]\w*\.(mu|sigma)$")


def is_counter(name: str) -> bool:
    """Return whether an entry is one that a network can do without: a counter, or computed from its form."""
    return name.rpartition(".")[2] in _COUNTERS


def normalises_input(name: str) -> bool:
    """Return whether an entry is by its name the mean or deviation by which a network normalises its own input."""
    return _OF_INPUT.search(name.lower()) is not None


def some(names: Iterable[str], most: int = 3) -> str:
    """Return the first of some names, printable, for a message."""
    return first_names(list(names), most, shown)
