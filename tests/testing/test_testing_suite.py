"""The suite as a whole: what is public is also run."""

from wsolbench import testing
from wsolbench.api import BackboneSpec, DatasetSpec, InputConfig, MethodSpec, RecipeSpec, SystemSpec


def nothing(*_):
    raise AssertionError("built before a check was called")


def test_every_check_is_part_of_a_suite():
    specs = [
        BackboneSpec("b", nothing, InputConfig(32), "s"),
        MethodSpec("m", nothing, "s"),
        DatasetSpec("d", nothing, "s"),
        RecipeSpec("r", nothing, "s"),
        SystemSpec("y", nothing, nothing, "s"),
    ]
    in_suites = {name for spec in specs for name, _ in testing.conformance_checks(spec)}
    assert in_suites == {name for name in testing.__all__ if name.startswith("check_")}
    assert all(callable(getattr(testing, name)) for name in testing.__all__)
