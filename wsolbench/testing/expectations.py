"""What the checks are written in: expectations that say what was expected and what came instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from unittest import SkipTest

import torch
from torch import Tensor

from wsolbench.contract import Boxes
from wsolbench.engine.boxes import sorted_boxes

__all__ = [
    "BrokenRuleError",
    "KnownFailure",
    "expect",
    "expect_boxes",
    "expect_close",
    "expect_finite",
    "seeded",
    "skip",
]


class BrokenRuleError(AssertionError):
    """A rule is broken, with what a fix looks like where it depends on what came."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class KnownFailure(SkipTest):
    """A check failed whose failure the plugin declares; the message is the plugin's reason."""


def skip(reason: str) -> NoReturn:
    """Leave out the check of an optional part that is not there: raise what pytest and unittest show as skipped."""
    raise SkipTest(reason)


def expect(what: str, expected: object, actual: object) -> None:
    """Compare two values with ``==``."""
    assert expected == actual, f"{what}: expected {expected}, got {actual}"


def expect_close(what: str, expected: Tensor, actual: Tensor, tolerance: float) -> None:
    """Compare two tensors of one shape; differences may reach a share of the largest expected value."""
    expect(f"shape of {what}", tuple(expected.shape), tuple(actual.shape))
    difference = float((expected.double() - actual.double()).abs().max())
    allowed = tolerance * max(float(expected.double().abs().max()), 1e-30)
    assert difference <= allowed, f"{what}: expected a difference of at most {allowed:.3g}, got {difference:.3g}"


def expect_finite(what: str, values: Tensor) -> None:
    """Require that no value is infinite or NaN."""
    broken = int((~values.isfinite()).sum())
    assert broken == 0, f"{what}: expected finite values, got {broken} of {values.numel()} that are not"


def expect_boxes(made: Boxes, count: int) -> None:
    """Require that boxes of so many images are corners in fractions of them, or NaN where there is none."""
    try:
        sorted_boxes(made, [f"image {number}" for number in range(count)])
    except ValueError as error:
        raise AssertionError(f"boxes: got {error}") from None


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Make random draws repeatable; the caller's generator keeps its state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
