"""RepLKNet: keys, outputs and merging against the published networks."""

import json

import numpy as np
import pytest
import torch
from reference_fill import IMAGE, agrees, fill, shapes
from wsolbench_plugins.backbones.replknet import wsolbench_backbones

SPECS = {spec.name: spec for spec in wsolbench_backbones()}
OFFICIAL = {"replknet_31b": "RepLKNet_31B", "replknet_31l": "RepLKNet_31L", "replknet_xl": "RepLKNet_XL"}


def on_meta(name: str, classes: int = 1000):
    with torch.device("meta"):
        return SPECS[name].build(classes)


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("merged", [False, True])
def test_entries_are_the_official_ones(shared_data, name, merged):
    network = on_meta(name)
    if merged:
        network.reparameterize()
    file = shared_data / "architectures" / "keys" / f"{OFFICIAL[name]}{'_merged' * merged}.json"
    assert shapes(network) == json.loads(file.read_text())


def test_the_authors_cub_file_fits(shared_data):
    file = shared_data / "architectures" / "keys" / "cba_replknet_31B1K384_CUB.json"
    assert shapes(on_meta("replknet_31b", 200)) == json.loads(file.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFICIAL)
def test_outputs_are_the_official_ones(shared_data, name):
    expected = np.load(shared_data / "architectures" / "outputs" / f"arch_{OFFICIAL[name]}.npz")
    network = SPECS[name].build(1000).eval().to(memory_format=torch.channels_last)
    fill(network)
    for tolerance, change in ((1e-5, lambda: None), (1e-4, network.reparameterize), (1e-4, network.fuse)):
        change()
        with torch.no_grad():
            features = network.forward_features(IMAGE)
            logits = network.forward_head(features)
        assert agrees(features, expected["features"], tolerance)
        assert agrees(logits, expected["logits"], tolerance)


@pytest.mark.parametrize("change", ["reparameterize", "fuse"])
def test_merging_is_exact(change):
    network = SPECS["replknet_nano"].build(12).eval()
    fill(network)
    network = network.double()
    image = torch.randn(2, 3, 96, 96, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        getattr(network, change)()
        torch.testing.assert_close(network(image), before, atol=1e-12, rtol=1e-12)
        getattr(network, change)()  # twice changes nothing
        torch.testing.assert_close(network(image), before, atol=1e-12, rtol=1e-12)
    assert not any("small_conv" in key or "lkb_origin" in key for key in network.state_dict())


def test_nano_keeps_a_map_of_twelve_by_twelve():
    network = SPECS["replknet_nano"].build(12)
    features = network.forward_features(torch.zeros(2, 3, 96, 96))
    assert features.shape == (2, 72, 12, 12)
    assert network.forward_head(features).shape == (2, 12)


def test_forward_is_head_after_features():
    network = SPECS["replknet_nano"].build(5).eval()
    image = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(network(image), network.forward_head(network.forward_features(image)))


def test_drop_path_grows_linearly_and_pairs_share_it():
    blocks = [block for stage in on_meta("replknet_31b").stages for block in stage.blocks]
    rates = [block.drop_path.drop_prob for block in blocks]
    assert rates[0::2] == rates[1::2]
    np.testing.assert_allclose(rates[0::2], np.linspace(0, 0.3, 24))
