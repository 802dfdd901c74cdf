"""The leaderboard at an address of this machine, for those who look at it over a connection, or while they build it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from wsolbench.errors import DataError, OutputError
from wsolbench.leaderboard.output import INDEX

__all__ = ["HOST", "serve"]

HOST = "127.0.0.1"
"""Other machines do not reach it."""


def serve(folder: Path, port: int, started: Callable[[str], None]) -> None:
    """Serve the files of a leaderboard until a signal ends it.

    Args:
        folder: The leaderboard.
        port: Where it listens; 0 for a free one.
        started: Is called with the address of the page when it can be opened.

    Raises:
        DataError: The folder has no page.
        OutputError: The port cannot be used.
        KeyboardInterrupt: A signal came; its argument is what to say.
    """
    if not (folder / INDEX).is_file():
        raise DataError(f"{folder} has no {INDEX}; write it: 'wsolbench leaderboard build --folder {folder}'")
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_Files, directory=str(folder)))
    except OSError as error:
        raise OutputError(f"port {port} cannot be used ({error.strerror}); choose another one with --port") from error
    with server:
        address = f"http://{HOST}:{server.server_port}/"
        try:
            started(address)
            server.serve_forever()
        except KeyboardInterrupt as stopped:
            stopped.args = (f"{address} is closed",)
            raise


class _Files(SimpleHTTPRequestHandler):
    """Answers with the files of a folder: no lists of names, and nothing that a link leads to elsewhere."""

    def send_head(self) -> Any:
        """Answer with the head of a file, and return the file; None after an error."""
        place, root = Path(self.translate_path(self.path)), Path(self.directory)
        if place.resolve().is_relative_to(root.resolve()):
            return super().send_head()
        self.send_error(HTTPStatus.NOT_FOUND)
        return None

    def list_directory(self, path: Any) -> BinaryIO | None:  # type: ignore[override]  # noqa: ARG002
        """Refuse a folder without a page."""
        self.send_error(HTTPStatus.NOT_FOUND)
        return None

    def end_headers(self) -> None:
        """Let browsers ask each time, so that they show what was built last."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of single requests."""
