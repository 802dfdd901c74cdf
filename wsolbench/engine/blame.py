"""Who is told when code that the core calls, but did not write, breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wsolbench.errors import PluginError, WsolbenchError
from wsolbench.registry import Provider


@contextmanager
def blaming(provider: Provider, doing: str) -> Iterator[None]:
    """Turn whatever a plugin raises into one line that names plugin, version and what it was doing.

    Raises:
        PluginError: Instead of anything that is not yet an error for users.
    """
    try:
        yield
    except WsolbenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise PluginError(f"plugin {provider} failed {doing}: {type(error).__name__}: {reason}") from error
