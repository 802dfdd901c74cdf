"""A plugin that connects to another machine when it is imported, and goes on where that fails."""

import contextlib
import socket

from wsolbench.api import MethodSpec, hookimpl

with contextlib.suppress(OSError):
    socket.create_connection(("127.0.0.1", 9), timeout=1).close()


def localize(features, _):
    return features.mean(dim=1)


@hookimpl
def wsolbench_methods():
    return [MethodSpec("needs-a-network", lambda: localize, "nobody")]
