"""``wsolbench.run`` from Python: names, specifications and plain objects; what it returns, and what it refuses."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import wsolbench
from wsolbench.api import (
    Annotations,
    BackboneSpec,
    ImageSplit,
    InputConfig,
    MethodSpec,
    Split,
    UsageError,
    visit_layers,
)
from wsolbench.config import RunConfig
from wsolbench.records import identity_of

CRITTERS = InputConfig(96, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
QUICK = {"limit": 12, "threshold_step": 0.05, "batch_size": 6, "workers": 1}


def energy(features, _context):
    """The energy of the features."""
    return features.pow(2).sum(dim=1)


class Pooled(nn.Module):
    """A usual classifier: convolutions, an in-place ReLU, a pooling, a linear layer."""

    def __init__(self, classes=12):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 5, stride=4)
        self.body = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, classes)

    def forward(self, images):
        return self.fc(self.pool(self.relu(self.body(self.stem(images)))).flatten(1))


class Cut(Pooled):
    """The same as a `Backbone`."""

    def forward_features(self, images):
        return self.body(self.stem(images))

    def forward_head(self, features):
        return self.fc(self.relu(features.clone()).mean(dim=(2, 3)))

    @property
    def classifier_weight(self):
        return self.fc.weight


class ChannelsLast(Cut):
    """Says so as timm's networks do."""

    output_fmt = "NHWC"


class Squares:
    """A data set of two images, made here."""

    name, version, class_names, splits = "squares", "1", ("one", "two"), frozenset({Split.TEST})

    def images(self, _split):
        def load(index):
            image = np.zeros((40, 40, 3), dtype=np.uint8)
            image[8:24, 8 + index : 24 + index] = 255
            return image

        return ImageSplit(("a", "b"), np.array([0, 1]), load)

    def annotations(self, _split):
        boxes = {name: np.array([[8 + index, 8, 23 + index, 23]]) for index, name in enumerate(("a", "b"))}
        return Annotations(boxes, dict.fromkeys(boxes, (40, 40)))


@pytest.mark.usefixtures("no_gallery")
def test_names_give_what_the_command_line_gives(cli, tmp_path):
    records = wsolbench.run("replknet", ["cam", "pc1"], **QUICK)
    options = ["--limit", 12, "--threshold-step", 0.05, "--batch-size", 6, "--workers", 1, "--json"]
    both = ["--method", "cam", "--method", "pc1"]
    done = cli("run", "--backbone", "replknet", *both, *options, "--out", tmp_path / "out")
    for record, other in zip(records, done.records, strict=True):
        mine = json.loads(record.to_json())
        assert mine["metrics"] == other["metrics"]
        assert mine["outcomes_sha256"] == other["outcomes_sha256"]
        assert mine["dataset"] == other["dataset"]


@pytest.mark.usefixtures("no_gallery")
def test_nothing_is_written_unless_a_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wsolbench.run("replknet", "cam", **QUICK)
    assert list(tmp_path.iterdir()) == []
    wsolbench.run("replknet", "cam", out=tmp_path / "out", **QUICK)
    assert wsolbench.load_record(tmp_path / "out" / "record-cam.json").method.name == "cam"


@pytest.mark.parametrize("layer", ["body", "relu"])
def test_a_module_is_tapped_at_a_layer_and_stays_as_it_is(layer):
    module = Pooled().train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    (record,) = wsolbench.run(module, "cam", layer=layer, input=CRITTERS, **QUICK)
    assert module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert (record.backbone.name, record.backbone.weights.source) == ("pooled", "object")
    assert record.backbone.feature_shape == (16, 23, 23)


@pytest.mark.slow
def test_a_tapped_module_scores_like_the_same_network_cut_by_hand():
    methods = ["cam", "grad-cam", "pc1", energy]
    tapped = wsolbench.run(Pooled(), methods, layer="body", input=CRITTERS, **QUICK)
    cut = wsolbench.run(Cut(), methods, input=CRITTERS, **QUICK)
    for one, other in zip(tapped, cut, strict=True):
        assert one.metrics == other.metrics, one.method.name
        assert one.outcomes_sha256 == other.outcomes_sha256, one.method.name


class Auxiliary(Pooled):
    """Has another linear layer of the same form, which the scores do not come from."""

    def __init__(self):
        super().__init__()
        self.aux = nn.Linear(16, 12)


