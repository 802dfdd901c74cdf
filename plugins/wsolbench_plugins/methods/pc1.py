"""Principal components of an image's own feature maps: ``pc1``, ``pc1-corrected`` and, to look at, ``pc2`` to ``pc4``.

Yasuki & Taki, "CAM Back Again", CVPR 2024; the share of the variance that a component explains is their Fig. 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from wsolbench.api import Maps, MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

Rule = Literal["authors", "corrected"]
Weighting = Literal["sign", "magnitude"]

AT_ONCE = 8  # images: as fast as it gets, because their float64 copies then come from memory that is used again


@dataclass(frozen=True)
class PrincipalComponent:
    """PCA over the class-weighted maps, channels as samples and pixels as variables; the map is one component.

    Every map w_k F_k is min-max normalised by itself, so of the weight only its sign survives; constant maps are
    dropped. The components come from the float64 covariance by an exact eigensolver. They are divided by their entry of
    the largest absolute value, which makes it 1 and fixes the sign, and are then turned over where they show the
    background. Everything stays in floating point; the published script casts maps to uint8, where values below 0 and
    above 1 wrap around.

    ``variance_share`` of a map is the eigenvalue of its component divided by the sum of all. Where no channels are left
    or all of them look alike, the map is zero and the share not a number; so is the map of a component that the rank of
    the data does not reach, with a share of 0. Features that are not finite give a map of NaN.

    Args:
        number: Which component, 1 for the first.
        rule: How background is recognised. ``authors``: more than half of the frame is brighter than the mean of the
            map, and ``1 - p`` turns it over. The frame is counted as in their code: rows and columns from 1 to size - 3
            are inside, so that the lower and right edges count twice as thick while the divisor stays 4 (size - 1).
            Then 23 of 63 cells of a 12×12 map are enough, and where 23 to 40 are bright both signs of the component
            would be turned over: the map hangs on which sign a library happens to return. ``corrected`` counts the
            cells of the true border, each once, and takes the sign for which fewer of them lie above the mean than
            below it; at a draw, the one for which the mean of the border is below the mean of the map. Both signs of a
            component end in the same map, ``p`` or ``-p``.
        weighting: ``sign`` is the authors'; ``magnitude`` lets every channel count |w_k| in mean and covariance.
    """

    number: int = 1
    rule: Rule = "authors"
    weighting: Weighting = "sign"

    def __call__(self, features: Tensor, context: MethodContext) -> Maps:
        """Return raw maps (B, h, w), float64, of features (B, K, h, w), with their ``variance_share``."""
        import torch

        parts = zip(*(torch.split(given, AT_ONCE) for given in (features, context.class_weights)), strict=True)
        maps, shares = zip(*(self._of_few(*part) for part in parts), strict=True)
        return Maps(torch.cat(maps), {"variance_share": torch.cat(shares)})

    def _of_few(self, features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (b, h, w) and shares (b,) of features (b, K, h, w) and class weights (b, K)."""
        rows, used, finite = _normalised_rows(features.flatten(2), weights)
        importance = used.double() if self.weighting == "sign" else used * weights.double().abs()
        variance, total, component = _component(rows, importance, self.number)
        oriented = _ORIENTED[self.rule](component.reshape(-1, *features.shape[2:])) * (variance > 0)[:, None, None]
        nan = float("nan")
        return oriented.where(finite[:, None, None], nan), (variance / total).where(finite, nan)


def _normalised_rows(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps w_k F_k stretched to [0, 1].

    Args:
        features: (B, K, P).
        weights: (B, K); a negative one turns its map upside down.

    Returns:
        Rows (B, K, P), float64, zero where they cannot be used; which can be, not constant (B, K); and which images
        hold finite numbers only (B,).
    """
    import torch

    low, high = features.amin(dim=2).double(), features.amax(dim=2).double()
    finite = (low.isfinite() & high.isfinite() & weights.isfinite()).all(dim=1)
    used = (high > low) & (weights != 0) & finite[:, None]
    floor = low.where(weights > 0, high)
    scale = (weights.sign() / (high - low)).where(used, 0)
    rows = features.to(torch.float64, copy=True)  # once; from here on in place, for the speed of it
    rows -= floor[:, :, None]
    rows *= scale[:, :, None]
    rows[~finite] = 0
    return rows, used, finite


def _component(rows: Tensor, importance: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a principal component of rows (B, K, P), which are overwritten, each counted as its importance (B, K).

    Returns:
        Its variance (B,), the variance of all components (B,), both 0 where there is nothing above rounding, and the
        component (B, P), its largest absolute entry scaled to 1.
    """
    import torch

    pixels, eps = rows.shape[2], torch.finfo(rows.dtype).eps
    share = importance / importance.sum(dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
    rows -= share[:, None, :] @ rows
    rows *= share.sqrt()[:, :, None]
    variances, components = torch.linalg.eigh(rows.mT @ rows)
    rounding = pixels * eps * variances[:, -1].clamp(min=eps)
    place = -min(number, pixels)
    variance, component = variances[:, place] * (number <= pixels), components[:, :, place]
    total = variances.sum(dim=1).where(variances[:, -1] > rounding, 0)
    peak = component.gather(1, component.abs().argmax(dim=1, keepdim=True))
    return variance.where(variance > rounding, 0), total, component / peak


def _oriented_as_published(maps: Tensor) -> Tensor:
    """Turn over the maps (B, h, w) whose frame, counted as the authors do, is mostly brighter than their mean."""
    height, width = maps.shape[1:]
    bright = maps > maps.mean(dim=(1, 2), keepdim=True)
    bright[:, 1 : max(height - 2, 1), 1 : max(width - 2, 1)] = False
    cells = max(2 * (height - 1) + 2 * (width - 1), 1)
    turned = bright.sum(dim=(1, 2)) / cells > 0.5
    return maps.where(~turned[:, None, None], 1 - maps)


def _oriented(maps: Tensor) -> Tensor:
    """Give the maps (B, h, w) the sign that makes their border dark; a map and its negative give the same."""
    height, width = maps.shape[1:]
    deviation = maps - maps.mean(dim=(1, 2), keepdim=True)
    deviation[:, 1 : max(height - 1, 1), 1 : max(width - 1, 1)] = 0
    majority, sum_of_border = deviation.sign().sum(dim=(1, 2)), deviation.sum(dim=(1, 2))
    turned = (majority > 0) | ((majority == 0) & (sum_of_border > 0))
    return maps.where(~turned[:, None, None], -maps)


_ORIENTED = {"authors": _oriented_as_published, "corrected": _oriented}


def _pc1(*, rule: Rule = "authors", weighting: Weighting = "sign") -> PrincipalComponent:
    return PrincipalComponent(1, rule, weighting)


def _corrected(number: int, *, weighting: Weighting = "sign") -> PrincipalComponent:
    return PrincipalComponent(number, "corrected", weighting)


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the first component by either rule, and three more."""
    source = "Yasuki & Taki, CAM Back Again, CVPR 2024"
    return [
        MethodSpec("pc1", _pc1, source),
        MethodSpec("pc1-corrected", partial(_corrected, 1), f"{source}; true border, no library's sign"),
        *(
            MethodSpec(f"pc{number}", partial(_corrected, number), f"{source}; component {number}, oriented alike")
            for number in (2, 3, 4)
        ),
    ]
