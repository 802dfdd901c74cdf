"""Files fetched by HTTP: resumed where a connection was lost, verified, and never half a file taken for a whole one."""

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
    """A file could not be fetched from where it is published; a person, or another day, may succeed."""


class _CutShortError(Exception):
    """A connection ended before the file did."""


def fetch(
    url: str,
    target: Path,
    *,
    checksum: str | None,
    advance: Callable[[int], None] = lambda _: None,
    pauses: tuple[float, ...] = _PAUSES,
) -> None:
    """Fetch a file into ``target``, which appears when it is whole and, where a checksum is known, the right one.

    What has come lies in ``target``.part, and a later call goes on from there, where the server says that it still has
    the same file. A lost connection is tried again after each of the pauses, counted anew whenever more had come than
    ever before.

    Args:
        url: ``http`` or ``https``.
        target: The file; its folder exists.
        checksum: ``md5:`` or ``sha256:`` and hex digits; None where nobody published one.
        advance: Called with so many more bytes, those that were there already among them.
        pauses: In seconds.

    Raises:
        NotFetchedError: The file cannot be fetched.
        DataError: It is another one than was published.
        OutputError: It cannot be written, for example on a full disk.
    """
    part = target.with_name(f"{target.name}.part")
    told = most = 0
    remaining = list(pauses)
    whole = False
    while not whole:
        before = _size(part)
        advance(before - told)
        told, most = before, max(most, before)
        try:
            whole = _fetch_more(url, part)
        except urllib.error.HTTPError as error:
            raise NotFetchedError(_by_hand(url, target, f"{error.code} {error.reason}")) from error
        except (*_CUT, _CutShortError) as error:
            remaining = list(pauses) if _size(part) > most else remaining
            if not remaining:
                raise NotFetchedError(_by_hand(url, target, getattr(error, "reason", None) or error)) from error
            time.sleep(remaining.pop(0))
        except OSError as error:
            raise _not_written(part, error) from error
    advance(_size(part) - told)
    if checksum is not None and not matches_checksum(part, checksum):
        part.unlink()
        raise DataError(f"{url} is not the file that was published: its checksum is not {checksum}; it was removed")
    _version_file(part).unlink(missing_ok=True)
    part.replace(target)


def matches_checksum(path: Path, checksum: str) -> bool:
    """Return whether a file has a checksum such as ``md5:90528d7c...``. Raises ``DataError`` for an unreadable file."""
    kind, _, digits = checksum.partition(":")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest() == digits
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _fetch_more(url: str, part: Path) -> bool:
    """Append to a part what a server gives of what is missing, which may be less, and return whether it is whole now.

    Begin anew where the server does not go on, has another file now, or does not say which file it has.
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
        if error.headers.get("Content-Range") == f"bytes */{start}":  # everything had come
            return True
        part.unlink(missing_ok=True)
        raise _CutShortError("the file is shorter than what had come") from error
    with response:
        goes_on = response.status == HTTPStatus.PARTIAL_CONTENT
        length = _number(response.headers.get("Content-Length", ""))
        total = _total(response.headers, start) if goes_on else length
        if goes_on and (total is None or _version(response.headers) != version):
            part.unlink(missing_ok=True)
            raise _CutShortError("the server went on from elsewhere, or with another file")
        with part.open("ab" if start and goes_on else "wb") as file:
            _note_version(part, _version(response.headers))  # once nothing of another one is in the part
            came = _copy(response, file)
    missing = 0 if total is None else total - _size(part)
    if missing and (length is None or came < max(1, length)):
        raise _CutShortError(f"the connection ended {missing:,} bytes early")
    return missing == 0


def _total(headers: Message, start: int) -> int | None:
    """Return how long the whole file is, as an answer says that goes on from ``start``; None where it does not."""
    place, _, total = headers.get("Content-Range", "").partition("/")
    return _number(total) if place.startswith(f"bytes {start}-") else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _copy(response: BinaryIO, file: BinaryIO) -> int:
    came = 0
    while chunk := response.read(MEGABYTE):
        file.write(chunk)
        came += len(chunk)
    return came


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _version(headers: Message) -> str | None:
    """Return what identifies the server's file; a weak tag does not say that the bytes are equal."""
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


def _by_hand(url: str, target: Path, reason: object) -> str:
    return f"{url} cannot be fetched ({reason}); run the command again, or fetch it yourself and save it as {target}"


def _not_written(part: Path, error: OSError) -> OutputError:
    if error.errno == errno.ENOSPC:
        return OutputError(f"the disk is full: {part} has what came; make room and run the command again, it goes on")
    return OutputError(f"{part} cannot be written: {error.strerror}")
