"""Weights files as bytes: read once, within bounds, checked and hashed before anything in them is believed.

safetensors and ``torch.save`` files are read, whatever their suffix, and by this code alone: nothing from a file is
executed, and the tensors are made from the very bytes that were checked and hashed.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from wsolbench.errors import WeightsError
from wsolbench.files import open_regular
from wsolbench.networks.archives import Buffer, read_archive
from wsolbench.networks.bounds import (
    BIG_ENDIAN,
    MOST_BYTES,
    MOST_ENTRIES,
    MOST_HEADER,
    MOST_PICKLE,
    DamageError,
    check_count,
    check_name,
)
from wsolbench.networks.pickles import LeftOut, RefusedPickleError, read_pickle, shown
from wsolbench.networks.stored import WIDTHS, StoredTensor, contiguous
from wsolbench.texts import first_names

__all__ = ["LeftOut", "WeightsFile", "holds_objects", "read_weights_file"]

_OLD_MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a file of torch before 1.6."""
_FEW_STEPS = 1000
_SAVE = "save the state dict of the network with torch.save"
_EXPORTED = ("/archive_format", "/models/model.json", "serialized_exported_program.json")
"""Ends of names in a program of torch.export."""
_ONNX = re.compile(rb"\x08[\x01-\x20]\x12.{0,40}(pytorch|onnx|tf2|keras|skl|paddle|mxnet|caffe)", re.DOTALL)
"""A version, and the name of the program that wrote it."""
_OTHER_FILES = {
    b"\x1f\x8b": "a gzip archive; unpack it and pass the file in it",
    b"BZh": "a bzip2 archive; unpack it and pass the file in it",
    b"\xfd7zXZ": "an xz archive; unpack it and pass the file in it",
    b"\x89HDF": f"an HDF5 file, as Keras writes; {_SAVE}",
    b"GGUF": f"a GGUF file; {_SAVE}",
    b"\x93NUMPY": f"an array of numpy; {_SAVE}",
}
"""First bytes -> what such a file is, and what to pass instead."""
_SAFETENSORS_TYPES = {
    **{"BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"},
    **{"F16": "float16", "BF16": "bfloat16", "I16": "int16", "U16": "uint16", "F32": "float32", "I32": "int32"},
    **{"U32": "uint32", "F64": "float64", "I64": "int64", "U64": "uint64", "C64": "complex64"},
}


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """The content of a weights file.

    Args:
        path: The file.
        sha256: Hex SHA-256 of the bytes that `content` and `storages` were read from.
        content: Usually a mapping, of names to `StoredTensor` or of several such mappings.
        storages: Key -> bytes of every storage that the tensors refer to.
        metadata: The texts that a safetensors file holds beside its entries.
        foreign: The classes and functions that it refers to and that are not loaded, one for every object.
        found: What was found in the content: a file is compared with many networks.
    """

    path: Path
    sha256: str
    content: Any
    storages: Mapping[str, Buffer] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    found: dict[Any, Any] = field(default_factory=dict, repr=False)


def read_weights_file(path: Path) -> WeightsFile:
    """Read a safetensors or ``torch.save`` file; its first bytes decide which of the two it is, not its suffix.

    Raises:
        WeightsError: The file is missing, is no regular file, is damaged, holds code, or declares more than it holds.
    """
    data = _read_bytes(path)
    read = _read_safetensors if _is_safetensors(data) else _read_archive if data.startswith(b"PK") else _read_old
    try:
        return read(path, data)
    except RefusedPickleError as error:
        raise _refused(path, error) from error
    except Exception as error:  # json, zipfile, pickletools and zlib raise many kinds for damaged files
        raise _unreadable(path, data, f": {error}" if isinstance(error, DamageError) else "") from error


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
            whole = io.FileIO(file.fileno(), closefd=False)  # not through the buffer, which would hold it twice
            whole.seek(0)
            return whole.readall()
    except FileNotFoundError:
        raise WeightsError(f"weights file {path} does not exist; pass a file") from None
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read ({error.strerror}); pass a file") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --------------------------------------------------------------------------------------------------------- safetensors


