"""SLaK: entries and outputs against the published networks."""

import json

import numpy as np
import pytest
import torch
from reference_fill import IMAGE, agrees, fill, shapes
from wsolbench_plugins.backbones.slak import wsolbench_backbones

from wsolbench.errors import WeightsError
from wsolbench.networks.weights import difference, read_state

SPECS = {spec.name: spec for spec in wsolbench_backbones()}
OFFICIAL = {
    "slak_tiny": "SLaK_tiny",
    "slak_small": "SLaK_small",
    "slak_base": "SLaK_base",
    "slak_tiny_k31": "SLaK_tiny_k31",
    "slak_tiny_k61": "SLaK_tiny_k61",
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_entries_are_the_official_ones(shared_data, name):
    with torch.device("meta"):
        network = SPECS[name].build(1000)
    file = shared_data / "architectures" / "keys" / f"{OFFICIAL[name]}.json"
    assert shapes(network) == json.loads(file.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OFFICIAL.keys() - {"slak_tiny_k31"}))  # of which there are no reference outputs
def test_outputs_are_the_official_ones(shared_data, name):
    expected = np.load(shared_data / "architectures" / "outputs" / f"arch_{OFFICIAL[name]}.npz")
    network = SPECS[name].build(1000).eval().to(memory_format=torch.channels_last)
    fill(network)
    for tolerance, change in ((1e-5, lambda: None), (1e-4, network.reparameterize)):
        change()
        with torch.no_grad():
            features = network.forward_features(IMAGE)
            assert agrees(features, expected["features"], tolerance)
            assert agrees(network.forward_head(features), expected["logits"], tolerance)


def test_merging_is_exact():
    network = SPECS["slak_nano"].build(12).eval()
    fill(network)
    network = network.double()
    image = torch.randn(2, 3, 96, 96, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        for _ in range(2):  # twice changes nothing
            network.reparameterize()
            torch.testing.assert_close(network(image), before, atol=1e-12, rtol=1e-12)
    assert not any("small_conv" in key or ".bn." in key for key in network.state_dict())


def test_nano_keeps_a_map_of_twelve_by_twelve():
    assert SPECS["slak_nano"].build(12).forward_features(torch.zeros(2, 3, 96, 96)).shape == (2, 96, 12, 12)


def test_a_kernel_no_longer_than_its_short_side_has_no_small_branch():
    from wsolbench_plugins.backbones.slak.network import DecomposedKernel

    assert DecomposedKernel(4, 5, 5).small_conv is None
    wide = DecomposedKernel(4, 7, 5)
    assert [tuple(p.shape[2:]) for p in wide.parameters() if p.ndim == 4] == [(7, 5), (5, 7), (5, 5)]
    assert wide(torch.zeros(1, 4, 9, 6)).shape == (1, 4, 9, 6)


def saved(tmp_path, rename):
    """Write the weights of ``slak_nano`` under other names; return the file and the network."""
    network = SPECS["slak_nano"].build(12)
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": {rename(key): value for key, value in network.state_dict().items()}}, path)
    return path, network


def test_early_names_of_the_branches_are_read(tmp_path):
    path, network = saved(tmp_path, lambda key: key.replace("LoRA", "Decom"))
    state = read_state(path, SPECS["slak_nano"]).entries
    assert not difference(network, state)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("form", ["lkb_origin", "lkb_reparam"])
def test_kernels_that_are_not_decomposed_are_recognised(tmp_path, form):
    path, _ = saved(tmp_path, lambda key: key.replace("LoRA1", form))
    with pytest.raises(WeightsError, match=r"checkpoint\.pth .* SLaK whose large kernels are not decomposed"):
        read_state(path, SPECS["slak_nano"])


def test_a_replknet_is_not_taken_for_a_slak(tmp_path):
    torch.save({"stages.0.blocks.0.large_kernel.lkb_origin.conv.weight": torch.zeros(1)}, tmp_path / "w.pth")
    assert len(read_state(tmp_path / "w.pth", SPECS["slak_nano"]).entries) == 1
