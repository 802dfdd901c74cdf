"""Pixels that teach a decoder: one of the foreground and one of the background of each image, drawn from its map."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

IGNORED, BACKGROUND, FOREGROUND = -100, 0, 1
"""What a pixel is; the first is what torch's cross-entropy leaves out."""

Mask = NDArray[np.bool_]


def draw_seeds(
    maps: Tensor, size: tuple[int, int], generator: torch.Generator, *, lowest: float, erosion: int, dilation: int
) -> Tensor:
    """Return what the pixels of images are, int64 (B, H, W), on the CPU: nearly all are `IGNORED`.

    Args:
        maps: Maps (B, h, w), which are resized bilinearly; a constant one gives no seed.
        size: H and W.
        generator: Draws the pixels, on the CPU: one number for each side of an image that has pixels.
        lowest: Share of the pixels that may be background.
        erosion: Side of the square that erodes the region of the foreground.
        dilation: Side of the square around a drawn pixel.
    """
    resized = F.interpolate(maps.detach().cpu().float()[:, None], size, mode="bilinear")[:, 0].numpy()
    seeds = [
        _seeds_of(*candidates(each, lowest, erosion), generator, dilation)
        if np.isfinite(each).all() and each.min() < each.max()
        else np.full(size, IGNORED, np.int64)
        for each in resized
    ]
    return torch.from_numpy(np.stack(seeds))


def candidates(values: NDArray[np.float32], lowest: float, erosion: int) -> tuple[Mask, Mask]:
    """Return the pixels that may be foreground, and those that may be background, (H, W).

    Args:
        values: A map (H, W) that is not constant.
        lowest: Share of the pixels that may be background; ties with the highest of them may be too.
        erosion: Side of the square that erodes the foreground; beyond the border there is foreground.
    """
    scaled = np.rint(255 * ((values - values.min()) / (values.max() - values.min()))).astype(np.uint8)
    _, region = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    eroded = cv2.erode(region, np.ones((erosion, erosion), np.uint8))
    count = max(int(lowest * values.size), 1)
    low = values <= np.partition(values, count - 1, axis=None)[count - 1]
    return (eroded if eroded.any() else region) > 0, low & (region == 0)


def _seeds_of(foreground: Mask, background: Mask, generator: torch.Generator, dilation: int) -> NDArray[np.int64]:
    """Return what the pixels of an image are, (H, W): those around a drawn one of each side, if they are of one."""
    around = [_around(_drawn(pixels, generator), dilation) for pixels in (foreground, background)]
    seeds = np.full(foreground.shape, IGNORED, np.int64)
    seeds[around[0] & ~around[1]] = FOREGROUND
    seeds[around[1] & ~around[0]] = BACKGROUND
    return seeds


def _drawn(pixels: Mask, generator: torch.Generator) -> Mask:
    """Return one of some pixels, (H, W), each with the same probability; none where there are none."""
    drawn = np.zeros_like(pixels)
    places = np.flatnonzero(pixels)
    if len(places):
        drawn.flat[places[int(torch.randint(len(places), (), generator=generator))]] = True
    return drawn


def _around(pixels: Mask, side: int) -> Mask:
    """Return the pixels in squares around some, (H, W)."""
    dilated: Mask = cv2.dilate(pixels.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return dilated
