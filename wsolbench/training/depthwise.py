"""Faster training of depthwise convolutions on a CPU: gradients of large kernels as matrix products."""

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
"""Number of entries up to which torch's own kernel gradient is fast enough."""


class FastDepthwiseGradients(TorchFunctionMode):
    """A context in which depthwise convolutions on a CPU have faster gradients, and stay in float32 under autocast.

    torch's own gradient of a depthwise kernel visits every entry of the kernel at every position, without matrix
    products. If the kernel is not much smaller than the map, most of these visits read padding. The values agree up to
    rounding; `benchmarks/training.py` measures the ratio of the times. Depthwise convolutions stay in float32 because
    torch has no fast ones in bfloat16 on a CPU.
    """

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace depthwise convolutions on a CPU; run all other functions unchanged."""
        kwargs = kwargs or {}
        if function is torch.conv2d and not kwargs and len(args) == 7:  # the form in which `nn.Conv2d` calls it
            images, weight, bias, stride, padding, dilation, groups = args
            if _is_depthwise(images, weight, groups) and isinstance(padding, tuple):
                out: Tensor = _Depthwise.apply(images, weight, (stride, padding, dilation))
                return out if bias is None else out + bias[:, None, None]
        return function(*args, **kwargs)


def _is_depthwise(images: Tensor, weight: Tensor, groups: int) -> bool:
    """Return whether a convolution of a batch on a CPU is depthwise: one kernel for each channel."""
    return images.device.type == "cpu" and images.ndim == 4 and groups == images.shape[1] == weight.shape[0] > 1


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution without bias whose backward pass uses the faster of two algorithms."""

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
        dilation = ctx.geometry[2][0]
        to_images, to_weight, _ = torch.ops.aten.convolution_backward(
            *(gradient, images, weight, None, *ctx.geometry, False, (0, 0), len(weight)),
            (for_images, for_weight and not by_products, False),
        )
        if by_products:
            to_weight = kernel_gradient(images, gradient, weight, dilation)
        return to_images, to_weight, None


def _suits_products(images: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Return whether `kernel_gradient` applies to a convolution and is faster; the limits come from the benchmark."""
    (height, width), dilation = weight.shape[-2:], geometry[2][0]
    margins = (dilation * (height // 2), dilation * (width // 2))
    keeps_size = height % 2 == width % 2 == 1 and geometry == ((1, 1), margins, (dilation, dilation))
    if dilation > 1:
        return keeps_size and 2 * margins[1] + 1 >= images.shape[3]
    return keeps_size and height * width > SMALL_KERNEL and 4 * width >= images.shape[3]


def kernel_gradient(images: Tensor, gradient: Tensor, weight: Tensor, dilation: int = 1) -> Tensor:
    """Return the gradient of the kernels of a depthwise convolution with "same" padding, by matrix products.

    With a dilation d, entry (i, j) is the sum over images and positions p of
    ``gradient[p] * images[p + d (i, j) - margins]``. Row i of the kernel pairs rows of the map at one distance. One
    matrix product a channel multiplies every column of the one row with every column of the other; entry (i, j) is the
    sum over the pairs of columns at the distance of j.

    Args:
        images: (B, C, h, w), the input of the convolution.
        gradient: (B, C, h, w), the gradient of its output.
        weight: (C, 1, kh, kw), used for its shape only; kh and kw are odd.
        dilation: The distance of neighbouring entries of the kernel.

    Returns:
        (C, 1, kh, kw), the gradient of the kernels.
    """
    batch, channels, height, width = images.shape
    kernel_height, kernel_width = weight.shape[-2:]
    ours, theirs = (maps.permute(1, 2, 0, 3).contiguous() for maps in (images, gradient))  # (C, h, B, w)
    pairs = images.new_zeros(kernel_height, channels, width, width)
    for row in range(kernel_height):
        down = dilation * (
            row - kernel_height // 2
        )  # this row of the kernel pairs row r of the gradient with row r + down
        shared = height - abs(down)  # the number of such pairs inside the map
        if shared > 0:
            left = theirs[:, max(-down, 0) :][:, :shared].reshape(channels, shared * batch, width)
            right = ours[:, max(down, 0) :][:, :shared].reshape(channels, shared * batch, width)
            torch.bmm(left.transpose(1, 2), right, out=pairs[row])
    sums = pairs.new_zeros(kernel_width + 1, kernel_height * channels)  # the last row collects columns too far apart
    sums.index_add_(
        0, _columns_of_pairs(width, kernel_width, dilation), pairs.reshape(-1, width * width).T.contiguous()
    )
    return sums[:-1].reshape(kernel_width, kernel_height, channels).permute(2, 1, 0).reshape(weight.shape)


@cache
def _columns_of_pairs(width: int, kernel_width: int, dilation: int) -> Tensor:
    """Return, for every pair of columns of the map, the column of the kernel that pairs them; int64 (w^2,).

    Pairs that no column of the kernel has are given the one behind the last.
    """
    columns = torch.arange(width)
    across = (columns[None] - columns[:, None] + dilation * (kernel_width // 2)).flatten()
    paired = (across >= 0) & (across < dilation * kernel_width) & (across % dilation == 0)
    return (across // dilation).where(paired, kernel_width)
