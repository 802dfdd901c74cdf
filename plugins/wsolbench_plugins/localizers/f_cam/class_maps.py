"""The maps of a classifier that the decoder learns from."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from wsolbench.api import Features


def class_maps(network: Any, images: Tensor, classes: Tensor, kind: Literal["cam", "layer-cam"]) -> Tensor:
    """Return the maps (B, h, w) of the class of each image, float32, not scaled.

    Args:
        network: The network in eval mode; ``cam`` reads its class weights.
        images: Normalised images (B, 3, H, W).
        classes: The class of each image, int64 (B,).
        kind: ``cam`` for Σ_k w_k F_k, ``layer-cam`` for ReLU(Σ_k ReLU(G_k) F_k), where G is the gradient of the class
            score with respect to the features F.
    """
    features = network.forward_features(images)
    maps = features.maps if isinstance(features, Features) else features
    if kind == "cam":
        return torch.einsum("bkhw,bk->bhw", maps.float(), network.classifier_weight[classes].float())
    with torch.enable_grad():
        tapped = maps.detach().requires_grad_()
        logits = network.forward_head(features.with_maps(tapped) if isinstance(features, Features) else tapped)
        (gradients,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), tapped)
    return (gradients.float().clamp(min=0) * maps.float()).sum(dim=1).clamp(min=0)
