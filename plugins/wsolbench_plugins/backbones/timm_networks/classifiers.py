"""The classifiers of timm's networks that are linear over pooled features: their class weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench_plugins.backbones.timm_networks.layouts import Layout


def classifier_of(network: Any) -> Any:
    """Return the classifier of a network: a layer, or the head that holds a batch norm before it, or a pair of them."""
    head = getattr(network, "head", None)
    try:
        classifier = network.get_classifier()
    except AttributeError:  # of a head whose layers have been merged
        return head
    has_norm = isinstance(head, nn.Module) and any(isinstance(part, nn.BatchNorm1d) for part in head.modules())
    return head if has_norm and isinstance(classifier, nn.Module) else classifier


def affine(classifier: Any) -> tuple[Tensor, Tensor] | None:
    """Return the weights (C, K) and biases (C,) of a classifier, or None if it is not one linear layer in effect.

    A 1×1 convolution, a batch norm before the layer, and the mean of two layers (one learned from a teacher) are one.
    """
    if isinstance(classifier, nn.Linear | nn.Conv2d):
        weight = classifier.weight.flatten(1)
        return weight, weight.new_zeros(len(weight)) if classifier.bias is None else classifier.bias
    if isinstance(classifier, tuple | list):
        return _mean([affine(part) for part in classifier])
    if not isinstance(classifier, nn.Module):
        return None
    if isinstance(getattr(classifier, "head_dist", nn.Identity()), nn.Linear | nn.Sequential):
        return _mean([affine(classifier.head), affine(classifier.head_dist)])
    layers = [part for part in classifier.modules() if isinstance(part, nn.Linear)]
    norms = [part for part in classifier.modules() if isinstance(part, nn.BatchNorm1d)]
    if len(layers) != 1 or len(norms) > 1:
        return None
    weight, bias = affine(layers[0]) or (layers[0].weight, layers[0].weight)
    return _after_batch_norm(norms[0], weight, bias) if norms else (weight, bias)


def _mean(parts: list[tuple[Tensor, Tensor] | None]) -> tuple[Tensor, Tensor] | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or not known:
        return None
    return torch.stack([weight for weight, _ in known]).mean(0), torch.stack([bias for _, bias in known]).mean(0)


def _after_batch_norm(norm: nn.BatchNorm1d, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return weight * scale, bias + weight @ (norm.bias - norm.running_mean * scale)


def final_norm(network: Any) -> nn.LayerNorm | None:
    """Return the layer norm between pool and classifier, or None if there is none."""
    for norm in (getattr(getattr(network, "head", None), "norm", None), getattr(network, "fc_norm", None)):
        if isinstance(norm, nn.LayerNorm):
            return norm
    return None


@torch.no_grad()
def is_linear(network: Any, layout: Layout, features: Tensor, images: Tensor) -> bool:
    """Return whether class scores are pool → (layer norm →) linear of the maps, tested on random ones.

    Only classifier and norm get values. A head with other layers fails, because those have no values.

    Args:
        network: A timm network on the meta device; its classifier and norm move to the CPU.
        layout: The layout of its features.
        features: What its ``forward_features`` returned, on the meta device.
        images: The images (B, 3, H, W) of these features.
    """
    classifier, norm = classifier_of(network), final_norm(network)
    draws = torch.Generator().manual_seed(0)
    for module in (*(classifier if isinstance(classifier, tuple | list) else [classifier]), norm):
        if isinstance(module, nn.Module):
            _fill(module, draws)
    output = torch.randn(features.shape, generator=draws, device="cpu")
    known, maps = affine(classifier), layout.maps(output, images)
    if known is None or known[0].shape[1] != maps.shape[1]:
        return False
    try:
        logits = network.forward_head(output)
    except (RuntimeError, NotImplementedError):  # raised by a layer that is still on the meta device
        return False
    pooled = maps.mean(dim=(2, 3))
    if norm is not None:
        pooled = F.layer_norm(pooled, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    expected = F.linear(pooled, *known)
    return logits.shape == expected.shape and torch.allclose(logits, expected, rtol=1e-3, atol=1e-4)


def _fill(module: nn.Module, draws: torch.Generator) -> None:
    """Give a module on the meta device random values on the CPU."""
    module.to_empty(device="cpu")
    for parameter in module.parameters():
        parameter.normal_(generator=draws)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.reset_running_stats()
            assert part.running_mean is not None
            part.running_mean.normal_(generator=draws)
