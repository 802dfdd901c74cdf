"""The provider of a plugin, and errors in plugin code attributed to the plugin that raised them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wsolbench.contract.names import SOURCE
from wsolbench.errors import PluginError, WsolbenchError

UNRELEASED = "unreleased"
"""The version of what Python was given and nobody can tell apart from others of its name."""


@dataclass(frozen=True)
class Provider:
    """The installed distribution and the entry point that offer a spec, or a file that was named for one command.

    Args:
        distribution: The name of the distribution; of a file its name, as in ``spread.py``.
        version: Its version; of a file `SOURCE` and the first 16 digits of its SHA-256.
        entry_point: The name of the entry point; of a file its name without ``.py``.
        sha256: The SHA-256 of a file; None for a distribution.
    """

    distribution: str
    version: str
    entry_point: str
    sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} '{self.entry_point}'"

    @property
    def recorded_version(self) -> str:
        """The version for records and cards, which hold the whole hash of a file."""
        return self.version if self.sha256 is None else f"{SOURCE}{self.sha256}"

    @property
    def is_installed(self) -> bool:
        """Whether it is a distribution or a file, so that the same name and version are the same code again."""
        return self.sha256 is not None or not (self.version.startswith(SOURCE) or self.version == UNRELEASED)


def of_the_user(error: BaseException) -> bool:
    """Return whether an exception is the user's Ctrl-C, and no doing of the code that raised it.

    Python's own handler of SIGINT raises a plain KeyboardInterrupt, which any code may raise too. The handler of the
    command line raises a subclass, so that the two can be told apart.
    """
    plain = type(error) is KeyboardInterrupt
    return isinstance(error, KeyboardInterrupt) and (
        not plain or signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


@contextmanager
def blaming(provider: Provider, doing: str) -> Iterator[None]:
    """Convert any exception of a plugin into one line that names the plugin, its version and what it was doing.

    Errors that are already written for users pass unchanged.

    Args:
        provider: Whose code runs in the block.
        doing: What it does, to follow "failed": ``building 'resnet50'``.

    Raises:
        PluginError: The block raised an exception of any kind, or exited.
    """
    try:
        yield
    except WsolbenchError:
        raise
    except BaseException as error:
        if of_the_user(error):
            raise
        reason = " ".join(str(error).split())
        raise PluginError(f"plugin {provider} failed {doing}: {type(error).__name__}: {reason}") from error
