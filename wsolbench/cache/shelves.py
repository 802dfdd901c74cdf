"""Shelves: a folder for every identity, with a file that says whose it is, and shards.

A shelf is ``<cache>/maps/<hash of the identity>/``: ``shelf.json`` is what was hashed, in words that people can read,
and ``*.shard`` hold the entries. Any number of processes may read and write one shelf: each appends to a shard of its
own. An entry is found by its place and its content; of several with both the same, any one is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from wsolbench.cache.shards import SUFFIX, DamagedError, ShardWriter, Stored, read_entry, scan
from wsolbench.errors import OutputError
from wsolbench.files import atomic_write
from wsolbench.locks import lock

__all__ = ["Shelf", "ShelfFacts", "in_use", "list_shelves", "load_shelf", "open_shelf", "prune", "verify"]

_SHELVES = "maps"
_FACTS = "shelf.json"


@dataclass
class Shelf:
    """The entries of one identity, as far as they were there when it was opened or were put there since.

    Args:
        folder: Where they are.
        identity: The hash of the identity, 32 bytes.
        refusal: Why entries cannot be added; empty where they can.
    """

    folder: Path
    identity: bytes
    refusal: str = ""
    faults: list[str] = field(default_factory=list)
    """What was noticed about damaged shards."""
    _places: dict[bytes, list[Stored]] = field(default_factory=dict)
    _writer: ShardWriter | None = None

    def load(self) -> None:
        """Read which entries there are."""
        for shard in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                for stored in scan(shard, self.identity):
                    self._places.setdefault(stored.place, []).append(stored)
            except (DamagedError, OSError) as error:
                self.faults.append(_fault(shard, error))

    def has(self, place: bytes) -> bool:
        """Return whether there is an entry of a place, of whatever content."""
        return place in self._places

    def holds(self, place: bytes, content: bytes) -> bool:
        """Return whether there is an entry of a place and a content; whether it is whole shows when it is read."""
        return any(stored.content == content for stored in self._places.get(place, []))

    def get(self, place: bytes, content: bytes) -> bytes | None:
        """Return the payload of an entry; None where there is none, or none that is whole."""
        damaged = []
        for stored in self._places.get(place, []):
            if stored.content != content:
                continue
            try:
                return read_entry(stored)
            except (DamagedError, OSError) as error:
                damaged.append(_fault(stored.shard, error))
        self.faults += damaged
        return None

    def put(self, place: bytes, content: bytes, payload: bytes) -> bool:
        """Add an entry and return True; where that is not possible, add no more: `refusal` says why.

        A full disk is no reason to end a run: what is not kept is computed again.
        """
        if self.refusal:
            return False
        try:
            self._writer = self._writer or ShardWriter(self.folder, self.identity)
            stored = self._writer.append(place, content, payload)
        except OSError as error:
            self.refusal = error.strerror or "unknown reason"
            return False
        self._places.setdefault(place, []).append(stored)
        return True

    def close(self) -> None:
        """Close the shard that was written."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def open_shelf(cache: Path, facts: Mapping[str, Any]) -> Iterator[Shelf]:
    """Open the shelf of an identity, and make it where it is not there; it is not pruned as long as it is open.

    Args:
        cache: The folder of the cache.
        facts: The identity: plain values, which JSON can hold.
    """
    folder = cache / _SHELVES / hashlib.sha256(_written(facts)).hexdigest()
    shelf = Shelf(folder, bytes.fromhex(folder.name))
    descriptor: int | None = None
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # where folders cannot be locked, what is in use can be pruned
                descriptor = os.open(folder, os.O_RDONLY)
                lock(descriptor, shared=True, wait=True)
            if not (folder / _FACTS).exists():
                atomic_write(folder / _FACTS, _written(facts))
            os.utime(folder / _FACTS)  # when it was used last
        except OSError as error:
            shelf.refusal = error.strerror or "unknown reason"
            with suppress(OSError):
                folder.rmdir()  # without its file, nobody could tell whose it is
        shelf.load()
        yield shelf
    finally:
        shelf.close()
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def in_use(shelf: Shelf) -> Iterator[None]:
    """Note that a shelf that was loaded is used now, and keep it from being pruned meanwhile.

    Where folders cannot be locked, it can be pruned; in a cache that can only be read, nothing is noted.
    """
    descriptor: int | None = None
    try:
        with suppress(OSError):
            descriptor = os.open(shelf.folder, os.O_RDONLY)
            lock(descriptor, shared=True, wait=True)
        with suppress(OSError):
            os.utime(shelf.folder / _FACTS)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def load_shelf(folder: Path) -> Shelf:
    """Return a shelf to read from, which is not locked."""
    shelf = Shelf(folder, bytes.fromhex(folder.name), refusal="it is only read")
    shelf.load()
    return shelf


