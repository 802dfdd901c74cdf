"""Options of methods and recipes: read off their builders, set by text."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import pytest

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


def test_options_are_listed_in_their_order():
    assert [(option.name, option.accepts, option.default) for option in list_options(Sample)] == [
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
    assert (relu.name, relu.accepts, relu.default, relu.required) == ("relu", "bool", True, False)
    assert build_with_options("m", partial(builder, "positive"), {"relu": "false"}) == (
        ("positive", False),
        {"relu": False},
    )


def test_an_option_without_a_type_takes_that_of_its_default():
    def builder(power=2.0, name=None):
        return power, name

    assert [option.accepts for option in list_options(builder)] == ["float", "str"]
    assert build_with_options("m", builder, {"power": "3"})[0] == (3.0, None)


def test_without_any_set_all_are_recorded():
    built, values = build()
    assert built == Sample()
    assert values == vars(Sample())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
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
    ],
)
def test_texts_become_typed_values(name, text, value):
    built, values = build(**{name: text})
    assert getattr(built, name) == value
    assert type(values[name]) is type(value)
    assert values == {**vars(Sample()), name: value}


@pytest.mark.parametrize(
    ("name", "text", "accepts"),
    [
        ("mode", "three", "one|two"),
        ("mode", "One", "one|two"),
        ("mode", "", "one|two"),
        ("level", "3", "1|2"),
        ("flag", "maybe", "bool"),
        ("count", "2.5", "int"),
        ("count", "many", "int"),
        ("count", "none", "int"),
        ("share", "half", "float"),
        ("share", "", "float"),
        ("limit", "x", "int | None"),
    ],
)
def test_a_bad_value_says_what_is_accepted(name, text, accepts):
    with pytest.raises(UsageError) as caught:
        build(**{name: text})
    assert str(caught.value) == f"the method 'sample': option '{name}' takes {accepts}, not '{text}'"


def test_an_unknown_option_lists_those_there_are():
    with pytest.raises(UsageError) as caught:
        build(colour="red")
    assert str(caught.value) == (
        "the method 'sample' has no option 'colour'; it has mode, level, flag, count, share, limit, title"
    )


def test_a_builder_without_options():
    with pytest.raises(UsageError, match="the recipe 'x' has no option 'a'; it has none"):
        build_with_options("the recipe 'x'", lambda: 1, {"a": "1"})


def test_a_required_option_must_be_given():
    def builder(depth: int):
        return depth

    (option,) = list_options(builder)
    assert option.required
    with pytest.raises(UsageError, match="the method 'x' needs a value for its option 'depth'"):
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

    assert [(option.name, option.accepts) for option in list_options(Child)] == [("mode", "one|two"), ("count", "int")]
    assert build_with_options("m", Child, {"mode": "two", "count": "5"})[0] == Child("two", 5)
