"""Maps from the gradient of the class score in the tapped features: ``grad-cam`` and what came after it.

With features A (K channels), score S of the class and gradient G = ∂S/∂A, every map is ``ReLU(Σ_k weight_k A_k)``; the
methods differ in the weights, which are one number a channel or one a channel and pixel. G is taken through
``forward_head``, so whatever lies behind the tapped layer, a norm for instance, is part of it.

Where nothing but linear layers comes before the head's pool, G is one value a channel, and ``grad-cam``, ``hires-cam``
and, but for its ε, ``xgrad-cam`` are one map: a difference between them on such a network is rounding, not a finding.
Where the whole head is linear, a batch norm included, that map is the one of ``cam`` with ``weights=effective``, and
``layer-cam`` the one of ``cam-pos``. Behind a layer norm it is neither: G also says how the norm's divisor changes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsolbench.api import MethodContext, MethodSpec, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class ScoreGradientMethod(ABC):
    """What these methods share: features and gradient in, the ReLU of a weighted sum out."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, h, w), at least single precision, of features (B, K, h, w)."""
        import torch

        precision = torch.promote_types(features.dtype, torch.float32)  # squares of small gradients vanish in half
        features, gradients = features.to(precision), score_gradients(features, context).to(precision)
        return (self.weights(features, gradients) * features).sum(dim=1).clamp(min=0)

    @abstractmethod
    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the weights, (B, K, 1, 1) or (B, K, h, w), for features and gradients (B, K, h, w)."""


def score_gradients(features: Tensor, context: MethodContext) -> Tensor:
    """Return the gradient (B, K, h, w) of each image's class score in its own features (B, K, h, w).

    The features are left alone and no graph outlives the call. In eval mode an image's score depends on its own
    features only, so one backward pass serves the batch.
    """
    import torch

    with torch.enable_grad():
        tapped = features.detach().requires_grad_()
        logits = context.backbone.forward_head(tapped)
        asked = torch.zeros_like(logits).scatter(1, context.class_indices[:, None], 1)
        (gradients,) = torch.autograd.grad(logits, tapped, asked)
    return gradients


@dataclass(frozen=True)
class GradCAM(ScoreGradientMethod):
    """Grad-CAM, ``w_k = mean over pixels of G_k``: the gradient's mean weighs a channel.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
    eq. 1 and 2. Averaging forgets where in a channel the score came from.
    """

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:  # noqa: ARG002
        """Return one weight a channel (B, K, 1, 1)."""
        return gradients.mean(dim=(2, 3), keepdim=True)


@dataclass(frozen=True)
class GradCAMPlusPlus(ScoreGradientMethod):
    """Grad-CAM++, ``w_k = Σ_pixels α_k ReLU(G_k)`` with ``α = G² / (2 G² + G³ Σ_pixels A_k + ε)``, 0 where G is 0.

    Chattopadhay et al., "Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional Networks",
    WACV 2018, eq. 19, for the score ``exp(S)``, whose own factor is one for all channels. α grows without bound where a
    channel's sum is near ``-2 / G``, which features that are never negative rule out.

    Args:
        epsilon: ε, which the paper does not have and the package ``grad-cam`` does. Where gradients are below its root,
            as behind a pool of many pixels, it decides the weights: they go with G³ instead of G. 0 is the paper's.

    Raises:
        UsageError: If ε is not a finite number from 0 on.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check_epsilon("grad-cam++", self.epsilon)

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return one weight a channel (B, K, 1, 1)."""
        squares = gradients**2
        divisor = 2 * squares + squares * gradients * features.sum(dim=(2, 3), keepdim=True) + self.epsilon
        alpha = squares / divisor.where(divisor != 0, 1)
        return (alpha * gradients.clamp(min=0)).sum(dim=(2, 3), keepdim=True)


@dataclass(frozen=True)
class LayerCAM(ScoreGradientMethod):
    """LayerCAM, ``w = ReLU(G)`` at every pixel.

    Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE Transactions on Image
    Processing 30, 2021. The paper fuses maps of several layers; this is the map of the tapped one.
    """

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:  # noqa: ARG002
        """Return one weight a channel and pixel (B, K, h, w)."""
        return gradients.clamp(min=0)


@dataclass(frozen=True)
class HiResCAM(ScoreGradientMethod):
    """HiResCAM, ``w = G`` at every pixel: where the head is linear, the map's sum is the score but for a constant.

    Draelos & Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
    arXiv 2011.08891, 2020. That sum is one of the map before the ReLU, which is Grad-CAM's.
    """

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:  # noqa: ARG002
        """Return one weight a channel and pixel (B, K, h, w)."""
        return gradients


@dataclass(frozen=True)
class XGradCAM(ScoreGradientMethod):
    """XGrad-CAM, ``w_k = Σ_pixels G_k A_k / (Σ_pixels A_k + ε)``, 0 where the divisor is 0.

    Fu et al., "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs", BMVC 2020. The weights
    are averages of G for features that are never negative; for others the sum can be near 0 and a weight of any size.

    Args:
        epsilon: ε, which the paper does not have and the package ``grad-cam`` does. It tells in channels whose sum is
            small, as those of features behind SiLU or hard swish can be. 0 is the paper's.

    Raises:
        UsageError: If ε is not a finite number from 0 on.
    """

    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        _check_epsilon("xgrad-cam", self.epsilon)

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return one weight a channel (B, K, 1, 1)."""
        divisors = features.sum(dim=(2, 3), keepdim=True) + self.epsilon
        products = (gradients * features).sum(dim=(2, 3), keepdim=True)
        return (products / divisors).where(divisors != 0, 0)


def _check_epsilon(name: str, epsilon: float) -> None:
    if not 0 <= epsilon < math.inf:
        raise UsageError(f"the method '{name}': option 'epsilon' takes a finite number from 0 on, not {epsilon}")


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the family."""
    return [
        MethodSpec("grad-cam", GradCAM, "Selvaraju et al., ICCV 2017, eq. 1 and 2"),
        MethodSpec("grad-cam++", GradCAMPlusPlus, "Chattopadhay et al., WACV 2018, eq. 19"),
        MethodSpec("layer-cam", LayerCAM, "Jiang et al., IEEE TIP 30, 2021"),
        MethodSpec("hires-cam", HiResCAM, "Draelos & Carin, arXiv 2011.08891, 2020"),
        MethodSpec("xgrad-cam", XGradCAM, "Fu et al., Axiom-based Grad-CAM, BMVC 2020"),
    ]
