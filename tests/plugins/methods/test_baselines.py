"""What the baselines' maps predict."""

import numpy as np
import pytest
import torch
from wsolbench_plugins.methods.baselines import CentredBox, FullImage, MeanFeature

from wsolbench.protocol import boxes_at, to_scoremap


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.999])
def test_full_image_predicts_the_whole_frame_at_every_threshold(threshold):
    scoremap = to_scoremap(FullImage()(torch.zeros(1, 2, 3, 3), None)[0].numpy())
    assert boxes_at(scoremap, threshold)[0].tolist() == [0, 0, 223, 223]


@pytest.mark.parametrize("threshold", [0.1, 0.25, 0.5, 0.8])
def test_centred_box_is_centred_and_as_large_as_the_threshold_says(threshold):
    scoremap = to_scoremap(CentredBox()(torch.zeros(1, 2, 3, 3), None)[0].numpy())
    x0, y0, x1, y1 = boxes_at(scoremap, threshold)[0]
    assert (x0, x1) == (y0, y1)
    assert abs((x0 + x1) / 2 - 112) <= 1
    assert x1 - x0 == pytest.approx((1 - threshold) * 224, abs=3)


def test_baselines_are_the_same_for_every_image():
    for method in (FullImage(), CentredBox()):
        maps = method(torch.randn(3, 4, 5, 5), None)
        assert maps.shape == (3, 224, 224)
        assert torch.equal(maps[0], maps[2])


def test_mean_feature_is_the_mean_over_channels():
    features = torch.randn(2, 7, 4, 5)
    np.testing.assert_allclose(MeanFeature()(features, None).numpy(), features.numpy().mean(axis=1), atol=1e-6)
