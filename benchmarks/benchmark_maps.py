"""The maps that are timed, 224×224: small random maps, upsampled and stretched as a network's are, and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol import FRAME, to_scoremap

SIDES = (7, 12, 14, 28)
KINDS = (*(f"{side}×{side}" for side in SIDES), "noise")


def draw_map(kind: str, seed: int) -> NDArray[np.floating]:
    """Return one map of a kind."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.random((FRAME, FRAME))
    side = SIDES[KINDS.index(kind)]
    return to_scoremap(rng.random((side, side)))


def draw_boxes(seed: int) -> NDArray[np.int64]:
    """Return one to three true boxes, (n, 4)."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.integers(0, FRAME, (1 + seed % 3, 2, 2)), axis=1)
    return corners.reshape(-1, 4)


def draw_mask(seed: int) -> NDArray[np.bool_]:
    """Return a mask: a rectangle."""
    x0, y0, x1, y1 = draw_boxes(3 * seed)[0]
    mask = np.zeros((FRAME, FRAME), dtype=np.bool_)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask
