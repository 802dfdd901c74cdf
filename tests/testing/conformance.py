"""What the tests of the conformance checks share."""

from contextlib import suppress
from unittest import SkipTest

from wsolbench import testing


def fails(spec, **given):
    """Return the checks that a spec fails, without their ``check_``."""
    failed = set()
    for name, check in testing.conformance_checks(spec, **given):
        try:
            with suppress(SkipTest):
                check()
        except AssertionError:
            failed.add(name.removeprefix("check_"))
    return failed


def check_of(spec, rule):
    """Return one check of a spec."""
    return dict(testing.conformance_checks(spec))[f"check_{rule}"]
