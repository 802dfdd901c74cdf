"""Loads the compiled sweep ahead of its first use, and announces when it has to be compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock

from numba.core import event

__all__ = ["load_sweep"]

_LOADING = Lock()


class _Announcer(event.Listener):
    """Announces once that numba has started to compile."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.told = False

    def on_start(self, event: event.Event) -> None:  # noqa: ARG002
        if not self.told:
            self._tell("compiling the threshold sweep, once per installation (about 10 s)")
        self.told = True

    def on_end(self, event: event.Event) -> None:
        pass


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def load_sweep(tell: Callable[[str], None] = _say) -> None:
    """Load the compiled sweep; without this call, the first scoremap waits for it.

    Args:
        tell: Called with a line before a compilation starts, and with another if the result cannot be cached, so that
            the next process has to compile again. By default the lines go to standard error.
    """
    announcer = _Announcer(tell)
    # Importing the modules compiles the sweep, or loads it from the cache. The lock keeps a second thread, which waits
    # for the same import, from announcing the compilation again.
    with _LOADING, event.install_listener("numba:compile", announcer):
        import wsolbench.protocol.level_ious  # noqa: F401
        from wsolbench.protocol.hills import find_hills
    if announcer.told and find_hills.stats.cache_path is None:
        tell("the compiled sweep cannot be kept for the next time; set NUMBA_CACHE_DIR to a folder that can be written")
