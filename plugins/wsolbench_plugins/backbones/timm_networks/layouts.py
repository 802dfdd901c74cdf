"""How a layer of a timm network lays out its feature maps, and maps in that layout and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

Form: TypeAlias = Literal["BCHW", "BHWC", "BNC"]


@dataclass(frozen=True)
class Layout:
    """How the output of a layer holds its feature maps.

    Args:
        form: Channels first, channels last, or tokens in the order of the pixels, row by row.
        prefix: Number of tokens before those of the patches.
        part: The output's part that holds the maps, where the layer returns a tuple.
    """

    form: Form
    prefix: int = 0
    part: int | None = None

    def maps(self, output: Any, images: Tensor) -> Tensor:
        """Return the maps (B, K, h, w) of an output as a view of it.

        Args:
            output: What the layer returned.
            images: The images (B, 3, H, W) that it was returned for.
        """
        values: Tensor = output if self.part is None else output[self.part]
        if self.form == "BCHW":
            return values
        if self.form == "BHWC":
            return values.permute(0, 3, 1, 2)
        patches = values[:, self.prefix :].transpose(1, 2)
        grid = grid_of(patches.shape[2], images)
        assert grid is not None, f"{patches.shape[2]} tokens are no grid of an image {tuple(images.shape[2:])}"
        return patches.reshape(*patches.shape[:2], *grid)

    def put_back(self, output: Any, maps: Tensor) -> Any:
        """Return an output of the layer with other maps (B, K, h, w); its prefix tokens and other parts stay."""
        values = output if self.part is None else output[self.part]
        replaced = self.join(maps, values[:, : self.prefix])
        if self.part is None:
            return replaced
        return type(output)(replaced if index == self.part else part for index, part in enumerate(output))

    def join(self, maps: Tensor, prefix: Tensor | None = None) -> Tensor:
        """Return maps (B, K, h, w) as the layer lays them out, after its prefix tokens (B, N, K) if it has any."""
        if self.form == "BCHW":
            return maps
        if self.form == "BHWC":
            return maps.permute(0, 2, 3, 1)
        patches = maps.flatten(2).transpose(1, 2)
        return torch.cat([prefix, patches], dim=1) if self.prefix and prefix is not None else patches


CHANNELS_FIRST = Layout("BCHW")


def find_layout(
    output: Any, images: Tensor, prefix: int | None = None, *, channels_last: bool = False
) -> Layout | None:
    """Return the layout of a layer's output, or None where it has no maps.

    Args:
        output: What the layer returned, a tensor or a tuple of which one holds the maps.
        images: The images (B, 3, H, W) that it was returned for.
        prefix: Number of prefix tokens of the network, if it states one.
        channels_last: Whether a tensor that may have its channels first or last has them last.
    """
    if isinstance(output, Tensor):
        return _tensor_layout(output, images, prefix, channels_last=channels_last)
    if not isinstance(output, Sequence) or isinstance(output, str):
        return None
    for part, values in enumerate(output):
        found = find_layout(values, images, prefix, channels_last=channels_last) if isinstance(values, Tensor) else None
        if found is not None:
            return Layout(found.form, found.prefix, part)
    return None


def _tensor_layout(values: Tensor, images: Tensor, prefix: int | None, *, channels_last: bool) -> Layout | None:
    if len(values) != len(images):  # the windows of an image, which are counted with the batch
        return None
    if values.ndim == 4:
        first, last = (_is_grid(values.shape[axis : axis + 2], images) for axis in (2, 1))
        if first and last:
            return Layout("BHWC" if channels_last else "BCHW")
        return Layout("BCHW") if first else Layout("BHWC") if last else None
    if values.ndim != 3:
        return None
    for count in ([] if prefix is None else [prefix]) + [0, 1, 2]:
        if grid_of(values.shape[1] - count, images) is not None:
            return Layout("BNC", count)
    return None


def _is_grid(sides: Sequence[int], images: Tensor) -> bool:
    """Return whether height and width of maps have about the ratio of those of images."""
    height, width = images.shape[2:]
    return abs(sides[0] * width - sides[1] * height) < max(height, width) and sides[0] <= height


def grid_of(tokens: int, images: Tensor) -> tuple[int, int] | None:
    """Return height and width of a number of patches, which have the ratio of images (B, 3, H, W); None without any."""
    height, width = images.shape[2:]
    rows = isqrt(max(tokens, 0) * height // width)
    for count in (rows, rows + 1):
        if count and tokens > 1 and tokens % count == 0 and _is_grid((count, tokens // count), images):
            return count, tokens // count
    return None
