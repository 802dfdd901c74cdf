"""Areas of feature maps against class weights, against a few lines of numpy."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.stats import rankdata, spearmanr
from torch import nn
from toy_tokens import ToyTokens
from toys import ToyDataset

import wsolbench
from wsolbench.analysis.correlation import image_draws, rank_correlations
from wsolbench.analysis.studies.weights import pillar, quadrants
from wsolbench.contract import InputConfig, Split
from wsolbench.errors import DataError, UsageError
from wsolbench.protocol.uncertainty import interval
from wsolbench.testing.toys import ToyNetwork

SIZE = InputConfig(32)


@pytest.fixture
def toys():
    return ToyDataset({Split.TEST: 6})


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return ToyNetwork(5, 2).eval()


@pytest.fixture
def no_pictures(monkeypatch):
    """Draw nothing, which takes most of the time."""
    monkeypatch.setattr("wsolbench.analysis.studies.weights.draw_joint_densities", lambda *_, **__: Figure())


def analyze(network, toys, **options):
    settings = {name: options.pop(name) for name in ("images", "out") if name in options}
    return wsolbench.analyze("weights", network, toys, input=SIZE, random=False, options=options, **settings)


def numbers_of(network, toys, threshold, relative):
    """Return weights and quantities (N, K), in a few lines."""
    images = toys.images(Split.TEST)
    pixels = np.stack([images.load(index) for index in range(len(images.ids))]) / 255
    normalised = (pixels - SIZE.mean) / SIZE.std
    with torch.no_grad():
        maps = network.conv(torch.tensor(normalised, dtype=torch.float32).permute(0, 3, 1, 2)).numpy()
    weights = network.head.weight.detach().numpy()[images.labels]
    cuts = [relative * np.percentile(each, 99) for each in maps]
    above = [(each > cut).mean(axis=(1, 2)) for each, cut in zip(maps, cuts, strict=True)]
    return weights, [np.stack(above), (maps > threshold).mean(axis=(2, 3)), maps.mean(axis=(2, 3))]


def test_the_table_is_that_of_numpy(network, toys, tmp_path):
    table = analyze(network, toys, threshold=0.2, relative=0.4, out=tmp_path / "out")
    weights, quantities = numbers_of(network, toys, 0.2, 0.4)
    assert table["quantity"].tolist() == ["area above 0.4 of the 99th percentile", "area above 0.2", "mean (GAP)"]
    distance = np.abs(weights)
    near = distance <= np.quantile(distance, 0.2)
    for number, values in enumerate(quantities):
        row = table.iloc[number]
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-5)
        assert row["rank correlation"] == pytest.approx(spearmanr(weights.ravel(), values.ravel()).statistic, rel=1e-6)
        assert row["rank correlation low"] <= row["rank correlation"] <= row["rank correlation high"]
        up = values > np.median(values)
        assert row["share w > 0, above"] == pytest.approx(((weights > 0) & up).mean())
        assert row["share w ≤ 0, below"] == pytest.approx(((weights <= 0) & ~up).mean())
        if number < 2:
            assert row["near 0"] == pytest.approx(values[near].mean() / values[~near].mean(), rel=1e-6)
        else:
            assert np.isnan(row["near 0"])
    drawing = (tmp_path / "out" / "weights.svg").read_text()
    for words in ("Line:", "Dotted:", "Hexagons:", "Histograms:", "quadrants", "count (log)"):
        assert words in drawing, words
    names = {"weights", "weights-threshold", "weights-mean"}
    pictures = {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == pictures | {
        "weights.json",
        "weights.csv",
        "weights-bins.csv",
    }


class Scaled(ToyNetwork):
    """Its head reads features of another scale in every channel."""

    scale = torch.tensor([1, 9, 0.2, 3, 0.5])

    def forward_head(self, features):
        return super().forward_head(features * self.scale[:, None, None])

    def effective_weights(self, _features, classes):
        return self.head.weight[classes] * self.scale, self.head.bias[classes]


@pytest.mark.usefixtures("no_pictures")
def test_effective_weights_are_those_of_the_contract(network, toys):
    scaled = Scaled(5, 2).eval()
    scaled.load_state_dict(network.state_dict())
    weights, (values, *_) = numbers_of(network, toys, 10, 0.5)
    for kind, expected in {"raw": weights, "effective": weights * Scaled.scale.numpy()}.items():
        found = analyze(scaled, toys, class_weights=kind)["rank correlation"][0]
        assert found == pytest.approx(spearmanr(expected.ravel(), values.ravel()).statistic)
    with pytest.raises(UsageError, match="does not offer effective weights; use the raw ones"):
        analyze(network, toys, class_weights="effective")


def test_correlations_of_resamples_are_those_of_drawn_pairs():
    random = np.random.default_rng(5)
    x, y = random.normal(size=(2, 7, 4))
    y = np.round(y + x)  # with ties
    draws = image_draws(7, resamples=40)
    expected = []
    for counts in draws:
        pairs = [np.repeat(values, counts.astype(int), axis=0).ravel() for values in (x, y)]
        expected.append(np.corrcoef(*map(rankdata, pairs))[0, 1])
    value = spearmanr(x.ravel(), y.ravel()).statistic
    found = rank_correlations(x, {"y": y}, draws)["y"]
    assert found.value == pytest.approx(value)
    assert (found.low, found.high) == pytest.approx(interval(value, np.array(expected)))


def test_known_answers():
    weights = np.linspace(-1, 1, 20).reshape(4, 5)
    draws = image_draws(4, resamples=50)
    found = rank_correlations(weights, {"same": weights**3, "turned": -weights, "flat": weights * 0}, draws)
    assert found["same"].value == pytest.approx(1)
    assert found["turned"].high == pytest.approx(-1)
    assert np.isnan([found["flat"].value, found["flat"].low]).all()
    areas = np.where(np.abs(weights) < 0.2, 0.9, 0.3)  # 4 of 20 maps
    assert pillar(weights, areas, draws).value == pytest.approx(3)
    assert np.isnan(pillar(weights, areas * 0, draws).value)
    assert list(quadrants(weights, weights).values()) == [0.5, 0, 0, 0.5]


@pytest.mark.usefixtures("no_pictures")
def test_one_image_has_no_intervals(network, toys):
    table = analyze(network, toys, images=1)
    assert table["rank correlation"].notna().any()
    assert table["rank correlation low"].isna().all()
    assert "one image gives no intervals" in table.attrs["shows"]


class OfNumbers(nn.Module):
    """A network whose features are what a function makes of pooled pixels."""

    def __init__(self, change):
        super().__init__()
        self.change, self.head = change, nn.Linear(3, 2)

    def forward_features(self, images):
        return self.change(nn.functional.avg_pool2d(images, 8))

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    @property
    def classifier_weight(self):
        return self.head.weight


@pytest.mark.parametrize(
    ("network", "error", "words"),
    [
        (ToyTokens(2), UsageError, "has no linear head on its feature maps.* use an analysis that needs none"),
        (OfNumbers(lambda maps: maps.mean((2, 3), keepdim=True)), UsageError, "have one position at 32 px"),
        (OfNumbers(lambda maps: maps / 0), DataError, "features of the image 'test/0' hold NaN"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(toys, tmp_path, network, error, words):
    with pytest.raises(error, match=words) as refused:
        analyze(network.eval(), toys, out=tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
