"""The one stream of features: what a batch holds, and gradients back to the images."""

import numpy as np
import pytest
import torch

from wsolbench.contract import Split
from wsolbench.engine.features import stream_features
from wsolbench.errors import PluginError


@pytest.fixture
def images(toys):
    return toys.plan().dataset.images(Split.TEST)


def batches(toys, images, **how):
    return list(stream_features(toys.network(), images, batch_size=4, workers=1, **how))


def test_batches_hold_what_the_network_makes_of_the_images_asked_for(toys, images):
    first, second = batches(toys, images, order=[5, 0, 3, 1, 2])
    assert np.concatenate([first.indices, second.indices]).tolist() == [5, 0, 3, 1, 2]
    module = toys.network().module
    for batch in (first, second):
        assert torch.equal(batch.features, module.forward_features(batch.images))
        assert torch.equal(batch.logits, module.forward_head(batch.features))
        assert batch.labels.tolist() == [index % 2 for index in batch.indices]
        assert not batch.features.requires_grad


def test_gradients_reach_the_images(toys, images):
    """A feature of the toy network is the mean of 4×4 pixels, so every pixel counts a sixteenth."""
    for batch in batches(toys, images, gradients=True):
        batch.features[:, 1, 2, 3].sum().backward()
        expected = torch.zeros_like(batch.images)
        expected[:, 1, 8:12, 12:16] = 1 / 16
        torch.testing.assert_close(batch.images.grad, expected)
        assert torch.equal(batch.features.detach(), toys.network().module.forward_features(batch.images.detach()))


def test_a_network_that_fails_is_named_with_the_images(toys, images):
    network = toys.network()
    network.module.forward_features = lambda _: 1 / 0
    with pytest.raises(PluginError, match=r"'toynet' on the images from 'test/0' on: ZeroDivisionError"):
        list(stream_features(network, images, batch_size=4, workers=1))
