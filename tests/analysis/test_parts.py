"""Parts of a CAM: which channels they hold, which feature maps are shown, and scores that are those of a run."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from toys import ToyDataset, ToyNet

import wsolbench
from wsolbench.analysis.catalogue import load_study
from wsolbench.analysis.job import analyze
from wsolbench.analysis.parts import strongest
from wsolbench.analysis.stored import read_analysis
from wsolbench.config import AnalyzeConfig
from wsolbench.contract import BackboneSpec, InputConfig, Split
from wsolbench.engine.methods import build_method
from wsolbench.errors import DataError, UnknownNameError, UsageError, WeightsError
from wsolbench.figures.score_dots import Dot, draw_score_dots
from wsolbench.figures.style import Look
from wsolbench.host.registry import Registry
from wsolbench.progress import Reporter
from wsolbench.testing.toys import scene

IMAGES = 5
DATA = ToyDataset({Split.TEST: IMAGES, Split.TRAIN_FULLSUP: 4})
BRIGHTNESS = torch.tensor([DATA.images(Split.TEST).load(index).mean() / 255 for index in range(IMAGES)])


class Signed(ToyNet):
    """Features of both signs; each class has a small positive, a positive and a negative weight."""

    def __init__(self, num_classes=2):
        super().__init__(num_classes)
        weights = torch.tensor([[0.03, 0.5, -0.4], [0.01, 0.9, -0.7]])
        self.head.weight.data[:] = weights

    def forward_features(self, images):
        return super().forward_features(images - 0.2)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))


class Rectified(Signed):
    """Features that are never negative."""

    def forward_features(self, images):
        return super().forward_features(images).relu()


class Headless(Signed):
    """A network without class weights."""

    classifier_weight = None


class Withheld(Signed):
    """Some features are negative, but none of a negative weight, so that the maps of negative weights are constant."""

    def forward_features(self, images):
        features = super().forward_features(images)
        return torch.stack([features[:, 0], features[:, 1], features[:, 2].relu()], dim=1)


class Drowned(Signed):
    """The negative weight outweighs the positive ones everywhere, so that no map of all channels is left."""

    def __init__(self, num_classes=2):
        super().__init__(num_classes)
        self.head.weight.data[:, 2] = -2

    def forward_features(self, images):
        return super().forward_features(images).mean(dim=1, keepdim=True).relu().expand(-1, 3, -1, -1)


class Dark(Signed):
    """Sees nothing in dark images."""

    def forward_features(self, images):
        bright = images.mean(dim=(1, 2, 3), keepdim=True) > BRIGHTNESS.median()
        return super().forward_features(images) * bright


class Broken(Signed):
    """Features of NaN."""

    def forward_features(self, images):
        return super().forward_features(images) * float("nan")


def toy(network=Signed):
    return BackboneSpec(network.__name__.lower(), network, InputConfig(32, (0.0,) * 3, (1.0,) * 3), "us")


def study(name, network=Signed, **settings):
    return wsolbench.analyze(name, toy(network), DATA, weights="random", **settings)


@pytest.mark.parametrize("name", ["signs", "small-large"])
def test_parts_hold_the_channels_that_their_methods_sum(registry, name):
    features, context = scene()
    weights = context.class_weights
    for part in load_study(name)().parts:
        built = build_method(registry.methods.get(part.method), {**part.options, "relu": False})
        made = built.method(features, context)
        summed = torch.zeros_like(features[:, 0])
        for image, channel in np.ndindex(*weights.shape):
            if part.holds(weights)[image, channel]:
                summed[image] += weights[image, channel] * features[image, channel]
        torch.testing.assert_close(getattr(made, "maps", made), summed / weights.shape[1])


def test_weights_are_small_up_to_the_value():
    small, large = load_study("small-large")(value=0.3).parts
    weights = torch.tensor([-0.1, 0, 0.1, 0.3, 0.31])
    assert small.holds(weights).tolist() == [False, False, True, True, False]
    assert large.holds(weights).tolist() == [False, False, False, False, True]
    assert small.options == large.options == {"value": 0.3}


def test_the_strongest_feature_maps():
    random = np.random.default_rng(0)
    features, weights, held = random.normal(size=(7, 2, 3)), random.normal(size=7), random.random(7) < 0.6
    strength = {k: abs(weights[k]) * np.mean(np.abs(features[k])) for k in range(7) if held[k]}
    expected = sorted(strength, key=strength.get, reverse=True)
    found = strongest(torch.tensor(features), torch.tensor(weights), torch.tensor(held), 3)
    assert found == expected[:3]
    assert strongest(torch.tensor(features), torch.tensor(weights), torch.tensor(held), 9) == expected


@pytest.mark.slow
def test_scores_are_those_of_a_run_and_files_hold_them(tmp_path, compiled_sweep):  # noqa: ARG001
    table = study("signs", out=tmp_path / "out", options={"image": ["test/3", "test/1"]})
    records = wsolbench.run(toy(), ["cam", "cam-pos", "cam-neg"], DATA, weights="random")
    assert table["method"].tolist() == ["cam", "cam-pos", "cam-neg"]
    assert table["channels"].tolist() == [3, 2, 1]
    whole = records[0].metrics.max_box_acc_v2
    for row, record in zip(table.to_dict("records"), records, strict=True):
        assert row["MaxBoxAccV2"] == pytest.approx(record.metrics.max_box_acc_v2)
        assert row["τ"] == record.metrics.fullsup_cam_threshold_single
        if row["method"] != "cam":
            assert row["MaxBoxAccV2 difference"] == pytest.approx(record.metrics.max_box_acc_v2 - whole)
            assert row["MaxBoxAccV2 low"] <= row["MaxBoxAccV2 difference"] <= row["MaxBoxAccV2 high"]
    stored = read_analysis(tmp_path / "out" / "signs.json")
    assert stored.dataset.split_sizes == {"test": IMAGES, "train-fullsup": 4}
    assert {"signs.png", "signs-1-signed-random.svg", "signs-scores.csv"} <= set(stored.files)
    assert "1 random network" in table.attrs["shows"]
    drawing = (tmp_path / "out" / "signs-1-signed-random.svg").read_text()
    assert drawing.index("test/3") < drawing.index("test/1")


@pytest.mark.usefixtures("compiled_sweep", "no_maps_drawn")
def test_a_part_without_maps_and_one_image():
    with pytest.warns(UserWarning, match=r"rectified \(random\): .* of 'cam-neg'"):
        table = study("signs", Rectified, images=1)
    whole, positive, negative = table.to_dict("records")
    assert negative["note"] == "not defined: features ≥ 0"
    assert np.isnan(negative["MaxBoxAcc"])
    assert not np.isnan(positive["MaxBoxAcc difference"])
    assert np.isnan(positive["MaxBoxAcc low"])
    assert np.isnan(whole["MaxBoxAcc difference"])
    assert "(one image gives no intervals, use several)" in table.attrs["shows"]
    assert "cam-neg of rectified (random) (features ≥ 0)" in table.attrs["shows"]


@pytest.fixture
def no_maps_drawn(monkeypatch):
    monkeypatch.setattr("wsolbench.analysis.parts.draw_map_table", lambda *_: Figure())


@pytest.mark.usefixtures("compiled_sweep", "no_maps_drawn")
@pytest.mark.filterwarnings("ignore:.*one value only")
def test_maps_that_are_constant_on_all_images_are_no_maps_to_score(tmp_path):
    table = study("signs", Withheld, out=tmp_path / "out")
    _, positive, negative = table.to_dict("records")
    assert negative["note"] == "not defined: all maps are constant"
    assert negative["constant maps"] == IMAGES
    assert all(np.isnan(negative[name]) for name in ("MaxBoxAcc", "MaxBoxAccV2", "MaxBoxAccV2 low", "τ"))
    assert positive["constant maps"] == 0
    assert "cam-neg is better than cam for 0 and worse for 0, and has no maps for 1" in table.attrs["shows"]
    assert "No maps to score: cam-neg of withheld (random) (all maps are constant)." in table.attrs["shows"]
    assert "cam-neg not defined: all maps are constant" in (tmp_path / "out" / "signs.svg").read_text()


@pytest.mark.usefixtures("compiled_sweep", "no_maps_drawn")
@pytest.mark.filterwarnings("ignore:.*one value only")
def test_a_whole_without_maps_has_no_differences():
    table = study("signs", Drowned)
    whole, positive, _ = table.to_dict("records")
    assert whole["note"] == "not defined: all maps are constant"
    assert positive["MaxBoxAcc"] >= 0
    assert np.isnan(positive["MaxBoxAcc difference"])
    assert np.isnan(positive["MaxBoxAcc low"])


@pytest.mark.usefixtures("compiled_sweep", "no_maps_drawn")
@pytest.mark.filterwarnings("ignore:.*one value only")
def test_images_with_constant_maps_are_counted():
    dark = 3  # of five images, those up to the median
    table = study("signs", Dark)
    assert table["constant maps"].tolist() == [dark] * 3
    assert table["MaxBoxAcc"].notna().all()
    assert f"cam-pos of dark (random) in {dark} of {IMAGES} images" in table.attrs["shows"]
    assert table["note"].tolist() == [f"constant in {dark} of {IMAGES} images"] * 3


def test_bars_are_within_what_a_score_can_be():
    dots = {"cam": Dot(4), "cam-pos": Dot(3, -9, 15), "cam-neg": Dot(99, 96, 108)}
    figure = draw_score_dots({"MaxBoxAcc": {"net": dots}}, {"net": Look("blue", False)}, "cam")
    drawn = [line.get_xdata() for line in figure.axes[0].lines]
    bars = [(min(x), max(x)) for x in drawn if len(x) == 2]
    assert bars == [(0, 15), (96, 100)]
    low, high = figure.axes[0].get_xlim()
    assert low < 0 < 100 < high


def test_named_images_and_the_value_of_small_weights(cli, tmp_path):
    named = ["--image", "test/00005.png", "--image", "test/00000.png", "--out", tmp_path / "out"]
    quick = ["--backbone", "resnet_nano", "--weights", "random", "--workers", "1"]
    refused = cli("analyze", "small-large", *quick, "--images", 2, *named)
    assert refused.refused("--image test/0000", "not among the 2 images of test that are used; --images ")
    assert not (tmp_path / "out").exists()
    refused = cli("analyze", "small-large", *quick, "--value", "-1")
    assert refused.refused("option 'value' takes a number of at least 0, not '-1'")


@pytest.mark.parametrize(
    ("network", "error", "words"),
    [
        (Headless, UsageError, r"'headless \(random\)' has no linear head on its feature maps"),
        (Broken, (DataError, WeightsError), "not finite|NaN or infinity"),
    ],
)
def test_what_has_no_parts(network, error, words):
    with pytest.raises(error, match=words):
        study("signs", network)


def test_a_method_that_no_plugin_offers(registry):
    offers = [offer for catalogue in registry.catalogues for offer in catalogue if offer.name != "cam-neg"]
    config = AnalyzeConfig.of(analysis="signs", backbones=("resnet_nano",), weights=("random",), images=2)
    with pytest.raises(UnknownNameError, match=r"needs the methods cam, cam-pos, cam-neg: unknown method 'cam-neg'"):
        analyze(config, Registry(offers), Reporter(), command="")
