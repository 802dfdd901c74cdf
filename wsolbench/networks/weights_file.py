"""Weights files as bytes: read once, within bounds, checked and hashed before anything in them is believed.

safetensors and ``torch.save`` files are read, whatever their suffix. Nothing from a file is executed. What is returned
comes from the very bytes that were hashed.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from wsolbench.errors import WeightsError
from wsolbench.files import open_regular
from wsolbench.networks.pickles import LEFT_OUT, RefusedPickleError, shown, walk_pickle
from wsolbench.texts import first_names

__all__ = ["LeftOut", "WeightsFile", "read_torch", "read_weights_file"]

MOST_BYTES = 16 * 2**30
MOST_ENTRIES = 50_000
"""The largest networks have some thousand entries; a training file holds a few times as many."""
_MOST_HEADER = 32 * 2**20
_MOST_PICKLE = 64 * 2**20
_SPARE = 64 * 2**20
"""A small file may unpack to this size, whatever the factor; a larger one to four times its own."""
_LEGACY_PICKLES = 5
"""Files of torch before 1.6: magic number, protocol, system, content, keys of the storages; their data follow."""


class LeftOut:
    """Placeholder for the objects that training files hold beside their weights; it keeps plain values alone.

    Attributes:
        arguments: What the object was made with.
        values: The attributes of options (``argparse.Namespace``).
        state: Any other state; that of a numpy array holds its bytes.
    """

    arguments: tuple[object, ...] = ()
    values: Mapping[str, Any] = {}
    state: object = None

    def __new__(cls, *arguments: object) -> LeftOut:
        """Keep the arguments."""
        made = super().__new__(cls)
        made.arguments = arguments
        return made

    def __setstate__(self, state: object) -> None:
        """Keep the state."""
        self.values = state if type(state) is dict else {}
        self.state = None if type(state) is dict else state


@dataclass(frozen=True)
class WeightsFile:
    """The content of a weights file.

    Args:
        path: The file.
        sha256: Hex SHA-256 of the bytes that `content` was read from.
        content: Usually a mapping, of names to tensors or of several such mappings.
        metadata: The texts that a safetensors file holds beside its entries.
    """

    path: Path
    sha256: str
    content: object
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_weights_file(path: Path) -> WeightsFile:
    """Read a safetensors or ``torch.save`` file; its first bytes decide which of the two it is, not its suffix.

    Raises:
        WeightsError: The file is missing, is no regular file, is damaged, holds code, or declares more than it holds.
    """
    data = _read_bytes(path)
    content, metadata = _read_safetensors(path, data) if _is_safetensors(data) else (read_torch(path, data), {})
    return WeightsFile(path, hashlib.sha256(data).hexdigest(), content, metadata)


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise WeightsError(f"weights file {path} is a folder; pass a file")
    try:
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            if status.st_size > MOST_BYTES:
                size = f"{status.st_size / 2**30:.0f} GiB"
                raise WeightsError(f"weights file {path} has {size}; save the state dict of the network alone")
            kept = getattr(status, "st_blocks", 0) * 512  # 0 on systems that do not count them
            if status.st_size > 256 * 2**20 and 0 < kept < status.st_size / 4:
                raise WeightsError(
                    f"weights file {path} is damaged: most of its {status.st_size / 2**20:,.0f} MiB are holes; "
                    "perhaps a download did not finish"
                )
            start = file.read(512)
            if not (start.startswith((b"PK", b"\x80")) or _is_safetensors(start)):
                raise _unreadable(path, start)
            return start + file.read()
    except FileNotFoundError:
        raise WeightsError(f"weights file {path} does not exist; pass a file") from None
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read ({error.strerror}); pass a file") from error


# --------------------------------------------------------------------------------------------------------- safetensors


def _is_safetensors(data: bytes) -> bool:
    """Return whether a file starts like safetensors: with the length of a header, at most 100 MB, and its brace."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= 100_000_000


def _read_safetensors(path: Path, data: bytes) -> tuple[object, Mapping[str, Any]]:
    """Return the entries of a safetensors file, and the texts beside them."""
    length = int.from_bytes(data[:8], "little")
    if length > _MOST_HEADER:
        raise WeightsError(
            f"weights file {path} has a safetensors header of {length / 2**20:,.0f} MiB, more than any network needs"
        )
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_without_repetition)
        metadata = header.pop("__metadata__", None) or {}
        if len(header) > MOST_ENTRIES:
            raise WeightsError(f"weights file {path} lists {len(header):,} entries, more than any network has")
        _check_places(header, len(data) - 8 - length)
        return load_safetensors(data), metadata
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, SafetensorError, RuntimeError) as error:
        reason = f": {error}" if isinstance(error, _DamageError) else ""
        raise _unreadable(path, data, reason) from error


class _DamageError(ValueError):
    """What is damaged, in words."""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        places = {name: place for place, (name, _) in enumerate(pairs)}
        twice = next(name for place, (name, _) in enumerate(pairs) if places[name] != place)
        raise _DamageError(f"it lists '{shown(twice)}' twice")
    return content


def _check_places(header: Mapping[str, Any], size: int) -> None:
    """Check that the entries of a safetensors header lie one behind another, inside the file."""
    places = sorted((*header[name]["data_offsets"], name) for name in header)
    for (_, end, _), (start, _, name) in pairwise(places):
        if start != end:
            raise _DamageError(f"the data of '{shown(name)}' do not start where those before them end")
    if places and places[-1][1] != size:
        raise ValueError("its header does not fit its size")


