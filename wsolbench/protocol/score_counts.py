"""Counts the pixels of object and background by their score; compiled by numba."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import float32, float64, int64, types
from numpy.typing import NDArray

from wsolbench.protocol.compiler import compiled

__all__ = ["count_scores"]

# The edges are rounded, so score / step finds a neighbour of the right bin where it is this close to a whole number.
_MARGIN: Final = 1e-6


def _scores(kind: types.Type) -> types.Array:
    return types.Array(kind, 2, "C", readonly=True)


_MASK: Final = types.Array(types.boolean, 2, "C", readonly=True)


@compiled([int64[:, ::1](_scores(kind), _MASK, _MASK, float64, float64[::1]) for kind in (float32, float64)])
def count_scores(
    scores: NDArray[np.floating[Any]],
    foreground: NDArray[np.bool_],
    background: NDArray[np.bool_],
    interval: float,
    edges: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return how many scores lie between two neighbouring edges, as `np.histogram` counts them.

    Args:
        scores: (H, W) float32 or float64 in [0, 1].
        foreground: (H, W) the pixels of the object.
        background: (H, W) the pixels outside object and ignored region.
        interval: Step of the edges below 1.
        edges: (T + 3,) the edges, of which the last two are above 1.

    Returns:
        (2, T + 2) the pixels of the foreground, and of the background, with `edges[k] <= score < edges[k + 1]`.
    """
    size = len(edges) - 1
    height, width = scores.shape
    scale = 1.0 / interval
    counts = np.zeros(3 * size, dtype=np.int64)  # of pixels that do not count, too
    places = np.empty(width, dtype=np.int32)
    for y in range(height):
        of_row, object_row, other_row = scores[y], foreground[y], background[y]
        doubtful: Any = False
        for x in range(width):
            score = float(of_row[x])
            product = score * scale
            place = np.int32(product)
            places[x] = place
            doubtful |= (abs(product - place - 0.5) > 0.5 - _MARGIN) | (score >= 1.0)
        if doubtful:  # rare, because a comparison with the edges takes longer than all the rest
            for x in range(width):
                score, place = float(of_row[x]), places[x]
                places[x] += np.int32(score >= edges[place + 1]) - np.int32(score < edges[place])
        for x in range(width):
            places[x] += np.int32(2 - 2 * object_row[x] - other_row[x]) * np.int32(size)
        for x in range(width):
            counts[places[x]] += 1
    return counts[: 2 * size].reshape(2, size)
