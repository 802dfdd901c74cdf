"""Maps from the attention of a network of tokens, whatever the class: ``attention-rollout`` and ``class-attention``.

Both read how much attention the class token pays to every patch. Where the head does not read a class token but pools
the patches, the mean of what all patches pay takes its place. A map does not depend on the class or the classifier.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from wsolbench.api import BelowOne, MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

Heads = Literal["mean", "max", "min"]


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class AttentionRollout:
    """Attention rollout, ``Ã_L ⋯ Ã_1`` with ``Ã = (1 - r) A + r I``: attention followed through all blocks.

    A is the attention (N, N) of a block, its heads fused; its rows are queries. I stands for the residual connection
    around it. Rows of every factor are divided by their sum. At the defaults a row of A sums to 1 already.

    The code that is commonly used for vision transformers (J. Gildenblat, ``vit-explain``) has the options ``heads``
    and ``discard``. It divides the column of every token by the sum of its row, which is the same only where rows sum
    to 1, that is for ``heads=mean`` and ``discard=0``.

    Args:
        heads: How the heads of a block are fused: their mean, as in the paper, or the largest or smallest value.
        discard: The share of the smallest entries of A that become 0, entries of all rows together; the first entry
            stays. The paper has none; ``vit-explain`` has 0.9.
        residual: r, 0.5 in the paper.

    Source:
        Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3.
    """

    heads: Heads = "mean"
    discard: BelowOne = 0.0
    residual: BelowOne = 0.5

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return raw maps (B, h, w), one value a patch."""
        attention = context.attention()
        first, *others = (self._factor(weights) for weights in attention.weights)
        for factor in others:
            first = factor @ first
        return attention.to_patches(first)

    def _factor(self, weights: Tensor) -> Tensor:
        """Return the factor (B, N, N) of a block of attention (B, heads, N, N)."""
        import torch

        kept = self._kept(fused(weights, self.heads))
        factor = (1 - self.residual) * kept + self.residual * torch.eye(kept.shape[1]).to(kept)
        sums = factor.sum(dim=2, keepdim=True)
        return factor / sums.where(sums > 0, 1)

    def _kept(self, weights: Tensor) -> Tensor:
        entries = weights.flatten(1)
        smallest = entries.topk(int(self.discard * entries.shape[1]), dim=1, largest=False).indices
        kept = entries.scatter(1, smallest, 0)
        kept[:, 0] = entries[:, 0]
        return kept.reshape(weights.shape)


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class ClassAttention:
    """The attention that the class token pays to every patch, in the last block or on average over blocks.

    Args:
        blocks: The ``last`` block, as in the pictures of DINO, or the ``mean`` over all of them, which is TS-CAM's
            attention without its class maps up to a factor.
        heads: How the heads of a block are fused.

    Source:
        Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021, Fig. 1; Gao et al.,
        "TS-CAM: Token Semantic Coupled Attention Map for Weakly Supervised Object Localization", ICCV 2021, eq. 6.
    """

    blocks: Literal["last", "mean"] = "last"
    heads: Heads = "mean"

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:  # noqa: ARG002
        """Return raw maps (B, h, w), one value a patch."""
        import torch

        attention = context.attention()
        read = attention.weights if self.blocks == "mean" else attention.weights[-1:]
        maps = [attention.to_patches(fused(weights, self.heads)) for weights in read]
        return torch.stack(maps).mean(dim=0)


def fused(weights: Tensor, heads: Heads) -> Tensor:
    """Return the attention (B, N, N) of a block, at least in single precision, of its heads (B, heads, N, N)."""
    import torch

    weights = weights.to(torch.promote_types(weights.dtype, torch.float32))
    if heads == "mean":
        return weights.mean(dim=1)
    return weights.amax(dim=1) if heads == "max" else weights.amin(dim=1)


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer both."""
    spec = partial(MethodSpec, needs=frozenset({"attention"}))
    return [
        spec("attention-rollout", AttentionRollout, "Abnar & Zuidema, ACL 2020, section 3"),
        spec("class-attention", ClassAttention, "Caron et al., ICCV 2021; Gao et al., ICCV 2021"),
    ]
