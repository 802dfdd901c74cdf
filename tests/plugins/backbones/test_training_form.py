"""What networks offer to a recipe: the published numbers of their layers, and stochastic depth."""

import pytest
import torch

from wsolbench.api import UsageError
from wsolbench.host.loading import load_plugins

REGISTRY = load_plugins()


def on_meta(name):
    with torch.device("meta"):
        return REGISTRY.backbones.get(name).spec.build(10)


CONVNEXT = {"stem.0.weight": 0, "stages.0.blocks.2.gamma": 1, "stages.1.downsample.0.weight": 2}
CONVNEXT |= {"stages.1.blocks.0.mlp.fc1.weight": 2, "stages.2.downsample.1.weight": 3, "stages.2.blocks.2.gamma": 3}
CONVNEXT |= {"stages.2.blocks.3.gamma": 4, "stages.2.blocks.8.conv_dw.weight": 5, "stages.3.downsample.1.bias": 12}
CONVNEXT |= {"stages.3.blocks.2.norm.weight": 12, "head.norm.weight": 13, "head.fc.weight": 13}
SLAK = {"downsample_layers.0.0.weight": 0, "downsample_layers.1.1.weight": 2, "downsample_layers.2.0.bias": 3}
SLAK |= {"downsample_layers.3.1.weight": 12, "stages.0.2.gamma": 1, "stages.1.0.pwconv1.weight": 2}
SLAK |= {"stages.2.2.gamma": 3, "stages.2.3.gamma": 4, "stages.2.26.norm.weight": 11, "stages.3.0.gamma": 12}
SLAK |= {"norm.weight": 13, "head.bias": 13}
HORNET = {"downsample_layers.0.0.weight": 0, "downsample_layers.1.0.weight": 2, "downsample_layers.3.1.weight": 12}
HORNET |= {"stages.0.1.gamma1": 1, "stages.2.0.gamma1": 3, "stages.2.17.norm2.weight": 8, "stages.3.1.gamma2": 12}
HORNET |= {"norm.weight": 13, "head.weight": 13}
UNIREPLKNET = {"downsample_layers.0.3.weight": 0, "downsample_layers.2.1.bias": 3, "stages.1.2.se.up.bias": 2}
UNIREPLKNET |= {"stages.2.2.gamma": 3, "stages.2.26.dwconv.weight": 11, "stages.3.0.dwconv.lk_origin.weight": 12}
UNIREPLKNET |= {"downsample_layers.3.0.weight": 12, "norm.weight": 13, "head.weight": 13}
REPLKNET = {"stem.0.conv.weight": 0, "stem.3.bn.bias": 0, "stages.0.blocks.3.pw1.conv.weight": 1}
REPLKNET |= {"transitions.0.0.conv.weight": 1, "stages.1.blocks.0.pw1.conv.weight": 2, "transitions.1.1.bn.bias": 2}
REPLKNET |= {"stages.2.blocks.3.pw1.conv.weight": 3, "stages.2.blocks.4.pw1.conv.weight": 4}
REPLKNET |= {"stages.2.blocks.35.pw2.bn.weight": 11, "transitions.2.0.conv.weight": 11}
REPLKNET |= {"stages.3.blocks.0.pw1.conv.weight": 12, "norm.weight": 13, "head.weight": 13}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("convnext_tiny", CONVNEXT),
        ("slak_small", SLAK),
        ("hornet_tiny", HORNET),
        ("replknet_31b", REPLKNET),
        ("unireplknet_s", UNIREPLKNET),
    ],
)
def test_layers_have_their_published_numbers(name, expected):
    numbers = on_meta(name).layer_ids()
    assert {key: numbers[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["replknet_31b", "slak_small", "convnext_base"])
def test_a_long_third_stage_leaves_no_number_out(name):
    assert set(on_meta(name).layer_ids().values()) == set(range(14))


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("resnet50", 16), ("convnext_tiny", 18), ("slak_tiny", 18), ("hornet_tiny", 25), ("unireplknet_a", 12)],
)
def test_stochastic_depth_grows_linearly_over_the_blocks(name, blocks):
    network = on_meta(name)
    network.set_drop_path(0.4)
    rates = [module.drop_prob for module in network.modules() if type(module).__name__ == "DropPath"]
    assert rates == pytest.approx(torch.linspace(0, 0.4, blocks).tolist())


def test_stochastic_depth_keeps_the_names_of_the_weights():
    network = on_meta("resnet50")
    before = list(network.state_dict())
    network.set_drop_path(0.4)
    assert list(network.state_dict()) == before


def test_a_network_without_residual_blocks_has_no_stochastic_depth():
    with pytest.raises(UsageError, match="has no residual blocks to drop"):
        on_meta("inception_v3").set_drop_path(0.1)
