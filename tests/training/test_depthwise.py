"""The faster gradients of depthwise convolutions are torch's own, and everything else is left to torch."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wsolbench.training import depthwise
from wsolbench.training.depthwise import FastDepthwiseGradients, kernel_gradient


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
    dilation=st.integers(1, 4),
    channels=st.integers(2, 5),
    bias=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_result_and_gradients_are_torchs(height, width, kernel, dilation, channels, bias, channels_last, seed):
    torch.manual_seed(seed)
    margins, dilations = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2)), (dilation, dilation)
    convolution = nn.Conv2d(
        *(channels, channels, kernel), padding=margins, dilation=dilations, groups=channels, bias=bias
    ).double()
    images = torch.randn(3, channels, height, width, dtype=torch.float64)
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    expected = gradients(convolution, images, torch.enable_grad())
    torch.testing.assert_close(gradients(convolution, images, FastDepthwiseGradients()), expected)
    upstream = torch.randn_like(images)
    _, by_torch, _ = torch.ops.aten.convolution_backward(
        *(upstream, images, convolution.weight, None, (1, 1), margins, dilations, False, (0, 0), channels),
        (False, True, False),
    )
    torch.testing.assert_close(kernel_gradient(images, upstream, convolution.weight, dilation), by_torch)


@pytest.fixture
def diverted(monkeypatch):
    """Tell of every convolution that is not left to torch, and of every gradient made of products."""
    seen = []

    def watch(made, name, *args):
        seen.append(name)
        return made(*args)

    for holder, name in ((depthwise._Depthwise, "apply"), (depthwise, "kernel_gradient")):
        monkeypatch.setattr(holder, name, partial(watch, getattr(holder, name), name))
    return seen


@pytest.mark.parametrize(
    ("side", "kernel", "dilation", "expected"),
    [
        (8, 13, 1, ["apply", "kernel_gradient"]),
        (28, 7, 1, ["apply", "kernel_gradient"]),
        (29, 7, 1, ["apply"]),  # narrow beside its map
        (8, 3, 1, ["apply"]),  # torch's own is fast
        (9, 3, 4, ["apply", "kernel_gradient"]),
        (10, 3, 4, ["apply"]),  # a dilated kernel that does not span its map
    ],
)
def test_products_are_chosen_where_kernels_are_wide_beside_their_maps(diverted, side, kernel, dilation, expected):
    convolution = nn.Conv2d(2, 2, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=2)
    gradients(convolution, torch.randn(1, 2, side, side), FastDepthwiseGradients())
    assert diverted == expected


OTHERS = [
    nn.Conv2d(4, 4, 5, padding=2),
    nn.Conv2d(4, 8, 5, padding=2, groups=4),
    nn.Conv2d(4, 4, 5, padding=2, groups=2),
    nn.Conv2d(4, 4, 5, padding="same", groups=4),
]
DEPTHWISE_OTHERS = [
    nn.Conv2d(4, 4, 5, groups=4),
    nn.Conv2d(4, 4, 4, padding=2, groups=4),
    nn.Conv2d(4, 4, 5, padding=2, stride=2, groups=4),
    nn.Conv2d(4, 4, 5, padding=3, dilation=2, groups=4),
    nn.Conv2d(4, 4, 5, padding=2, groups=4, padding_mode="circular"),
]


@pytest.mark.parametrize("convolution", [*OTHERS, *DEPTHWISE_OTHERS], ids=str)
def test_gradients_of_other_convolutions_are_torchs_own(diverted, convolution):
    images = torch.randn(2, 4, 8, 8)
    expected = gradients(convolution, images, torch.enable_grad())
    torch.testing.assert_close(gradients(convolution, images, FastDepthwiseGradients()), expected)
    assert diverted == (["apply"] if convolution in DEPTHWISE_OTHERS else [])


def test_under_autocast_depthwise_convolutions_stay_in_float32():
    pointwise, same = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 7, padding=3, groups=4)
    strided = nn.Conv2d(4, 4, 3, 2, 1, groups=4)
    with torch.autocast("cpu", torch.bfloat16), FastDepthwiseGradients():
        narrow = pointwise(torch.randn(2, 4, 8, 8))
        outs = [same(narrow), strided(narrow)]
    assert narrow.dtype == torch.bfloat16
    assert [out.dtype for out in outs] == [torch.float32] * 2
    sum(out.sum() for out in outs).backward()
    for module in (pointwise, same, strided):
        assert all(parameter.grad.dtype == torch.float32 for parameter in module.parameters())


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
