"""UniRepLKNet: entries and outputs against the published networks, and merging.

Expected values were measured with ``unireplknet.py`` of AILab-CVC/UniRepLKNet at b5677d8, torch 2.15: the entries of
its networks with 1,000 classes, in its training and its deploy form, and their outputs with the weights and the image
of `reference_fill`.
"""

import hashlib
import json

import numpy as np
import pytest
import torch
from reference_fill import IMAGE, fill, shapes
from wsolbench_plugins.backbones.unireplknet import wsolbench_backbones
from wsolbench_plugins.backbones.unireplknet.dilated import DilatedReparamBlock
from wsolbench_plugins.backbones.unireplknet.network import (
    BRANCHES,
    GlobalResponseNorm,
)

SPECS = {spec.name: spec for spec in wsolbench_backbones()}
# Number of parameters and of entries, and a hash of the names and shapes of the entries; then the same, merged.
ENTRIES = {
    "a": ((4_649_060, 626, "a7e905a5c00c8de9"), (4_437_300, 156, "b0cc189617a5305b")),
    "f": ((6_489_328, 626, "8e90334999671cde"), (6_235_216, 156, "440e5e60f67ed7d0")),
    "p": ((11_080_520, 626, "9ca3b7b68b569548"), (10_741_704, 156, "829999676922adc8")),
    "n": ((18_818_880, 738, "d1c98c8332fec690"), (18_318_560, 178, "8566cfddbc35f2e7")),
    "t": ((31_693_420, 1116, "bbe7e1d8ac6998bd"), (31_037_980, 321, "50a7852c52298889")),
    "s": ((56_456_704, 1305, "2a74a15c0f82e1cf"), (55_645_984, 420, "75093e5be972bbd6")),
    "b": ((99_089_416, 1305, "8ae9f4774754dcfa"), (98_008_456, 420, "c1026efe771740fd")),
    "l": ((220_076_056, 1305, "581991d36f857373"), (218_454_616, 420, "48fb770712c78fda")),
    "xl": ((388_690_984, 1305, "04616276348ceb32"), (386_529_064, 420, "6f9d7d43228f8fc6")),
}
# Standard deviation and largest absolute value of the features, the same of the logits, the predicted class, and the
# first three logits.
OUTPUTS = {
    "a": ([1.062419, 4.966037, 0.927737, 3.398845, -0.758858, -0.409512, 1.128564], 59),
    "n": ([1.046216, 5.301905, 1.076574, 3.775679, -0.225914, 0.180776, 0.662775], 471),
    "s": ([1.050542, 5.176677, 1.025874, 3.393485, -0.423014, 0.639253, -0.840097], 717),
}


def slow_but(quick, names):
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", slow_but("at", ENTRIES))
def test_entries_are_the_official_ones(name):
    with torch.device("meta"):
        network = SPECS[f"unireplknet_{name}"].build(1000)
    for expected, change in zip(ENTRIES[name], (lambda: None, network.reparameterize), strict=True):
        change()
        entries = shapes(network)
        fingerprint = hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:16]
        assert (sum(each.numel() for each in network.parameters()), len(entries), fingerprint) == expected


@pytest.mark.parametrize("name", slow_but("a", OUTPUTS))
def test_outputs_are_the_official_ones(name):
    network = SPECS[f"unireplknet_{name}"].build(1000).eval().to(memory_format=torch.channels_last)
    fill(network)
    for tolerance, change in ((1e-5, lambda: None), (1e-4, network.reparameterize)):
        change()
        with torch.no_grad():
            features = network.forward_features(IMAGE)
            logits = network.forward_head(features)
        found = [*measures(features), *measures(logits), *logits[0, :3].tolist()]
        expected, predicted = OUTPUTS[name]
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(expected))
        assert logits.argmax() == predicted


def measures(values):
    return [float(values.std()), float(values.abs().max())]


def test_merging_is_exact():
    network = SPECS["unireplknet_micro"].build(12).eval()
    fill(network)
    network = network.double()
    image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        for _ in range(2):  # twice changes nothing
            network.reparameterize()
            torch.testing.assert_close(network(image), before, atol=1e-12, rtol=1e-12)
    assert not [key for key in network.state_dict() if "dil_" in key or "running" in key or key.endswith("beta")]


@pytest.mark.parametrize("kernel", BRANCHES)
def test_branches_of_every_kernel_merge_within_it(kernel):
    block = DilatedReparamBlock(2, kernel, BRANCHES[kernel]).eval()
    fill(block)
    block, x = block.double(), torch.randn(1, 2, 21, 20, dtype=torch.float64)
    with torch.no_grad():
        expected = block.origin_bn(literal(block.lk_origin.weight, x, 1))
        for size, dilation in BRANCHES[kernel]:
            conv, bn = (getattr(block, f"dil_{part}_k{size}_{dilation}") for part in ("conv", "bn"))
            expected = expected + bn(literal(conv.weight, x, dilation))
        torch.testing.assert_close(block(x), expected)
        block.reparameterize()
        torch.testing.assert_close(block(x), expected)
    assert block.lk_origin.weight.shape == (2, 1, kernel, kernel)


def literal(weight, x, dilation):
    """A depthwise convolution as a sum of shifted images."""
    side, (height, width) = weight.shape[-1], x.shape[2:]
    margin = dilation * (side // 2)
    padded = torch.nn.functional.pad(x, [margin] * 4)
    return sum(
        weight[:, 0, row, column, None, None]
        * padded[:, :, row * dilation : row * dilation + height, column * dilation : column * dilation + width]
        for row in range(side)
        for column in range(side)
    )


def test_responses_are_normalised_over_the_channels():
    norm = GlobalResponseNorm(2)
    with torch.no_grad():
        norm.gamma.fill_(2.0)
        norm.beta.fill_(0.5)
        x = torch.tensor([3.0, 4.0, 0.0, 0.0, 5.0, 12.0, 0.0, 0.0]).reshape(1, 2, 2, 2).permute(0, 2, 3, 1)
        ratios = torch.tensor([5.0, 13.0]) / 9.0  # norms over their mean
        torch.testing.assert_close(norm(x), (2 * ratios + 1) * x + 0.5)


def test_micro_is_about_as_large_as_the_other_micro_networks_and_keeps_a_map_of_eight_by_eight():
    network = SPECS["unireplknet_micro"].build(20)
    assert network.forward_features(torch.zeros(2, 3, 64, 64)).shape == (2, 144, 8, 8)
    assert 500_000 < sum(each.numel() for each in network.parameters()) < 700_000
