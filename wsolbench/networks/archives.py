"""ZIP files of ``torch.save``: exactly one archive from the first byte of a file to its last, its check sums right.

Programs that read a ZIP file differ in where they begin: with the directory at its end, or with its first bytes. A file
that could be read in two ways is refused.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from wsolbench.networks.bounds import BIG_ENDIAN, MOST_ENTRIES, MOST_PICKLE, SPARE, DamageError
from wsolbench.networks.pickles import shown

__all__ = ["Archive", "Buffer", "read_archive"]

Buffer: TypeAlias = bytes | memoryview
_LOCAL, _DIRECTORY, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END_64, _LOCATOR_64, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_LATEST_VERSION = 10
_NOT_IN_ROW = "its ZIP entries do not follow one another from the first byte of the file"
_MISPLACED = "its ZIP directory is not where the end of the file says"


@dataclass(frozen=True)
class Archive:
    """A ``torch.save`` file.

    Args:
        pickle: The pickle of its content.
        storages: Key -> bytes of every storage.
        name: What stands before the key in the name of a storage, for messages.
    """

    pickle: Buffer
    storages: Mapping[str, Buffer]
    name: str


def read_archive(data: bytes) -> Archive:
    """Read a ZIP file as ``torch.save`` writes it.

    Raises:
        DamageError: It is damaged, or could be read in two ways, or unpacks to more than it should.
        ValueError: It is something else; so do the exceptions of `zipfile`.
    """
    if data.count(_DIRECTORY) > 2 * MOST_ENTRIES:
        raise DamageError("it is a ZIP file of more entries than any network has")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if any(name.endswith("constants.pkl") for name in names):
            raise ValueError("TorchScript")
        (pickled,) = [name for name in names if re.fullmatch("[^/]+/data.pkl", name)]
        if len({name.lower() for name in names}) < len(names):
            raise DamageError("it holds one name twice")
        _check_layout(data, archive)
        _check_sizes(data, entries)
        parts = {entry.filename: _content(data, archive, entry) for entry in entries}
    root = pickled.removesuffix("data.pkl")
    _check_format(parts.get(f"{root}version"), parts.get(f"{root}byteorder"))
    storages = {name.removeprefix(f"{root}data/"): part for name, part in parts.items()}
    if len(parts[pickled]) > MOST_PICKLE:
        raise DamageError("its pickle is larger than that of any network")
    return Archive(parts[pickled], storages, f"{root}data/")


def _check_layout(data: bytes, archive: zipfile.ZipFile) -> None:
    """Check that the entries fill the file up to their directory, and that this and its end fill the rest."""
    place = 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if entry.header_offset != place:
            raise DamageError(_NOT_IN_ROW)
        place = _start(data, entry) + entry.compress_size
        place += _descriptor_size(data, place) if entry.flag_bits & 8 else 0
    start, size, end = _directory(data, len(archive.comment))
    if start != place or start + size != end:
        raise DamageError(_MISPLACED)


def _start(data: bytes, entry: zipfile.ZipInfo) -> int:
    """Return where the bytes of an entry start."""
    if data[entry.header_offset : entry.header_offset + 4] != _LOCAL:
        raise DamageError(_NOT_IN_ROW)
    name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
    return int(entry.header_offset + 30 + name + extra)


def _descriptor_size(data: bytes, place: int) -> int:
    """Return the size of the sizes that follow an entry; they have 32 or 64 bits."""
    if data[place : place + 4] == _DESCRIPTOR:
        for size in (16, 24):
            if data[place + size : place + size + 4] in (_LOCAL, _DIRECTORY):
                return size
    raise DamageError(_NOT_IN_ROW)


def _directory(data: bytes, comment: int) -> tuple[int, int, int]:
    """Return where a ZIP file says its directory starts, its size, and where the records behind it start."""
    end = len(data) - comment - 22
    if data[end : end + 4] != _END:
        raise DamageError("it goes on behind the end of its ZIP archive")
    size, start = struct.unpack_from("<LL", data, end + 12)
    if data[end - 20 : end - 16] != _LOCATOR_64:
        return start, size, end
    record = end - 76
    if data[record : record + 4] != _END_64 or struct.unpack_from("<Q", data, end - 12)[0] != record:
        raise DamageError(_MISPLACED)
    long_size, long_start = struct.unpack_from("<QQ", data, record + 40)
    if start not in (long_start, 2**32 - 1) or size not in (long_size, 2**32 - 1):
        raise DamageError(_MISPLACED)
    return long_start, long_size, record


def _check_sizes(data: bytes, entries: list[zipfile.ZipInfo]) -> None:
    """Check the sizes that are declared, before anything is unpacked."""
    declared = sum(entry.file_size for entry in entries)
    if declared > max(2 * len(data), SPARE):
        raise DamageError(f"its {len(data):,} bytes would unpack to {declared:,}")


def _content(data: bytes, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Buffer:
    """Return the bytes of an entry, whose check sum is right; torch can omit check sums, and writes 0 then."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise DamageError(f"entry {shown(entry.filename)} is compressed or encrypted in a way that torch does not use")
    content: Buffer
    if entry.compress_type == zipfile.ZIP_STORED:
        start = _start(data, entry)
        content = memoryview(data)[start : start + entry.compress_size]
    else:
        check_sum, entry.CRC = entry.CRC, None  # type: ignore[assignment]
        content, entry.CRC = archive.read(entry), check_sum
    if len(content) != entry.file_size:
        raise DamageError(f"entry {shown(entry.filename)} does not have its size")
    if entry.CRC and zlib.crc32(content) != entry.CRC:
        raise DamageError(f"entry {shown(entry.filename)} does not have its check sum")
    return content


def _check_format(version: Buffer | None, byte_order: Buffer | None) -> None:
    if version is None or not 1 <= int(bytes(version[:20])) <= _LATEST_VERSION:
        raise DamageError("its version is not one that torch.save writes")
    if byte_order is not None and bytes(byte_order) != b"little":
        raise DamageError(BIG_ENDIAN)
