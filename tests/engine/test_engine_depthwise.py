"""The faster gradients of depthwise convolutions are torch's own, and everything else is left to torch."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wsolbench.engine import depthwise
from wsolbench.engine.depthwise import FastDepthwiseGradients, kernel_gradient


def gradients(convolution, images, context):
    """Return the result and the gradients of everything, for a loss that weighs every output differently."""
    images = images.clone().requires_grad_()
    convolution.zero_grad()
    with context:
        out = convolution(images)
    (out * torch.arange(out.numel(), dtype=out.dtype).reshape(out.shape).cos()).sum().backward()
    return [out.detach(), images.grad, *(parameter.grad for parameter in convolution.parameters())]


odd = st.integers(0, 8).map(lambda half: 2 * half + 1)


@settings(deadline=None)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    kernel=st.tuples(odd, odd),
    channels=st.integers(2, 5),
    bias=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_result_and_gradients_are_torchs(height, width, kernel, channels, bias, channels_last, seed):
    torch.manual_seed(seed)
    margins = (kernel[0] // 2, kernel[1] // 2)
    convolution = nn.Conv2d(channels, channels, kernel, padding=margins, groups=channels, bias=bias).double()
    images = torch.randn(3, channels, height, width, dtype=torch.float64)
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    expected = gradients(convolution, images, torch.enable_grad())
    torch.testing.assert_close(gradients(convolution, images, FastDepthwiseGradients()), expected)
    upstream = torch.randn_like(images)
    _, by_torch, _ = torch.ops.aten.convolution_backward(
        *(upstream, images, convolution.weight, None, (1, 1), margins, (1, 1), False, (0, 0), channels),
        (False, True, False),
    )
    torch.testing.assert_close(kernel_gradient(images, upstream, convolution.weight), by_torch)


@pytest.fixture
def diverted(monkeypatch):
    """Tell of every convolution that is not left to torch, and of every gradient made of products."""
    seen = []

    def watch(made, name, *args):
        seen.append(name)
        return made(*args)

    for holder, name in ((depthwise._SameDepthwise, "apply"), (depthwise, "kernel_gradient")):
        monkeypatch.setattr(holder, name, partial(watch, getattr(holder, name), name))
    return seen


@pytest.mark.parametrize(
    ("side", "kernel", "expected"),
    [
        (8, 13, ["apply", "kernel_gradient"]),
        (16, 9, ["apply", "kernel_gradient"]),
        (16, 7, ["apply"]),  # small beside its map
        (24, 31, ["apply"]),  # the products would take much memory
    ],
)
def test_products_are_chosen_where_kernels_are_large_beside_their_maps(diverted, side, kernel, expected):
    convolution = nn.Conv2d(2, 2, kernel, padding=kernel // 2, groups=2)
    gradients(convolution, torch.randn(1, 2, side, side), FastDepthwiseGradients())
    assert diverted == expected


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 8, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 4, padding=2, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, stride=2, groups=4),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4),
        nn.Conv2d(4, 4, 3, padding="same", groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, padding_mode="circular"),
    ],
    ids=str,
)
def test_other_convolutions_are_left_to_torch(diverted, convolution):
    images = torch.randn(2, 4, 8, 8)
    expected = gradients(convolution, images, torch.enable_grad())
    torch.testing.assert_close(gradients(convolution, images, FastDepthwiseGradients()), expected, rtol=0, atol=0)
    assert diverted == []


def test_under_autocast_depthwise_convolutions_stay_in_float32():
    depthwise_one, pointwise = nn.Conv2d(4, 4, 7, padding=3, groups=4), nn.Conv2d(4, 4, 1)
    images = torch.randn(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16), FastDepthwiseGradients():
        narrow = pointwise(images)
        wide = depthwise_one(narrow)
    assert (narrow.dtype, wide.dtype) == (torch.bfloat16, torch.float32)
    wide.sum().backward()
    assert {parameter.grad.dtype for parameter in [*depthwise_one.parameters(), *pointwise.parameters()]} == {
        torch.float32
    }


def test_a_frozen_kernel_and_a_first_layer_ask_for_one_gradient_alone(diverted):
    convolution = nn.Conv2d(3, 3, 5, padding=2, groups=3, bias=False)
    images = torch.randn(2, 3, 6, 6)
    with FastDepthwiseGradients():
        convolution(images).sum().backward()
    assert convolution.weight.grad is not None
    assert diverted == ["apply", "kernel_gradient"]
    convolution.requires_grad_(False)
    images.requires_grad_()
    with FastDepthwiseGradients():
        convolution(images).sum().backward()
    assert images.grad is not None
    assert diverted[2:] == ["apply"]
