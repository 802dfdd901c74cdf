"""Layers of a network in one pass: their feature maps, and the gradients of a class score with respect to them.

The maps are those of `Tapped.forward_tapped`; `visit_layers` implements it for networks whose taps are modules.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from wsolbench.contract.backbones import Backbone
from wsolbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from wsolbench.contract.backbones import Tapped

__all__ = ["check_taps", "kept_layers", "tap_gradients", "tap_maps", "visit_layers"]


def visit_layers(network: nn.Module, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
    """Return the logits (B, C) of images, and show the outputs of modules to functions on the way, as `Tapped` does.

    Args:
        network: A backbone, whose pass is that of its features and then its head; or a module that gives logits.
        images: Normalised images (B, 3, H, W).
        visit: Name of a module, as in ``named_modules()``, whose output is maps (B, K, h, w) -> a function of the maps;
            the pass goes on with the maps that it returns.
    """
    with _visited(network, visit):
        if isinstance(network, Backbone):  # it needs no `forward`
            return network.forward_head(network.forward_features(images))
        logits: Tensor = network(images)
    return logits


@contextmanager
def kept_layers(network: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """A context in which the outputs of modules are kept, whichever pass runs them: features and layers in one pass.

    Args:
        network: The network.
        names: Modules, as in ``named_modules()``, whose output is a tensor.

    Yields:
        Name -> the last output, with its graph; empty before the pass.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str, maps: Tensor) -> Tensor:
        kept[name] = maps.clone()  # the next layer may work in place
        return maps

    with _visited(network, {name: partial(keep, name) for name in names}):
        yield kept


@contextmanager
def _visited(network: nn.Module, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """A context in which functions see the outputs of modules, and replace them by what they return."""

    def show(function: Callable[[Tensor], Tensor], _module: nn.Module, _inputs: Any, maps: Tensor) -> Tensor:
        return function(maps)

    with ExitStack() as hooks:
        for name, function in visit.items():
            hooks.enter_context(network.get_submodule(name).register_forward_hook(partial(show, function)))
        yield


def check_taps(backbone: Tapped, names: Iterable[str], of: str) -> None:
    """Refuse names that are no taps of a network.

    Args:
        backbone: The network.
        names: The names.
        of: What the network is called, for messages.

    Raises:
        UsageError: One is none; the message lists the taps.
    """
    for name in names:
        if name not in backbone.taps:
            close = difflib.get_close_matches(name, backbone.taps, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise UsageError(f"{of} has no tap {name!r}.{hint} Its taps: {', '.join(backbone.taps)}")


def tap_maps(backbone: Tapped, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the feature maps (B, K, h, w) of some taps, from one pass over images (B, 3, H, W)."""
    found: dict[str, Tensor] = {}

    def keep(name: str, maps: Tensor) -> Tensor:
        found[name] = maps.clone()  # the next layer may work in place
        return maps

    names = list(names)
    backbone.forward_tapped(images, {name: partial(keep, name) for name in names})
    return {name: found[name] for name in names}


def tap_gradients(
    backbone: Tapped, images: Tensor, names: Iterable[str], class_indices: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return maps of some taps, and the gradients of each image's class score with respect to them.

    One pass forward and one backward serve all taps and images: in eval mode the score of an image depends on its own
    maps only. No graph remains.

    Args:
        backbone: The network in eval mode.
        images: Normalised images (B, 3, H, W).
        names: The taps.
        class_indices: The class of each image, int64 (B,).

    Returns:
        Name -> maps and gradients, both (B, K, h, w).
    """
    import torch

    found: dict[str, Tensor] = {}

    def keep(name: str, maps: Tensor) -> Tensor:
        found[name] = maps if maps.requires_grad else maps.detach().requires_grad_()
        return found[name].clone()  # the next layer may work in place

    names = list(names)
    with torch.enable_grad():
        logits = backbone.forward_tapped(images, {name: partial(keep, name) for name in names})
        selected = torch.zeros_like(logits).scatter(1, class_indices[:, None], 1)
        layers = [found[name] for name in names]
        # Of maps that no later layer reads, such as patches behind the last attention to them, the gradient is 0.
        gradients = torch.autograd.grad(logits, layers, selected, allow_unused=True, materialize_grads=True)
    return {name: (found[name].detach(), gradient) for name, gradient in zip(names, gradients, strict=True)}
