"""Depthwise convolutions trained on a CPU: gradients of kernels about as large as their maps, as matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

LARGEST_MAP = 256
"""Positions of a map; the products of all pairs of positions are held at once, 4 bytes x channels x positions^2."""


class FastDepthwiseGradients(TorchFunctionMode):
    """While this context is open, depthwise convolutions on a CPU compute in float32, and their gradients faster.

    torch's own gradient of a depthwise kernel visits every entry of the kernel at every position, without matrix
    products; where the kernel is not much smaller than the map, most of these visits see padding. The values are the
    same up to rounding; `benchmarks/training.py` shows the ratio. Under autocast the convolutions stay in float32,
    because torch has no fast depthwise convolution in bfloat16 on a CPU.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Divert the convolutions that this is about; everything else goes on as it would."""
        kwargs = kwargs or {}
        if function is torch.conv2d and not kwargs and len(args) == 7:
            images, weight, bias, stride, padding, dilation, groups = args
            if _is_same_depthwise(images, weight, stride, padding, dilation, groups):
                out: Tensor = _SameDepthwise.apply(images, weight)
                return out if bias is None else out + bias[:, None, None]
        return function(*args, **kwargs)


def _is_same_depthwise(images: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Return whether a convolution on a CPU keeps channels apart, and the map's size as it is."""
    height, width = weight.shape[-2:]
    return (
        images.device.type == "cpu"
        and images.ndim == 4
        and groups == images.shape[1] == weight.shape[0] > 1
        and (stride, dilation, padding) == ((1, 1), (1, 1), (height // 2, width // 2))
        and height % 2 == width % 2 == 1
    )


class _SameDepthwise(torch.autograd.Function):
    """A depthwise convolution of odd kernel, stride 1 and "same" padding, whose backward pass chooses its algorithm."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return torch.conv2d(images, weight, padding=_margins(weight), groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        for_images, for_weight = ctx.needs_input_grad
        by_products = for_weight and _suits_products(images, weight)
        to_images, to_weight, _ = torch.ops.aten.convolution_backward(
            *(gradient, images, weight, None, (1, 1), _margins(weight), (1, 1), False, (0, 0), len(weight)),
            (for_images, for_weight and not by_products, False),
        )
        return to_images, kernel_gradient(images, gradient, weight) if by_products else to_weight


def _margins(weight: Tensor) -> tuple[int, int]:
    return weight.shape[-2] // 2, weight.shape[-1] // 2


def _suits_products(images: Tensor, weight: Tensor) -> bool:
    """Return whether the products cost less: measured, they do for kernels of a quarter of the map and more."""
    positions = images.shape[2] * images.shape[3]
    return positions <= LARGEST_MAP and 4 * weight.shape[2] * weight.shape[3] >= positions


def kernel_gradient(images: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of the kernels of a depthwise convolution with "same" padding, one matrix product a channel.

    Entry (i, j) is the sum over images and positions p of ``gradient[p] * images[p + (i, j) - margins]``: the products
    of all pairs of positions, added up along the pairs that lie equally far apart.

    Args:
        images: (B, C, h, w), what the convolution was given.
        gradient: (B, C, h, w), of its result.
        weight: (C, 1, kh, kw), for its shape alone; kh and kw are odd.

    Returns:
        (C, 1, kh, kw).
    """
    batch, channels, height, width = images.shape
    ours = images.permute(1, 0, 2, 3).reshape(channels, batch, height * width)
    theirs = gradient.permute(1, 0, 2, 3).reshape(channels, batch, height * width)
    pairs = torch.bmm(theirs.transpose(1, 2), ours).reshape(channels, -1)
    kernel = weight.shape[-2:]
    entries = kernel[0] * kernel[1]
    sums = pairs.new_zeros(entries + 1, channels)  # the last takes the pairs that lie too far apart
    sums.index_add_(0, _entries_of_pairs(height, width, *kernel), pairs.T.contiguous())
    return sums[:entries].T.reshape(weight.shape)


@cache
def _entries_of_pairs(height: int, width: int, kernel_height: int, kernel_width: int) -> Tensor:
    """Return, for every pair of positions, the entry of the kernel that joins them; int64 ((h w)^2,)."""
    rows = torch.arange(height).repeat_interleave(width)
    columns = torch.arange(width).repeat(height)
    down = rows[None] - rows[:, None] + kernel_height // 2
    across = columns[None] - columns[:, None] + kernel_width // 2
    within = (down >= 0) & (down < kernel_height) & (across >= 0) & (across < kernel_width)
    return torch.where(within, down * kernel_width + across, kernel_height * kernel_width).flatten()
