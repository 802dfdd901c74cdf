"""Ranges that the options of methods and recipes lie in; NaN lies in none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from wsolbench.errors import UsageError


@dataclass(frozen=True)
class Range:
    """A range and the words for it, which go on from "has to be"."""

    words: str
    holds: Callable[[float], bool]

    def check(self, built: object, *names: str) -> None:
        """Check options of a method or recipe, which are attributes of it.

        Raises:
            UsageError: One of them lies outside.
        """
        for name in names:
            value = getattr(built, name)
            if not self.holds(value):
                raise UsageError(f"{name} has to be {self.words}, got {value}")


POSITIVE = Range("finite and above 0", lambda value: 0 < value < math.inf)
NOT_NEGATIVE = Range("finite and at least 0", lambda value: 0 <= value < math.inf)
PROBABILITY = Range("from 0 to 1", lambda value: 0 <= value <= 1)
BELOW_ONE = Range("from 0 to below 1", lambda value: 0 <= value < 1)
COUNT = Range("at least 1", lambda value: value >= 1)
