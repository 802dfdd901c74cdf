"""The suite as a whole: what is public is also run."""

from unittest import SkipTest

import pytest

from wsolbench import testing
from wsolbench.api import (
    BackboneSpec,
    DatasetSpec,
    InputConfig,
    MethodSpec,
    MethodZoo,
    PluginError,
    RecipeSpec,
    SystemSpec,
    UsageError,
)
from wsolbench.testing.fixes import FIXES


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
    specs.append(MethodZoo("z", nothing, nothing, "s"))
    in_suites = {name for spec in specs for name, _ in testing.conformance_checks(spec)}
    in_suites |= {name for name, _ in testing.plugin_checks(nothing, nothing)}
    assert in_suites == {name for name in testing.__all__ if name.startswith("check_")}
    assert all(callable(getattr(testing, name)) for name in testing.__all__)


def test_every_check_says_what_a_fix_looks_like():
    assert FIXES.keys() == {name for name in testing.__all__ if name.startswith("check_")}
    assert all(fix and not fix.endswith(".") for fix in FIXES.values())


def mean(features, _):
    return features.mean(dim=1)


def uneven(features, _):
    return features.mean(dim=1) - features.mean()


def method(function, **known):
    return dict(testing.conformance_checks(MethodSpec("m", lambda: function, "s", known_failures=known)))


def test_an_optional_part_that_is_not_there_is_skipped_with_a_reason():
    with pytest.raises(SkipTest, match=r"^the method is not fitted$"):
        method(mean)["check_method_fit"]()


def test_a_known_failure_is_skipped_with_its_reason_until_it_passes():
    rule = "check_method_batch_invariance"
    with pytest.raises(SkipTest, match=r"^contrasts the images of a batch$"):
        method(uneven, **{rule: "contrasts the images of a batch"})[rule]()
    with pytest.raises(AssertionError, match=r"expected a failure \(why\), got none; remove the entry"):
        method(mean, **{rule: "why"})[rule]()


def test_a_known_failure_of_no_check_is_refused():
    with pytest.raises(
        PluginError, match="known_failures of 'm': 'check_maps' is no check; they are check_method_maps"
    ):
        method(mean, check_maps="why")


def test_a_data_set_without_its_folder_is_skipped():
    def build(_):
        raise UsageError("needs --data-root")

    (_, check), *_ = testing.conformance_checks(DatasetSpec("d", build, "s"))
    with pytest.raises(SkipTest, match="needs --data-root"):
        check()
