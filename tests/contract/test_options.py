"""Options of methods and recipes: read from their builders, set by text or by value, checked against their ranges."""

import inspect
import json
import math
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal

import pydantic
import pytest
from annotated_types import Interval
from pydantic import Field, field_validator, model_validator, validate_call

from wsolbench.api import BelowOne, Count, NonNegative, Positive, Probability
from wsolbench.contract.options import build_with_options, list_options
from wsolbench.errors import UsageError


@dataclass(frozen=True)
class Sample:
    mode: Literal["one", "two"] = "one"
    level: Literal[1, 2] = 1
    flag: bool = False
    count: int = 3
    share: float = 0.5
    limit: int | None = None
    title: str = "t"


def build(**given):
    return build_with_options("the method 'sample'", Sample, given)


def refusal(builder, name, given):
    """Return why a value of an option is refused."""
    try:
        build_with_options("the method 'x'", builder, {name: given})
    except UsageError as error:
        return str(error)
    return f"option '{name}' takes {given!r}"


def test_options_are_listed_in_their_order():
    assert [(option.name, option.type, option.default) for option in list_options(Sample)] == [
        ("mode", "one|two", "one"),
        ("level", "1|2", 1),
        ("flag", "bool", False),
        ("count", "int", 3),
        ("share", "float", 0.5),
        ("limit", "int | None", None),
        ("title", "str", "t"),
    ]


def test_functions_and_partials_have_options_too():
    def builder(sign, *, relu: bool = True, **_others):
        return sign, relu

    (relu,) = list_options(partial(builder, "positive"))
    assert (relu.name, relu.type, relu.default, relu.required) == ("relu", "bool", True, False)
    assert build_with_options("m", partial(builder, "positive"), {"relu": "false"}) == (
        ("positive", False),
        {"relu": False},
    )


def test_an_option_without_a_type_takes_that_of_its_default():
    def builder(power=2.0, name=None):
        return power, name

    assert [option.type for option in list_options(builder)] == ["float", "str | None"]
    assert build_with_options("m", builder, {"power": "3"})[0] == (3.0, None)
    assert build_with_options("m", builder, {"name": None})[0] == (2.0, None)


def test_without_any_set_all_are_recorded():
    built, values = build()
    assert built == Sample()
    assert values == vars(Sample())


def test_texts_become_typed_values():
    for name, text, value in (
        ("mode", "two", "two"),
        ("level", "2", 2),
        ("flag", "true", True),
        ("flag", "False", False),
        ("flag", "1", True),
        ("count", "-7", -7),
        ("share", "1e-3", 0.001),
        ("share", "2", 2.0),
        ("limit", "4", 4),
        ("limit", "none", None),
        ("limit", "None", None),
        ("title", "2", "2"),
        ("title", "none", "none"),
        ("title", "", ""),
    ):
        built, values = build(**{name: text})
        assert getattr(built, name) == value, (name, text)
        assert type(values[name]) is type(value), (name, text)
        assert values == {**vars(Sample()), name: value}


def test_a_bad_value_says_what_is_accepted():
    for name, text, accepts in (
        ("mode", "three", "one|two"),
        ("mode", "One", "one|two"),
        ("mode", "", "one|two"),
        ("level", "3", "1|2"),
        ("flag", "maybe", "true or false"),
        ("count", "2.5", "a whole number"),
        ("count", "many", "a whole number"),
        ("count", "none", "a whole number"),
        ("share", "half", "a number"),
        ("share", "", "a number"),
        ("share", "nan", "a number"),
        ("share", "-inf", "a number"),
        ("limit", "x", "a whole number, or none"),
    ):
        assert refusal(Sample, name, text) == f"the method 'x': option '{name}' takes {accepts}, not '{text}'"


def test_an_unknown_option_lists_those_there_are():
    with pytest.raises(UsageError) as caught:
        build(colour="red")
    assert str(caught.value) == (
        "the method 'sample' has no option 'colour'. Its options: mode (one|two), level (1|2), flag (true or false), "
        "count (a whole number), share (a number), limit (a whole number, or none), title (text)"
    )


def test_an_unknown_option_is_answered_with_a_close_one():
    with pytest.raises(UsageError, match=r"has no option 'tite'. Did you mean 'title'[?] Its options: mode "):
        build(tite="x")


def test_a_builder_without_options():
    with pytest.raises(UsageError, match="the recipe 'x' has no option 'a'; it has none"):
        build_with_options("the recipe 'x'", lambda: 1, {"a": "1"})


def test_a_required_option_must_be_given():
    def builder(depth: int):
        return depth

    (option,) = list_options(builder)
    assert option.required
    with pytest.raises(UsageError, match="the method 'x' needs a value for its option 'depth', a whole number"):
        build_with_options("the method 'x'", builder, {})
    assert build_with_options("the method 'x'", builder, {"depth": "2"}) == (2, {"depth": 2})


