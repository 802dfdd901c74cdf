"""Boxes around regions of maps: for methods that make boxes, and for systems whose targets are boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["region_boxes"]

_NEIGHBOURS = 8


def region_boxes(foreground: Tensor) -> Tensor:
    """Return the box of the largest region of each map; cells that touch at a corner are of one region.

    Args:
        foreground: (B, h, w) bool: which cells are the object.

    Returns:
        (B, 4) float64: corners x0, y0, x1, y1 in fractions of the map. Of regions of one size it is the one that comes
        first, row by row; of a map without foreground, the whole map.
    """
    import torch

    height, width = foreground.shape[1:]
    sides = torch.tensor([width, height, width, height], dtype=torch.float64)
    corners = [_largest_region(cells) for cells in foreground.to("cpu").byte()]
    return (torch.tensor(corners, dtype=torch.float64).reshape(-1, 4) / sides).to(foreground.device)


def _largest_region(cells: Tensor) -> tuple[int, int, int, int]:
    """Return the edges x0, y0, x1, y1 of the largest region of cells (h, w)."""
    import cv2
    import numpy as np

    count, labels, found, _ = cv2.connectedComponentsWithStats(cells.numpy(), connectivity=_NEIGHBOURS)
    if count == 1:  # the background alone
        return 0, 0, cells.shape[1], cells.shape[0]
    areas = found[1:, cv2.CC_STAT_AREA]
    largest = np.flatnonzero(areas == areas.max()) + 1
    region = labels.flat[np.isin(labels, largest).argmax()]
    x0, y0, width, height = found[int(region)].tolist()[:4]
    return x0, y0, x0 + width, y0 + height
