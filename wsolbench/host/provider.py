"""The provider of a plugin, and errors in plugin code attributed to the plugin that raised them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wsolbench.errors import PluginError, WsolbenchError


@dataclass(frozen=True)
class Provider:
    """The installed distribution and the entry point that offer a spec."""

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} '{self.entry_point}'"


@contextmanager
def blaming(provider: Provider, doing: str) -> Iterator[None]:
    """Convert any exception of a plugin into one line that names the plugin, its version and what it was doing.

    Errors that are already written for users pass unchanged.

    Args:
        provider: Whose code runs in the block.
        doing: What it does, to follow "failed": ``building 'resnet50'``.

    Raises:
        PluginError: The block raised an exception, or exited.
    """
    try:
        yield
    except WsolbenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise PluginError(f"plugin {provider} failed {doing}: {type(error).__name__}: {reason}") from error
