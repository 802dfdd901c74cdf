"""Loading the compiled sweep before it is first needed, and saying so where it has to be compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock

from numba.core import event

__all__ = ["load_sweep"]

_LOADING = Lock()


class _Announcer(event.Listener):
    """Tells, once, that numba has begun to compile."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.told = False

    def on_start(self, event: event.Event) -> None:  # noqa: ARG002
        if not self.told:
            self._tell("compiling the threshold sweep, once per installation (10 to 20 s)")
        self.told = True

    def on_end(self, event: event.Event) -> None:
        pass


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def load_sweep(tell: Callable[[str], None] = _say) -> None:
    """Load the compiled sweep; a process that does not do so waits for it at its first scoremap.

    Args:
        tell: Given a line before compilation begins, if that is necessary, and another if the next process will have
            to compile again, because there is no folder in which the outcome can be kept. Standard error has them
            where nothing else is given.
    """
    announcer = _Announcer(tell)
    with _LOADING, event.install_listener("numba:compile", announcer):
        from wsolbench.protocol.component_tree import level_ious
    if announcer.told and level_ious.stats.cache_path is None:
        tell("the compiled sweep cannot be kept for the next time; set NUMBA_CACHE_DIR to a folder that can be written")
