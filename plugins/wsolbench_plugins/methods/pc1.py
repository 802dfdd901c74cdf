"""Principal components of an image's own feature maps.

``pc1`` and ``pc1-corrected``, ``pc2`` to ``pc4`` to inspect, and ``pc1-unsigned`` for networks without class weights.

Yasuki & Taki, "CAM Back Again", CVPR 2024; the share of the variance that a component explains is their Fig. 8.
``pc1-patches`` is the first component of patches instead of channels, which the pictures of DINOv2 show.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from wsolbench.api import Count, Maps, MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

Rule = Literal["authors", "corrected"]
Weighting = Literal["sign", "magnitude"]

AT_ONCE = 8  # images: the fastest number, because the memory of their float64 copies is used again
MANY_CELLS = 4  # a channel: from here on the products of channels are solved; 56×56 cells would take seconds an image


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class PrincipalComponent:
    """PCA over the class-weighted maps, channels as samples and pixels as variables; the map is one component.

    Every map w_k F_k is min-max normalised by itself, so only the sign of the weight counts. Constant maps are omitted.
    The components come from the float64 covariance by an exact eigensolver. A component is divided by its entry of the
    largest absolute value, which fixes the sign, and is then inverted if it shows the background. All values stay in
    floating point; the published script casts maps to uint8, where values below 0 and above 1 wrap around.

    ``variance_share`` of a map is the eigenvalue of its component divided by the sum of all eigenvalues. If no channel
    remains, or all channels are equal, the map is zero and the share NaN. If the component's number is above the rank
    of the data, the map is zero and the share 0. Features that are not finite give a map of NaN.

    Args:
        number: Number of the component, 1 for the first.
        rule: How background is recognised. ``authors``: if more than half of the border is brighter than the mean of
            the map, the map is ``1 - p``. The border is counted as in the authors' code: rows and columns from 1 to
            size - 3 are inside, so the lower and right borders are two cells wide, but the divisor is 4 (size - 1).
            Then 23 of 63 cells of a 12×12 map are enough; if 23 to 40 cells are bright, either sign of the component
            is inverted, and the map depends on the sign that a library returns. ``corrected``: every cell of the true
            border counts once, and the map has the sign for which fewer of these cells are above the mean than below
            it; if they are equally many, the sign for which the mean of the border is below the mean of the map. The
            result, ``p`` or ``-p``, does not depend on the sign of the component.
        weighting: ``sign`` as in the paper, or ``magnitude``: channels are weighted by abs(w_k) in mean and covariance.
    """

    number: Count = 1
    rule: Rule = "authors"
    weighting: Weighting = "sign"

    def __call__(self, features: Tensor, context: MethodContext) -> Maps:
        """Return raw maps (B, h, w), float64, of features (B, K, h, w), with their ``variance_share``."""
        import torch

        weights = self._weights(features, context)
        parts = zip(*(torch.split(given, AT_ONCE) for given in (features, weights)), strict=True)
        maps, shares = zip(*(self._project(*part) for part in parts), strict=True)
        return Maps(torch.cat(maps), {"variance_share": torch.cat(shares)})

    def _weights(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return the weights (B, K) of the channels."""
        return context.class_weights

    def _project(self, features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (b, h, w) and shares (b,) of features (b, K, h, w) and class weights (b, K)."""
        rows, used, finite = _normalised_rows(features.flatten(2), weights)
        importance = used.double() if self.weighting == "sign" else used * weights.double().abs()
        variance, total, component = _component(rows, importance, self.number)
        oriented = _ORIENTED[self.rule](component.reshape(-1, *features.shape[2:])) * (variance > 0)[:, None, None]
        nan = float("nan")
        return oriented.where(finite[:, None, None], nan), (variance / total).where(finite, nan)


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class UnsignedComponent(PrincipalComponent):
    """PCA over the feature maps themselves: every channel has the weight 1, so the map is of no class.

    The first component has no sign of its own, and no class score to take one from. So only the border decides: by the
    rule ``corrected`` the map has the sign that makes most of the border dark.
    """

    def _weights(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        return features.new_ones(features.shape[:2])


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class PatchComponent:
    """PCA over the patches of an image, patches as samples and channels as variables; the map is each patch's score.

    The score of a patch is its deviation from the mean of all patches, projected onto the first principal axis. Maps
    are neither normalised nor weighted by a class, so a network needs no classifier. For a network of tokens the
    features of the pictures are those after its last norm: ``--tap norm``.

    The paper removes patches with a negative score, and leaves open which of the two signs of a component is the
    object's. Its pictures compute the axis on an image alone; `ddt` computes it on a data set.

    ``variance_share`` of a map is the eigenvalue of the component divided by the sum of all eigenvalues. If all patches
    are equal, the map is zero and the share NaN. Features that are not finite give a map of NaN.

    Args:
        foreground: Which sign is the object's. ``border``: the one for which fewer cells of the border are above the
            mean, as in the rule ``corrected`` of `PrincipalComponent`. ``peak``: that of the largest absolute score.
        relu: Whether negative scores become 0, as the paper removes such patches.

    Source:
        Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024, Fig. 1 and section
        "PCA of patch features".
    """

    foreground: Literal["border", "peak"] = "border"
    relu: bool = True

    def __call__(self, features: Tensor, context: MethodContext) -> Maps:  # noqa: ARG002
        """Return raw maps (B, h, w), float64, of features (B, K, h, w), with their ``variance_share``."""
        import torch

        maps, shares = zip(*map(self._project, torch.split(features, AT_ONCE)), strict=True)
        return Maps(torch.cat(maps), {"variance_share": torch.cat(shares)})

    def _project(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (b, h, w) and shares (b,) of features (b, K, h, w)."""
        finite = features.isfinite().flatten(1).all(dim=1)
        rows = features.flatten(2).double().where(finite[:, None, None], 0)
        variance, total, component = _axis(rows - rows.mean(dim=2, keepdim=True), 1)
        maps = component.reshape(-1, *features.shape[2:]) * (variance > 0)[:, None, None]
        maps = _oriented(maps) if self.foreground == "border" else maps
        nan = float("nan")
        maps = (maps.clamp(min=0) if self.relu else maps).where(finite[:, None, None], nan)
        return maps, (variance / total).where(finite, nan)


def _normalised_rows(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the maps w_k F_k, normalised to [0, 1].

    Args:
        features: (B, K, P).
        weights: (B, K); a negative weight inverts its map.

    Returns:
        Rows (B, K, P), float64, zero if they are not used; which rows are used, because they are not constant, (B, K);
        and which images have finite values only, (B,).
    """
    import torch

    low, high = features.amin(dim=2).double(), features.amax(dim=2).double()
    finite = (low.isfinite() & high.isfinite() & weights.isfinite()).all(dim=1)
    used = (high > low) & (weights != 0) & finite[:, None]
    floor = low.where(weights > 0, high)
    scale = (weights.sign() / (high - low)).where(used, 0)
    rows = features.to(torch.float64, copy=True)  # one copy, then in place: faster
    rows -= floor[:, :, None]
    rows *= scale[:, :, None]
    rows[~finite] = 0
    return rows, used, finite


def _component(rows: Tensor, importance: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a principal component of rows (B, K, P), weighted by their importance (B, K); the rows are overwritten.

    Returns:
        The variance of the component (B,) and of all components (B,), both 0 if they are below rounding errors, and the
        component (B, P), scaled so that its entry of the largest absolute value is 1.
    """
    import torch

    share = importance / importance.sum(dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
    rows -= share[:, None, :] @ rows
    rows *= share.sqrt()[:, :, None]
    return _axis(rows, number)


def _axis(rows: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return an axis of centred rows (B, K, P): its variance (B,), that of all axes (B,), and itself (B, P).

    Args:
        rows: (B, K, P).
        number: Which axis, 1 for that of the largest variance.

    Returns:
        Variances, 0 if they are below rounding errors, and the axis, scaled so that its entry of the largest absolute
        value is 1.
    """
    import torch

    (channels, pixels), eps = rows.shape[1:], torch.finfo(rows.dtype).eps
    few = MANY_CELLS * channels < pixels
    variances, vectors = _eigen(rows @ rows.mT if few else rows.mT @ rows)
    rounding = pixels * eps * variances[:, -1].clamp(min=eps)
    place = -min(number, variances.shape[1])
    variance, vector = variances[:, place] * (number <= variances.shape[1]), vectors[:, :, place]
    component = (vector[:, None, :] @ rows)[:, 0] if few else vector
    total = variances.sum(dim=1).where(variances[:, -1] > rounding, 0)
    peak = component.gather(1, component.abs().argmax(dim=1, keepdim=True))
    return variance.where(variance > rounding, 0), total, component / peak.where(peak != 0, 1)


def _eigen(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues (B, N), ascending, and eigenvectors (B, N, N) of symmetric matrices (B, N, N).

    One thread of the processor finds them: of matrices this small, more threads mostly wait for each other, and beside
    other work on the same cores they take many times as long.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        variances, vectors = torch.linalg.eigh(matrices)
    finally:
        torch.set_num_threads(threads)
    return variances, vectors


def _oriented_as_published(maps: Tensor) -> Tensor:
    """Invert the maps (B, h, w) whose border, as the authors count it, is mostly brighter than their mean."""
    height, width = maps.shape[1:]
    bright = maps > maps.mean(dim=(1, 2), keepdim=True)
    bright[:, 1 : max(height - 2, 1), 1 : max(width - 2, 1)] = False
    cells = max(2 * (height - 1) + 2 * (width - 1), 1)
    inverted = bright.sum(dim=(1, 2)) / cells > 0.5
    return maps.where(~inverted[:, None, None], 1 - maps)


def _oriented(maps: Tensor) -> Tensor:
    """Return maps (B, h, w) with the sign that makes their border dark; a map and its negative give the same result."""
    height, width = maps.shape[1:]
    deviation = maps - maps.mean(dim=(1, 2), keepdim=True)
    deviation[:, 1 : max(height - 1, 1), 1 : max(width - 1, 1)] = 0
    majority, sum_of_border = deviation.sign().sum(dim=(1, 2)), deviation.sum(dim=(1, 2))
    inverted = (majority > 0) | ((majority == 0) & (sum_of_border > 0))
    return maps.where(~inverted[:, None, None], -maps)


_ORIENTED = {"authors": _oriented_as_published, "corrected": _oriented}


def _pc1(*, rule: Rule = "authors", weighting: Weighting = "sign") -> PrincipalComponent:
    """The first principal component of the weighted feature maps: maps are samples, pixels are variables.

    Args:
        rule: How background is recognised: as the ``authors`` do it, or ``corrected``; see `PrincipalComponent`.
        weighting: ``sign`` of the weights, as in the paper, or ``magnitude``: channels count by abs(w_k) too.
    """
    return PrincipalComponent(1, rule, weighting)


def _corrected(number: int, *, weighting: Weighting = "sign") -> PrincipalComponent:
    """A principal component of the weighted feature maps, with the corrected rule for its sign.

    Args:
        number: Which component; the first one is 1.
        weighting: ``sign`` of the weights, as in the paper, or ``magnitude``: channels count by abs(w_k) too.
    """
    return PrincipalComponent(number, "corrected", weighting)


def _unsigned(*, rule: Rule = "corrected") -> UnsignedComponent:
    """The first principal component of all feature maps with the same sign, so of no class; needs no class weights.

    Args:
        rule: How background is recognised: as the ``authors`` do it, or ``corrected``; see `PrincipalComponent`.
    """
    return UnsignedComponent(1, rule)


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the first component by both rules and without signs, and three more."""
    source = "Yasuki & Taki, CAM Back Again, CVPR 2024"
    spec = partial(MethodSpec, needs=frozenset({"class weights"}))
    return [
        spec("pc1", _pc1, f"{source}, Table 3"),
        spec("pc1-corrected", partial(_corrected, 1), f"after {source}; true border, no sign of a library"),
        MethodSpec("pc1-patches", PatchComponent, "Oquab et al., DINOv2, TMLR 2024, PCA of patch features"),
        *(
            spec(f"pc{number}", partial(_corrected, number), f"after {source}; component {number}, so oriented")
            for number in (2, 3, 4)
        ),
        MethodSpec("pc1-unsigned", _unsigned, f"after {source}; all channels with the same sign, so of no class"),
    ]
