"""Maps from the gradient of the class score with respect to the tapped features: ``grad-cam`` and its successors.

With features A (K channels), score S of the class and gradient G = ∂S/∂A, every map is ``ReLU(Σ_k weight_k A_k)``. The
methods differ in the weights: one number a channel, or one a channel and pixel. G is taken through ``forward_head``, so
it includes every layer after the tapped one, such as a norm.

If only linear layers come before the head's pool, G is constant over a channel. Then ``grad-cam``, ``hires-cam`` and,
except for its ε, ``xgrad-cam`` are the same map: on such a network they differ by rounding only. If the whole head is
linear, batch norms included, that map is the one of ``cam`` with ``weights=effective``, and the map of ``layer-cam`` is
that of ``cam-pos``. After a layer norm neither holds, because G includes the change of the norm's divisor.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from wsolbench.api import MethodContext, MethodSpec, NonNegative, Positive, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class ScoreGradientMethod(ABC):
    """Base of these methods: the map is the ReLU of a weighted sum of the features."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, h, w), at least single precision, of features (B, K, h, w)."""
        return self.map(features, score_gradients(features, context))

    @abstractmethod
    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the weights, (B, K, 1, 1) or (B, K, h, w), for features and gradients (B, K, h, w)."""

    def map(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return raw maps (B, h, w), at least single precision, of features and gradients (B, K, h, w)."""
        import torch

        precision = torch.promote_types(features.dtype, torch.float32)  # small squares underflow in half precision
        features, gradients = features.to(precision), gradients.to(precision)
        return (self.weights(features, gradients) * features).sum(dim=1).clamp(min=0)


def score_gradients(features: Tensor, context: MethodContext) -> Tensor:
    """Return the gradient (B, K, h, w) of each image's class score with respect to its features (B, K, h, w).

    The features do not change, and no graph remains after the call. In eval mode the score of an image depends on its
    own features only, so one backward pass serves the whole batch.
    """
    import torch

    with torch.enable_grad():
        tapped = features.detach().requires_grad_()
        logits = context.class_scores(tapped)
        selected = torch.zeros_like(logits).scatter(1, context.class_indices[:, None], 1)
        (gradients,) = torch.autograd.grad(logits, tapped, selected)
    return gradients


@dataclass(frozen=True)
class GradCAM(ScoreGradientMethod):
    """Grad-CAM, ``w_k = mean over pixels of G_k``.

    The mean does not keep which pixels of a channel contribute to the score.

    Source:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
        eq. 1 and 2.
    """

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:  # noqa: ARG002
        """Return one weight a channel (B, K, 1, 1)."""
        return gradients.mean(dim=(2, 3), keepdim=True)


