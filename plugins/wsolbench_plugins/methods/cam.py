"""Class activation maps: ``cam``, and its halves ``cam-pos`` and ``cam-neg``.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, eq. 2; the halves after Yasuki & Taki,
"CAM Back Again", CVPR 2024, Table 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from wsolbench.api import MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

Sign = Literal["any", "positive", "negative"]
Weights = Literal["raw", "effective"]


@dataclass(frozen=True)
class CAM:
    """``max(0, Σ_k w_k F_k) / max``, with the weights w of the class and the tapped feature maps F.

    The division changes no score; it makes raw maps comparable with the large-kernel authors' (their maps, and so this
    default, keep the ReLU). A map without a positive value is all zeros.

    Args:
        sign: Which weights take part. ``negative`` on features that are never negative gives zero maps.
        relu: Cut negative values off. The WSOL evaluation paper's CAM does not: ``relu=false``.
        weights: ``raw`` head weights are the large-kernel authors'; ``effective`` ones take in the norm between
            features and head, so that the mean of the map is the class score but for a constant.
    """

    sign: Sign = "any"
    relu: bool = True
    weights: Weights = "raw"

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, h, w) of features (B, K, h, w)."""
        weights = context.class_weights if self.weights == "raw" else context.effective_weights(features)
        if self.sign == "positive":
            weights = weights.clamp(min=0)
        elif self.sign == "negative":
            weights = weights.clamp(max=0)
        maps = (weights[:, :, None, None] * features).mean(dim=1)
        if not self.relu:
            return maps
        maps = maps.clamp(min=0)
        peaks = maps.amax(dim=(1, 2), keepdim=True)
        return maps / peaks.where(peaks != 0, 1)


def _half(sign: Sign, *, relu: bool = True, weights: Weights = "raw") -> CAM:
    return CAM(sign, relu, weights)


def _full(*, relu: bool = True, weights: Weights = "raw") -> CAM:
    return CAM("any", relu, weights)


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the whole map and its halves."""
    zhou, yasuki = "Zhou et al., CVPR 2016, eq. 2", "Yasuki & Taki, CAM Back Again, CVPR 2024, Table 2"
    return [
        MethodSpec("cam", _full, zhou),
        MethodSpec("cam-pos", partial(_half, "positive"), yasuki),
        MethodSpec("cam-neg", partial(_half, "negative"), yasuki),
    ]
