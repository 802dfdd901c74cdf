"""A smaller split for a quick look: a random choice, the same images every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from wsolbench.contract import ImageSplit
from wsolbench.errors import UsageError
from wsolbench.texts import natural_order

__all__ = ["in_order_of_ids", "limit_split", "select_images"]

T = TypeVar("T")


def limit_split(split: ImageSplit, limit: int | None) -> ImageSplit:
    """Return a split of at most ``limit`` images, chosen at random but always the same, in the split's order.

    Neither classes listed one after another nor classes that take turns make the choice one-sided. Without a limit, or
    with one of N or more, it is the split itself.

    Raises:
        UsageError: The limit is below 1.
    """
    if limit is None:
        return split
    if limit < 1:
        raise UsageError(f"a limit of {limit} images leaves nothing to score; give 1 or more, or no limit")
    count = len(split.ids)
    if limit >= count:
        return split
    return select_images(split, sorted(np.random.default_rng(0).choice(count, limit, replace=False).tolist()))


def in_order_of_ids(split: ImageSplit) -> ImageSplit:
    """Return a split with its images in the order of their ids, in which people count: ``9.png`` before ``10.png``."""
    order = natural_order(split.ids)
    return split if order == list(range(len(order))) else select_images(split, order)


def select_images(split: ImageSplit, positions: Sequence[int]) -> ImageSplit:
    """Return the images of a split at some positions."""
    kept = tuple(positions)
    return ImageSplit(
        tuple(split.ids[index] for index in kept),
        split.labels[np.array(kept, dtype=np.intp)],
        _Picked(split.load, kept),
        None if split.read is None else _Picked(split.read, kept),
        split.sizes,
        None if split.remarks is None else _Picked(split.remarks, kept),
        None if split.is_upright is None else _Picked(split.is_upright, kept),
    )


@dataclass(frozen=True)
class _Picked(Generic[T]):
    """Gives what another split has at ``kept[index]``; unlike a closure it can be sent to another process."""

    take: Callable[[int], T]
    kept: tuple[int, ...]

    def __call__(self, index: int) -> T:
        return self.take(self.kept[index])