@dataclass(frozen=True)
class GradCAMPlusPlus(ScoreGradientMethod):
    """Grad-CAM++, ``w_k = Σ_pixels α_k ReLU(G_k)`` with ``α = G² / (2 G² + G³ Σ_pixels A_k + ε)``, 0 where G is 0.

    The formula is for the score ``exp(S)``, whose own factor is the same for all channels. α has no bound where the sum
    of a channel is near ``-2 / G``, which cannot happen if features are never negative.

    Args:
        epsilon: ε, which the package ``grad-cam`` adds; the paper has none, that is 0. Where gradients are smaller than
            its square root, as before a pool over many pixels, ε dominates: weights grow with G³ instead of G.

    Source:
        Chattopadhay et al., "Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional
        Networks", WACV 2018, eq. 19.
    """

    epsilon: NonNegative = 1e-6

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return one weight a channel (B, K, 1, 1)."""
        squares = gradients**2
        divisor = 2 * squares + squares * gradients * features.sum(dim=(2, 3), keepdim=True) + self.epsilon
        alpha = squares / divisor.where(divisor != 0, 1)
        return (alpha * gradients.clamp(min=0)).sum(dim=(2, 3), keepdim=True)


@dataclass(frozen=True)
class LayerCAM(ScoreGradientMethod):
    """LayerCAM, ``w = ReLU(G)`` at every pixel.

    The paper fuses the maps of several layers (`FusedLayerCAM`); this is the map of the tapped layer.

    Source:
        Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE Transactions on
        Image Processing 30, 2021.
    """

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:  # noqa: ARG002
        """Return one weight a channel and pixel (B, K, h, w)."""
        return gradients.clamp(min=0)


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class FusedLayerCAM:
    """LayerCAM fused over layers: at every pixel the largest value of the layers' scaled maps.

    The map of every layer is that of `LayerCAM` there. It is scaled, and resized bilinearly to the largest of the maps.
    Gradients include everything after a layer, so the maps do not depend on where the features are tapped.

    Args:
        taps: The layers, as ``wsolbench describe`` lists the taps of a network; none for all of them except parts of
            others: the stages of a convolutional network, the blocks of a ViT, but not the norms in them.
        scaled: ``paper`` is ``tanh(γ M / max M)``, which lifts the small values of early layers. ``torch-cam`` is what
            that package does, ``tanh(γ N)`` of the min-max normalised map N, which takes off the minimum first.
            ``none`` fuses the maps as they are, so that the layer of the largest gradients prevails.
        gamma: γ, 2 in both.

    Source:
        Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE Transactions on
        Image Processing 30, 2021; all layers are scaled alike.
    """

    taps: tuple[str, ...] = ()
    scaled: Literal["paper", "torch-cam", "none"] = "paper"
    gamma: Positive = 2.0

    def __post_init__(self) -> None:
        if len(set(self.taps)) < len(self.taps):
            raise ValueError("taps: a layer is named more than once; name each once")

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return raw maps (B, h, w) of the size of the largest layer."""
        import torch
        from torch.nn import functional as F

        names = self.taps or outermost(context.tap_names)
        maps = [self._scaled(LayerCAM().map(*layer)) for layer in context.tap_gradients(names).values()]
        largest = max((of_layer.shape[1:] for of_layer in maps), key=math.prod)
        resized = [F.interpolate(of_layer[:, None], largest, mode="bilinear")[:, 0] for of_layer in maps]
        return torch.stack(resized).amax(dim=0)

    def _scaled(self, maps: Tensor) -> Tensor:
        if self.scaled == "none":
            return maps
        if self.scaled == "torch-cam":
            maps = maps - maps.amin(dim=(1, 2), keepdim=True)
        peaks = maps.amax(dim=(1, 2), keepdim=True)
        return (self.gamma * maps / peaks.where(peaks > 0, 1)).tanh()


def outermost(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of modules that are not parts of others among them."""
    return tuple(name for name in names if not any(name.startswith(f"{other}.") for other in names))


@dataclass(frozen=True)
class HiResCAM(ScoreGradientMethod):
    """HiResCAM, ``w = G`` at every pixel.

    If the head is linear, the sum of the map before the ReLU is the score up to a constant. The ReLU is Grad-CAM's.

    Source:
        Draelos & Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
        arXiv 2011.08891, 2020.
    """

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:  # noqa: ARG002
        """Return one weight a channel and pixel (B, K, h, w)."""
        return gradients


@dataclass(frozen=True)
class XGradCAM(ScoreGradientMethod):
    """XGrad-CAM, ``w_k = Σ_pixels G_k A_k / (Σ_pixels A_k + ε)``, 0 where the divisor is 0.

    For features that are never negative, a weight is an average of G. For others the sum can be near 0, and a weight
    has no bound.

    Args:
        epsilon: ε, which the package ``grad-cam`` adds; the paper has none, that is 0. It matters in channels whose sum
            is small, as it can be after SiLU or hard swish.

    Source:
        Fu et al., "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs", BMVC 2020.
    """

    epsilon: NonNegative = 1e-7

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return one weight a channel (B, K, 1, 1)."""
        divisors = features.sum(dim=(2, 3), keepdim=True) + self.epsilon
        products = (gradients * features).sum(dim=(2, 3), keepdim=True)
        return (products / divisors).where(divisors != 0, 0)


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the family."""
    spec = partial(MethodSpec, needs=frozenset({"gradients"}))
    layer_cam = "Jiang et al., IEEE TIP 30, 2021"
    return [
        spec("grad-cam", GradCAM, "Selvaraju et al., ICCV 2017, eq. 1 and 2"),
        spec("grad-cam++", GradCAMPlusPlus, "Chattopadhay et al., WACV 2018, eq. 19"),
        spec("layer-cam", LayerCAM, layer_cam),
        MethodSpec("layer-cam-fused", FusedLayerCAM, layer_cam, needs=frozenset({"gradients", "taps"})),
        spec("hires-cam", HiResCAM, "Draelos & Carin, arXiv 2011.08891, 2020"),
        spec("xgrad-cam", XGradCAM, "Fu et al., Axiom-based Grad-CAM, BMVC 2020"),
    ]
