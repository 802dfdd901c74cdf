"""Where the output of plugin code goes: to stderr, since stdout is for results."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import TextIO

__all__ = ["noting_stdout", "plugin_output"]

_STDOUT, _STDERR = 1, 2


class _Unclosable(io.TextIOBase):
    """A stream that passes text on to another one, which it leaves open when it is closed.

    Libraries keep it, and ask it at the end of the process what it is, when the other one may be closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        """Pass a text on."""
        if self._stream is not None:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the other stream."""
        if self._stream is not None:
            self._stream.flush()

    def close(self) -> None:
        """Do nothing."""

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def closed(self) -> bool:
        """Whether the other stream is closed."""
        return bool(getattr(self._stream, "closed", False))

    def isatty(self) -> bool:
        """Return whether the other stream is a terminal."""
        return self._stream is not None and not self.closed and self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the other stream."""
        if self._stream is None:
            raise OSError("stderr is closed")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the other stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"


class _Noting(_Unclosable):
    """A stream that also notes the texts that it passes on."""

    def __init__(self, stream: TextIO | None, texts: list[str]) -> None:
        super().__init__(stream)
        self._texts = texts

    def write(self, text: str) -> int:
        """Note a text and pass it on."""
        self._texts.append(text)
        return super().write(text)


@contextmanager
def noting_stdout(texts: list[str]) -> Iterator[None]:
    """Note what code prints to stdout inside the block; it goes where it would go without.

    Args:
        texts: Receives the texts.
    """
    with redirect_stdout(_Noting(sys.stdout, texts)):
        yield


@contextmanager
def plugin_output(*, descriptor: bool = False) -> Iterator[None]:
    """Send to stderr what code prints, and keep it from closing stdout and stderr.

    Args:
        descriptor: Whether also what it writes to the descriptor of stdout, as compiled code does; this concerns the
            whole process.
    """
    stream = _Unclosable(sys.stderr)
    with redirect_stdout(stream), redirect_stderr(stream):
        if descriptor:
            with _stdout_to_stderr():
                yield
        else:
            yield


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Make the descriptor of stdout another one of stderr; where one of them is closed, do nothing."""
    try:
        kept = os.dup(_STDOUT)
    except OSError:
        yield
        return
    with suppress(AttributeError, ValueError, OSError):
        sys.__stdout__.flush()  # type: ignore[union-attr]
    try:
        with suppress(OSError):
            os.dup2(_STDERR, _STDOUT)
        yield
    finally:
        os.dup2(kept, _STDOUT)
        os.close(kept)
