"""Class activation maps: ``cam``, maps of a part of its weights, and three remedies for its flaws.

``cam`` is that of Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, eq. 2. Maps of a
part of the weights are those of Yasuki & Taki, "CAM Back Again", CVPR 2024.

The remedies are those of Bae et al., "Rethinking Class Activation Mapping for Weakly Supervised Object Localization",
ECCV 2020, which names three flaws. Global average pooling favours channels that activate few pixels (remedy:
thresholded average pooling, TAP). Negative weights darken the object (negative weight clamping, NWC). The maximum of a
map is an unstable reference for thresholds (percentile as a standard, PaS). NWC clamps the weights of the map only, so
its map is that of ``cam-pos``. The paper applies the three together, to a classifier trained with TAP: that is the
system ``tap`` with ``cam-nwc-pas``. Here each is also applied alone, to a classifier as it is.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from wsolbench.api import BelowOne, Choice, Maps, MethodContext, MethodSpec, NonNegative, Positive, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class CAM:
    """``max(0, Σ_k w_k F_k) / max``, with the weights w of the class and the tapped feature maps F.

    The division changes no score; it makes raw maps comparable with those of the large-kernel authors, which have the
    ReLU too. A map without a positive value becomes zero.

    Args:
        relu: Whether negative values become 0. In the CAM of the WSOL evaluation paper they do not: ``relu=false``.
        weights: ``raw`` weights of the head, as the large-kernel authors use them, or ``effective`` weights, which
            include the norm between features and head: the mean of the map is the class score up to a constant.
    """

    relu: bool = True
    weights: Annotated[Literal["raw", "effective"], Choice("raw", "effective")] = "raw"

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor | Maps:
        """Return raw maps (B, h, w) of features (B, K, h, w)."""
        return self._weighted_sum(features, self.channel_weights(features, context))

    def _weighted_sum(self, features: Tensor, weights: Tensor) -> Tensor:
        maps = (weights[:, :, None, None] * features).mean(dim=1)
        if not self.relu:
            return maps
        maps = maps.clamp(min=0)
        peaks = maps.amax(dim=(1, 2), keepdim=True)
        return maps / peaks.where(peaks != 0, 1)

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weight of each feature map, (B, K); the only step in which the maps of this family differ."""
        return context.class_weights if self.weights == "raw" else context.effective_weights(features)


@dataclass(frozen=True)
class PositiveCAM(CAM):
    """The CAM of the positive weights."""

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K), negative ones set to 0."""
        return super().channel_weights(features, context).clamp(min=0)


@dataclass(frozen=True)
class NegativeCAM(CAM):
    """The CAM of the negative weights.

    Where no feature is negative, as after a ReLU, the sum is nowhere positive, and ``relu`` leaves no map.

    Args:
        sign: Weights are ``kept``, as in the paper's Table 2, or ``flipped`` to ``abs(w_k)``, which shows where the
            features of negative weights are.
    """

    sign: Literal["kept", "flipped"] = "kept"

    def __call__(self, features: Tensor, context: MethodContext) -> Maps:
        """Return raw maps (B, h, w) of features (B, K, h, w), and which are not defined."""
        maps = self._weighted_sum(features, self.channel_weights(features, context))
        undefined = (features.amin(dim=(1, 2, 3)) >= 0).to(maps.dtype) * (self.relu and self.sign == "kept")
        return Maps(maps, {"not defined: features ≥ 0": undefined})

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K), positive ones set to 0."""
        weights = super().channel_weights(features, context).clamp(max=0)
        return weights if self.sign == "kept" else -weights


@dataclass(frozen=True)
class SmallWeightCAM(CAM):
    """The CAM of the small positive weights, ``0 < w_k ≤ value``; it and `LargeWeightCAM` add up to `PositiveCAM`.

    The sums add up without the ReLU and the division. The default value is the paper's, for its networks. The scale of
    weights differs between networks, and that of effective weights after a layer norm even between images.

    Args:
        value: The largest small weight.
        measure: What is compared with the value: the ``positive`` weights, as in the caption of the paper's Fig. 6, or
            the ``magnitude`` of all weights; then the two parts add up to `CAM`.
    """

    value: NonNegative = 0.04
    measure: Literal["positive", "magnitude"] = "positive"

    def __call__(self, features: Tensor, context: MethodContext) -> Maps:
        """Return raw maps (B, h, w) of features (B, K, h, w), and which are not defined."""
        weights = self.channel_weights(features, context)
        undefined = (weights == 0).all(dim=1).to(features.dtype)
        return Maps(self._weighted_sum(features, weights), {"not defined: no such weight": undefined})

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K), those that are not small set to 0."""
        weights = self.measured_weights(features, context)
        return weights.where(weights.abs() <= self.value, 0)

    def measured_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K) that are small or large, the others set to 0."""
        weights = super().channel_weights(features, context)
        return weights.clamp(min=0) if self.measure == "positive" else weights


