"""Which device computes."""

from __future__ import annotations

import torch

from wsolbench.errors import UsageError


def choose_device(name: str | None) -> torch.device:
    """Return the named device, or the first GPU, or the CPU.

    Raises:
        UsageError: The name is no device's, or this machine has none of that name.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UsageError(f"--device {name} cannot be used here ({reason}); 'cpu' always can") from None
    return device
