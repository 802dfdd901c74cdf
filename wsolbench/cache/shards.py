"""Shards: files that entries are appended to. An entry that is damaged or cut short is noticed, and never returned.

A shard begins with a mark and the identity whose entries it holds. An entry is a header and a payload. The header has
the place of the entry (what it is of), the content (what it was made from), the length of the payload, and hashes of
the payload and of the header itself. One process writes a shard; others may read it meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SUFFIX", "DamagedError", "ShardWriter", "Stored", "read_entry", "scan"]

SUFFIX = ".shard"
_MARK = b"wsolbench shard1"
_HEADER = struct.Struct("<32s32sQ32s")
_CHECK = 16
"""Bytes of a header's hash."""


class DamagedError(Exception):
    """A shard, or an entry of it, is not what was written."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an entry is.

    Attributes:
        place: What it is of, 32 bytes.
        content: What it was made from, 32 bytes.
        shard: The file.
        offset: Where its payload begins.
        length: Of its payload, in bytes.
        sha256: Of its payload.
    """

    place: bytes
    content: bytes
    shard: Path
    offset: int
    length: int
    sha256: bytes


def scan(shard: Path, identity: bytes) -> Iterator[Stored]:
    """Yield the entries of a shard, of which the headers are read and checked, and the payloads are not.

    Args:
        shard: The file.
        identity: Whose entries it should hold, 32 bytes.

    Raises:
        DamagedError: It is of another identity, or no shard; or a header is damaged, or the last entry cut short: the
            entries before it are yielded first.
        OSError: It cannot be read.
    """
    with shard.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return  # its process has not written yet
        head = file.read(len(_MARK) + len(identity))
        if head != _MARK + identity:
            raise DamagedError("it is of another identity, or no shard")
        while (start := file.tell()) < size:
            header = file.read(_HEADER.size)
            check = file.read(_CHECK)
            if len(check) < _CHECK:
                raise DamagedError(f"its last entry, at byte {start:,}, is cut short")
            if check != _check(header, identity):
                raise DamagedError(f"the header of the entry at byte {start:,} is damaged; it and what follows is lost")
            place, content, length, sha256 = _HEADER.unpack(header)
            offset = file.tell()
            if offset + length > size:
                raise DamagedError(f"its last entry, at byte {start:,}, is cut short")
            file.seek(length, os.SEEK_CUR)
            yield Stored(place, content, shard, offset, length, sha256)


def read_entry(stored: Stored) -> bytes:
    """Return the payload of an entry.

    Raises:
        DamagedError: It is not what was written.
        OSError: The shard cannot be read.
    """
    with stored.shard.open("rb") as file:
        file.seek(stored.offset)
        payload = file.read(stored.length)
    if hashlib.sha256(payload).digest() != stored.sha256:
        raise DamagedError(f"the entry at byte {stored.offset:,} is damaged")
    return payload


class ShardWriter:
    """A new shard in a folder, created when the first entry is appended.

    Args:
        folder: Which is there.
        identity: Whose entries it holds, 32 bytes.
    """

    def __init__(self, folder: Path, identity: bytes) -> None:
        self._path = folder / f"{secrets.token_hex(8)}{SUFFIX}"
        self._identity = identity
        self._file: int | None = None
        self._end = 0

    def append(self, place: bytes, content: bytes, payload: bytes) -> Stored:
        """Append an entry, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        sha256 = hashlib.sha256(payload).digest()
        header = _HEADER.pack(place, content, len(payload), sha256)
        entry = header + _check(header, self._identity) + payload
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            self._write(_MARK + self._identity)
        self._write(entry)
        offset = self._end - len(payload)
        return Stored(place, content, self._path, offset, len(payload), sha256)

    def _write(self, content: bytes) -> None:
        assert self._file is not None
        written = 0
        try:
            while written < len(content):
                written += os.write(self._file, content[written:])
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(content)

    def close(self) -> None:
        """Close the file, and remove it where nothing was appended."""
        if self._file is not None:
            os.close(self._file)
            if self._end <= len(_MARK) + len(self._identity):
                self._path.unlink(missing_ok=True)
            self._file = None


def _check(header: bytes, identity: bytes) -> bytes:
    return hashlib.sha256(identity + header).digest()[:_CHECK]
