"""What commands write to stdout and stderr: results and messages, which show every character that they hold."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import TextIO, cast

import typer

from wsolbench.errors import OutputError
from wsolbench.escaping import message_text, terminal_text

__all__ = ["message_stream", "result_stream", "tell"]

_CONSEQUENCE = ", so results cannot be shown; files that the command wrote are complete"


def tell(message: str) -> None:
    """Write an error or a warning to stderr; where that cannot be written, the exit code alone remains."""
    with message_stream(sys.stderr):
        typer.echo(message_text(message), err=True)


@contextmanager
def message_stream(stderr: TextIO | None) -> Iterator[None]:
    """Write messages to a stream as long as somebody reads them; where nobody does, the work goes on in silence.

    Args:
        stderr: The stream; None where the process was started without one.
    """
    with redirect_stderr(cast("TextIO", _MessageStream(stderr))):
        try:
            yield
        finally:
            sys.stderr.flush()


@contextmanager
def result_stream(stdout: TextIO | None) -> Iterator[None]:
    """Write results to a stream: without characters that a terminal obeys, and with failures as errors for the user.

    Args:
        stdout: The stream; None where the process was started without one.
    """
    with redirect_stdout(cast("TextIO", _ResultStream(stdout))):
        yield


class _Stream(io.TextIOBase):
    """A stream that passes texts on to another one.

    Libraries keep it, and ask it at the end of the process what it is, when the other one may be closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    @property
    def closed(self) -> bool:
        return bool(getattr(self._stream, "closed", False))

    def isatty(self) -> bool:
        return self._stream is not None and not self.closed and self._stream.isatty()

    def fileno(self) -> int:
        return -1 if self._stream is None else self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def _discard(self) -> None:
        """Let the rest go nowhere: the interpreter would fail once more when it writes it at its end."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


class _MessageStream(_Stream):
    def write(self, text: str, /) -> int:
        if self._stream is not None:
            try:
                self._stream.write(text)
            except OSError:
                self._discard()
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except OSError:
                self._discard()


class _ResultStream(_Stream):
    def write(self, text: str, /) -> int:
        shown = terminal_text(text)  # a TypeError for bytes shows that this is a stream of texts
        if shown:  # typer tries a stream with an empty text, and ignores every error
            with self._failures_told() as stream:
                stream.write(shown)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            with self._failures_told() as stream:
                stream.flush()

    @contextmanager
    def _failures_told(self) -> Iterator[TextIO]:
        """Yield the stream; a reader that left, as ``head`` does, is no failure."""
        if self._stream is None:
            raise OutputError(f"stdout is closed{_CONSEQUENCE}")
        try:
            yield self._stream
        except BrokenPipeError:
            self._discard()
            raise
        except OSError as error:
            self._discard()
            raise OutputError(f"stdout cannot be written ({error.strerror}){_CONSEQUENCE}") from error
