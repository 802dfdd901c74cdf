"""Class scores as means of weighted sums of feature maps, for the usual network tails.

A linear head's raw weights explain the score only where pooled features reach it as they are. Each function here
returns weights w (B, K) and constants c (B,) such that, image by image and up to rounding,

    logit = mean over pixels of Σ_k w_k F_k + c

for the features F (B, K, h, w) before the tail's norm and the logit of the class asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["after_batch_norm", "after_layer_norm", "after_pooling"]


def after_pooling(head: nn.Linear, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Decompose pool → linear: the raw weights.

    Args:
        head: The classifier.
        classes: The class of each image, int64 (B,).
    """
    return head.weight[classes], head.bias[classes]


def after_batch_norm(norm: nn.BatchNorm2d, head: nn.Linear, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Decompose batch norm (in eval mode) → pool → linear: ``w_k = W_k γ_k / √(σ²_k + ε)``."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    raw = head.weight[classes]
    return raw * scale, raw @ shift + head.bias[classes]


def after_layer_norm(features: Tensor, norm: nn.LayerNorm, head: nn.Linear, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Decompose pool → layer norm → linear: ``w_k = (W_k γ_k − mean_j W_j γ_j) / √(var(p) + ε)``.

    p are the pooled features. The divisor is one positive number an image, so the shape of a map is that of the
    centred weights.
    """
    pooled = features.mean(dim=(2, 3))
    spread = (pooled.var(dim=1, keepdim=True, correction=0) + norm.eps).sqrt()
    raw = head.weight[classes]
    scaled = raw * norm.weight
    return (scaled - scaled.mean(dim=1, keepdim=True)) / spread, raw @ norm.bias + head.bias[classes]
