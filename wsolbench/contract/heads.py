"""Effective weights: a class score as the mean of a weighted sum of feature maps, for the usual layers after them.

A class score is the mean of the feature maps weighted by the raw weights of the linear layer only where no norm stands
between feature maps and classifier. Each function returns weights w (B, K) and constants c (B,) with

    logit = mean over pixels of Σ_k w_k F_k + c

for the feature maps F (B, K, h, w) before the norm, exact up to rounding. The logit is that of each image's class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["after_batch_norm", "after_layer_norm", "after_pooling"]


def after_pooling(head: nn.Linear | nn.Conv2d, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the effective weights of pool → linear, which are the raw ones: ``w_k = W_k``.

    Args:
        head: The classifier, weight W (C, K); or a 1×1 convolution, weight (C, K, 1, 1).
        classes: The class of each image, int64 (B,).

    Returns:
        Weights (B, K) and constants (B,).
    """
    return head.weight.flatten(1)[classes], _biases(head, classes)


def after_batch_norm(norm: nn.BatchNorm2d, head: nn.Linear, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the effective weights of batch norm (in eval mode) → pool → linear: ``w_k = W_k γ_k / √(σ²_k + ε)``.

    Args:
        norm: The norm, weight γ and running variance σ² (K,).
        head: The classifier, weight W (C, K).
        classes: The class of each image, int64 (B,).

    Returns:
        Weights (B, K) and constants (B,).
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain, offset = _affine(norm, norm.running_var)
    scale = gain / (norm.running_var + norm.eps).sqrt()
    shift = offset - norm.running_mean * scale
    raw = head.weight[classes]
    return raw * scale, raw @ shift + _biases(head, classes)


def after_layer_norm(features: Tensor, norm: nn.LayerNorm, head: nn.Linear, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the effective weights of pool → layer norm → linear: ``w_k = (W_k γ_k − mean_j W_j γ_j) / √(var(p) + ε)``.

    p are the pooled features of an image. The divisor is one positive number for each image, so it scales the map and
    does not change its shape.

    Args:
        features: Feature maps (B, K, h, w).
        norm: The norm, weight γ (K,).
        head: The classifier, weight W (C, K).
        classes: The class of each image, int64 (B,).

    Returns:
        Weights (B, K) and constants (B,).
    """
    pooled = features.mean(dim=(2, 3))
    spread = (pooled.var(dim=1, keepdim=True, correction=0) + norm.eps).sqrt()
    raw = head.weight[classes]
    gain, offset = _affine(norm, raw[0])
    scaled = raw * gain
    return (scaled - scaled.mean(dim=1, keepdim=True)) / spread, raw @ offset + _biases(head, classes)


def _affine(norm: nn.LayerNorm | nn.BatchNorm2d, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias (K,) of a norm: 1 and 0 where it has none; `like` (K,) says on which device."""
    weight = like.new_ones(like.shape) if norm.weight is None else norm.weight
    return weight, like.new_zeros(like.shape) if norm.bias is None else norm.bias


def _biases(head: nn.Linear | nn.Conv2d, classes: Tensor) -> Tensor:
    """Return the bias (B,) of each image's class, 0 for a classifier without."""
    if head.bias is None:
        return head.weight.new_zeros(len(classes))
    return head.bias[classes]
