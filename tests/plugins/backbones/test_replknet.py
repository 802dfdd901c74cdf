"""RepLKNet: keys, outputs and merging against the published networks."""

import json
import zlib
from math import prod, sqrt

import numpy as np
import pytest
import torch
from wsolbench_plugins.backbones.replknet import wsolbench_backbones

SPECS = {spec.name: spec for spec in wsolbench_backbones()}
OFFICIAL = {"replknet_31b": "RepLKNet_31B", "replknet_31l": "RepLKNet_31L", "replknet_xl": "RepLKNet_XL"}


def fill(network: torch.nn.Module) -> None:
    """Give every entry values that depend on its key and shape alone, as the reference outputs were made."""
    with torch.no_grad():
        for key, entry in network.state_dict().items():
            rng = np.random.default_rng(zlib.crc32(key.encode()))
            shape = tuple(entry.shape)
            if key.endswith("num_batches_tracked"):
                continue
            if key.endswith("running_var"):
                values = rng.uniform(0.5, 1.5, shape)
            elif key.endswith("running_mean"):
                values = rng.normal(0, 0.1, shape)
            elif key.endswith("bias"):
                values = rng.normal(0, 0.05, shape)
            elif key.endswith("pw2.bn.weight"):
                values = rng.uniform(0.05, 0.2, shape)
            elif len(shape) == 1:
                values = rng.uniform(0.5, 1.5, shape)
            else:
                values = rng.normal(0, 1 / sqrt(prod(shape[1:])), shape)
            entry.copy_(torch.from_numpy(values.astype(np.float32)))


def on_meta(name: str, classes: int = 1000):
    with torch.device("meta"):
        return SPECS[name].build(classes)


def shapes(network: torch.nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in network.state_dict().items()}


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
    image = torch.from_numpy(np.random.default_rng(7).normal(size=(1, 3, 96, 96)).astype(np.float32))
    for tolerance in (1e-5, 1e-4):
        with torch.no_grad():
            features = network.forward_features(image)
            logits = network.forward_head(features)
        for ours, theirs in ((features, expected["features"]), (logits, expected["logits"])):
            assert np.abs(ours.numpy() - theirs).max() <= tolerance * np.abs(theirs).max()
        network.reparameterize()  # and once more, merged


def test_merging_is_exact():
    network = SPECS["replknet_nano"].build(12).eval()
    fill(network)
    network = network.double()
    image = torch.randn(2, 3, 96, 96, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        network.reparameterize()
        torch.testing.assert_close(network(image), before, atol=1e-12, rtol=1e-12)
        network.reparameterize()  # twice changes nothing
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
