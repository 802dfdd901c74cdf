"""Networks built: with initial values, or only for the names and shapes of their entries, without memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from wsolbench.contract import BackboneSpec

_FILLING = {"uniform_", "normal_", "fill_", "zero_", "add_", "sub_", "mul_", "div_", "clamp_", "erfinv_"}
"""The tensor methods that initialisers call; on a tensor without memory they have no effect."""


def build_network(spec: BackboneSpec, num_classes: int) -> Any:
    """Build a network with its initial values for a number of classes, which may be 0.

    Args:
        spec: The network.
        num_classes: Number of classes of its head.
    """
    with warnings.catch_warnings():
        if num_classes == 0:  # torch warns of initial values of nothing
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        return spec.build(num_classes)


def build_shapes(spec: BackboneSpec, num_classes: int, steps: Sequence[str] = ()) -> Any:
    """Build a network on torch's `meta` device without initialising it, which would take most of the time.

    Args:
        spec: The network.
        num_classes: Number of classes of its head.
        steps: Methods that turn it into another form, called in order in eval mode.
    """
    with torch.device("meta"), WithoutValues():
        network = build_network(spec, num_classes)
        return transform(network, steps) if steps else network


def transform(network: Any, steps: Sequence[str]) -> Any:
    """Call methods of a network in eval mode, in order; return the network."""
    network.eval()
    for step in steps:
        getattr(network, step)()
    return network


class WithoutValues(TorchFunctionMode):
    """A context in which tensors without memory are not filled.

    Those that were computed from others are changed as ever: a build may run a part of its network.
    """

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Skip calls that would fill a tensor without memory; run all others."""
        kwargs = kwargs or {}
        filled = args[0] if args else kwargs.get("tensor")
        if isinstance(filled, Tensor) and filled.is_meta and filled.grad_fn is None and _fills(function):
            return filled
        return function(*args, **kwargs)


def _fills(function: Callable[..., Any]) -> bool:
    name = getattr(function, "__name__", "")
    return name in _FILLING or (getattr(function, "__module__", None) == "torch.nn.init" and name.endswith("_"))
