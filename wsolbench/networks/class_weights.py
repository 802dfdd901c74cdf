"""Whether a network's class weights belong to its class scores: measured on features, not taken on trust.

Effective weights are exact by their contract, so they are compared with the logits. Raw weights are only the last
step: norms and activations may stand between them and the features. But each of their columns still belongs to one
channel. Where a class has a larger weight than another, raising that channel has to raise its score by more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wsolbench.contract import Features, SpatialHead
from wsolbench.contract.backbones import class_weights, maps_and_rest, with_rest
from wsolbench.errors import PluginError
from wsolbench.host.provider import blaming
from wsolbench.networks.network import LoadedNetwork

__all__ = ["check_class_weights", "class_weights_fault", "has_gradients"]

_IMAGES, _CLASSES = 4, 16
"""So many are enough."""
_TOLERANCE = 1e-3
"""The largest difference that rounding may make, as a share of the largest logit."""
_LEAST_AGREEMENT = 0.5
"""1 after a pool or a batch norm, a little less after a layer norm, about 0 for weights of something else."""


def has_gradients(module: Any, features: Tensor | Features) -> bool:
    """Return whether the logits of a network can be differentiated with respect to its feature maps."""
    return _differentiable_logits(module, features)[1].requires_grad


def check_class_weights(network: LoadedNetwork, features: Tensor | Features, logits: Tensor) -> None:
    """Refuse a network whose class weights are not those of its class scores.

    Args:
        network: The network.
        features: What its ``forward_features`` returned for some images.
        logits: Its logits (B, C) of them.

    Raises:
        PluginError: They are not.
    """
    name, provider = network.spec.name, network.offer.provider
    with blaming(provider, f"comparing the class weights of '{name}' with its class scores"):
        fault = class_weights_fault(network.module, features, logits)
    if fault is not None:
        raise PluginError(
            f"plugin {provider}: {fault} in '{name}'; a network without class weights has none to give: let "
            "classifier_weight be None"
        )


@torch.no_grad()
def class_weights_fault(module: Any, features: Tensor | Features, logits: Tensor) -> str | None:
    """Return what is wrong with the class weights of a network, or None.

    Args:
        module: The network, in eval mode.
        features: What its ``forward_features`` returned for some images.
        logits: Its logits (B, C) of them.
    """
    weights = class_weights(module)
    if weights is None:
        return None
    features, logits = features[:_IMAGES], logits[:_IMAGES]
    maps, _ = maps_and_rest(features)
    expected = (logits.shape[1], maps.shape[1])
    if tuple(weights.shape) != expected:
        return f"classifier_weight is {tuple(weights.shape)}, expected {expected}"
    if not (maps.isfinite().all() and logits.isfinite().all() and weights.isfinite().all()):
        return None
    return _fault_of_effective_weights(module, maps, logits) or _fault_of_raw_weights(module, features, weights)


def _fault_of_effective_weights(module: Any, maps: Tensor, logits: Tensor) -> str | None:
    if not isinstance(module, SpatialHead):
        return None
    classes = logits.argmax(dim=1)
    weights, constants = module.effective_weights(maps, classes)
    scores = torch.einsum("bk,bkhw->b", weights, maps) / maps[0, 0].numel() + constants
    difference = float((scores - logits.gather(1, classes[:, None])[:, 0]).abs().max())
    if difference <= _TOLERANCE * max(1.0, float(logits.abs().max())):
        return None
    return f"effective_weights give class scores that differ from the logits by {difference:.3g}"


def _fault_of_raw_weights(module: Any, features: Tensor | Features, weights: Tensor) -> str | None:
    tapped, logits = _differentiable_logits(module, features)
    if not logits.requires_grad:
        return None if _depends(module, features, logits) else "the logits do not depend on the features"
    classes = list(range(0, logits.shape[1], -(-logits.shape[1] // _CLASSES)))
    slopes = torch.stack([_slopes(logits, tapped, index) for index in classes])
    agreement = _agreement(weights[classes].float(), slopes.float())
    if not slopes.any():  # weights of zeros, as some heads begin with, are true then
        return "the logits do not depend on the features" if weights.any() else None
    if agreement is None or agreement >= _LEAST_AGREEMENT:
        return None
    return f"classifier_weight does not belong to its class scores (their agreement is {agreement:.2f} of 1)"


def _depends(module: Any, features: Tensor | Features, logits: Tensor) -> bool:
    """Return whether any of some other feature maps give other logits, where no gradient can tell."""
    maps, rest = maps_and_rest(features)
    for seed in range(8):
        noise = torch.randn(maps.shape, generator=torch.Generator().manual_seed(seed)).to(maps)
        if not torch.equal(module.forward_head(with_rest(maps + noise * (seed + 1), rest)), logits):
            return True
    return False


def _slopes(logits: Tensor, tapped: Tensor, index: int) -> Tensor:
    """Return by how much each channel raises the score of a class, (K,), summed over images and pixels."""
    with torch.enable_grad():
        score = logits[:, index].sum()
    (gradients,) = torch.autograd.grad(score, tapped, retain_graph=True)
    return gradients.sum(dim=(0, 2, 3))


def _agreement(weights: Tensor, slopes: Tensor) -> float | None:
    """Return the mean over channels of the correlation over classes of two (C, K); None where nothing varies."""
    weights, slopes = (values - values.mean(dim=0) for values in (weights, slopes))
    norms = weights.norm(dim=0) * slopes.norm(dim=0)
    used = norms > 1e-12 * norms.max()
    if not used.any():
        return None
    return float(((weights * slopes).sum(dim=0)[used] / norms[used]).mean())


def _differentiable_logits(module: Any, features: Tensor | Features) -> tuple[Tensor, Tensor]:
    """Return feature maps that gradients are taken with respect to, and the logits of them; the rest is constant."""
    maps, rest = maps_and_rest(features)
    with torch.enable_grad():
        tapped = maps.detach().clone().requires_grad_()
        return tapped, module.forward_head(with_rest(tapped, rest))