def _fault(shard: Path, error: DamagedError | OSError) -> str:
    return f"{shard}: {error.strerror if isinstance(error, OSError) else error}"


def _written(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode(errors="surrogateescape")


@dataclass(frozen=True)
class ShelfFacts:
    """What is known of a shelf without reading its entries.

    Attributes:
        folder: Where it is.
        facts: The identity; None where the file of it is missing or damaged.
        size: Of all its files, in bytes.
        used: When it was used last, by the clock of that moment.
    """

    folder: Path
    facts: Mapping[str, Any] | None
    size: int
    used: datetime


def list_shelves(cache: Path) -> list[ShelfFacts]:
    """Return the shelves of a cache, the one used last first.

    Raises:
        OutputError: The folder cannot be read.
    """
    try:
        folders = [path for path in (cache / _SHELVES).iterdir() if path.is_dir()] if cache.exists() else []
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"{cache}: {error.strerror}") from error
    return sorted((_facts_of(folder) for folder in folders), key=lambda shelf: shelf.used, reverse=True)


def _facts_of(folder: Path) -> ShelfFacts:
    sizes = []
    for path in folder.iterdir():
        with suppress(OSError):
            sizes.append(path.stat().st_size)
    facts = folder / _FACTS
    used = (facts if facts.exists() else folder).stat().st_mtime
    return ShelfFacts(folder, _read_facts(folder), sum(sizes), _moment(used))


def _moment(seconds: float) -> datetime:
    """Return a moment since 1970; one that no calendar has, which a clock of no sense has written, is the nearest."""
    try:
        return datetime.fromtimestamp(seconds)
    except (OverflowError, ValueError, OSError):
        return datetime.max if seconds > 0 else datetime.min


def _read_facts(folder: Path) -> Mapping[str, Any] | None:
    """Return the identity of a shelf; None where the file of it is missing, or is not what was hashed."""
    try:
        content = (folder / _FACTS).read_bytes()
        if hashlib.sha256(content).hexdigest() != folder.name:
            return None
        facts: Mapping[str, Any] = json.loads(content)
    except (OSError, ValueError):
        return None
    return facts


def verify(folder: Path) -> tuple[int, list[str]]:
    """Read every entry of a shelf; return how many are whole, and what is wrong with the others."""
    faults = [] if _read_facts(folder) is not None else [f"{folder / _FACTS}: missing or damaged"]
    whole = 0
    for shard in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            for stored in scan(shard, bytes.fromhex(folder.name)):
                try:
                    read_entry(stored)
                    whole += 1
                except DamagedError as error:
                    faults.append(_fault(shard, error))
        except (DamagedError, OSError) as error:
            faults.append(_fault(shard, error))
        except ValueError:
            faults.append(f"{shard}: its folder is no shelf")
    return whole, faults


def prune(shelves: Sequence[ShelfFacts], *, unused: timedelta) -> tuple[list[ShelfFacts], list[ShelfFacts]]:
    """Remove shelves that were not used for some time; return those removed, and those that a run uses right now.

    Args:
        shelves: All that may be removed.
        unused: Those stay that were used within this time, or later than now by a clock that was wrong; with none, all
            are removed.

    Raises:
        OutputError: One cannot be removed.
    """
    removed: list[ShelfFacts] = []
    busy: list[ShelfFacts] = []
    now = datetime.now()
    limit = now - unused if unused < now - datetime.min else datetime.min
    for shelf in shelves:
        if unused and shelf.used > limit:
            continue
        (removed if _remove(shelf.folder) else busy).append(shelf)
    return removed, busy


def _remove(folder: Path) -> bool:
    """Remove a shelf; return False where a run uses it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):
                if not lock(descriptor):
                    return False
            shutil.rmtree(folder)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return True  # another command removed it
    except OSError as error:
        raise OutputError(f"{folder}: cannot be removed ({error.strerror})") from error
    return True
