"""timm's families: maps of the size that WSOL wants, and kernels that keep theirs."""

import pytest
import torch
from wsolbench_plugins.backbones.timm_networks import wsolbench_backbones

SPECS = {spec.name: spec for spec in wsolbench_backbones()}


@pytest.mark.parametrize("name", SPECS)
def test_nano_keeps_a_map_of_twelve_by_twelve_without_dilation(name):
    network = SPECS[name].build(12)
    assert network.forward_features(torch.zeros(2, 3, 96, 96)).shape == (2, 96, 12, 12)
    odd = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size[0] % 2]
    assert {module.dilation for module in odd} == {(1, 1)}
    assert all(module.padding == (module.kernel_size[0] // 2,) * 2 for module in odd)


@pytest.mark.parametrize("name", SPECS)
def test_forward_is_head_after_features(name):
    network = SPECS[name].build(5).eval()
    image = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(network(image), network.forward_head(network.forward_features(image)))


def test_resnet_scores_are_linear_in_its_features():
    network = SPECS["resnet_nano"].build(5).eval()
    features = network.forward_features(torch.randn(2, 3, 96, 96))
    logits = features.mean(dim=(2, 3)) @ network.classifier_weight.T + network.fc.bias
    torch.testing.assert_close(network.forward_head(features), logits)
