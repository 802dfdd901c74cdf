"""Checkpoints: read without executing any of their content, compared with the network, loaded strictly."""

from __future__ import annotations

import codecs
import hashlib
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wsolbench.contract import BackboneSpec, Reparameterizable
from wsolbench.errors import WeightsError, WsolbenchError
from wsolbench.networks.shapes import build_shapes

_CONTAINERS = ("model", "state_dict", "module", "state_dict_ema", "model_ema")
"""Keys under which training files nest their state dict. Averages of the weights come last: they are the fallback."""


class _LeftOut:
    """Placeholder for the objects that training files hold beside their weights; it discards all their content."""

    def __new__(cls, *_: object) -> _LeftOut:
        """Accept and discard any arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Discard the state."""


_HARMLESS = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
)
"""The globals that pickled options and numpy numbers refer to; none is called, `_LeftOut` replaces them all."""


def read_state_dict(path: Path, spec: BackboneSpec) -> dict[str, Tensor]:
    """Read a weights file into a state dict with the network's own keys.

    If the plugin has a reader, it reads the file. Otherwise the file is safetensors or a ``torch.save`` file of plain
    tensors. Containers (``model``, ``state_dict``) and ``module.`` prefixes are removed, and the plugin may convert the
    entries. Options, numbers and texts, which training files hold beside the tensors, are left out.

    Args:
        path: The file.
        spec: The network.

    Raises:
        WeightsError: The file is missing, is damaged, holds code, or holds no state dict.
    """
    _check_file(path)
    if spec.read_weights is not None:
        with _naming(path, spec):
            return dict(spec.read_weights(path))
    return convert_entries(path, spec, read_entries(path))


def read_entries(path: Path) -> dict[str, Tensor]:
    """Read the entries of a safetensors or ``torch.save`` file under the file's names, without containers and prefixes.

    The first bytes decide which of the two formats it is, not the suffix.

    Raises:
        WeightsError: The file is missing, is damaged, holds code, or holds no state dict.
    """
    _check_file(path)
    try:
        content = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read ({error.strerror})") from error
    return _unwrapped(path, content)


def convert_entries(path: Path, spec: BackboneSpec, entries: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a file's entries under the network's names.

    Args:
        path: The file, for messages.
        spec: The network.
        entries: The entries of the file.

    Raises:
        WeightsError: The plugin cannot convert them.
    """
    if spec.convert_weights is None:
        return entries
    with _naming(path, spec):
        return dict(spec.convert_weights(entries))


def _check_file(path: Path) -> None:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"weights file {path} {what}; pass a file")


@contextmanager
def _naming(path: Path, spec: BackboneSpec) -> Iterator[None]:
    """Convert any exception of a plugin about a file into one line that names the file."""
    try:
        yield
    except WsolbenchError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"weights file {path} cannot be read as '{spec.name}' weights: {reason}") from error


def _is_safetensors(path: Path) -> bool:
    """Return whether a file starts like safetensors: with the length of a header, at most 100 MB, and its brace."""
    with path.open("rb") as file:
        length, brace = file.read(8), file.read(1)
    return brace == b"{" and int.from_bytes(length, "little") <= 100_000_000


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _unreadable(path) from error


def _read_torch(path: Path) -> object:
    harmless: list[Any] = [(_LeftOut, name) for name in _HARMLESS]
    with path.open("rb") as file, warnings.catch_warnings(), torch.serialization.safe_globals(harmless):
        warnings.simplefilter("ignore")  # torch warns about files that it then refuses anyway
        try:
            return torch.load(file, map_location="cpu", weights_only=True)  # given a path, torch would use its suffix
        except pickle.UnpicklingError as error:
            text = str(error)
            if "GLOBAL" in text or "global" in text or "class" in text or _names_objects(path):
                raise WeightsError(
                    f"weights file {path} holds pickled objects or code, which are never loaded; "
                    "save its state dict alone"
                ) from error
            raise _unreadable(path) from error
        except Exception as error:  # a damaged file of an old format can raise any exception in torch
            raise _unreadable(path) from error


def _unreadable(path: Path) -> WeightsError:
    kind = "safetensors" if path.suffix == ".safetensors" else "weights"
    return WeightsError(f"weights file {path} is damaged or not a {kind} file: {_appearance(path)}")


def _appearance(path: Path) -> str:
    """Return what a file that cannot be read looks like, for a message."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "it is empty"
    if start.startswith(b"PK"):
        return _appearance_of_zip(path)
    if _is_safetensors(path):
        return "it looks like a truncated or damaged safetensors file"
    if start.startswith(b"\x80"):
        return "it looks like a truncated or damaged pickle, as old versions of torch.save write"
    try:
        words = " ".join(codecs.getincrementaldecoder("utf-8")().decode(start).split())
    except UnicodeDecodeError:
        words = ""
    if "<html" in words.lower() or "<!doctype html" in words.lower():
        return "it looks like a web page, perhaps from a failed download"
    if words.isprintable() and words:
        return f"it looks like text that starts with '{words[:40]}'"
    return "it looks like neither a torch.save nor a safetensors file"


def _appearance_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "it looks like a truncated ZIP file, as torch.save writes"
    if any(name.endswith("constants.pkl") for name in names):
        return "it looks like a TorchScript file; save the state dict of the network"
    if any(name.endswith("data.pkl") for name in names):
        return "it looks like a torch.save file with damaged content"
    return f"it looks like a ZIP file without a checkpoint; it holds {_some(names) or 'nothing'}"


def _names_objects(path: Path) -> bool:
    """Return whether a bare pickle refers to classes or functions; its instructions are listed and not executed.

    torch refuses newer pickle protocols before it reaches these instructions, so its message does not say it.
    """
    try:
        with path.open("rb") as file:
            return any(step.name in ("GLOBAL", "STACK_GLOBAL", "INST") for step, _, _ in pickletools.genops(file))
    except Exception:  # a damaged pickle, or none
        return False


def _unwrapped(path: Path, content: object) -> dict[str, Tensor]:
    for container in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(container), Mapping):
            content = content[container]
    entries = content if isinstance(content, Mapping) else {}
    tensors = {str(key).removeprefix("module."): value for key, value in entries.items() if isinstance(value, Tensor)}
    others = [value for value in entries.values() if not isinstance(value, Tensor)]
    if not tensors or not all(value is None or isinstance(value, int | float | str | _LeftOut) for value in others):
        raise WeightsError(f"weights file {path} holds no state dict (a mapping of names to tensors)")
    return tensors


