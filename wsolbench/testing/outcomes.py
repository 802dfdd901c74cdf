"""What comes of a check: kept, broken, left out, or a failure that the plugin declares."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal
from unittest import SkipTest

from wsolbench.errors import WsolbenchError
from wsolbench.host.provider import of_the_user
from wsolbench.host.settings import Snapshot
from wsolbench.host.tracebacks import last_lines
from wsolbench.testing.expectations import KnownFailure
from wsolbench.testing.fixes import fix_of
from wsolbench.testing.suite import Check

__all__ = ["Outcome", "Status", "run_check"]

Status = Literal["kept", "broken", "skipped", "known failure"]


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Args:
        check: Its name, as ``check_method_maps``.
        status: What came of it.
        seconds: How long it took.
        message: What was expected and what came instead, or why it is left out; empty for a check that is kept.
        fix: What a fix looks like; empty for a check that is not broken.
        traceback: The last lines of the plugin's own code that led there, and the exception.
    """

    check: str
    status: Status
    seconds: float
    message: str = ""
    fix: str = ""
    traceback: tuple[str, ...] = ()


def run_check(name: str, check: Check) -> Outcome:
    """Run one check, whatever the code of the plugin does; the settings of the process are put back.

    Raises:
        KeyboardInterrupt: The user stops it.
    """
    settings = Snapshot.take(draws=True)
    try:
        return _run(name, check)
    finally:
        settings.restore()


def _run(name: str, check: Check) -> Outcome:
    began = time.perf_counter()
    try:
        check()
    except KnownFailure as known:
        return Outcome(name, "known failure", time.perf_counter() - began, str(known))
    except SkipTest as skipped:
        return Outcome(name, "skipped", time.perf_counter() - began, str(skipped))
    except BaseException as error:
        if of_the_user(error):
            raise
        lines = last_lines(error) or (last_lines(error.__cause__) if error.__cause__ else [])
        fix = fix_of(name, error, in_plugin=bool(lines))
        return Outcome(name, "broken", time.perf_counter() - began, _told(error), fix, tuple(lines))
    return Outcome(name, "kept", time.perf_counter() - began)


def _told(error: BaseException) -> str:
    """Return an exception in one line: messages of checks and of errors for users say enough without their type."""
    text = " ".join(str(error).split())
    if isinstance(error, AssertionError | WsolbenchError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
