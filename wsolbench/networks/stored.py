"""Tensors as a weights file declares them: names, types, shapes and places, without the library that computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wsolbench.networks.bounds import MOST_DIMENSIONS, MOST_NUMBERS, DamageError

__all__ = ["REPEATED", "WIDTHS", "StoredTensor", "contiguous", "overlaps"]

WIDTHS = {
    **dict.fromkeys(["bool", "uint8", "int8", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"], 1),
    **dict.fromkeys(["float16", "bfloat16", "int16", "uint16"], 2),
    **dict.fromkeys(["float32", "int32", "uint32"], 4),
    **dict.fromkeys(["float64", "int64", "uint64", "complex64"], 8),
    "complex128": 16,
}
"""torch's name of a type -> bytes of one number."""

REPEATED = "holds fewer numbers than its shape says: some are stored once and used repeatedly"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a weights file.

    Args:
        storage: The key of the bytes that hold its numbers.
        dtype: torch's name of their type.
        shape: Its dimensions.
        stride: How many numbers of the storage lie between neighbours, for each dimension.
        offset: The place of its first number in the storage, in numbers.
    """

    storage: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def count(self) -> int:
        """How many numbers its shape says it has."""
        return math.prod(self.shape)

    def check(self, numbers: int) -> None:
        """Check that the tensor lies inside its storage.

        Args:
            numbers: How many numbers the storage has.

        Raises:
            DamageError: It does not, or its shape is none.
        """
        values = (self.offset, *self.shape, *self.stride)
        if len(self.shape) > MOST_DIMENSIONS or len(self.stride) != len(self.shape):
            raise DamageError(f"a tensor in it has {len(self.shape):,} dimensions and {len(self.stride):,} strides")
        if not all(type(value) is int and 0 <= value <= MOST_NUMBERS for value in values):
            raise DamageError("a tensor in it has a shape or place that no tensor can have")
        reach = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        if self.count > MOST_NUMBERS or (self.count and self.offset + reach >= numbers):
            raise DamageError("a tensor in it is larger than the numbers that are stored for it")


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a tensor whose numbers lie one behind another, its last dimension first."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def overlaps(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Return whether two places of a tensor may be one place in memory."""
    reach = 0
    for step, size in sorted(zip(stride, shape, strict=True)):
        if size > 1 and step <= reach:
            return True
        reach += step * (size - 1) if size > 1 else 0
    return False