@dataclass(frozen=True)
class LargeWeightCAM(SmallWeightCAM):
    """The CAM of the large positive weights, ``w_k > value``; see `SmallWeightCAM`."""

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K), those that are not large set to 0."""
        weights = self.measured_weights(features, context)
        return weights.where(weights.abs() > self.value, 0)


@dataclass(frozen=True)
class ThresholdedPoolingCAM(CAM):
    """The CAM of the weights ``w_k n_k / hw``: each weight times the fraction of active cells of its channel.

    A cell is active if it is above θ times the maximum of its channel; n_k is their number, 0 if the maximum is not
    positive. TAP pools ``p_k = Σ F_k [F_k > θ max F_k] / n_k`` where global average pooling has ``Σ F_k / hw``. The
    score of a head trained with global average pooling is ``Σ_k w_k Σ F_k / hw``. As a weighted sum of p_k it has the
    weights above: exactly if θ = 0 and no feature is negative, otherwise without the cells below the threshold. The map
    is the weighted sum of the whole feature maps, without a threshold, as in the authors' code.

    This is our reading of a remedy that the paper applies in training: a head trained on p_k learns smaller weights for
    channels of few active cells. For a classifier trained so, the paper's map is plain CAM. Features tapped before a
    norm may be negative; negative cells are never active, but are part of the map.

    Args:
        threshold: θ, a fraction of each channel's maximum; the authors use 0.1.
    """

    threshold: BelowOne = 0.1

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K) of the class, each times the fraction of active cells of its channel."""
        active = features > self.threshold * features.amax(dim=(2, 3), keepdim=True)
        return super().channel_weights(features, context) * active.to(features.dtype).mean(dim=(2, 3))


@dataclass(frozen=True)
class PercentileCAM(CAM):
    """CAM whose thresholds are fractions of a percentile of the map, τ · Per_i, instead of fractions of its maximum.

    This changes the rule by which a map becomes a box, which the protocol fixes. But it equals the protocol's rule on a
    map clipped at its percentile: with low = min s, ``(min(s, Per_i) - low) / (Per_i - low) > τ`` is equivalent to
    ``s - low > τ (Per_i - low)``. The map is therefore resized to the evaluation frame as in the core, and clipped
    there; the core does not resize it again, and normalises it. As in the authors' code, the minimum counts as 0, and
    the percentile is that of the resized map. They round to 256 levels before the percentile, the protocol after it. If
    the percentile equals the minimum, every τ selects all values above the minimum: the map is clipped at the least of
    them.

    An object that covers less than ``100 - i`` percent of the frame is clipped together with its surroundings. All
    clipped pixels have one score in PxAP.

    Args:
        percentile: i; the authors use 90. At 100 the scores are those of ``cam``.
    """

    percentile: Annotated[Positive, Field(le=100)] = 90

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, 224, 224), float64, of features (B, K, h, w)."""
        import torch

        maps = self._weighted_sum(features, self.channel_weights(features, context)).double().cpu().numpy()
        clipped = np.stack([_clip(raw_map, self.percentile) for raw_map in maps])
        return torch.from_numpy(clipped).to(features.device)


@dataclass(frozen=True)
class PositivePercentileCAM(PercentileCAM):
    """The CAM of the positive weights, with thresholds that are fractions of a percentile; see `PercentileCAM`.

    For a classifier trained with TAP, this is the map of the paper.
    """

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K), negative ones set to 0."""
        return super().channel_weights(features, context).clamp(min=0)


def _clip(raw_map: NDArray[np.float64], percentile: float) -> NDArray[np.float64]:
    """Return a raw map (h, w) resized to the evaluation frame as in the core, and clipped at its percentile.

    A constant map stays constant, which bicubic resizing does not guarantee. A map that is not finite becomes NaN.
    """
    import cv2

    from wsolbench.api import FRAME

    if not np.isfinite(raw_map).all():
        return np.full((FRAME, FRAME), np.nan)
    if raw_map.min() == raw_map.max():
        return np.full((FRAME, FRAME), raw_map[0, 0])
    resized = np.asarray(cv2.resize(raw_map, (FRAME, FRAME), interpolation=cv2.INTER_CUBIC), dtype=np.float64)
    low, level = resized.min(), np.percentile(resized, percentile)
    above = resized[resized > low]
    if level == low and above.size:
        level = above.min()
    return np.minimum(resized, level)


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the family."""
    yasuki, bae = "Yasuki & Taki, CAM Back Again, CVPR 2024", "Bae et al., Rethinking CAM, ECCV 2020"
    spec = partial(MethodSpec, needs=frozenset({"class weights"}))
    return [
        spec("cam", CAM, "Zhou et al., CVPR 2016, eq. 2"),
        spec("cam-pos", PositiveCAM, f"{yasuki}, Table 2"),
        spec("cam-neg", NegativeCAM, f"{yasuki}, Table 2"),
        spec("cam-small", SmallWeightCAM, f"{yasuki}, Fig. 6"),
        spec("cam-large", LargeWeightCAM, f"{yasuki}, Fig. 6"),
        spec("cam-tap", ThresholdedPoolingCAM, f"{bae}, thresholded average pooling, as read for a trained head"),
        spec("cam-nwc", PositiveCAM, f"{bae}, negative weight clamping: the map of cam-pos"),
        spec("cam-pas", PercentileCAM, f"{bae}, percentile as a standard for thresholding"),
        spec("cam-nwc-pas", PositivePercentileCAM, f"{bae}, both together: the map of its system, tap"),
    ]
