"""How much a weights file may hold: more than any network or training needs, and checked before it is believed."""

from __future__ import annotations

MOST_BYTES = 16 * 2**30
MOST_HEADER = 8 * 2**20
"""Bytes of a safetensors header."""
MOST_PICKLE = 16 * 2**20
"""Bytes of a pickle, in which names and options are, but no weights."""
MOST_STEPS = 1_000_000
"""Instructions of a pickle; a training file has some 25 for each tensor."""
MOST_ENTRIES = 20_000
"""Named tensors; the largest networks have some thousand, and a training file a few times as many."""
MOST_OF_NETWORK = 5_000
"""Named tensors in one mapping, which may hold a network and its average."""
MOST_MAPPINGS = 1_000
"""Mappings that hold tensors, apart from those of optimizers."""
LONGEST_NAME = 1_000
MOST_PARTS = 50
"""Parts of a name, between its dots."""
MOST_DIMENSIONS = 16
MOST_NUMBERS = 2**48
"""Numbers of a tensor, and of any of its dimensions and strides."""
MOST_CLASSES = 1_000_000
SPARE = 64 * 2**20
"""A small ZIP file may unpack to this size, whatever the factor; a larger one to twice its own."""


BIG_ENDIAN = "its numbers are big-endian, and only little-endian ones are read"


class DamageError(ValueError):
    """A file is damaged or holds too much; the message completes "the file is damaged: "."""


def check_name(name: str) -> None:
    """Check that a name is one that an entry or a mapping of a network can have.

    Raises:
        DamageError: It is too long, or has too many parts.
    """
    if len(name) > LONGEST_NAME or name.count(".") >= MOST_PARTS:
        raise DamageError(f"a name in it has {len(name):,} characters and {name.count('.') + 1:,} parts")


def check_count(entries: int) -> None:
    """Check how many entries a file has.

    Raises:
        DamageError: They are too many.
    """
    if entries > MOST_ENTRIES:
        raise DamageError(f"it lists more than {MOST_ENTRIES:,} entries, more than any network has")
