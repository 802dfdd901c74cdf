"""The device that computes: its choice, and what is said where it has too little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from wsolbench.errors import UsageError

__all__ = ["choose_device", "within_memory"]

_OF_MEMORY = ("can't allocate memory", "you tried to allocate", "out of memory", "alloc_failed")
"""What torch says of a CPU, and of a GPU by way of its drivers and libraries, in errors of no type of their own."""


def choose_device(name: str | None, place: int | None = None) -> torch.device:
    """Return the named device; without a name the first GPU, or the CPU if there is none.

    Args:
        name: As torch calls it.
        place: Which of several GPUs it is, where the name leaves that open.

    Raises:
        UsageError: There is no such device on this machine, or it cannot compute.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu":
            return torch.device(name)
    if name == "cuda" and place is not None:
        name = f"cuda:{place}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).add(1).item()  # some devices accept a tensor but cannot compute
    except Exception as error:  # each type of device raises errors of its own
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        raise UsageError(f"--device {name} cannot be used here ({reason}); 'cpu' always can") from None
    return device


@contextmanager
def within_memory(label: str, device: torch.device, *advice: str) -> Iterator[None]:
    """Say in one line that a device has too little memory, where a block fails for lack of it.

    Args:
        label: What users call the network.
        device: Where it runs.
        advice: What they can use instead, with the names of options.

    Raises:
        UsageError: The device has too little memory.
    """
    try:
        yield
    except Exception as error:
        if not _is_of_memory(error):
            raise
        ways = " or ".join([*advice, *([] if device.type == "cpu" else ["--device cpu"])])
        raise UsageError(f"'{label}' needs more memory than {device} has; use {ways}") from error


def _is_of_memory(error: BaseException | None) -> bool:
    """Return whether an error comes of too little memory; code of plugins may have wrapped it."""
    if error is None:
        return False
    said = str(error).casefold()
    full = isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in said for words in _OF_MEMORY)
    return full or _is_of_memory(error.__cause__)
