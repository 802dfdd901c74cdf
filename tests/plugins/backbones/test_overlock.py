"""OverLoCK: entries and outputs against the published networks, dynamic kernels against loops, and merging.

Expected values were measured with ``models/overlock.py`` of LMMMEng/OverLoCK and torch 2.15; its neighbourhood operator
was a loop over positions. They are the entries of its networks with 1,000 classes without the auxiliary head, in both
forms, and outputs with the weights of `reference_fill`, of its image and of one on which no map is enlarged.
"""

import hashlib
import json

import numpy as np
import pytest
import torch
from reference_fill import IMAGE, fill, shapes
from wsolbench_plugins.backbones.unireplknet import wsolbench_backbones
from wsolbench_plugins.backbones.unireplknet.overlock import OverLoCK, _mix

SPECS = {spec.name: spec for spec in wsolbench_backbones()}
# Number of parameters and of entries, and a hash of the names and shapes of the entries; then the same, merged.
ENTRIES = {
    "xt": ((16_969_600, 1557, "04f5e4488ff5f568"), (16_453_712, 925, "47bbd8d11971e7c9")),
    "t": ((34_476_448, 2730, "7404d9738180c676"), (33_467_040, 1578, "6f959dc7fb75304e")),
    "s": ((57_795_748, 3758, "0b2ec48ff060c319"), (56_156_452, 2150, "1ae5b92e0339aacd")),
    "b": ((97_434_816, 4786, "cb1c17db0b9e57a2"), (94_942_528, 2722, "0b8be0efbbc8c316")),
}
TALL = torch.from_numpy(np.random.default_rng(8).normal(size=(1, 3, 256, 224)).astype(np.float32))
# Image; standard deviation and largest absolute value of the features, the same of the logits, first three logits.
OUTPUTS = {
    "enlarged maps": (IMAGE, [56.540627, 652.855347, 42.870838, 150.536133, -32.348946, -48.191128, 47.590408]),
    "maps as they are": (
        TALL,
        [125.080933, 1669.942749, 97.208702, 334.629608, -134.099258, -123.642441, 104.127975],
    ),
}
SMALL = {"channels": (8, 8, 16, 16), "depths": (1, 1, 1, 1), "focus_depths": (2, 1), "focus_heads": (1, 2)}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in ENTRIES])
def test_entries_are_the_official_ones(name):
    with torch.device("meta"):
        network = SPECS[f"overlock_{name}"].build(1000)
    for expected, change in zip(ENTRIES[name], (lambda: None, network.reparameterize), strict=True):
        change()
        entries = shapes(network)
        fingerprint = hashlib.sha256(json.dumps(sorted(entries.items())).encode()).hexdigest()[:16]
        assert (sum(each.numel() for each in network.parameters()), len(entries), fingerprint) == expected


@pytest.mark.slow
@pytest.mark.parametrize("case", OUTPUTS)
def test_outputs_are_the_official_ones(case):
    image, expected = OUTPUTS[case]
    network = SPECS["overlock_xt"].build(1000).eval().to(memory_format=torch.channels_last)
    fill(network)
    for tolerance, change in ((1e-5, lambda: None), (1e-4, network.reparameterize)):
        change()
        with torch.no_grad():
            features = network.forward_features(image)
            logits = network.forward_head(features)
        found = [float(of) for each in (features, logits) for of in (each.std(), each.abs().max())]
        np.testing.assert_allclose(found[:2], expected[:2], rtol=0, atol=tolerance * expected[1])
        found = [*found[2:], *logits[0, :3].tolist()]
        np.testing.assert_allclose(found, expected[2:], rtol=0, atol=tolerance * expected[3])
        assert logits.argmax() == 453


def test_dynamic_kernels_are_weighted_means_over_windows_inside_the_map():
    torch.manual_seed(0)
    kernel, height, width = 3, 4, 5
    entries, bias = torch.randn(1, 2, height * width, 9), torch.randn(2, 5, 5)
    values = torch.randn(1, 2, height * width, 3)
    out = _mix(entries, values, bias, kernel, (height, width))
    for head in range(2):
        for row in range(height):
            for column in range(width):
                top, left = min(max(row - 1, 0), height - 3), min(max(column - 1, 0), width - 3)
                window = [(top + down, left + right) for down in range(3) for right in range(3)]
                scores = entries[0, head, row * width + column].clone()
                for number, (y, x) in enumerate(window):
                    scores[number] += bias[head, y - row + 2, x - column + 2]
                expected = sum(
                    weight * values[0, head, y * width + x]
                    for weight, (y, x) in zip(scores.softmax(0), window, strict=True)
                )
                torch.testing.assert_close(out[0, head, row * width + column], expected)


def test_merging_is_exact_and_drop_path_grows_linearly():
    network = OverLoCK(3, **SMALL).eval()
    network.set_drop_path(0.5)
    rates = [module.drop_prob for module in network.modules() if type(module).__name__ == "DropPath"]
    np.testing.assert_allclose(rates, np.linspace(0, 0.5, 7))
    fill(network)
    network, image = network.double(), torch.randn(2, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        for _ in range(2):  # twice changes nothing
            network.reparameterize()
            torch.testing.assert_close(network(image), before, atol=1e-9, rtol=1e-9)
    assert not any("dil_" in key for key in network.state_dict())


def test_the_auxiliary_head_of_files_is_left_out():
    state = {"head.4.bias": torch.zeros(3), "aux_head.2.bias": torch.zeros(3)}
    assert SPECS["overlock_t"].convert_weights(state) == {"head.4.bias": state["head.4.bias"]}
