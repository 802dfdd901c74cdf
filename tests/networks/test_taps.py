"""Layers of a network: their maps and gradients in one pass, and a network tapped at one of them."""

import pytest
import torch
from torch import nn

from wsolbench.api import Attention, Features, MethodContext, visit_layers
from wsolbench.errors import UsageError
from wsolbench.networks.taps import tapped_at


class TwoStages(nn.Module):
    """Two convolutions; the last layer works in place, and the head reads the first stage too."""

    def __init__(self, classes=3, bypass=0.5):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 4, stride=4), nn.Conv2d(4, 6, 2, stride=2)
        self.head, self.bypass = nn.Linear(6, classes), nn.Linear(4, classes)
        self.share = bypass

    taps = ("first", "second")

    def forward_features(self, images):
        self.early = self.first(images)
        return self.second(self.early.tanh())

    def forward_head(self, features):
        pooled = nn.functional.relu(features, inplace=not features.requires_grad).mean(dim=(2, 3))
        return self.head(pooled) + self.share * self.bypass(self.early.mean(dim=(2, 3)))

    def forward(self, images):
        early = self.first(images)
        late = self.second(early.tanh())
        late.relu_()
        return self.head(late.mean(dim=(2, 3))) + self.share * self.bypass(early.mean(dim=(2, 3)))

    def forward_tapped(self, images, visit):
        return visit_layers(self, images, visit)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TwoStages().eval().requires_grad_(False)


@pytest.fixture
def images():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


CLASSES = torch.tensor([2, 0])


def context(network, images):
    return MethodContext(network, images, CLASSES, network(images))


def test_the_maps_of_all_layers_are_those_before_later_layers_work_in_place(network, images):
    with torch.no_grad():
        maps = context(network, images).taps
    first = network.first(images)
    assert list(maps) == ["first", "second"]
    assert torch.equal(maps["first"], first)
    assert torch.equal(maps["second"], network.second(first.tanh()))
    assert maps["second"].min() < 0


def test_gradients_of_all_layers_are_those_of_each_images_class_score(network, images):
    """By hand: each pixel of the second stage counts where it is positive, and the first one by two ways."""
    with torch.no_grad():
        found = context(network, images).tap_gradients()
    first = network.first(images)
    second = network.second(first.tanh())
    rows = network.head.weight[CLASSES][:, :, None, None]
    late = rows * (second > 0) / second[0, 0].numel()
    through = nn.functional.conv_transpose2d(late, network.second.weight, stride=2) * (1 - first.tanh() ** 2)
    bypass = 0.5 * network.bypass.weight[CLASSES][:, :, None, None] / first[0, 0].numel()
    for name, maps, gradient in [("first", first, through + bypass), ("second", second, late)]:
        torch.testing.assert_close(found[name][0], maps)
        torch.testing.assert_close(found[name][1], gradient)
        assert not found[name][0].requires_grad
        assert not found[name][1].requires_grad


def test_the_gradient_of_maps_that_no_later_layer_reads_is_zero(network, images):
    network.forward_tapped = lambda images, visit: (
        visit["second"](network.second(network.first(images))),
        visit_layers(network, images, {"first": visit["first"]}),
    )[1]
    found = context(network, images).tap_gradients()
    assert not found["second"][1].any()
    assert found["first"][1].any()


def test_only_the_layers_asked_for_are_found_and_in_their_order(network, images):
    assert list(context(network, images).tap_gradients(["second"])) == ["second"]
    assert list(context(network, images).tap_gradients(["second", "first"])) == ["second", "first"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["frist"], r"TwoStages has no tap 'frist'. Did you mean 'first'\? Its taps: first, second"),
        (["x"], "no tap 'x'"),
    ],
)
def test_a_layer_that_does_not_exist_is_refused_by_name(network, images, names, words):
    with pytest.raises(UsageError, match=words):
        context(network, images).tap_gradients(names)


def test_a_network_without_taps_says_so(images):
    plain = nn.Flatten()
    plain.forward_tapped = None  # a trait needs all its names
    asking = MethodContext(plain, images, CLASSES, torch.zeros(2, 3))
    for ask in (lambda: asking.taps, asking.tap_gradients):
        with pytest.raises(UsageError, match="Flatten has no taps; use a method that does not need any"):
            ask()
    with pytest.raises(UsageError, match="Flatten does not offer its attention"):
        asking.attention()


def test_a_view_has_the_maps_of_its_layer_and_a_head_that_is_all_that_follows(network, images):
    view = tapped_at(network, "first", size=16, called="toy")
    features = view.forward_features(images)
    assert torch.equal(features.maps, network.first(images))
    assert torch.equal(view.forward_head(features), network(images))
    changed = features.with_maps(2 * features.maps)
    late = network.second((2 * features.maps).tanh()).relu()
    expected = network.head(late.mean(dim=(2, 3))) + 0.5 * network.bypass(2 * features.maps.mean(dim=(2, 3)))
    torch.testing.assert_close(view.forward_head(changed), expected)


def test_the_scores_of_a_view_are_differentiable(network, images):
    view = tapped_at(network, "first", size=16, called="toy")
    features = view.forward_features(images)
    maps = features.maps.requires_grad_()
    selected = view.forward_head(features.with_maps(maps)).gather(1, CLASSES[:, None]).sum()
    (gradient,) = torch.autograd.grad(selected, maps)
    torch.testing.assert_close(gradient, context(network, images).tap_gradients()["first"][1])


def test_a_view_has_no_class_weights_and_the_taps_of_its_network(network):
    view = tapped_at(network, "first", size=16, called="toy")
    assert getattr(view, "classifier_weight", None) is None
    assert view.taps == ("first", "second")
    assert not view.training
    assert not hasattr(view, "forward_attention")


def test_attention_does_not_depend_on_the_tap(network, images):
    shown = Attention((torch.eye(4).expand(2, 1, 4, 4),), 0, (2, 2))
    network.forward_attention = lambda images: shown  # noqa: ARG005
    assert tapped_at(network, "first", size=16, called="toy").forward_attention(images) is shown


def test_the_tap_of_the_own_features_is_the_network_itself(network):
    assert tapped_at(network, "second", size=16, called="toy") is network


def test_own_features_with_a_rest_are_recognized(network):
    own, head = network.forward_features, network.forward_head
    network.forward_features = lambda images: Features(own(images), (images,))
    network.forward_head = lambda features: head(features.maps)
    assert tapped_at(network, "second", size=16, called="toy") is network


def test_a_tap_that_does_not_exist_is_refused_in_the_words_of_the_option(network):
    with pytest.raises(UsageError, match=r"^--tap x: 'toy' has no tap 'x'\. Its taps: first, second$"):
        tapped_at(network, "x", size=16, called="toy")
    with pytest.raises(UsageError, match=r"^--tap x: 'toy' has no taps; omit the option$"):
        tapped_at(nn.Flatten(), "x", size=16, called="toy")
