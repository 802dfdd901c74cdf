"""A test that runs on each of its inputs checks all of them and names those that break the rule."""

import inspect

import pytest
from cases import each


def test_every_input_is_checked_and_every_offender_is_named():
    seen = []

    @each(("number", "text"), [(1, "a"), (-2, "b"), (3, "c"), (-4, "d")])
    def rule(number, text):
        seen.append(text)
        assert number > 0

    with pytest.raises(BaseExceptionGroup, match=r"^2 of 4 inputs break the rule: \(-2, 'b'\), \(-4, 'd'\)$") as caught:
        rule()
    assert seen == ["a", "b", "c", "d"]
    assert [type(error) for error in caught.value.exceptions] == [AssertionError] * 2


def test_an_input_that_raises_nothing_where_it_should_is_an_offender():
    @each("text", {"1": 0, "x": 0})
    def rule(text):
        with pytest.raises(ValueError, match="invalid"):
            int(text)

    with pytest.raises(BaseExceptionGroup, match=r"^1 of 2 inputs break the rule: '1'$"):
        rule()


def test_an_input_that_skips_skips_the_test():
    @each("text", ["x"])
    def rule(text):
        pytest.skip(text)

    with pytest.raises(pytest.skip.Exception):
        rule()


def test_every_input_has_a_folder_of_its_own(tmp_path):
    folders = set()

    @each("number", [1, 2])
    def rule(tmp_path, number):
        assert list(tmp_path.iterdir()) == []
        (tmp_path / f"{number}").touch()
        folders.add(tmp_path)

    assert list(inspect.signature(rule).parameters) == ["tmp_path"]
    rule(tmp_path=tmp_path)
    assert len(folders) == 2
