"""Downloads over HTTP: resumed after a lost connection, verified, and never mistaken for complete when they are not."""

from __future__ import annotations

import errno
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from wsolbench.errors import DataError, OutputError

__all__ = ["MEGABYTE", "NotFetchedError", "fetch", "matches_checksum"]

MEGABYTE = 1_000_000
_PATIENCE = 30.0
_PAUSES = (1.0, 2.0, 4.0, 8.0)
_CUT = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)


class NotFetchedError(DataError):
    """A file could not be downloaded from where it is published; a later attempt, or one by hand, may succeed."""


class _CutShortError(Exception):
    """A connection ended before the end of the file."""


def fetch(
    url: str,
    target: Path,
    *,
    checksum: str | None,
    advance: Callable[[int], None] = lambda _: None,
    pauses: tuple[float, ...] = _PAUSES,
) -> None:
    """Download a file to ``target``, which appears when the file is complete and its checksum, if any, is right.

    Bytes are collected in ``target``.part. A later call continues this file, if the server says that its file is still
    the same. After a lost connection the call pauses and tries again; whenever the file has grown beyond its largest
    size so far, the list of pauses starts again.

    Args:
        url: ``http`` or ``https``.
        target: The file to write; its folder exists.
        checksum: ``md5:`` or ``sha256:`` and hex digits; None if none was published.
        advance: Called with the number of further bytes; the first call includes those of earlier downloads.
        pauses: Pauses before the next attempts, in seconds.

    Raises:
        NotFetchedError: The file cannot be downloaded.
        DataError: The checksum is wrong.
        OutputError: The file cannot be written, for example on a full disk.
    """
    part = target.with_name(f"{target.name}.part")
    reported = most = 0
    remaining = list(pauses)
    whole = False
    while not whole:
        before = _size(part)
        advance(before - reported)
        reported, most = before, max(most, before)
        try:
            whole = _fetch_more(url, part)
        except urllib.error.HTTPError as error:
            raise NotFetchedError(_advise(url, target, f"{error.code} {error.reason}")) from error
        except (*_CUT, _CutShortError) as error:
            remaining = list(pauses) if _size(part) > most else remaining
            if not remaining:
                raise NotFetchedError(_advise(url, target, getattr(error, "reason", None) or error)) from error
            time.sleep(remaining.pop(0))
        except OSError as error:
            raise _not_written(part, error) from error
    advance(_size(part) - reported)
    if checksum is not None and not matches_checksum(part, checksum):
        part.unlink()
        raise DataError(f"{url} is not the published file: its checksum is not {checksum}; it was deleted")
    _version_file(part).unlink(missing_ok=True)
    part.replace(target)


def matches_checksum(path: Path, checksum: str) -> bool:
    """Return whether a file has a checksum.

    Args:
        path: The file.
        checksum: ``md5:`` or ``sha256:`` and hex digits.

    Raises:
        DataError: The file cannot be read.
    """
    kind, _, digits = checksum.partition(":")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest() == digits
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _fetch_more(url: str, part: Path) -> bool:
    """Append the missing bytes that a server sends to a partial file, and return whether the file is complete.

    A server may send fewer bytes than are missing. The download starts again from 0 if the server cannot continue, has
    another file by now, or does not identify its file.

    Args:
        url: The file to download.
        part: The partial file; it need not exist.

    Raises:
        _CutShortError: The connection ended early, or the partial file is not a part of the server's file.
    """
    version = _noted_version(part)
    start = 0 if version is None else _size(part)
    headers = {"User-Agent": "wsolbench"}
    if version is not None and start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{start}":  # the partial file is already complete
            return True
        part.unlink(missing_ok=True)
        raise _CutShortError("the file is shorter than its partial download") from error
    with response:
        continues = response.status == HTTPStatus.PARTIAL_CONTENT
        length = _number(response.headers.get("Content-Length", ""))
        total = _total(response.headers, start) if continues else length
        if continues and (total is None or _version(response.headers) != version):
            part.unlink(missing_ok=True)
            raise _CutShortError("the server continued at another byte or with another file")
        with part.open("ab" if start and continues else "wb") as file:
            _note_version(part, _version(response.headers))  # after opening, which removes bytes of another version
            received = _copy(response, file)
    missing = 0 if total is None else total - _size(part)
    if missing and (length is None or received < max(1, length)):
        raise _CutShortError(f"the connection ended {missing:,} bytes early")
    return missing == 0


def _total(headers: Message, start: int) -> int | None:
    """Return the size of the whole file in bytes, from a response that continues at byte `start`, else None."""
    place, _, total = headers.get("Content-Range", "").partition("/")
    return _number(total) if place.startswith(f"bytes {start}-") else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _copy(response: BinaryIO, file: BinaryIO) -> int:
    received = 0
    while chunk := response.read(MEGABYTE):
        file.write(chunk)
        received += len(chunk)
    return received


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _version(headers: Message) -> str | None:
    """Return what identifies the server's file; a weak tag does not, since equal weak tags allow different bytes."""
    tag: str | None = headers.get("ETag")
    return headers.get("Last-Modified") if tag is None or tag.startswith("W/") else tag


def _noted_version(part: Path) -> str | None:
    try:
        return _version_file(part).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _note_version(part: Path, version: str | None) -> None:
    if version is None:
        _version_file(part).unlink(missing_ok=True)
    else:
        _version_file(part).write_text(version, encoding="utf-8")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _advise(url: str, target: Path, reason: object) -> str:
    """Return the message for a file that cannot be downloaded: try again, or download it by hand."""
    return (
        f"{url} cannot be downloaded ({reason}); run the command again, or download it yourself and save it as {target}"
    )


def _not_written(part: Path, error: OSError) -> OutputError:
    if error.errno == errno.ENOSPC:
        advice = "free some space and run the command again to continue"
        return OutputError(f"the disk is full: {part} is incomplete; {advice}")
    return OutputError(f"{part} cannot be written: {error.strerror}")
