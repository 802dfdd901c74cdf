"""From which values ``train --choose`` draws an option: part of its annotation, beside its type.

``learning_rate: Annotated[Positive, LogUniform(1e-5, 1)] = 0.01``
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from wsolbench.errors import UsageError

__all__ = ["Choice", "LogUniform", "Search", "Uniform"]

_DIGITS = 3
"""Significant digits of a number that is drawn, so that people can type it."""


@dataclass(frozen=True)
class LogUniform:
    """A number whose logarithm is uniform, as suits rates: each order of magnitude is as likely as another.

    Args:
        low: The lowest value, above 0.
        high: The highest.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high:
            raise UsageError(f"LogUniform({self.low}, {self.high}): expected 0 < low < high")

    def draw(self, random: np.random.Generator) -> float:
        """Return a value."""
        return _rounded(math.exp(random.uniform(math.log(self.low), math.log(self.high))))

    def __str__(self) -> str:
        return f"log-uniform from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Uniform:
    """A number that is uniform.

    Args:
        low: The lowest value.
        high: The highest.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise UsageError(f"Uniform({self.low}, {self.high}): expected low < high")

    def draw(self, random: np.random.Generator) -> float:
        """Return a value."""
        return _rounded(random.uniform(self.low, self.high))

    def __str__(self) -> str:
        return f"uniform from {self.low:g} to {self.high:g}"


class Choice:
    """One of some values, each as likely as another.

    Args:
        values: The values, two or more.
    """

    def __init__(self, *values: Any) -> None:
        if len(values) < 2:
            raise UsageError(f"Choice({', '.join(map(repr, values))}): expected two values or more")
        self.values = values

    def draw(self, random: np.random.Generator) -> Any:
        """Return a value."""
        return self.values[int(random.integers(len(self.values)))]

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


Search: TypeAlias = LogUniform | Uniform | Choice


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
