"""Depthwise convolutions trained on a CPU: gradients of kernels that are wide beside their maps, as matrix products."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Geometry: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Stride, padding and dilation of a convolution."""

SMALL_KERNEL = 9
"""Entries of a kernel that torch's own gradient is fast enough for."""


class FastDepthwiseGradients(TorchFunctionMode):
    """While this context is open, depthwise convolutions on a CPU get faster gradients, and autocast spares them.

    torch's own gradient of a depthwise kernel visits every entry of the kernel at every position, without matrix
    products; where the kernel is not much smaller than the map, most of these visits see padding. The values are the
    same up to rounding; `benchmarks/training.py` shows the ratio. Depthwise convolutions stay in float32 under
    autocast, because torch has no fast ones in bfloat16 on a CPU.
    """

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Divert the convolutions that this is about; everything else goes on as it would."""
        kwargs = kwargs or {}
        if function is torch.conv2d and not kwargs and len(args) == 7:  # as `nn.Conv2d` calls it
            images, weight, bias, stride, padding, dilation, groups = args
            if _is_depthwise(images, weight, groups) and isinstance(padding, tuple):
                out: Tensor = _Depthwise.apply(images, weight, (stride, padding, dilation))
                return out if bias is None else out + bias[:, None, None]
        return function(*args, **kwargs)


def _is_depthwise(images: Tensor, weight: Tensor, groups: int) -> bool:
    """Return whether a convolution of a batch on a CPU keeps channels apart, one kernel each."""
    return images.device.type == "cpu" and images.ndim == 4 and groups == images.shape[1] == weight.shape[0] > 1


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution without bias, whose backward pass chooses its algorithm."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, images: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = geometry
        return torch.conv2d(images, weight, None, *geometry, groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, weight = ctx.saved_tensors
        for_images, for_weight, _ = ctx.needs_input_grad
        by_products = for_weight and _suits_products(images, weight, ctx.geometry)
        to_images, to_weight, _ = torch.ops.aten.convolution_backward(
            *(gradient, images, weight, None, *ctx.geometry, False, (0, 0), len(weight)),
            (for_images, for_weight and not by_products, False),
        )
        return to_images, kernel_gradient(images, gradient, weight) if by_products else to_weight, None


def _suits_products(images: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Return whether `kernel_gradient` is right for a convolution, and costs less, which the benchmark shows."""
    height, width = weight.shape[-2:]
    keeps_size = height % 2 == width % 2 == 1 and geometry == ((1, 1), (height // 2, width // 2), (1, 1))
    return keeps_size and height * width > SMALL_KERNEL and 4 * width >= images.shape[3]


def kernel_gradient(images: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of the kernels of a depthwise convolution with "same" padding, by matrix products.

    Entry (i, j) is the sum over images and positions p of ``gradient[p] * images[p + (i, j) - margins]``. A row of the
    kernel joins rows of the map that lie equally far apart: one product a channel multiplies all their pairs of
    columns, of which those that lie equally far apart are added up.

    Args:
        images: (B, C, h, w), what the convolution was given.
        gradient: (B, C, h, w), of its result.
        weight: (C, 1, kh, kw), for its shape alone; kh and kw are odd.

    Returns:
        (C, 1, kh, kw).
    """
    batch, channels, height, width = images.shape
    kernel_height, kernel_width = weight.shape[-2:]
    ours, theirs = (maps.permute(1, 2, 0, 3).contiguous() for maps in (images, gradient))  # (C, h, B, w)
    pairs = images.new_zeros(kernel_height, channels, width, width)
    for row in range(kernel_height):
        down = row - kernel_height // 2
        shared = height - abs(down)
        if shared > 0:
            left = theirs[:, max(-down, 0) :][:, :shared].reshape(channels, shared * batch, width)
            right = ours[:, max(down, 0) :][:, :shared].reshape(channels, shared * batch, width)
            torch.bmm(left.transpose(1, 2), right, out=pairs[row])
    sums = pairs.new_zeros(kernel_width + 1, kernel_height * channels)  # the last takes what lies too far apart
    sums.index_add_(0, _columns_of_pairs(width, kernel_width), pairs.reshape(-1, width * width).T.contiguous())
    return sums[:-1].reshape(kernel_width, kernel_height, channels).permute(2, 1, 0).reshape(weight.shape)


@cache
def _columns_of_pairs(width: int, kernel_width: int) -> Tensor:
    """Return, for every pair of columns of the map, the column of the kernel that joins them; int64 (w^2,)."""
    columns = torch.arange(width)
    across = (columns[None] - columns[:, None] + kernel_width // 2).flatten()
    return across.where((across >= 0) & (across < kernel_width), kernel_width)
