"""The choice of the device."""

from __future__ import annotations

import torch

from wsolbench.errors import UsageError


def choose_device(name: str | None) -> torch.device:
    """Return the named device; without a name the first GPU, or the CPU if there is none.

    Raises:
        UsageError: There is no such device on this machine, or it cannot compute.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).add(1).item()  # some devices accept a tensor but cannot compute
    except Exception as error:  # each type of device raises errors of its own
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        raise UsageError(f"--device {name} cannot be used here ({reason}); 'cpu' always can") from None
    return device
