"""HorNet: entries and outputs against the published networks, and its global filter against a circular convolution."""

import json

import numpy as np
import pytest
import torch
from reference_fill import IMAGE, agrees, fill, shapes
from wsolbench_plugins.backbones.hornet import wsolbench_backbones
from wsolbench_plugins.backbones.hornet.network import GlobalLocalFilter, HorNet, RecursiveGatedConv

SPECS = {spec.name: spec for spec in wsolbench_backbones()}
OFFICIAL = {
    **{f"hornet_{size}": f"hornet_{size}_7x7" for size in ("tiny", "small", "base", "large")},
    **{f"hornet_{size}_gf": f"hornet_{size}_gf" for size in ("tiny", "small", "base", "large")},
    "hornet_large_gf_384": "hornet_large_gf_img384",
}
WITH_OUTPUTS = ("hornet_tiny", "hornet_tiny_gf", "hornet_base", "hornet_base_gf")


def test_every_variant_is_compared():
    assert SPECS.keys() == OFFICIAL.keys()


@pytest.mark.parametrize("name", OFFICIAL)
def test_entries_are_the_official_ones(shared_data, name):
    with torch.device("meta"):
        network = SPECS[name].build(1000)
    file = shared_data / "architectures" / "keys" / f"{OFFICIAL[name]}.json"
    assert list(shapes(network).items()) == list(json.loads(file.read_text()).items())


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_OUTPUTS)
def test_outputs_are_the_official_ones(shared_data, name):
    expected = np.load(shared_data / "architectures" / "outputs" / f"arch_{OFFICIAL[name]}.npz")
    network = SPECS[name].build(1000).eval().to(memory_format=torch.channels_last)
    fill(network)
    with torch.no_grad():
        features = network.forward_features(IMAGE)
        assert agrees(features, expected["features"], 1e-5)
        assert agrees(network.forward_head(features), expected["logits"], 1e-5)


def small_network(**settings):
    network = HorNet(
        3, channels=(8, 16), depths=(1, 2), orders=(2, 3), **{"filter_sides": (None, 4), "layer_scale": 1.0, **settings}
    )
    return network.eval()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("side", [8, 7])  # the weights as they are, and resized
def test_a_filter_of_ones_leaves_its_half_as_it_is_and_halves_alternate(layout, side):
    module = GlobalLocalFilter(4, 8)
    with torch.no_grad():
        module.complex_weight.zero_()[..., 0] = 1
        module.dw.weight.zero_()[:, :, 1, 1] = 1
    module.pre_norm = module.post_norm = torch.nn.Identity()
    x = torch.randn(2, 4, side, side)
    torch.testing.assert_close(module.to(memory_format=layout)(x), x[:, [0, 2, 1, 3]])


@pytest.mark.parametrize("side", [4, 5])
def test_the_filter_is_a_circular_convolution(side):
    module = GlobalLocalFilter(2, side).double()
    module.pre_norm = module.post_norm = torch.nn.Identity()
    x = torch.randn(1, 2, side, side, dtype=torch.float64)
    with torch.no_grad():
        weight = torch.view_as_complex(module.complex_weight)[0]
        kernel = torch.fft.irfft2(weight, s=(side, side))
        shifts = [(row, column) for row in range(side) for column in range(side)]
        expected = sum(kernel[shift] * x[0, 1].roll(shift, dims=(0, 1)) for shift in shifts)
        torch.testing.assert_close(module(x)[0, 1], expected)


def test_weights_are_resized_from_corner_to_corner():
    module = GlobalLocalFilter(2, 2)
    with torch.no_grad():
        module.complex_weight[..., 0] = torch.tensor([[[0.0, 2.0], [4.0, 6.0]]])
        module.complex_weight[..., 1] = 1
    resized = module._weight_for(3, 3, torch.float32)
    torch.testing.assert_close(resized.real, torch.tensor([[[0.0, 1.0, 2.0], [2.0, 3.0, 4.0], [4.0, 5.0, 6.0]]]))
    torch.testing.assert_close(resized.imag, torch.ones(1, 3, 3))


def test_gates_widen_and_multiply():
    module = RecursiveGatedConv(8, 3, None).double()
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    p, q = module.proj_in(x)[:, :2], module.proj_in(x)[:, 2:]
    gates = module.dwconv(q) / 3
    p = p * gates[:, :2]
    p = module.pws[0](p) * gates[:, 2:6]
    p = module.pws[1](p) * gates[:, 6:]
    torch.testing.assert_close(module(x), module.proj_out(p))


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (8, 8), (64, 24)])
def test_images_of_any_size_are_taken(size):
    network = small_network()
    features = network.forward_features(torch.randn(2, 3, *size))
    assert features.shape == (2, 16, size[0] // 8, size[1] // 8)
    assert network.forward_head(features).isfinite().all()


def test_under_autocast_the_transform_stays_precise(monkeypatch):
    transform, seen = torch.fft.rfft2, []
    monkeypatch.setattr(torch.fft, "rfft2", lambda x, **how: seen.append(x.dtype) or transform(x, **how))
    network, image = small_network(), torch.randn(1, 3, 40, 40)
    with torch.no_grad():
        exact = network.forward_features(image)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network.forward_features(image)
        half = network.to(torch.bfloat16).forward_features(image.to(torch.bfloat16))
    assert set(seen) == {torch.float32}
    assert half.dtype == torch.bfloat16
    for features in (rounded, half):
        assert agrees(features.float(), exact.numpy(), 0.05)


def test_forward_is_head_after_features():
    network, image = small_network(), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network(image), network.forward_head(network.forward_features(image)))
