"""Spatial forms of class scores: the mean of the map and the constant are the logit, whatever the tail."""

import pytest
import torch
from torch import nn

from wsolbench.contract.heads import after_batch_norm, after_layer_norm, after_pooling

CLASSES = torch.tensor([3, 0])


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(2, 6, 3, 5) * 2 + 1


def mean_of_map(features, weights):
    return (weights[:, :, None, None] * features).sum(dim=1).mean(dim=(1, 2))


def perturbed(norm):
    for values in norm.state_dict().values():
        if values.is_floating_point():
            values.copy_(torch.rand_like(values) + 0.5)
    return norm.eval()


def check(features, decomposed, logits):
    weights, constants = decomposed
    torch.testing.assert_close(mean_of_map(features, weights) + constants, logits[range(2), CLASSES])


def test_pooling(features):
    head = nn.Linear(6, 4)
    check(features, after_pooling(head, CLASSES), head(features.mean(dim=(2, 3))))


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm(features, affine):
    norm, head = perturbed(nn.BatchNorm2d(6, affine=affine)), nn.Linear(6, 4)
    check(features, after_batch_norm(norm, head, CLASSES), head(norm(features).mean(dim=(2, 3))))


@pytest.mark.parametrize("affine", [{}, {"bias": False}, {"elementwise_affine": False}])
def test_layer_norm(features, affine):
    norm, head = perturbed(nn.LayerNorm(6, eps=1e-3, **affine)), nn.Linear(6, 4)
    decomposed = after_layer_norm(features, norm, head, CLASSES)
    check(features, decomposed, head(norm(features.mean(dim=(2, 3)))))
    torch.testing.assert_close(decomposed[0].sum(dim=1), torch.zeros(2))
