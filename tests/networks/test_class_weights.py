"""Class weights are compared with the class scores; a network without any says so."""

import re

import pytest
import torch
from torch import nn

from wsolbench.contract.heads import after_batch_norm, after_layer_norm, after_pooling
from wsolbench.networks.class_weights import class_weights_fault, has_gradients

CLASSES, CHANNELS = 6, 32
INDEPENDENT = "the logits do not depend on the features"


class Head(nn.Module):
    """Pool and a linear layer, with or without something between."""

    def __init__(self, between=None, bias=True):
        super().__init__()
        self.between = between or nn.Identity()
        self.head = nn.Linear(CHANNELS, CLASSES, bias=bias)

    def forward_head(self, features):
        return self.head(self.between(features.mean(dim=(2, 3))))

    @property
    def classifier_weight(self):
        return self.head.weight


class Invented(Head):
    classifier_weight = torch.randn(CLASSES, CHANNELS, generator=torch.Generator().manual_seed(1))


class Token(Head):
    """Its scores come from something that is no feature map."""

    def forward_head(self, features):
        return self.head(torch.ones(len(features), CHANNELS))


class Transposed(Head):
    @property
    def classifier_weight(self):
        return self.head.weight.T


class Effective(Head):
    def effective_weights(self, features, classes):  # noqa: ARG002
        return after_pooling(self.head, classes)


class Without(Head):
    classifier_weight = None


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(3, CHANNELS, 5, 5)


def fault(network, features):
    network.eval().requires_grad_(False)
    return class_weights_fault(network, features, network.forward_head(features))


@pytest.mark.parametrize(
    "between",
    [
        None,
        nn.LayerNorm(CHANNELS),
        nn.BatchNorm1d(CHANNELS),
        nn.ReLU(),
        nn.Sequential(nn.LayerNorm(CHANNELS), nn.GELU()),
    ],
)
def test_weights_of_the_last_layer_belong_to_its_scores(features, between):
    assert fault(Head(between), features) is None
    assert fault(Head(between, bias=False), features) is None


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Invented(), "classifier_weight does not belong to its class scores"),
        (Head(nn.Linear(CHANNELS, CHANNELS)), "classifier_weight does not belong to its class scores"),
        (Token(), INDEPENDENT),
        (Transposed(), r"classifier_weight is \(32, 6\), expected \(6, 32\)"),
        (Effective(nn.LayerNorm(CHANNELS)), "effective_weights give class scores that differ from the logits by "),
    ],
    ids=["invented", "a layer between", "class token", "transposed", "no norm"],
)
def test_weights_of_something_else_are_named(features, network, words):
    assert re.match(words, fault(network, features))


def test_a_network_may_have_none(features):
    assert fault(Without(), features) is None
    assert fault(Effective(), features) is None


def test_gradients_are_found_where_the_head_gives_them(features):
    class Rounding(Head):
        def forward_head(self, features):
            return super().forward_head(features).round().int().float()

    assert has_gradients(Head(), features)
    assert not has_gradients(Rounding().requires_grad_(False), features)


def test_a_classifier_without_bias_has_effective_weights(features):
    head, classes = nn.Linear(CHANNELS, CLASSES, bias=False), torch.tensor([0, 5, 2])
    norm, spatial = nn.LayerNorm(CHANNELS), nn.BatchNorm2d(CHANNELS).eval()
    pooled = features.mean(dim=(2, 3))
    for (weights, constants), logits in (
        (after_pooling(head, classes), head(pooled)),
        (after_layer_norm(features, norm, head, classes), head(norm(pooled))),
        (after_batch_norm(spatial, head, classes), head(spatial(features).mean(dim=(2, 3)))),
    ):
        scores = (weights * pooled).sum(dim=1) + constants
        torch.testing.assert_close(scores, logits.gather(1, classes[:, None])[:, 0])
