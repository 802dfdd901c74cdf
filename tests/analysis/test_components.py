"""The share of the first component, against a few lines of numpy; what is shown is what the methods make."""

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


def shares_of(network, toys, *, signed):
    """Return the share of the first component of every image, in a few lines."""
    images = toys.images(Split.TRAIN_FULLSUP)
    pixels = np.stack([images.load(index) for index in range(len(images.ids))]) / 255
    normalised = torch.tensor((pixels - SIZE.mean) / SIZE.std, dtype=torch.float32).permute(0, 3, 1, 2)
    shares = []
    for maps, label in zip(network.conv(normalised).detach().numpy(), images.labels, strict=True):
        weights = network.head.weight.detach().numpy()[label] if signed else np.ones(len(maps))
        rows = (weights[:, None] * maps.reshape(len(maps), -1)).astype(float)
        rows = (rows - rows.min(1, keepdims=True)) / np.ptp(rows, axis=1, keepdims=True)
        variances = np.linalg.svd(rows - rows.mean(0), compute_uv=False) ** 2
        shares.append(variances[0] / variances.sum())
    return shares


def test_the_table_is_that_of_numpy(network, toys, tmp_path):
    table = analyze(network, toys, tmp_path / "out")
    shares = shares_of(network, toys, signed=True)
    quartiles = table[["lower quartile", "median", "upper quartile"]].iloc[0]
    np.testing.assert_allclose(quartiles.to_numpy(float), np.quantile(shares, [0.25, 0.5, 0.75]), rtol=1e-5)
    assert table[["images", "not defined"]].iloc[0].tolist() == [5, 0]
    images = pd.read_csv(tmp_path / "out" / "components-images.csv")
    np.testing.assert_allclose(images["share"], shares, rtol=1e-5)
    assert images["image"].tolist() == list(toys.images(Split.TRAIN_FULLSUP).ids)
    names = [f"{name}.{ending}" for name in ("components", "components-image-1") for ending in ("png", "svg")]
    assert {*names, "components.csv", "components.json"} < {path.name for path in (tmp_path / "out").iterdir()}


def test_a_method_without_class_weights_takes_every_map_as_it_is(network, toys):
    table = analyze(network, toys, method="pc1-unsigned")
    assert table["median"][0] == pytest.approx(np.median(shares_of(network, toys, signed=False)), rel=1e-5)
    assert analyze(ToyTokens(2).eval(), toys, method="pc1-unsigned", images=1)["images"].tolist() == [1]


def test_a_share_that_is_not_defined_is_counted(network, toys):
    with torch.no_grad():
        network.conv.weight.zero_()
    table = analyze(network, toys, images=2)
    assert table["not defined"].tolist() == [2]
    assert table["median"].isna().all()
    assert table.attrs["shows"].endswith("none is defined.")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no linear head on its feature maps.* use --method pc1-unsigned, or a network with a linear head"),
        ({"method": "cam"}, "method.*pc1-unsigned"),
        ({"method": "pc1-unsigned", "image": ("nowhere",)}, "--image nowhere: train-fullsup has no such image"),
    ],
)
def test_what_cannot_be_measured_is_refused(toys, options, words):
    with pytest.raises(UsageError, match=words):
        analyze(ToyTokens(2).eval(), toys, **options)


def test_data_without_train_fullsup(network):
    with pytest.raises(UsageError, match="train-fullsup"):
        analyze(network, ToyDataset({Split.TEST: 2}))
