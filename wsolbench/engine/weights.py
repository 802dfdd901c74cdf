"""Checkpoints: read without executing anything in them, compared with the network, loaded strictly."""

from __future__ import annotations

import pickle
import pickletools
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wsolbench.errors import WeightsError, WsolbenchError
from wsolbench.interfaces import BackboneSpec, Reparameterizable

_CONTAINERS = ("model", "state_dict", "module")


def read_state_dict(path: Path, spec: BackboneSpec) -> dict[str, Tensor]:
    """Read a weights file into a state dict in the network's own keys.

    The plugin's reader is used where it has one; otherwise safetensors, or a ``torch.save`` file of plain tensors,
    whose containers (``model``, ``state_dict``) and ``module.`` prefixes are taken off.

    Raises:
        WeightsError: The file is missing, damaged, holds code, or holds no state dict.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"weights file {path} {what}; pass a file, or 'random'")
    if spec.read_weights is not None:
        try:
            return dict(spec.read_weights(path))
        except WsolbenchError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise WeightsError(f"weights file {path} cannot be read as '{spec.name}' weights: {reason}") from error
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    return _unwrapped(path, content)


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"weights file {path} is damaged or no safetensors file ({reason})") from error


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch supposes about a file that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        text = str(error)
        if "GLOBAL" in text or "global" in text or "class" in text or _names_objects(path):
            raise WeightsError(
                f"weights file {path} holds pickled objects or code, which are never loaded; save its state dict alone"
            ) from error
        raise WeightsError(f"weights file {path} is damaged or no weights file") from error
    except Exception as error:  # torch reads old formats with whatever goes wrong in them
        raise WeightsError(f"weights file {path} is damaged or no weights file") from error


def _names_objects(path: Path) -> bool:
    """Tell whether a bare pickle asks for classes or functions; it is read as a list of instructions, not carried out.

    torch gives up on newer pickle protocols before it comes to what they ask for.
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
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"weights file {path} holds no state dict (a mapping of names to tensors)")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def count_classes(path: Path, spec: BackboneSpec, state: Mapping[str, Tensor]) -> int:
    """Return how many classes a state dict knows.

    Raises:
        WeightsError: It has no classifier entry of that network.
    """
    if spec.classifier_key not in state or state[spec.classifier_key].ndim == 0:
        raise WeightsError(
            f"weights file {path} is not for '{spec.name}': it has no '{spec.classifier_key}'; "
            f"it holds {len(state)} entries such as {_some(state)}"
        )
    return int(state[spec.classifier_key].shape[0])


def mismatch(network: torch.nn.Module, state: Mapping[str, Tensor]) -> str | None:
    """Say in what a state dict differs from a network's, or None where it fits.

    Counters that only training uses (``num_batches_tracked``) may be absent.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    reshaped = [
        f"{key} (file {tuple(state[key].shape)}, network {tuple(own[key].shape)})"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    parts = [("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped)]
    said = [f"{len(keys)} {what}: {_some(keys)}" for what, keys in parts if keys]
    return "; ".join(said) or None


def load_state(path: Path, spec: BackboneSpec, network: Any, state: Mapping[str, Tensor]) -> None:
    """Put a state dict into a network; one saved after its branches were merged is loaded into the merged form.

    Raises:
        WeightsError: It does not fit; the message names the entries.
    """
    difference = mismatch(network, state)
    if difference is not None and isinstance(network, Reparameterizable):
        with torch.device("meta"):
            merged: Any = spec.build(count_classes(path, spec, state))
        merged.reparameterize()
        if mismatch(merged, state) is None:
            network.reparameterize()
            difference = None
    if difference is not None:
        raise WeightsError(f"weights file {path} does not fit '{spec.name}': {difference}")
    network.load_state_dict(state, strict=False)  # what may be absent was checked above


def _some(keys: Iterable[str], most: int = 3) -> str:
    keys = list(keys)
    return ", ".join(keys[:most]) + (", ..." if len(keys) > most else "")
