"""Signals that ask a process to end: the first one ends the work cleanly, the second one the process at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TYPE_CHECKING = False  # instead of typing's, which takes long to import
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

__all__ = ["Stopped", "raising_stopped"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
ECHO_SECONDS = 0.2
"""Within this time, a second signal is the same request: ``timeout`` and other wrappers send theirs twice."""


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; whatever handles Ctrl-C handles it too.

    Args:
        number: The number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def raising_stopped() -> Iterator[None]:
    """Raise `Stopped` in the main thread at the first signal, and exit without delay at the second.

    Signals that the process was started to ignore, as under ``nohup``, stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield
        return
    first = 0.0

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal first
        if not first:
            first = time.monotonic()
            raise Stopped(number)
        if time.monotonic() - first > ECHO_SECONDS:
            exit_at_once(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    heeded = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in heeded:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def exit_at_once(number: int) -> NoReturn:
    """Exit with the code of a signal; drafts stay, and the next command removes them."""
    os._exit(128 + number)
