"""``pc1``: the first principal component of the feature maps (Yasuki & Taki, CVPR 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wsolbench.api import MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PC1:
    """PCA over the class-weighted maps, channels as samples and pixels as variables; the map is the first component.

    Every map w_k F_k is min-max normalised by itself, so of the weight only its sign survives; constant maps are
    dropped. The component comes from the float64 covariance by an exact eigensolver, its sign chosen so that its
    largest absolute entry is positive, and is divided by that entry. Where the map is brighter than its mean on more
    than half of the frame, the background was found, and the map is turned over: ``1 - p``. Features that are all
    constant give a zero map, features that are not finite a map of NaN.

    Args:
        rule: ``authors`` counts the frame as the published code does, off by one: rows and columns from 1 to size - 3
            are inside, so the lower and right edges count twice as thick while the divisor stays 4 (size - 1).
            ``corrected`` counts the true border.
        weighting: ``sign`` is the authors'; ``magnitude`` lets every channel count |w_k| in mean and covariance.
    """

    rule: Literal["authors", "corrected"] = "authors"
    weighting: Literal["sign", "magnitude"] = "sign"

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, h, w), float64, of features (B, K, h, w)."""
        batch, _, height, width = features.shape
        broken = ~features.isfinite().flatten(1).all(dim=1)
        weights = context.class_weights.double()
        rows, varied = _normalised_rows(features.nan_to_num().flatten(2).double(), weights)
        share = varied.double() if self.weighting == "sign" else varied * weights.abs()
        component = _first_component(rows, share)
        maps = component.reshape(batch, height, width)
        oriented = self._oriented(maps) * varied.any(dim=1)[:, None, None]
        return oriented.where(~broken[:, None, None], float("nan"))

    def _oriented(self, maps: Tensor) -> Tensor:
        """Turn over the maps (B, h, w) whose frame is brighter than their mean in more than half of its cells."""
        height, width = maps.shape[1:]
        bright = maps > maps.mean(dim=(1, 2), keepdim=True)
        margin = 2 if self.rule == "authors" else 1
        bright[:, 1 : max(height - margin, 1), 1 : max(width - margin, 1)] = False
        cells = max(2 * (height - 1) + 2 * (width - 1), 1)
        turned = bright.sum(dim=(1, 2)) / cells > 0.5
        return maps.where(~turned[:, None, None], 1 - maps)


def _normalised_rows(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return min-max normalised rows (B, K, P) of w_k F_k, and which rows (B, K) are not constant."""
    rows = features * weights[:, :, None]
    low, high = rows.amin(dim=2, keepdim=True), rows.amax(dim=2, keepdim=True)
    span = high - low
    varied = span > 0
    return (rows - low) / span.where(varied, 1), varied[:, :, 0]


def _first_component(rows: Tensor, share: Tensor) -> Tensor:
    """Return the first principal component (B, P), its largest absolute entry scaled to 1, of rows (B, K, P).

    A row counts as much as its share (B, K) says.
    """
    import torch

    total = share.sum(dim=1).clamp(min=torch.finfo(rows.dtype).tiny)[:, None]
    share = share / total
    mean = (share[:, None, :] @ rows)[:, 0]
    centred = rows - mean[:, None, :]
    covariance = (centred * share[:, :, None]).mT @ centred
    component: Tensor = torch.linalg.eigh(covariance).eigenvectors[:, :, -1]
    peak = component.gather(1, component.abs().argmax(dim=1, keepdim=True))
    return component / peak


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the method."""
    return [MethodSpec("pc1", PC1, "Yasuki & Taki, CAM Back Again, CVPR 2024")]
