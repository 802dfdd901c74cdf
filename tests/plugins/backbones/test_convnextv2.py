"""ConvNeXt V2: official files are converted to timm's entries, and the outputs are those of the official code.

Expected values were measured with ``models/convnextv2.py`` of facebookresearch/ConvNeXt-V2, torch 2.15: a hash of the
names and shapes of its entries with 1,000 classes, and outputs with the weights and the image of `reference_fill`.
"""

import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from reference_fill import IMAGE, filled, shapes
from wsolbench_plugins.backbones.timm_networks import wsolbench_backbones

from wsolbench.api import BackboneSpec
from wsolbench.networks.weights import difference

SPECS = {spec.name: spec for spec in wsolbench_backbones() if isinstance(spec, BackboneSpec)}
# Depths, width of the first stage, hash of the official entries.
OFFICIAL = {
    "atto": ((2, 2, 6, 2), 40, "605a38d877cbc1f3"),
    "femto": ((2, 2, 6, 2), 48, "3e006b9648e58f25"),
    "pico": ((2, 2, 6, 2), 64, "6416657c44c9e3ec"),
    "nano": ((2, 2, 8, 2), 80, "335b39c0b8d7921b"),
    "tiny": ((3, 3, 9, 3), 96, "cc50ca807c479283"),
    "base": ((3, 3, 27, 3), 128, "3b7dcba48287a69e"),
    "large": ((3, 3, 27, 3), 192, "634c26bf4cf11767"),
    "huge": ((3, 3, 27, 3), 352, "5e5acfdda3fbaaa6"),
}
# Standard deviation and largest absolute value of the features, the same of the logits, first three logits; class.
OUTPUTS = {
    "atto": ([1.615739, 5.916062, 1.027486, 2.934546, 1.512624, -0.520451, -0.856937], 517),
    "tiny": ([1.760356, 6.298507, 1.014567, 3.190284, -0.707345, 0.294441, -1.296189], 253),
}


def official_shapes(size):
    """Return the entries of an official file and their shapes, in its order."""
    depths, first, fingerprint = OFFICIAL[size]
    widths = [first * 2**stage for stage in range(4)]
    found = {"downsample_layers.0.0.weight": [first, 3, 4, 4], "downsample_layers.0.0.bias": [first]}
    found |= {f"downsample_layers.0.1.{name}": [first] for name in ("weight", "bias")}
    for stage, (narrow, wide) in enumerate(pairwise(widths), start=1):
        found |= {f"downsample_layers.{stage}.0.{name}": [narrow] for name in ("weight", "bias")}
        found |= {
            f"downsample_layers.{stage}.1.weight": [wide, narrow, 2, 2],
            f"downsample_layers.{stage}.1.bias": [wide],
        }
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        for block in (f"stages.{stage}.{number}" for number in range(depth)):
            found |= {f"{block}.dwconv.weight": [width, 1, 7, 7], f"{block}.dwconv.bias": [width]}
            found |= {f"{block}.norm.{name}": [width] for name in ("weight", "bias")}
            found |= {f"{block}.pwconv1.weight": [4 * width, width], f"{block}.pwconv1.bias": [4 * width]}
            found |= {f"{block}.grn.{name}": [1, 1, 1, 4 * width] for name in ("gamma", "beta")}
            found |= {f"{block}.pwconv2.weight": [width, 4 * width], f"{block}.pwconv2.bias": [width]}
    found |= {f"norm.{name}": [widths[-1]] for name in ("weight", "bias")}
    found |= {"head.weight": [1000, widths[-1]], "head.bias": [1000]}
    assert hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16] == fingerprint
    return found


def official_entries(size):
    return {key: torch.empty(shape, device="meta") for key, shape in official_shapes(size).items()}


@pytest.mark.parametrize(
    "size", [pytest.param(size, marks=[] if size == "tiny" else pytest.mark.slow) for size in OFFICIAL]
)
def test_official_files_become_timms_entries(size):
    spec = SPECS[f"convnextv2_{size}"]
    with torch.device("meta"):
        network = spec.build(1000)
    converted = spec.convert_weights(official_entries(size))
    assert {key: list(value.shape) for key, value in converted.items()} == shapes(network)
    assert spec.convert_weights(converted) == converted


@pytest.mark.parametrize("size", ["atto", pytest.param("tiny", marks=pytest.mark.slow)])
def test_outputs_are_the_official_ones(size):
    spec = SPECS[f"convnextv2_{size}"]
    network = spec.build(1000).eval()
    network.load_state_dict(spec.convert_weights(filled(official_entries(size))))
    with torch.no_grad():
        features = network.forward_features(IMAGE)
        logits = network.forward_head(features)
    expected, predicted = OUTPUTS[size]
    found = [float(of) for each in (features, logits) for of in (each.std(), each.abs().max())]
    np.testing.assert_allclose([*found, *logits[0, :3].tolist()], expected, rtol=0, atol=1e-5 * max(expected))
    assert logits.argmax() == predicted


@pytest.mark.slow
def test_a_file_of_another_size_or_of_the_first_version_is_described():
    with torch.device("meta"):
        network = SPECS["convnextv2_tiny"].build(1000)
    larger = difference(network, SPECS["convnextv2_tiny"].convert_weights(official_entries("base")))
    assert "stages.2.blocks.26.mlp.grn.weight" in larger.unexpected
    first = {key: value for key, value in official_entries("tiny").items() if ".grn." not in key}
    missing = difference(network, SPECS["convnextv2_tiny"].convert_weights(first)).missing
    assert {key.rpartition(".mlp.")[2] for key in missing} == {"grn.weight", "grn.bias"}
