"""From which values ``train --choose`` draws an option."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from wsolbench.api import Choice, LogUniform, Positive, Uniform, UsageError
from wsolbench.contract.options import list_options


def draws(search, count=2000):
    random = np.random.default_rng(0)
    return [search.draw(random) for _ in range(count)]


def test_every_order_of_magnitude_of_a_rate_is_as_likely():
    found = np.log10(draws(LogUniform(1e-5, 1)))
    assert -5 <= found.min() < -4.9
    assert -0.1 < found.max() <= 0
    assert np.histogram(found, bins=5, range=(-5, 0))[0] == pytest.approx(400, abs=80)


def test_numbers_are_uniform_and_short_enough_to_type():
    found = draws(Uniform(0, 1))
    assert np.histogram(found, bins=4, range=(0, 1))[0] == pytest.approx(500, abs=90)
    assert all(len(f"{value:.3g}") >= len(f"{value:g}") for value in found)


def test_every_value_of_a_choice_is_as_likely():
    found = draws(Choice("raw", "effective", None))
    assert [found.count(value) for value in ("raw", "effective", None)] == pytest.approx([667] * 3, abs=90)


def test_an_annotation_says_beside_the_type_what_is_drawn():
    @dataclass
    class Recipe:
        rate: Annotated[Positive, LogUniform(1e-4, 1)] = 0.1
        epochs: int = 3

    rate, epochs = list_options(Recipe)
    assert (str(rate.search), rate.range, rate.read("0.5")) == ("log-uniform from 0.0001 to 1", "above 0", 0.5)
    assert epochs.search is None


@pytest.mark.parametrize("make", [lambda: LogUniform(0, 1), lambda: Uniform(1, 1), lambda: Choice("one")])
def test_a_range_without_values_is_refused(make):
    with pytest.raises(UsageError, match="expected"):
        make()
