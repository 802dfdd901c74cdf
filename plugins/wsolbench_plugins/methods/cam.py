"""Class activation maps: ``cam``, the maps of some of its weights, and three remedies for its flaws.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, eq. 2. Some of the weights: Yasuki &
Taki, "CAM Back Again", CVPR 2024.

Remedies: Bae et al., "Rethinking Class Activation Mapping for Weakly Supervised Object Localization", ECCV 2020, names
three flaws. Global average pooling favours channels that light few pixels (thresholded average pooling, TAP, is to mend
it), negative weights darken the object (negative weight clamping, NWC), and the maximum of a map is an unsteady
reference for thresholds (percentile as a standard, PaS). NWC clamps the weights of the map and nothing else, so its map
is that of ``cam-pos``. The paper applies the three together, to a classifier that was trained with TAP; here each
stands alone, on a classifier as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.api import MethodContext, MethodSpec, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CAM:
    """``max(0, Σ_k w_k F_k) / max``, with the weights w of the class and the tapped feature maps F.

    The division changes no score; it makes raw maps comparable with the large-kernel authors' (their maps, and so this
    default, keep the ReLU). A map without a positive value is all zeros.

    Args:
        relu: Cut negative values off. The WSOL evaluation paper's CAM does not: ``relu=false``.
        weights: ``raw`` head weights are the large-kernel authors'; ``effective`` ones take in the norm between
            features and head, so that the mean of the map is the class score but for a constant.
    """

    relu: bool = True
    weights: Literal["raw", "effective"] = "raw"

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, h, w) of features (B, K, h, w)."""
        maps = (self.channel_weights(features, context)[:, :, None, None] * features).mean(dim=1)
        if not self.relu:
            return maps
        maps = maps.clamp(min=0)
        peaks = maps.amax(dim=(1, 2), keepdim=True)
        return maps / peaks.where(peaks != 0, 1)

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return what each feature map counts, (B, K); the one step in which the maps of this family differ."""
        return context.class_weights if self.weights == "raw" else context.effective_weights(features)


@dataclass(frozen=True)
class PositiveCAM(CAM):
    """The CAM of the positive weights alone."""

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K), negative ones set to 0."""
        return super().channel_weights(features, context).clamp(min=0)


@dataclass(frozen=True)
class NegativeCAM(CAM):
    """The CAM of the negative weights alone; on features that are never negative, the ReLU leaves zero maps."""

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K), positive ones set to 0."""
        return super().channel_weights(features, context).clamp(max=0)


@dataclass(frozen=True)
class SmallWeightCAM(CAM):
    """The CAM of the weights below a value alone; without the ReLU it and `LargeWeightCAM` add up to the whole CAM.

    Our reading: a weight is small if its magnitude is. Whether the figure's 0.04 was compared with that or with the
    weight itself was not verified; ``measure=signed`` offers the other reading, in which every negative weight is small
    and a value of 0 gives the halves ``cam-neg`` and ``cam-pos``.

    The value fits the paper's networks. The scale of weights differs between networks, and that of effective weights
    after a layer norm even between images.

    Args:
        value: Weights at it or above are large.
        measure: What is compared with the value: ``magnitude`` or the ``signed`` weight.

    Raises:
        UsageError: If the value is not finite.
    """

    value: float = 0.04
    measure: Literal["magnitude", "signed"] = "magnitude"

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise UsageError(f"option 'value' of 'cam-small' and 'cam-large' takes a finite number, not {self.value}")

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K), large ones set to 0."""
        weights = super().channel_weights(features, context)
        return weights.where(self.is_small(weights), 0)

    def is_small(self, weights: Tensor) -> Tensor:
        """Return which weights lie below the value, bool (B, K)."""
        return (weights.abs() if self.measure == "magnitude" else weights) < self.value