def count_classes(path: Path, spec: BackboneSpec, state: Mapping[str, Tensor]) -> int:
    """Return the number of classes of a state dict.

    Args:
        path: Its file, for messages.
        spec: The network.
        state: The state dict, in the network's keys.

    Raises:
        WeightsError: It lacks the network's classifier entry.
    """
    if spec.classifier_key not in state or state[spec.classifier_key].ndim == 0:
        raise WeightsError(
            f"weights file {path} is not for '{spec.name}': it has no '{spec.classifier_key}'; "
            f"it holds {len(state)} entries such as {_some(state)}"
        )
    return int(state[spec.classifier_key].shape[0])


@dataclass(frozen=True)
class Difference:
    """The entries in which a state dict differs from a network's, by name."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether any entry differs."""
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        """Return the differences as one line."""
        parts = [("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.reshaped)]
        return "; ".join(f"{len(keys)} {what}: {_some(keys)}" for what, keys in parts if keys)


def difference(network: Any, state: Mapping[str, Tensor]) -> Difference:
    """Compare a state dict with a network's; batch counters, which only training uses, may be absent."""
    own = network.state_dict()
    return Difference(
        missing=tuple(key for key in own if key not in state and not key.endswith("num_batches_tracked")),
        unexpected=tuple(key for key in state if key not in own),
        reshaped=tuple(
            f"{key} (file {tuple(state[key].shape)}, network {tuple(own[key].shape)})"
            for key in own
            if key in state and own[key].shape != state[key].shape
        ),
    )


def load_state(path: Path, spec: BackboneSpec, network: Any, state: Mapping[str, Tensor]) -> None:
    """Load a state dict into a network, whose branches are merged first if the file was saved in merged form.

    Args:
        path: The file, for messages.
        spec: The network.
        network: The network, built.
        state: The state dict, in the network's keys.

    Raises:
        WeightsError: The state dict does not fit; the message names the entries.
    """
    found = difference(network, state)
    if found and isinstance(network, Reparameterizable):
        merged = build_shapes(spec, count_classes(path, spec, state))
        merged.reparameterize()
        if not difference(merged, state):
            network.reparameterize()
            found = difference(network, state)
    if found:
        raise WeightsError(f"weights file {path} does not fit '{spec.name}': {found}")
    network.load_state_dict(state, strict=False)  # `difference` has checked all but the counters, which may be absent


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the hex SHA-256 of a state dict's names, types, shapes and values, for weights that are not a file."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _some(keys: Iterable[str], most: int = 3) -> str:
    keys = list(keys)
    return ", ".join(keys[:most]) + (", ..." if len(keys) > most else "")
