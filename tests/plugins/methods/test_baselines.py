"""What the baselines' maps predict."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from wsolbench_plugins.methods.baselines import CentredBox, CentreSurround, FullImage, MeanFeature, Noise

from wsolbench.protocol import boxes_at, classify_raw_map, to_scoremap


def seeing(images):
    """All of a context that these methods look at."""
    return SimpleNamespace(images=images)


def blob(side, centre=(0.3, 0.6), radius=0.1):
    """Return an image (1, 3, side, side) of a coloured disc on grey; places are shares of the side."""
    places = (torch.arange(side) + 0.5) / side
    inside = (places[:, None] - centre[0]) ** 2 + (places - centre[1]) ** 2 < radius**2
    return torch.where(inside, torch.tensor([0.9, 0.3, 0.2])[:, None, None], 0.5)[None]


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


def test_noise_is_uniform_and_of_the_size_of_the_feature_map():
    maps = Noise()(torch.zeros(50, 3, 12, 9), seeing(torch.randn(50, 3, 8, 8)))
    assert maps.shape == (50, 12, 9)
    shares = np.histogram(maps.numpy(), bins=10, range=(0, 1))[0] / maps.numel()
    np.testing.assert_allclose(shares, 0.1, atol=0.02)
    rows = maps.flatten(1)
    assert (torch.corrcoef(rows) - torch.eye(50)).abs().max() < 0.6


def test_noise_hangs_on_image_and_seed_alone():
    images, features = torch.randn(32, 3, 8, 8), torch.randn(32, 5, 6, 6)
    together = Noise()(features, seeing(images))
    alone = torch.cat([Noise()(features[i : i + 1] + 1, seeing(images[i : i + 1])) for i in range(32)])
    assert torch.equal(together, alone)
    order = torch.randperm(32)
    assert torch.equal(Noise()(features, seeing(images[order])), together[order])
    channels_last = images.to(memory_format=torch.channels_last)
    assert torch.equal(Noise()(features, seeing(channels_last)), together)
    assert not torch.isclose(Noise(seed=1)(features, seeing(images)), together).any()


@pytest.mark.parametrize(
    ("mean", "deviation"), [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225), (0.5, 0.25), (0.5, 0.5)]
)
def test_noise_does_not_hang_on_the_last_bit_of_a_pixel(mean, deviation):
    levels = torch.randint(0, 256, (4, 3, 30, 30)).float()
    divided, multiplied = (scaled.sub(mean).div(deviation) for scaled in (levels / 255, levels * (1 / 255)))
    assert not torch.equal(divided, multiplied)
    features = torch.zeros(4, 1, 6, 6)
    assert torch.equal(Noise()(features, seeing(divided)), Noise()(features, seeing(multiplied)))


def test_noise_tells_apart_images_that_differ_in_one_grey_level():
    image = torch.full((1, 3, 8, 8), 100 / 255)
    other = image.clone()
    other[0, 2, 7, 7] = 101 / 255
    features = torch.zeros(1, 1, 6, 6)
    assert not torch.isclose(Noise()(features, seeing(image)), Noise()(features, seeing(other))).any()


def test_noise_leaves_the_global_generators_alone():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    Noise()(torch.zeros(2, 1, 3, 3), seeing(torch.zeros(2, 3, 8, 8)))
    drawn = torch.rand(1), np.random.random()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    assert drawn == (torch.rand(1), np.random.random())  # noqa: NPY002


def test_noise_refuses_a_negative_seed():
    with pytest.raises(ValueError, match=r"(?s)seed.*greater than or equal to 0"):
        Noise(seed=-1)


def centre_surround_in_loops(image):
    """Every Gaussian weight written out, pixel by pixel; image (3, H, W)."""
    _, height, width = image.shape
    standardised = np.zeros(image.shape)
    for channel, values in enumerate(image):
        if values.max() > values.min():
            standardised[channel] = (values - values.mean()) / values.std()

    def blurred(row, column, level):
        spread = 2**level / math.sqrt(3) / 640
        total, weights = np.zeros(3), 0.0
        for y in range(height):
            for x in range(width):
                weight = math.exp(-(((y - row) / (spread * height)) ** 2 + ((x - column) / (spread * width)) ** 2) / 2)
                total += weight * standardised[:, y, x]
                weights += weight
        return total / weights

    saliency = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            levels = {level: blurred(row, column, level) for level in range(2, 9)}
            for centre, surround in ((2, 5), (2, 6), (3, 6), (3, 7), (4, 7), (4, 8)):
                saliency[row, column] += np.linalg.norm(levels[centre] - levels[surround])
    return saliency


def test_centre_surround_equals_its_definition_in_loops():
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 7, 9)))
    images[1, 2] = 0.3  # a flat channel
    maps = CentreSurround()(torch.zeros(2, 1, 2, 2), seeing(images))
    for image, saliency in zip(images, maps, strict=True):
        np.testing.assert_allclose(saliency.numpy(), centre_surround_in_loops(image.numpy()), rtol=1e-9, atol=1e-12)


def test_centre_surround_finds_what_differs_from_what_is_around():
    saliency = CentreSurround()(torch.zeros(1, 1, 2, 2), seeing(blob(96)))[0]
    x0, y0, x1, y1 = boxes_at(to_scoremap(saliency.numpy()), 0.4)[0] / 224
    assert [x0, y0, x1, y1] == pytest.approx([0.5, 0.2, 0.7, 0.4], abs=0.03)


def test_centre_surround_does_not_know_how_images_were_normalised():
    images = torch.rand(3, 3, 20, 24)
    mean, deviation = torch.tensor([0.2, 0.5, 0.9])[:, None, None], torch.tensor([0.1, 0.3, 2.0])[:, None, None]
    plain = CentreSurround()(torch.zeros(3, 1, 2, 2), seeing(images))
    normalised = CentreSurround()(torch.zeros(3, 1, 2, 2), seeing((images - mean) / deviation))
    torch.testing.assert_close(plain, normalised, atol=1e-5, rtol=1e-5)


def test_centre_surround_scales_with_the_input():
    low, high = (
        to_scoremap(CentreSurround()(torch.zeros(1, 1, 2, 2), seeing(blob(side)))[0].numpy()) for side in (112, 224)
    )
    assert np.corrcoef(low.flatten(), high.flatten())[0, 1] > 0.98


def test_centre_surround_of_a_flat_image_is_constant():
    for value in (0.1, -1.7, 0.0):
        raw_map = CentreSurround()(torch.zeros(1, 1, 2, 2), seeing(torch.full((1, 3, 9, 9), value)))[0]
        assert classify_raw_map(raw_map.numpy()) == "constant"


def test_centre_surround_of_a_batch_equals_singles():
    images = torch.rand(32, 3, 16, 16)
    together = CentreSurround()(torch.zeros(32, 1, 2, 2), seeing(images))
    alone = [CentreSurround()(torch.zeros(1, 1, 2, 2), seeing(images[i : i + 1])) for i in range(32)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)