@dataclass(frozen=True)
class LargeWeightCAM(SmallWeightCAM):
    """The CAM of the weights at a value or above alone; see `SmallWeightCAM`."""

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K), small ones set to 0."""
        weights = CAM.channel_weights(self, features, context)
        return weights.where(~self.is_small(weights), 0)


@dataclass(frozen=True)
class ThresholdedPoolingCAM(CAM):
    """The CAM of the weights ``w_k n_k / hw``: each weight times the share of the frame that its channel lights.

    n_k counts the cells of F_k above θ of its maximum; there are none if that is not positive. TAP pools
    ``p_k = Σ F_k [F_k > θ max F_k] / n_k`` where global average pooling has ``Σ F_k / hw``. On these p_k the score of a
    head trained with global average pooling, ``Σ_k w_k Σ F_k / hw``, has exactly the weights above if θ = 0 and no
    feature is negative; else what lies below the threshold is neglected. The map then is the weighted sum of the
    whole, unthresholded feature maps, as in the authors' code.

    This is our reading of a remedy that the paper applies in training: a head that learns on p_k gives channels of few
    lit cells smaller weights. Of a classifier that was trained so, the paper's map is plain CAM. Features tapped before
    a norm may be negative; negative cells are never lit, but count in the map.

    Args:
        threshold: θ, a fraction of each channel's maximum; the authors' 0.1.

    Raises:
        UsageError: If θ is not at least 0 and below 1.
    """

    threshold: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise UsageError(
                f"the method 'cam-tap': option 'threshold' takes a fraction from 0 to below 1, not {self.threshold}"
            )

    def channel_weights(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return the weights (B, K) of the class, each times the share of cells that its channel lights."""
        lit = features > self.threshold * features.amax(dim=(2, 3), keepdim=True)
        return super().channel_weights(features, context) * lit.to(features.dtype).mean(dim=(2, 3))


@dataclass(frozen=True)
class PercentileCAM(CAM):
    """CAM with thresholds that are fractions of a percentile of the map instead of its maximum: τ · Per_i.

    That changes the rule by which a map becomes a box, which the protocol fixes. But it is the same as the protocol's
    rule on a map that is cut off at its percentile: with low = min, ``(min(s, Per_i) - low) / (Per_i - low) > τ`` says
    what ``s - low > τ (Per_i - low)`` does. So the map is resized to the evaluation frame as the core does it, cut off
    there, and the core, which leaves maps of this size as they are, stretches it. As in the authors' code the minimum
    counts as 0, and the percentile is that of the resized map; they round to 256 levels before it, the protocol after.
    If the percentile is the minimum, every τ asks for what is above the minimum: the map is cut off right above it.

    An object that covers less of the frame than ``100 - i`` percent is cut off together with what surrounds it. PxAP
    sees one score for all that is cut off.

    Args:
        percentile: i; the authors' 90. At 100 the scores are those of ``cam``.

    Raises:
        UsageError: If i is not above 0 and at most 100.
    """

    percentile: float = 90

    def __post_init__(self) -> None:
        if not 0 < self.percentile <= 100:
            raise UsageError(
                f"the method 'cam-pas': option 'percentile' takes a number above 0 and up to 100, not {self.percentile}"
            )

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, 224, 224), float64, of features (B, K, h, w)."""
        import torch

        maps = super().__call__(features, context).double().cpu().numpy()
        cut = np.stack([_cut_off(one, self.percentile) for one in maps])
        return torch.from_numpy(cut).to(features.device)


def _cut_off(raw_map: NDArray[np.float64], percentile: float) -> NDArray[np.float64]:
    """Return a raw map (h, w) at the size of the evaluation frame, resized as in the core, cut off at its percentile.

    A map of one value stays one, which bicubic resizing would not see to, and one that is not finite is NaN throughout.
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
    return [
        MethodSpec("cam", CAM, "Zhou et al., CVPR 2016, eq. 2"),
        MethodSpec("cam-pos", PositiveCAM, f"{yasuki}, Table 2"),
        MethodSpec("cam-neg", NegativeCAM, f"{yasuki}, Table 2"),
        MethodSpec("cam-small", SmallWeightCAM, f"{yasuki}, Fig. 6"),
        MethodSpec("cam-large", LargeWeightCAM, f"{yasuki}, Fig. 6"),
        MethodSpec("cam-tap", ThresholdedPoolingCAM, f"{bae}, thresholded average pooling, as read for a trained head"),
        MethodSpec("cam-nwc", PositiveCAM, f"{bae}, negative weight clamping: the map of cam-pos"),
        MethodSpec("cam-pas", PercentileCAM, f"{bae}, percentile as a standard for thresholding"),
    ]
