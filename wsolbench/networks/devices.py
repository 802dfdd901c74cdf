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
        torch.zeros(1, device=device).add(1).item()  # some devices can be named, and even hold, but not compute
    except Exception as error:  # every kind of device has errors of its own
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        raise UsageError(f"--device {name} cannot be used here ({reason}); 'cpu' always can") from None
    return device
