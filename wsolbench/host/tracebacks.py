"""Tracebacks for authors of plugins: the lines of their own code, without ours and those of libraries."""

from __future__ import annotations

import sys
import traceback
from types import FrameType, TracebackType

__all__ = ["last_lines", "their_part"]

_MOST_FRAMES = 3
_OTHERS = sys.stdlib_module_names | {"wsolbench", "torch"}
"""Top-level packages whose lines tell an author nothing."""


def their_part(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception from the first line of a plugin on; None where no line of one is in it."""
    part = error.__traceback__
    while part is not None and not _is_theirs(part.tb_frame):
        part = part.tb_next
    return part


def last_lines(error: BaseException) -> list[str]:
    """Return the last lines of plugins that led to an exception, as Python shows them, and the exception.

    Nothing is returned for an exception of the core, unless it says where a plugin's text is no Python.
    """
    frames = [(part, line) for part, line in traceback.walk_tb(error.__traceback__) if _is_theirs(part)]
    if not frames and not isinstance(error, SyntaxError):
        return []
    shown = traceback.StackSummary.extract(iter(frames[-_MOST_FRAMES:]))
    texts = [*shown.format(), *traceback.format_exception_only(error)]
    return "".join(texts).rstrip().splitlines()


def _is_theirs(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _OTHERS
