"""Images as a stream of batches: loaded and warped by threads, in order, a bounded number ahead."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsolbench.contract import ImageSplit, InputConfig
from wsolbench.data.images import warp
from wsolbench.threads import ordered_map


@dataclass(frozen=True)
class Batch:
    """Some images of a split, ready for a network.

    Args:
        indices: Positions in the split, (B,).
        images: Normalised float32 inputs (B, 3, H, W), channels last in memory, on the network's device.
        labels: Class indices int64 (B,), on the same device.
    """

    indices: NDArray[np.int64]
    images: Tensor
    labels: Tensor


def stream_batches(
    split: ImageSplit,
    config: InputConfig,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    order: Sequence[int] | NDArray[np.int64] | None = None,
    observe: Callable[[int, NDArray[np.uint8]], None] | None = None,
    transform: Callable[[int, NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> Generator[Batch, None, None]:
    """Yield the images of a split in batches, every one once, in their order or in the one given.

    Args:
        split: What to load.
        config: Size, interpolation and normalisation of the network's input.
        batch_size: Images in a batch; the last may be smaller.
        workers: Threads that load and warp.
        device: Where the batches go.
        order: Positions in the split.
        observe: Called by the threads with the position and the original pixels of every image.
        transform: Called likewise in place of the warp; returns what the network sees, uint8 (size, size, 3).

    Raises:
        DataError: An image cannot be read.
    """
    positions = range(len(split.ids)) if order is None else [int(index) for index in order]

    def load(index: int) -> NDArray[np.uint8]:
        image = split.load(index)
        if observe is not None:
            observe(index, image)
        return warp(image, config.size, config.interpolation) if transform is None else transform(index, image)

    with closing(ordered_map(load, positions, workers=workers, ahead=2 * batch_size)) as images:
        for start in range(0, len(positions), batch_size):
            indices = np.array(positions[start : start + batch_size], dtype=np.int64)
            pixels = np.stack(list(islice(images, len(indices))))
            yield Batch(
                indices,
                normalise(_put(torch.from_numpy(pixels), device), config),
                _put(torch.from_numpy(split.labels[indices]), device),
            )


def _put(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; to a GPU it goes from pinned memory, so that computing overlaps the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def normalise(pixels: Tensor, config: InputConfig) -> Tensor:
    """Turn uint8 pixels (B, H, W, 3) into the network's normalised input (B, 3, H, W), channels last in memory."""
    mean = torch.tensor(config.mean, device=pixels.device)
    std = torch.tensor(config.std, device=pixels.device)
    return pixels.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)
