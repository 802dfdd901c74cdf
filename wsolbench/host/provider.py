"""Who provides a plugin, and errors in its code attributed to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wsolbench.errors import PluginError, WsolbenchError


@dataclass(frozen=True)
class Provider:
    """The installed distribution and entry point that a spec came from."""

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} '{self.entry_point}'"


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
