"""The mixin for networks with the layout of ConvNeXt, on one whose code was published without what a backbone needs."""

import pytest
import torch
from timm.layers import DropPath
from torch import nn

from wsolbench.api import ConvNeXtLike, PluginError, UsageError


class PublishedNet(nn.Module):
    """As networks are published: ``forward_features`` pools and normalises."""

    def __init__(self, num_classes, block):
        super().__init__()
        self.downsample_layers = nn.ModuleList([nn.Conv2d(3, 4, 4, 4), nn.Sequential(nn.Conv2d(4, 6, 2, 2))])
        self.stages = nn.ModuleList(nn.Sequential(*(block(width) for _ in range(2))) for width in (4, 6))
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, num_classes)

    def forward_features(self, x):
        for number in range(2):
            x = self.stages[number](self.downsample_layers[number](x))
        return self.norm(x.mean([-2, -1]))

    def forward(self, x):
        return self.head(self.forward_features(x))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.drop_path = nn.Conv2d(channels, channels, 3, padding=1), DropPath()

    def forward(self, x):
        return x + self.drop_path(self.conv(x).tanh())


class Ours(ConvNeXtLike, PublishedNet):
    """The whole of what an author writes."""


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Ours(3, Block).eval()
    nn.init.normal_(network.norm.weight)
    return network


def test_scores_are_those_of_the_published_network_and_the_mean_of_the_effective_weights(network):
    images, classes = torch.randn(2, 3, 16, 24), torch.tensor([2, 0])
    features = network.forward_features(images)
    assert features.shape == (2, 6, 2, 3)
    expected = published(network, images)
    torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(network.forward_head(features), expected)
    weights, constants = network.effective_weights(features, classes)
    scores = torch.einsum("bk,bkhw->bhw", weights, features).mean(dim=(1, 2)) + constants
    torch.testing.assert_close(scores, expected[[0, 1], classes])
    assert network.classifier_weight is network.head.weight


def published(network, images):
    reference = PublishedNet(3, Block).eval()
    reference.load_state_dict(network.state_dict())
    return reference(images)


def test_stages_are_taps_that_can_be_changed(network):
    images, seen = torch.randn(2, 3, 16, 16), {}
    assert network.taps == ("stages.0", "stages.1")
    network.forward_tapped(images, {"stages.1": lambda maps: seen.setdefault("stages.1", maps)})
    assert torch.equal(seen["stages.1"], network.forward_features(images))
    changed = network.forward_tapped(images, {"stages.1": torch.zeros_like})
    torch.testing.assert_close(changed, network.forward_head(torch.zeros(2, 6, 2, 2)))


def test_layers_are_numbered_with_and_without_sequences_in_between(network):
    network.downsample_layers.extend([nn.Conv2d(6, 6, 1), nn.Sequential(nn.Conv2d(6, 6, 1))])
    network.stages.extend([nn.Sequential(*(nn.Conv2d(6, 6, 1) for _ in range(31))), nn.Conv2d(6, 6, 1)])
    numbers = network.layer_ids()
    assert numbers.keys() == {name for name, _ in network.named_parameters()}
    found = {name.rpartition(".")[0]: number for name, number in numbers.items()}
    expected = {"downsample_layers.0": 0, "stages.0.1.conv": 1, "downsample_layers.1.0": 2, "stages.1.0.conv": 2}
    expected |= {"downsample_layers.2": 3, "stages.2.2": 3, "stages.2.3": 4, "stages.2.26": 11, "stages.2.30": 11}
    expected |= {"downsample_layers.3.0": 12, "stages.3": 12, "norm": 13, "head": 13}
    assert {name: found[name] for name in expected} == expected


def test_stochastic_depth_grows_linearly_and_a_network_without_it_refuses(network):
    network.set_drop_path(0.3)
    rates = [module.drop_prob for module in network.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3])
    with pytest.raises(UsageError, match="Ours has no stochastic depth"):
        Ours(3, lambda width: nn.Conv2d(width, width, 1)).set_drop_path(0.1)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda net: delattr(net, "norm"), "^Ours has no norm: ConvNeXtLike needs downsample_layers, stages, norm and"),
        (lambda net: setattr(net, "norm", None), "^Ours has no norm: "),
        (lambda net: (delattr(net, "norm"), delattr(net, "head")), "^Ours has no norm and no head: "),
        (lambda net: delattr(net, "stages"), "^Ours has no stages: "),
        (lambda net: net.downsample_layers.append(nn.Identity()), "^Ours has 3 downsample_layers and 2 stages; "),
        (
            lambda net: delattr(net.downsample_layers, "1"),
            "^Ours has 1 downsample_layer and 2 stages; .* stem first",
        ),
    ],
)
def test_a_network_of_another_layout_is_named_with_what_it_lacks(network, break_it, words):
    break_it(network)
    with pytest.raises(PluginError, match=words) as caught:
        network(torch.zeros(1, 3, 16, 16))
    assert "\n" not in str(caught.value)


def test_layers_of_five_stages_have_no_numbers(network):
    network.stages.extend(nn.Identity() for _ in range(3))
    with pytest.raises(PluginError, match="Ours has 5 stages, and the layers of ConvNeXt's recipe are numbered for 4"):
        network.layer_ids()