# ---------------------------------------------------------------------------------------------------------- torch.save


def read_torch(path: Path, data: bytes) -> object:
    """Read the bytes of a ``torch.save`` file.

    Args:
        path: The file, for messages.
        data: Its bytes.

    Raises:
        WeightsError: They are damaged, hold code, or declare more than they hold.
    """
    try:
        if data.startswith(b"PK"):
            _check_archive(data)
        else:
            _check_legacy(data)
    except RefusedPickleError as error:
        raise _refused(path, error) from error
    except WeightsError:
        raise
    except Exception as error:  # zipfile, pickletools and zlib raise many kinds for damaged files
        raise _unreadable(path, data, f": {error}" if isinstance(error, _DamageError) else "") from error
    inert: list[Any] = [(LeftOut, name) for name in LEFT_OUT]
    with warnings.catch_warnings(), torch.serialization.safe_globals(inert):
        warnings.simplefilter("ignore")  # torch warns about files that it then refuses anyway
        try:
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file of an old format can raise any exception in torch
            raise _unreadable(path, data) from error


def _refused(path: Path, error: RefusedPickleError) -> WeightsError:
    what = shown(str(error), 200)
    if error.entry:
        return WeightsError(f"weights file {path}: the entry {what}; save plain tensors")
    return WeightsError(
        f"weights file {path} holds pickled objects or code, which are never loaded ({what}); "
        "save its state dict alone: torch.save(network.state_dict(), FILE)"
    )


def _check_archive(data: bytes) -> None:
    """Check a ZIP file before torch sees it: sizes, check sums, and the calls and sizes in its pickle."""
    if data.count(b"PK\x01\x02") > 2 * MOST_ENTRIES:
        raise _DamageError("it is a ZIP file of more entries than any network has")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) < len(names):
            raise _DamageError("it holds one name twice")
        declared = sum(entry.file_size for entry in entries)
        if declared > max(4 * len(data), _SPARE):
            raise _DamageError(f"its {len(data):,} bytes would unpack to {declared:,}")
        (content,) = [entry for entry in entries if re.fullmatch("[^/]+/data.pkl", entry.filename)]
        if any(name.endswith("constants.pkl") for name in names):
            raise ValueError("TorchScript")
        if content.file_size > _MOST_PICKLE:
            raise _DamageError("its pickle is larger than that of any network")
        for entry in entries:
            if not entry.CRC:  # torch can leave check sums out, and writes 0 then
                entry.CRC = None  # type: ignore[assignment]
            _check_sum(archive, entry)
        storages = walk_pickle(io.BytesIO(archive.read(content)))
        sizes = {entry.filename: entry.file_size for entry in entries}
        prefix = content.filename.removesuffix("data.pkl") + "data/"
        for key, size in storages.items():
            if sizes.get(prefix + key, -1) < size:
                raise _DamageError(f"entry {shown(prefix + key)} is shorter than declared")


def _check_sum(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    try:
        with archive.open(entry) as file:
            while file.read(2**20):
                pass
    except zipfile.BadZipFile as error:
        raise _DamageError(f"entry {shown(entry.filename)} does not have its check sum") from error


def _check_legacy(data: bytes) -> None:
    """Check the pickles of a file as torch wrote them before 1.6."""
    file = io.BytesIO(data)
    declared = 0
    for _ in range(_LEGACY_PICKLES):
        declared += sum(walk_pickle(file).values())
    if file.tell() > _MOST_PICKLE or declared > len(data):
        raise ValueError("it declares more than it holds")


# ------------------------------------------------------------------------------------------------ what cannot be read


def _unreadable(path: Path, data: bytes, reason: str = "") -> WeightsError:
    if reason:
        return WeightsError(f"weights file {path} is damaged{reason}; fetch or save it again")
    kind = "safetensors" if path.suffix == ".safetensors" else "weights"
    return WeightsError(f"weights file {path} is damaged or not a {kind} file: {_appearance(data)}")


def _appearance(data: bytes) -> str:
    """Return what a file that cannot be read looks like, for a message."""
    if not data:
        return "it is empty"
    if data.startswith(b"PK"):
        return _appearance_of_archive(data)
    if _is_safetensors(data):
        return "it looks like a truncated or damaged safetensors file"
    if data.startswith(b"\x80"):
        return "it looks like a truncated or damaged pickle, as old versions of torch.save write"
    if data.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself; 'git lfs pull' in its repository fetches the file"
    try:
        words = " ".join(codecs.getincrementaldecoder("utf-8")().decode(data[:512]).split())
    except UnicodeDecodeError:
        words = ""
    if "<html" in words.lower() or "<!doctype html" in words.lower():
        return "it looks like a web page, perhaps from a failed download"
    if words.isprintable() and words:
        return f"it looks like text that starts with '{words[:40]}'"
    return "it looks like neither a torch.save nor a safetensors file"


def _appearance_of_archive(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "it looks like a truncated ZIP file, as torch.save writes"
    if any(name.endswith("constants.pkl") for name in names):
        return "it looks like a TorchScript file; save the state dict of the network"
    if any(name.endswith("data.pkl") for name in names):
        return "it looks like a torch.save file with damaged content"
    first = first_names(names, 3, partial(shown, most=60))
    return f"it looks like a ZIP file without a checkpoint; it holds {first or 'nothing'}"
