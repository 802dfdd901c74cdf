"""A block in which no connection is opened and no process forked: plugins have to be importable without them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

__all__ = ["offline", "unforked"]

_FAMILIES = (socket.AF_INET, socket.AF_INET6)


@contextmanager
def offline(wanted: list[str]) -> Iterator[None]:
    """Refuse connections to machines inside the block, as a machine without a network does.

    Args:
        wanted: Receives what code asked for, such as ``example.org:443``, also where it goes on without it.
    """

    def refuse(host: object, port: object = None) -> None:
        name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
        wanted.append(name if port is None else f"{name}:{port}")
        raise OSError(errno.ENETUNREACH, f"no connection to {wanted[-1]}: plugins are checked without a network")

    def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in _FAMILIES:
                refuse(*address[:2])
            return original(self, address)

        return connect

    def resolve(host: Any, port: Any = None, *_: Any, **__: Any) -> None:
        refuse(host, port)

    with ExitStack() as stack:
        for name in ("connect", "connect_ex", "bind"):
            stack.enter_context(patch.object(socket.socket, name, connecting(getattr(socket.socket, name))))
        for name in ("getaddrinfo", "gethostbyname"):
            stack.enter_context(patch.object(socket, name, resolve))
        yield


@contextmanager
def unforked(wanted: list[str]) -> Iterator[None]:
    """Refuse inside the block to fork the process: what follows would be done, and printed, twice.

    Args:
        wanted: Receives a text for every fork that code asked for, also where it goes on without it.
    """

    def refuse() -> None:
        wanted.append("it forks the process")
        raise OSError(errno.EAGAIN, "no fork: what follows would be done twice")

    with ExitStack() as stack:
        for name in ("fork", "forkpty"):
            if hasattr(os, name):
                stack.enter_context(patch.object(os, name, refuse))
        yield
