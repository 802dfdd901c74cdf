"""The share of the first component, against a few lines of numpy; what is shown is what the methods make."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from toy_tokens import ToyTokens
from toys import ToyDataset

import wsolbench
from wsolbench.contract import InputConfig, Split
from wsolbench.errors import UsageError
from wsolbench.testing.toys import ToyNetwork

SIZE = InputConfig(32)


@pytest.fixture
def toys():
    return ToyDataset({Split.TRAIN_FULLSUP: 5, Split.TEST: 2})


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return ToyNetwork(5, 2).eval()


def analyze(network, toys, out=None, images=None, **options):
    settings = {"input": SIZE, "random": False, "out": out, "images": images}
    return wsolbench.analyze("components", network, toys, options={"shown": 1, **options}, **settings)


def features_of(network, toys):
    """Return the maps (N, K, h, w) of all images, and the class weights (N, K)."""
    images = toys.images(Split.TRAIN_FULLSUP)
    pixels = np.stack([images.load(index) for index in range(len(images.ids))]) / 255
    normalised = torch.tensor((pixels - SIZE.mean) / SIZE.std, dtype=torch.float32).permute(0, 3, 1, 2)
    return network.conv(normalised).detach().numpy(), network.head.weight.detach().numpy()[images.labels]


def components_of(network, toys, *, signed=True):
    """Return the share and the map of the first component of every image, in a few lines."""
    shares, components = [], []
    for maps, weights in zip(*features_of(network, toys), strict=True):
        weights = weights if signed else np.ones(len(maps))
        rows = (weights[:, None] * maps.reshape(len(maps), -1)).astype(float)
        rows = (rows - rows.min(1, keepdims=True)) / np.ptp(rows, axis=1, keepdims=True)
        _, scales, axes = np.linalg.svd(rows - rows.mean(0))
        shares.append(scales[0] ** 2 / (scales**2).sum())
        components.append(axes[0].reshape(maps.shape[1:]))
    return shares, components


def test_the_table_is_that_of_numpy(network, toys, tmp_path):
    table = analyze(network, toys, tmp_path / "out")
    shares, _ = components_of(network, toys)
    quartiles = table[[f"PC1 share ({name})" for name in ("lower quartile", "median", "upper quartile")]].iloc[0]
    np.testing.assert_allclose(quartiles.to_numpy(float), np.quantile(shares, [0.25, 0.5, 0.75]), rtol=1e-5)
    assert table[["images", "not defined"]].iloc[0].tolist() == [5, 0]
    images = pd.read_csv(tmp_path / "out" / "components-images.csv")
    np.testing.assert_allclose(images["PC1 share"], shares, rtol=1e-5)
    assert images["image"].tolist() == list(toys.images(Split.TRAIN_FULLSUP).ids)
    names = [f"{name}.{ending}" for name in ("components", "components-image-1") for ending in ("png", "svg")]
    assert {*names, "components.csv", "components.json"} < {path.name for path in (tmp_path / "out").iterdir()}


def test_a_method_without_class_weights_takes_every_map_as_it_is(network, toys):
    table = analyze(network, toys, method="pc1-unsigned")
    assert table["PC1 share (median)"][0] == pytest.approx(
        np.median(components_of(network, toys, signed=False)[0]), rel=1e-5
    )
    assert analyze(ToyTokens(2).eval(), toys, method="pc1-unsigned", images=1)["images"].tolist() == [1]


def test_the_share_of_patches_is_the_energy_share_of_noise(network, toys):
    centred = [maps.reshape(len(maps), -1) for maps in features_of(network, toys)[0].astype(float)]
    centred = [maps - maps.mean(axis=1, keepdims=True) for maps in centred]
    expected = [np.linalg.eigvalsh(maps @ maps.T)[-1] / (maps**2).sum() for maps in centred]
    assert analyze(network, toys, method="pc1-patches")["PC1 share (median)"][0] == pytest.approx(np.median(expected))
    settings = {"input": SIZE, "random": False, "split": "train-fullsup"}
    noise = wsolbench.analyze("noise", network, toys, **settings)
    assert noise["energy share (median)"][0] == pytest.approx(np.median(expected))


def is_inverted(component):
    """Return whether the sign with a dark border makes the largest value negative."""
    bright = component > component.mean()
    border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]])
    largest = component.ravel()[np.abs(component).argmax()]
    return largest * (0.5 - border.mean()) < 0


def test_pictures_say_where_a_component_is_inverted(network, toys, tmp_path):
    expected = list(map(is_inverted, components_of(network, toys)[1]))
    images = {kind: f"val/{expected.index(kind)}" for kind in (True, False)}
    analyze(network, toys, tmp_path / "out", image=tuple(images.values()))
    for number, kind in enumerate(images, start=1):
        drawing = (tmp_path / "out" / f"components-image-{number}.svg").read_text()
        assert bool(re.search(r"PC1 inverted: \d", drawing)) is kind
        assert bool(re.search(r"PC1: \d", drawing)) is not kind


def test_a_share_that_is_not_defined_is_counted(network, toys):
    with torch.no_grad():
        network.conv.weight.zero_()
    table = analyze(network, toys, images=2)
    assert table["not defined"].tolist() == [2]
    assert table["PC1 share (median)"].isna().all()
    assert table.attrs["shows"].endswith("none is defined.")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {},
            'no linear head on its feature maps.* use options={"method": "pc1-unsigned"}, or a network with',
        ),
        ({"method": "cam"}, "method.*pc1-unsigned"),
        (
            {"method": "pc1-unsigned", "image": ("nowhere",)},
            'options={"image": "nowhere"}: train-fullsup has no such image among its 5',
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(toys, options, words):
    with pytest.raises(UsageError, match=words):
        analyze(ToyTokens(2).eval(), toys, **options)


def test_data_without_train_fullsup(network):
    with pytest.raises(UsageError, match="train-fullsup"):
        analyze(network, ToyDataset({Split.TEST: 2}))
