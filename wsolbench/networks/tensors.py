"""Tensors made from the bytes of a weights file that was read and checked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wsolbench.networks.stored import StoredTensor
from wsolbench.networks.weights_file import WeightsFile

__all__ = ["tensor_of", "with_tensors"]

_DEEPEST = 20


def tensor_of(file: WeightsFile, stored: StoredTensor) -> Tensor:
    """Return a tensor of a weights file; tensors of one storage share its memory."""
    return _numbers(file, stored.storage, stored.dtype).as_strided(stored.shape, stored.stride, stored.offset)


def with_tensors(file: WeightsFile) -> Any:
    """Return the content of a weights file with tensors in place of what is stored for them.

    Raises:
        ValueError: It is nested more deeply than anything that torch saves, or in itself.
    """
    made: dict[int, Any] = {}  # a value that is referred to repeatedly is made once

    def filled(value: Any, depth: int) -> Any:
        if isinstance(value, StoredTensor):
            return tensor_of(file, value)
        if not isinstance(value, dict | list | tuple):
            return value
        if id(value) in made:
            return made[id(value)]
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        if isinstance(value, dict):
            content: Any = {name: filled(item, depth + 1) for name, item in value.items()}
        else:
            content = type(value)(filled(item, depth + 1) for item in value)
        made[id(value)] = content
        return content

    return filled(file.content, 0)


def _numbers(file: WeightsFile, key: str, dtype: str) -> Tensor:
    """Return the numbers of a storage, of one type; made once."""
    place = ("numbers", key, dtype)
    if place not in file.found:
        kind: torch.dtype = getattr(torch, dtype)
        data = _bytes(file, key)
        file.found[place] = data[: len(data) - len(data) % kind.itemsize].view(kind)
    found: Tensor = file.found[place]
    return found


def _bytes(file: WeightsFile, key: str) -> Tensor:
    """Return the bytes of a storage as a tensor of its own; made once."""
    place = ("bytes", key)
    if place not in file.found:
        data = bytearray(file.storages[key])
        file.found[place] = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    found: Tensor = file.found[place]
    return found
