"""Networks that a system changes after they are built: a new head on an old body, branches beside it.

A changed network is the network itself with other layers and a mixin before its class, so that what the mixin does not
override, such as taps and stochastic depth, stays, and entries of its state dict keep their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wsolbench.contract.taps import kept_layers, tap_maps
from wsolbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["as_before", "change_network", "channels_of", "min_max", "remove_head", "without_memory"]

_BATCH = 2


def change_network(network: Any, mixin: type) -> Any:
    """Put a mixin before the class of a network, in place, and return the network."""
    own = type(network)
    network.__class__ = type(own.__name__, (mixin, own), {})
    return network


@contextmanager
def as_before(network: Any) -> Iterator[None]:
    """A context in which a network that `change_network` changed is of its own class again.

    A pass that the mixin starts then finds the network's own forms of what the mixin overrides, not the mixin's.
    """
    changed = type(network)
    network.__class__ = changed.__bases__[1]
    try:
        yield
    finally:
        network.__class__ = changed


def channels_of(network: Any, size: int, layers: Iterable[str] = ()) -> tuple[int, ...]:
    """Return the number of channels of layers of a network, and last that of its features.

    Args:
        network: The network.
        size: Side of its input in pixels.
        layers: Names of modules.

    Raises:
        UsageError: Its head reads more than its feature maps, or a layer has no maps (B, K, h, w).
    """
    with kept_layers(network, layers) as kept:
        maps, _ = _on_meta(network, size)
    for layer in layers:
        if layer not in kept or kept[layer].ndim != 4 or kept[layer].shape[2] != kept[layer].shape[3]:
            given = f"a tensor {tuple(kept[layer].shape)} of {_BATCH} images" if layer in kept else "nothing"
            raise UsageError(f"needs maps (B, K, h, w) at '{layer}', which gives {given}")
    return (*(kept[layer].shape[1] for layer in layers), maps.shape[1])


def remove_head(network: Any, size: int, tap: str | None = None) -> None:
    """Remove the layers that the features of a network do not depend on, in place; each becomes an identity.

    Args:
        network: The network.
        size: Side of its input in pixels.
        tap: A tap whose maps are kept in place of the features.

    Raises:
        UsageError: Its head reads more than its feature maps.
    """
    from torch import nn

    _, of_head = _on_meta(network, size, tap)
    for layer in list(_whole_layers(network, of_head)):
        owner, _, attribute = layer.rpartition(".")
        setattr(network.get_submodule(owner), attribute, nn.Identity())


def _on_meta(network: Any, size: int, tap: str | None = None) -> tuple[Tensor, set[str]]:
    """Return the feature maps or a tap of a network without memory, and the parameters that they do not depend on."""
    import torch

    def features(network: Any) -> Any:
        images = torch.zeros(_BATCH, 3, size, size, device="meta")
        return network.forward_features(images) if tap is None else tap_maps(network, images, [tap])[tap]

    maps, parameters = without_memory(network, features)
    if not isinstance(maps, torch.Tensor):
        raise UsageError(
            "needs a head that reads nothing but the feature maps; this one reads more, such as a class token"
        )
    used = _leaves(maps)
    return maps, {name for name, value in parameters.items() if id(value) not in used}


def without_memory(network: Any, run: Callable[[Any], Any]) -> tuple[Any, dict[str, Tensor]]:
    """Run a part of a network for shapes alone, on the meta device, whichever device the network is on.

    Args:
        network: The network, which stays as it is.
        run: A function of the network, whose tensors are on the meta device.

    Returns:
        What the function returns, and the parameters that it was given, by name.
    """
    import torch

    class Run(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self) -> Any:
            return run(self.network)

    with torch.inference_mode(False), torch.enable_grad():
        known = (*Run().named_parameters(), *Run().named_buffers())  # some buffers are not in the state dict
        entries = {name: torch.empty_like(value, device="meta") for name, value in known}
        parameters = {name: entries[name].requires_grad_() for name, _ in Run().named_parameters()}
        result = torch.func.functional_call(Run(), entries, ())
    return result, {name.removeprefix("network."): value for name, value in parameters.items()}


def _leaves(computed: Tensor) -> set[int]:
    """Return the identities of the tensors that a tensor was computed from and that gradients are kept for."""
    seen, left = set(), [computed.grad_fn]
    found: set[int] = set()
    while left:
        step = left.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        found |= {id(step.variable)} if hasattr(step, "variable") else set()
        left += [before for before, _ in step.next_functions]
    return found


def _whole_layers(network: nn.Module, parameters: set[str], prefix: str = "") -> Iterator[str]:
    """Yield the outermost layers that have parameters, and none but those of a set."""
    for name, layer in network.named_children():
        own = {f"{prefix}{name}.{key}" for key, _ in layer.named_parameters()}
        if own and own <= parameters:
            yield f"{prefix}{name}"
        elif own & parameters:
            yield from _whole_layers(layer, parameters, f"{prefix}{name}.")


def min_max(maps: Tensor) -> Tensor:
    """Return maps (..., h, w), each scaled to [0, 1] by its own minimum and maximum; a constant one becomes NaN."""
    low, high = maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)
    return (maps - low) / (high - low)