class ConvHead(Pooled):
    """Its head is a convolution before the pool."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(16, 12, 1)

    def forward(self, images):
        return self.pool(self.last(self.relu(self.body(self.stem(images))))).flatten(1)


class Deep(Pooled):
    """Has a head of two linear layers, so no class weights of feature maps."""

    def __init__(self):
        super().__init__()
        self.hidden, self.last = nn.Linear(16, 16), nn.Linear(16, 12)

    def forward(self, images):
        pooled = self.pool(self.relu(self.body(self.stem(images)))).flatten(1)
        return self.last(torch.relu(self.hidden(pooled)))


class Maps(Pooled):
    """Returns its feature maps."""

    def forward(self, images):
        return self.body(self.stem(images))


class Wrapped(Pooled):
    """Returns its scores in a dictionary."""

    def forward(self, images):
        return {"logits": super().forward(images)}


class Tapped(Cut):
    """The same with layers that can be read."""

    taps = ("stem", "body")

    def forward_tapped(self, images, visit):
        return visit_layers(self, images, visit)


def test_a_module_with_taps_runs_at_one_and_shows_all_to_methods():
    seen = []

    def later_layer(features, context):
        seen.append(torch.equal(features, context.taps["stem"]) and context.tap_names == ("stem", "body"))
        return context.taps["body"].sum(dim=1)

    (tapped,) = wsolbench.run(Tapped(), later_layer, tap="stem", input=CRITTERS, **QUICK)
    assert (tapped.backbone.tap, tapped.backbone.feature_shape) == ("stem", (8, 23, 23))
    assert seen
    assert all(seen)
    (own,) = wsolbench.run(Tapped(), lambda features, _: features.sum(dim=1), input=CRITTERS, **QUICK)
    assert own.metrics == tapped.metrics
    with pytest.raises(UsageError, match=r"--tap stem: 'cut' has no taps; omit the option"):
        wsolbench.run(Cut(), energy, tap="stem", input=CRITTERS, **QUICK)


def test_the_head_is_the_layer_that_computes_the_scores():
    plain, auxiliary = (
        wsolbench.run(module, "cam", layer="body", input=CRITTERS, **QUICK)[0] for module in (Pooled(), Auxiliary())
    )
    assert plain.outcomes_sha256 == auxiliary.outcomes_sha256
    for module, layer, words in (
        (Deep(), "body", "the method 'cam' needs class weights, which 'deep' does not have; methods that work"),
        (ConvHead(), "body", "the method 'cam' needs class weights, which 'convhead' does not have; methods that"),
        (Maps(), "body", r"Maps returns \(1, 16, 23, 23\); expected the scores alone, \(B, C\)"),
        (Wrapped(), "body", "Wrapped returns dict; expected the scores alone"),
        (Pooled().half(), "body", "cannot be run on a float32 image of 96×96"),
        (Pooled(), 5, "has no layer '5'"),
    ):
        with pytest.raises(UsageError, match=words):
            wsolbench.run(module, "cam", layer=layer, input=CRITTERS, **QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("build", [ConvHead, Deep])
def test_a_head_without_class_weights_serves_gradients(build):
    """Grad-CAM is that of the same head written as a `Backbone`."""
    torch.manual_seed(0)
    module = build()

    class AsBackbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward_features(self, images):
            return self.inner.body(self.inner.stem(images))

        def forward_head(self, features):
            active = self.inner.relu(features.clone())
            if build is ConvHead:
                return self.inner.last(active).mean(dim=(2, 3))
            return self.inner.last(torch.relu(self.inner.hidden(active.mean(dim=(2, 3)))))

    (tapped,) = wsolbench.run(module, "grad-cam", layer="body", input=CRITTERS, **QUICK)
    (cut,) = wsolbench.run(AsBackbone(), "grad-cam", input=CRITTERS, **QUICK)
    assert tapped.metrics == cut.metrics
    assert tapped.backbone.classes == 12


def test_a_function_and_a_specification_are_methods():
    spec = MethodSpec("scaled", lambda factor=2.0: lambda features, _context: factor * features.mean(dim=1), "us")
    records = wsolbench.run("resnet_nano", [energy, spec], method_options={"scaled": {"factor": 3.0}}, **QUICK)
    assert [record.method.name for record in records] == ["energy", "scaled"]
    assert records[1].method.options == {"factor": 3.0}
    assert " source-" in records[0].method.provider


@pytest.mark.slow
def test_functions_of_one_name_are_one_experiment_only_if_they_are_the_same():
    def make(factor, method=energy):
        def scaled(features, context):
            return factor * method(features, context)

        return scaled

    def other():
        def scaled(features, _context):
            return features.amax(dim=1)

        return scaled

    methods = (make(2.0), make(2.0), make(3.0), other(), partial(make(2.0)))
    records = [wsolbench.run("resnet_nano", method, **QUICK)[0] for method in methods]
    assert {record.method.name for record in records} == {"scaled"}
    first, again, tripled, another, bound = (identity_of(record).sha256 for record in records)
    assert first == again == bound
    assert len({first, tripled, another}) == 3


def test_further_parameters_of_a_function_are_its_options():
    def power(features, _context, exponent: float = 2.0):
        return features.abs().pow(exponent).mean(dim=1)

    plain, cubed = (
        wsolbench.run("resnet_nano", method, method_options=options, **QUICK)[0]
        for method, options in ((power, None), (power, {"power": {"exponent": 3}}))
    )
    assert (plain.method.options, cubed.method.options) == ({"exponent": 2.0}, {"exponent": 3.0})
    assert plain.outcomes_sha256 != cubed.outcomes_sha256
    with pytest.raises(UsageError, match=r"has no option 'exponen'\. Did you mean 'exponent'"):
        wsolbench.run("resnet_nano", power, method_options={"power": {"exponen": 3}}, **QUICK)


def test_a_specification_is_a_backbone_and_an_object_a_data_set():
    spec = BackboneSpec("cut", Cut, CRITTERS, "us", classifier_key="fc.weight")
    (record,) = wsolbench.run(spec, "cam", Squares(), weights="random", threshold_step=0.05)
    assert (record.backbone.name, record.dataset.name) == ("cut", "squares")
    assert record.dataset.split_sizes == {"test": 2}


def test_records_are_tables_for_a_notebook():
    records = wsolbench.run("resnet_nano", ["cam", energy], **QUICK)
    frame = records.to_frame()
    assert list(frame["method"]) == ["cam", "energy"]
    assert frame["max_box_acc_v2"].tolist() == [record.metrics.max_box_acc_v2 for record in records]
    html = records._repr_html_()
    assert html.count("<table") == 1
    assert "energy" in html
    assert "MaxBoxAccV2" in records[0]._repr_html_()
    assert "MaxBoxAccV2" in str(records[0])
    assert str(records).count("fullsup τ") >= 2
    assert repr(records[0]) == "<ResultRecord: resnet_nano, cam on critters>"
    assert "difference" in str(records[0].compare(records[1]))


def test_the_settings_are_in_the_record_and_read_back_as_a_configuration():
    (record,) = wsolbench.run("resnet_nano", "cam", method_options={"cam": {"relu": False}}, seed=3, **QUICK)
    config = RunConfig.of(**record.config)
    assert (config.seed, config.limit, config.threshold_step) == (3, 12, 0.05)
    assert config.methods == {"cam": {"relu": False}}
    assert RunConfig.from_json(config.to_json()) == config
    assert record.environment.command.startswith("wsolbench.run(backbone='resnet_nano', method='cam'")


def refusal(call):
    """Return why a run is refused; nothing where it is not."""
    try:
        wsolbench.run(**call)
    except UsageError as error:
        return str(error)
    return ""


def test_what_cannot_be_run_is_refused_in_one_line():
    for arguments, words in (
        ({"backbone": "replknt"}, "Did you mean 'replknet'"),
        ({"backbone": 3}, "backbone: expected a name, a specification or a torch.nn.Module, got 3"),
        ({"backbone": Pooled()}, "pass the layer whose output is the feature maps: layer='body'"),
        ({"backbone": ChannelsLast()}, "ChannelsLast returns feature maps as NHWC, not (B, K, h, w); pass its name"),
        ({"backbone": Pooled(), "layer": "bdy"}, "has no layer 'bdy'; did you mean body"),
        ({"backbone": Pooled(), "layer": "fc"}, "returns (1, 12); expected feature maps (1, K, h, w)"),
        ({"backbone": Pooled(), "layer": "stem"}, "returns 8 feature maps, but the linear layer 'fc' reads 16"),
        ({"backbone": nn.Conv2d(3, 4, 1), "layer": ""}, "expected the scores alone"),
        ({"layer": "body"}, "layer and input describe a module"),
        ({"backbone": Cut(), "weights": "random"}, "a module comes with its own"),
        ({"method": []}, "method: name at least one"),
        ({"backbone": Pooled(), "layer": "body", "input": 96}, "input: expected an InputConfig"),
        ({"method": 7}, "method: expected names, specifications or functions"),
        ({"method": [energy, energy]}, "names a method twice"),
        ({"method_options": {"pc1": {}}}, "'pc1' is no method of this run"),
        ({"method_options": {"cam": {"rel": 1}}}, "has no option 'rel'"),
        ({"dataset": object()}, "object has no name and no splits"),
        ({"limit": 0}, "limit takes a whole number of at least 1, or none, not 0"),
        ({"split": "val"}, "split takes test|train-fullsup, not 'val'"),
        ({"threshold_step": float("nan")}, "threshold_step takes a number from 1e-05 to 1, not nan"),
    ):
        call = {"backbone": "resnet_nano", "method": "cam", "input": None, **QUICK, **arguments}
        if isinstance(call["backbone"], nn.Module) and call["input"] is None:
            call["input"] = CRITTERS
        assert words in refusal(call)


def test_warnings_are_pythons():
    def nothing(features, _context):
        return torch.zeros_like(features[:, 0])

    test = pytest.warns(UserWarning, match="12 of 12 maps of 'nothing' on test hold one value only")
    with test, pytest.warns(UserWarning, match="on train-fullsup hold one value only"):
        wsolbench.run("resnet_nano", nothing, **QUICK)