def test_a_dataclass_may_inherit_options_from_another_module(tmp_path, monkeypatch):
    """The types of inherited fields are written in the words of their own module."""
    (tmp_path / "parents_of_options.py").write_text(
        "from __future__ import annotations\n"
        "import typing as words\n"
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Parent:\n"
        "    mode: words.Literal['one', 'two'] = 'one'\n"
    )
    (tmp_path / "children_of_options.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from parents_of_options import Parent\n"
        "@dataclass(frozen=True)\n"
        "class Child(Parent):\n"
        "    count: int = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from children_of_options import Child

    assert [(option.name, option.type) for option in list_options(Child)] == [("mode", "one|two"), ("count", "int")]
    assert build_with_options("m", Child, {"mode": "two", "count": "5"})[0] == Child("two", 5)


# ------------------------------------------------------------------------------------------------------------- values


def test_python_values_are_taken_as_they_are():
    for name, value in (
        ("mode", "two"),
        ("level", 2),
        ("flag", True),
        ("count", -7),
        ("share", 0.25),
        ("share", 2),
        ("limit", 4),
        ("limit", None),
    ):
        built, values = build(**{name: value})
        assert getattr(built, name) == value
        assert values == {**vars(Sample()), name: value}


def test_python_values_of_another_type_are_refused():
    for name, value, accepts in (
        ("mode", 1, "one|two"),
        ("level", 3, "1|2"),
        ("flag", 1, "true or false"),
        ("count", 2.0, "a whole number"),
        ("count", True, "a whole number"),
        ("count", None, "a whole number"),
        ("share", "abc", "a number"),
        ("share", True, "a number"),
        ("share", math.nan, "a number"),
        ("share", [0.5], "a number"),
        ("share", object, "a number"),
        ("limit", math.inf, "a whole number, or none"),
        ("title", 3, "text"),
    ):
        assert refusal(Sample, name, value) == f"the method 'x': option '{name}' takes {accepts}, not {value!r}"


def test_options_of_several_values():
    def builder(sizes: tuple[int, ...] = (1,)):
        return sizes

    for given in ("(2, 3)", "2,3", " [2 , 3] ", (2, 3), [2, 3]):
        assert build_with_options("m", builder, {"sizes": given})[0] == (2, 3), given


def test_few_values_or_none():
    def builder(sizes: tuple[Count, ...] | None = (1,)):
        return sizes

    for text, value in (("()", ()), ("(4,)", (4,)), ("4", (4,)), ("none", None)):
        assert build_with_options("m", builder, {"sizes": text})[0] == value, text


def test_options_of_several_values_say_what_each_is():
    def builder(sizes: tuple[Count, ...] = (1,), window: tuple[float, float] = (0, 1)):
        return sizes, window

    words = "option 'sizes' takes values separated by commas, each a whole number of at least 1, not '3,0'"
    with pytest.raises(UsageError, match=words):
        build_with_options("m", builder, {"sizes": "3,0"})
    with pytest.raises(UsageError, match="'window' takes 2 values separated by commas, each a number, not '1,2,3'"):
        build_with_options("m", builder, {"window": "1,2,3"})


# ------------------------------------------------------------------------------------------------------------- ranges


@dataclass(frozen=True)
class Ranged:
    rate: Positive = 1.0
    decay: NonNegative = 0.0
    probability: Probability = 0.5
    smoothing: BelowOne = 0.1
    epochs: Count = 3
    crop: Annotated[Positive, Field(le=1)] = 0.08
    ema: Annotated[float, Interval(gt=0, lt=1)] | None = None
    top: Annotated[int, Field(le=5)] = 5


def ranged_function(**options):
    return Ranged(**options)


ranged_function.__signature__ = inspect.signature(Ranged)


@pydantic.dataclasses.dataclass(frozen=True)
class PydanticRanged(Ranged):
    """The same options, checked wherever it is built."""


@pydantic.dataclasses.dataclass(frozen=True, config={"defer_build": True})
class DeferredRanged(Ranged):
    """The same, its checks set up when it is first built."""


RANGES = {
    "rate": "above 0",
    "decay": "at least 0",
    "probability": "from 0 to 1",
    "smoothing": "from 0 to below 1",
    "epochs": "at least 1",
    "crop": "above 0 and at most 1",
    "ema": "above 0 and below 1",
    "top": "at most 5",
}
BUILDERS = [Ranged, ranged_function, PydanticRanged, DeferredRanged]


@pytest.mark.parametrize("builder", BUILDERS)
def test_ranges_in_words(builder):
    assert {option.name: option.range for option in list_options(builder)} == RANGES
    types = ["float", "float", "float", "float", "int", "float", "float | None", "int"]
    assert [option.type for option in list_options(builder)] == types


@pytest.mark.parametrize("builder", BUILDERS)
def test_values_at_the_bounds(builder):
    for name, value in (
        ("rate", 1e-9),
        ("decay", 0),
        ("probability", 0),
        ("probability", 1),
        ("smoothing", 0),
        ("smoothing", 0.999),
        ("epochs", 1),
        ("crop", 1),
        ("ema", 0.5),
        ("ema", None),
        ("top", -100),
    ):
        for given in (value, str(value)):
            built, values = build_with_options("m", builder, {name: given})
            assert getattr(built, name) == values[name] == value, (name, given)


@pytest.mark.parametrize("builder", BUILDERS)
def test_what_is_outside_a_range_is_refused(builder):
    for name, value, accepts in (
        ("rate", 0, "a number above 0"),
        ("rate", math.inf, "a number above 0"),
        ("decay", -1, "a number of at least 0"),
        ("decay", math.nan, "a number of at least 0"),
        ("probability", 1.01, "a number from 0 to 1"),
        ("probability", math.nan, "a number from 0 to 1"),
        ("smoothing", 1, "a number from 0 to below 1"),
        ("epochs", 0, "a whole number of at least 1"),
        ("crop", -1, "a number above 0 and at most 1"),
        ("crop", 1.5, "a number above 0 and at most 1"),
        ("ema", 1.0, "a number above 0 and below 1, or none"),
        ("ema", math.nan, "a number above 0 and below 1, or none"),
        ("top", 6, "a whole number of at most 5"),
    ):
        for given in (value, str(value)):
            assert refusal(builder, name, given) == f"the method 'x': option '{name}' takes {accepts}, not {given!r}"


def test_a_type_may_allow_infinity():
    def builder(limit: Annotated[float, Field(gt=0, allow_inf_nan=True)] = math.inf):
        return limit

    assert build_with_options("m", builder, {"limit": "inf"})[0] == math.inf
    assert build_with_options("m", builder, {"limit": math.inf})[0] == math.inf


def test_a_range_is_inherited_from_another_module(tmp_path, monkeypatch):
    (tmp_path / "ranged_parent.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from wsolbench.api import Positive as AboveZero\n"
        "@dataclass(frozen=True)\n"
        "class Parent:\n"
        "    rate: AboveZero = 1.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from ranged_parent import Parent

    @dataclass(frozen=True)
    class Child(Parent):
        count: int = 3

    with pytest.raises(UsageError, match="option 'rate' takes a number above 0, not '-1'"):
        build_with_options("m", Child, {"rate": "-1"})


def test_pydantic_may_hold_range_and_default_together():
    @pydantic.dataclasses.dataclass(frozen=True)
    class Recipe:
        epochs: int = Field(ge=1)
        rate: float = Field(0.5, gt=0)

    @validate_call
    def function(epochs: int = Field(ge=1), rate: float = Field(0.5, gt=0)):
        return epochs, rate

    for builder in (Recipe, function):
        epochs, rate = list_options(builder)
        assert (rate.type, rate.range, rate.default) == ("float", "above 0", 0.5)
        assert (epochs.type, epochs.range, epochs.required) == ("int", "at least 1", True)
        assert build_with_options("m", builder, {"epochs": "2"})[1] == {"rate": 0.5, "epochs": 2}
        with pytest.raises(UsageError, match="option 'rate' takes a number above 0, not '0'"):
            build_with_options("m", builder, {"epochs": "2", "rate": "0"})


def test_a_default_may_be_made_anew_for_every_object():
    @dataclass
    class Method:
        sizes: list[int] = field(default_factory=lambda: [1, 2])
        seen: int = field(default=0, init=False)

    assert [(option.name, option.default) for option in list_options(Method)] == [("sizes", [1, 2])]
    assert build_with_options("m", Method, {"sizes": "3,4"})[0].sizes == [3, 4]


def test_values_fit_into_json():
    _, values = build_with_options("m", Ranged, {"rate": "2", "ema": 0.9})
    assert json.loads(json.dumps(values)) == values


# ----------------------------------------------------------------------------------------------- a builder's own checks


def test_options_that_contradict_each_other():
    @pydantic.dataclasses.dataclass(frozen=True)
    class Window:
        low: Probability = 0.0
        high: Probability = 1.0

        def __post_init__(self):
            if self.low >= self.high:
                raise UsageError(f"low has to be below high, got {self.low} and {self.high}")

    with pytest.raises(UsageError, match=r"^low has to be below high, got 0.5 and 0.1$"):
        build_with_options("m", Window, {"low": 0.5, "high": 0.1})


def test_the_words_of_a_validator_are_kept():
    @pydantic.dataclasses.dataclass(frozen=True)
    class Even:
        size: int = 2
        copies: int = 2

        @field_validator("size")
        @classmethod
        def is_even(cls, size):
            if size % 2:
                raise ValueError("odd sizes have no centre")
            return size

        @model_validator(mode="after")
        def fits(self):
            if self.copies > self.size:
                raise ValueError("more copies than pixels")
            return self

    with pytest.raises(UsageError, match=r"^m: option 'size' cannot be '3': odd sizes have no centre$"):
        build_with_options("m", Even, {"size": "3"})
    with pytest.raises(UsageError, match=r"^m: more copies than pixels$"):
        build_with_options("m", Even, {"copies": 3})


def test_a_default_that_its_own_builder_refuses_is_no_mistake_of_the_user():
    @validate_call
    def builder(size: Count = 0):
        return size

    with pytest.raises(pydantic.ValidationError):
        build_with_options("m", builder, {})
