"""Facts about a network, read off the network itself, which is built without memory."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.contract import Attentive, BackboneSpec, Reparameterizable, Tapped
from wsolbench.contract.backbones import class_weights, maps_and_rest
from wsolbench.contract.taps import tap_maps
from wsolbench.errors import UsageError
from wsolbench.host.provider import Provider, blaming
from wsolbench.host.registry import Registry
from wsolbench.networks.network import kernel_sizes, stage_kernel
from wsolbench.networks.shapes import build_shapes

_LONGER = 512
"""Pixels by which an image is made longer to measure the stride of the features."""


def build_on_meta(spec: BackboneSpec, provider: Provider, num_classes: int, *, merged: bool) -> Any:
    """Build a network whose tensors have shapes but no memory.

    Args:
        spec: The network.
        provider: Its provider.
        num_classes: Number of classes of the head.
        merged: Whether to merge its parallel branches.

    Raises:
        UsageError: `merged` is set and the network has no branches to merge.
        PluginError: The plugin's code fails.
    """
    with torch.device("meta"), blaming(provider, f"building '{spec.name}'"):
        module = build_shapes(spec, num_classes)
        if merged and not isinstance(module, Reparameterizable):
            raise UsageError(f"--merged: '{spec.name}' has no branches to merge")
        if merged:
            module.reparameterize()
    return module.eval()


def usual_method(registry: Registry, name: str, *, has_class_weights: bool | None = None) -> str:
    """Return the method for the maps of a network where nobody names one: that of its system, or CAM.

    Without class weights it is Grad-CAM in place of CAM.

    Args:
        registry: What the plugins offer.
        name: The name of the network; one that is no network's is left to whoever reads it next.
        has_class_weights: Whether the network has class weights; None where that is not known yet.

    Raises:
        UsageError: The system cannot serve the network.
        PluginError: The plugin's code fails.
    """
    stated = registry.usual_method(name)
    if stated != "cam":
        return stated
    if has_class_weights is None:
        found = registry.backbones.find(registry.sized(name)[0])
        if len(found) != 1:
            return stated
        module = build_on_meta(found[0].spec, found[0].provider, 2, merged=False)
        has_class_weights = class_weights(module) is not None
    return "cam" if has_class_weights else "grad-cam"


def state_dict_shapes(
    spec: BackboneSpec, provider: Provider, num_classes: int, *, merged: bool
) -> dict[str, list[int]]:
    """Return the shape of every entry of a network's state dict, in the order of the state dict."""
    module = build_on_meta(spec, provider, num_classes, merged=merged)
    return {key: list(value.shape) for key, value in module.state_dict().items()}


def _feature_shape(module: Any, size: int) -> tuple[int, ...]:
    maps, _ = maps_and_rest(module.forward_features(torch.zeros(1, 3, size, size, device="meta")))
    return tuple(maps.shape)


def _tap_shapes(module: Any, size: int) -> dict[str, list[int]]:
    """Return channels, height and width of the maps of every tap, from the image to the head."""
    if not isinstance(module, Tapped):
        return {}
    maps = tap_maps(module, torch.zeros(1, 3, size, size, device="meta"), module.taps)
    return {name: list(of_tap.shape[1:]) for name, of_tap in maps.items()}


def _feature_layer(module: Any, size: int) -> str | None:
    """Return the layer whose output the features are, the outermost of several; None where they are none's as it is.

    A layer's output and the features made of it by a new shape or order of axes share their storage.
    """
    named = getattr(module, "feature_layer", None)
    if named is not None:
        return str(named)
    storages: dict[str, int] = {}
    outputs: list[Any] = []  # kept, so that no storage takes the place of another

    def note(name: str, output: Any) -> None:
        for part in output if isinstance(output, tuple | list) else (output,):
            if isinstance(part, torch.Tensor):
                outputs.append(part)
                storages[name] = part.untyped_storage()._cdata

    with ExitStack() as hooks:
        for name, layer in module.named_modules():
            if name and not isinstance(layer, nn.Identity):
                show = partial(lambda name, _layer, _inputs, output: note(name, output), name)
                hooks.enter_context(layer.register_forward_hook(show))
        maps, _ = maps_and_rest(module.forward_features(torch.zeros(1, 3, size, size, device="meta")))
    own = maps.untyped_storage()._cdata
    return next((name for name in reversed(storages) if storages[name] == own), None)


@torch.no_grad()
def shows_attention(module: Any, images: Tensor) -> bool:
    """Return whether a network can show its attention on images (B, 3, H, W), which some of a class cannot."""
    if not isinstance(module, Attentive):
        return False
    try:
        module.forward_attention(images)
    except Exception:  # whatever its code raises
        return False
    return True


def feature_size(module: Any, size: int) -> tuple[int, int]:
    """Return height and width of a network's feature maps for square images; the network has no memory."""
    with torch.no_grad():
        height, width = _feature_shape(module.eval(), size)[2:]
    return height, width


def feature_stride(module: Any, size: int) -> float:
    """Return the pixels between two cells of a network's feature maps; the network has no memory and is in eval mode.

    A network that takes images of one size only divides them evenly.
    """
    with torch.no_grad():
        height = _feature_shape(module, size)[2]
        try:
            further = _feature_shape(module, size + _LONGER)[2] - height
        except Exception:  # whatever its code raises for images of another size
            further = 0
    return _LONGER / further if further > 0 else size / height


def describe_backbone(spec: BackboneSpec, provider: Provider, num_classes: int, *, merged: bool) -> dict[str, Any]:
    """Return a network's parameters, kernel sizes, features, input configuration and available weights."""
    module = build_on_meta(spec, provider, num_classes, merged=merged)
    size = spec.input.size
    with torch.no_grad(), blaming(provider, f"in '{spec.name}' on a blank image"):
        _, channels, height, width = _feature_shape(module, size)
        stride = feature_stride(module, size)
        taps = _tap_shapes(module, size)
        layer = _feature_layer(module, size)
        attention = shows_attention(module, torch.zeros(1, 3, size, size, device="meta"))
        has_weights = class_weights(module) is not None
    return {
        "family": spec.family,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "classes": num_classes,
        "kernel_sizes": [list(size) for size in kernel_sizes(module)],
        "stage_kernel": stage_kernel(module),
        "features": layer,
        "feature_channels": channels,
        "feature_stride": int(stride) if stride.is_integer() else stride,
        "feature_size": [height, width],
        "class_weights": has_weights,
        "attention": attention,
        "taps": taps,
        "mergeable": isinstance(module, Reparameterizable),
        "input": asdict(spec.input),
        "pretrained_weights": None if spec.pretrained is None else str(spec.pretrained),
        "shipped_weights": [checkpoint.dataset for checkpoint in spec.checkpoints],
    }