def _is_safetensors(data: bytes) -> bool:
    """Return whether a file starts like safetensors: with the length of a header, at most 100 MB, and its brace."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= 100_000_000


def _read_safetensors(path: Path, data: bytes) -> WeightsFile:
    length = int.from_bytes(data[:8], "little")
    if length > MOST_HEADER:
        raise DamageError(f"its safetensors header has {length / 2**20:,.0f} MiB, more than any network needs")
    header = json.loads(data[8 : 8 + length], object_pairs_hook=_without_repetition)
    metadata = header.pop("__metadata__", {})
    if not all(isinstance(text, str) for text in metadata.values()):
        raise DamageError("its metadata are no texts")
    check_count(len(header))
    numbers = memoryview(data)[8 + length :]
    _check_places(header, len(numbers))
    content = {name: _declared(name, entry) for name, entry in header.items()}
    storages = {name: numbers[slice(*header[name]["data_offsets"])] for name in content}
    return WeightsFile(path, _sha256(data), content, storages, metadata)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        places = {name: place for place, (name, _) in enumerate(pairs)}
        twice = next(name for place, (name, _) in enumerate(pairs) if places[name] != place)
        raise DamageError(f"it lists '{shown(twice)}' twice")
    return content


def _check_places(header: Mapping[str, Any], size: int) -> None:
    """Check that the entries of a safetensors header lie one behind another, and fill the file."""
    places = sorted((*header[name]["data_offsets"], name) for name in header)
    if not all(type(place) is int for *both, _ in places for place in both):
        raise ValueError("a place is no number")
    for (_, end, _), (start, _, name) in pairwise(places):
        if start != end:
            raise DamageError(f"the data of '{shown(name)}' do not start where those before them end")
    if (places[0][0], places[-1][1]) != (0, size) if places else size:
        raise ValueError("its header does not fit its size")


def _declared(name: str, entry: Mapping[str, Any]) -> StoredTensor:
    """Return the tensor of one entry of a safetensors header, which has exactly the bytes that it needs."""
    check_name(name)
    name.encode()  # a half of a surrogate pair is no text
    start, end = entry["data_offsets"]
    if entry["dtype"] not in _SAFETENSORS_TYPES:
        raise DamageError(f"'{shown(name)}' has the type {shown(str(entry['dtype']), 20)}, which is not read")
    dtype, shape = _SAFETENSORS_TYPES[entry["dtype"]], tuple(entry["shape"])
    tensor = StoredTensor(name, dtype, shape, contiguous(shape), 0)
    tensor.check((end - start) // WIDTHS[dtype])
    if tensor.count * WIDTHS[dtype] != end - start:
        raise ValueError("the shape of an entry does not fit its size")
    return tensor


# ---------------------------------------------------------------------------------------------------------- torch.save


def _read_archive(path: Path, data: bytes) -> WeightsFile:
    archive = read_archive(data)
    file = io.BytesIO(archive.pickle)
    pickle = read_pickle(file)
    if file.tell() < len(archive.pickle):
        raise DamageError("its pickle ends before its entry")
    for key, size in pickle.storages.items():
        found = len(archive.storages.get(key, b"")) if key in archive.storages else -1
        if found != size:
            raise DamageError(
                f"entry {shown(archive.name + key)} is {'longer' if found > size else 'shorter'} than declared"
            )
    storages = {key: archive.storages[key] for key in pickle.storages}
    return WeightsFile(path, _sha256(data), pickle.content, storages, foreign=pickle.foreign)


def _read_old(path: Path, data: bytes) -> WeightsFile:
    """Read a file of torch before 1.6: pickles of a number, a version, the system, the content, the storages' keys."""
    file = io.BytesIO(memoryview(data)[:MOST_PICKLE])
    first = read_pickle(file)
    if first.content != _OLD_MAGIC:
        raise DamageError("it is a pickle that torch.save did not write")
    read_pickle(file, _FEW_STEPS)
    if read_pickle(file, _FEW_STEPS).content.get("little_endian") is not True:
        raise DamageError(BIG_ENDIAN)
    pickle, keys = read_pickle(file), read_pickle(file, 4 * MOST_ENTRIES).content
    place = file.tell()
    if sorted(keys) != sorted(pickle.storages):
        raise ValueError("other storages than it declares")
    storages: dict[str, Buffer] = {}
    for key in keys:  # the number of its numbers, and the numbers
        size = pickle.storages[key]
        storages[key] = memoryview(data)[place + 8 : place + 8 + size]
        place += 8 + size
    if place != len(data):
        raise ValueError("another size than it declares")
    return WeightsFile(path, _sha256(data), pickle.content, storages, foreign=pickle.foreign)


def _refused(path: Path, error: RefusedPickleError) -> WeightsError:
    if error.entry:
        return WeightsError(f"weights file {path}: the entry {shown(str(error), 200)}; save plain tensors")
    return holds_objects(path, str(error))


def holds_objects(path: Path, what: str) -> WeightsError:
    """Return the error about a file in which objects or code stand in the place of weights.

    Args:
        path: The file.
        what: The class or function.
    """
    return WeightsError(
        f"weights file {path} holds pickled objects or code, which are never loaded ({shown(what, 200)}); "
        "save its state dict alone: torch.save(network.state_dict(), FILE)"
    )


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
    kind = next((kind for start, kind in _OTHER_FILES.items() if data.startswith(start)), None)
    kind = "a tar archive; unpack it and pass the file in it" if data[257:262] == b"ustar" else kind
    kind = f"a TFLite file; {_SAVE}" if data[4:8] == b"TFL3" else kind
    kind = f"an ONNX file; {_SAVE}" if _ONNX.match(data) else kind
    if kind is not None:
        return f"it looks like {kind}"
    try:
        words = " ".join(codecs.getincrementaldecoder("utf-8")().decode(data[:512]).split())
    except UnicodeDecodeError:
        words = ""
    if "<html" in words.lower() or "<!doctype html" in words.lower():
        return "it looks like a web page, perhaps from a failed download"
    if '"weight_map"' in words:
        return "it is the index of a network in several files; save all of it in one file"
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
    if any(name.endswith(_EXPORTED) for name in names):
        return f"it looks like a program of torch.export; {_SAVE}"
    if names and all(name.endswith(".npy") for name in names):
        return f"it looks like a file of numpy's savez; {_SAVE}"
    if any(name.endswith((".weights.h5", "metadata.json")) for name in names):
        return f"it looks like a file of Keras; {_SAVE}"
    if any(name.endswith("data.pkl") for name in names):
        return "it looks like a torch.save file with damaged content"
    first = first_names(names, 3, partial(shown, most=60))
    inside = [name for name in names if name.endswith((".pth", ".pt", ".bin", ".ckpt", ".tar", ".safetensors"))]
    advice = f"; unpack it and pass '{shown(inside[0], 60)}'" if inside else ""
    return f"it looks like a ZIP file without a checkpoint; it holds {first or 'nothing'}{advice}"
