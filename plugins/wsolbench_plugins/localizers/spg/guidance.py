"""Maps that teach others: their surest pixels are targets, the rest is left out."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

IGNORED = 255
"""Target of pixels that are neither object nor background."""

_FEWEST, _FRAME = 30, 224
"""An object with fewer pixels than 30 of a frame of 224×224, or that share of another one, is looked for again."""
_OF_MAXIMUM = 0.7
"""The share of an image's maximum above which it is looked for then."""


def seeds(maps: Tensor, high: float, low: float) -> Tensor:
    """Return targets (B, 1, side, side): 1 on the object, 0 on the background, `IGNORED` elsewhere.

    Args:
        maps: Maps (B, 1, side, side); one of NaN gives no target.
        high: Pixels above it are object. In an image where nearly none is, those above 0.7 of its maximum are.
        low: Pixels below it are background, even if they are object too.
    """
    side = maps.shape[-1]
    few = (maps > high).sum(dim=(1, 2, 3), keepdim=True) * _FRAME**2 < _FEWEST * side**2
    bounds = (maps.amax(dim=(1, 2, 3), keepdim=True) * _OF_MAXIMUM).where(few, high)
    targets = maps.new_full(maps.shape, IGNORED)
    return targets.masked_fill(maps > bounds, 1).masked_fill(maps < low, 0)


def guided(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over the pixels that have a target; 0 where no pixel of the batch has one.

    Args:
        logits: Logits (B, 1, side, side) of the object.
        targets: What `seeds` returns.
    """
    labelled = targets < IGNORED
    losses = F.binary_cross_entropy_with_logits(logits, targets.where(labelled, 0), reduction="none")
    return losses.where(labelled, 0).sum() / labelled.sum().clamp(min=1)


def resize(maps: Tensor, side: int) -> Tensor:
    """Return maps (B, 1, side, side), float32, of maps (B, 1, h, w), bilinear between the centres of cells."""
    return F.interpolate(maps.float(), (side, side), mode="bilinear")
