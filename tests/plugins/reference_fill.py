"""Weights that any implementation can make again from an entry's name and shape, as the reference outputs were made."""

import zlib
from collections.abc import Mapping
from math import prod, sqrt

import numpy as np
import torch

IMAGE = torch.from_numpy(np.random.default_rng(7).normal(size=(1, 3, 96, 96)).astype(np.float32))


def fill(network: torch.nn.Module) -> None:
    """Give every entry of a network's state dict its reference values."""
    with torch.no_grad():
        for key, entry in network.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                entry.copy_(_tensor(key, entry))


def filled(entries: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the reference values of entries, of which the names and shapes count."""
    return {key: _tensor(key, entry) for key, entry in entries.items()}


def _tensor(key: str, entry: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(_values(key, tuple(entry.shape)).astype(np.float32))


def _values(key: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    name = key.rpartition(".")[2]
    if name == "running_var":
        return rng.uniform(0.5, 1.5, shape)
    if name == "running_mean":
        return rng.normal(0, 0.1, shape)
    if name.startswith("gamma") or key.endswith("pw2.bn.weight"):
        return rng.uniform(0.05, 0.2, shape)
    if name == "bias":
        return rng.normal(0, 0.05, shape)
    if name == "complex_weight":
        return rng.normal(0, 0.5, shape)
    return rng.uniform(0.5, 1.5, shape) if len(shape) == 1 else rng.normal(0, 1 / sqrt(prod(shape[1:])), shape)


def shapes(network: torch.nn.Module) -> dict[str, list[int]]:
    """Return the shape of every entry of a network's state dict."""
    return {key: list(value.shape) for key, value in network.state_dict().items()}


def agrees(ours: torch.Tensor, theirs: np.ndarray, tolerance: float) -> bool:
    """Tell whether two arrays agree relative to the largest absolute value of the reference."""
    return bool(np.abs(ours.numpy() - theirs).max() <= tolerance * np.abs(theirs).max())
