"""A stranger's backbone and method: listed, described and run like ours; and what happens when they break at work."""

import json

import pytest
from plugin_projects import Project, install, leftovers, pip_install

HEALTHY = '''
import numpy as np
from torch import nn

from wsolbench.api import Annotations, BackboneSpec, DatasetSpec, ImageSplit, InputConfig, MethodSpec, Split, hookimpl


class Squares:
    """Eight images a split, each with one bright square."""

    name, version, class_names = "squares", "1", ("a", "b", "c")
    splits = frozenset({Split.TRAIN_FULLSUP, Split.TEST})

    def images(self, split):
        ids = tuple(f"{split.value}/{index}" for index in range(8))
        return ImageSplit(ids, np.arange(8) % 3, self.load)

    def load(self, index):
        image = np.full((40, 40, 3), 30, dtype=np.uint8)
        image[index : index + 16, 8:24] = 200
        return image

    def annotations(self, split):
        ids = self.images(split).ids
        boxes = {image_id: np.array([[8, index, 23, index + 15]]) for index, image_id in enumerate(ids)}
        return Annotations(boxes, dict.fromkeys(ids, (40, 40)))


class Tiny(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 8, stride=8)
        self.head = nn.Linear(6, num_classes)

    def forward_features(self, images):
        return self.conv(images).relu()

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    @property
    def classifier_weight(self):
        return self.head.weight


def power(*, power: float = 2.0):
    def method(features, context):
        print("a method talks")  # which must not get among the records on stdout
        return features.mean(dim=1) ** power

    return method


@hookimpl
def wsolbench_backbones():
    return [BackboneSpec("tiny", Tiny, InputConfig(size=32), "Acme 2030", family="tinies")]


@hookimpl
def wsolbench_methods():
    return [MethodSpec("power", power, "Acme 2031")]


@hookimpl
def wsolbench_datasets():
    return [DatasetSpec("squares", lambda roots: Squares(), "Acme 2032")]
'''

BREAKING = """
import torch
from acme_healthy import Tiny
from wsolbench.api import BackboneSpec, InputConfig, MethodSpec, hookimpl


def builds_not(num_classes):
    raise RuntimeError("no kernel\\nfor this GPU")


def exits(num_classes):
    raise SystemExit("bye")


class NoHead(Tiny):
    forward_head = property()


class Flat(Tiny):
    def forward_features(self, images):
        return super().forward_features(images).flatten(1)


class Raises(Tiny):
    def forward_head(self, features):
        raise KeyError("logits")


def picky():
    def method(features, context):
        if (context.class_indices == 2).any():
            raise ValueError("class 2\\nis too bright")
        return features.mean(dim=1)
    return method


def asks():
    raise LookupError("no options")


RETURNS = {
    "flat": lambda features, context: features.mean(dim=(1, 2)),
    "four": lambda features, context: features,
    "short": lambda features, context: features.mean(dim=1)[:1],
    "empty": lambda features, context: features[:, 0, :0],
    "none": lambda features, context: None,
    "numpy": lambda features, context: features.mean(dim=1).numpy(),
    "leaves": lambda features, context: exit(7),
}


@hookimpl
def wsolbench_backbones():
    networks = {"builds-not": builds_not, "exits": exits, "a-string": str, "no-head": NoHead}
    networks |= {"flat-features": Flat, "raises": Raises}
    return [BackboneSpec(name, build, InputConfig(size=32), "s") for name, build in networks.items()]


def offering(method):
    return lambda: method


def holds_a_function(rule=exit):
    return rule


def mutates(features, context):
    return features.abs_().mean(dim=1)


@hookimpl
def wsolbench_methods():
    methods = [MethodSpec(f"returns-{name}", offering(method), "s") for name, method in RETURNS.items()]
    methods += [MethodSpec("holds", holds_a_function, "s"), MethodSpec("mutates", offering(mutates), "s")]
    return [*methods, MethodSpec("picky", picky, "s"), MethodSpec("asks", asks, "s")]
"""

WHO = "plugin acme-breaking 1.2 'breaking'"
BROKEN_BACKBONES = {
    "builds-not": f"{WHO} failed building 'builds-not': RuntimeError: no kernel for this GPU",
    "exits": f"{WHO} failed building 'exits': SystemExit: bye",
    "a-string": f"{WHO} failed building 'a-string': TypeError: expected a torch.nn.Module, got str",
    "no-head": f"{WHO} failed building 'no-head': TypeError: NoHead has no forward_head",
    "raises": f"{WHO} failed in 'raises' on the images from 'val/0' on: KeyError: 'logits'",
}
GOT = "expected raw maps (6, h, w) as a torch tensor"
BROKEN_METHODS = {
    "picky": f"{WHO} failed in the method 'picky' on the image 'val/2': ValueError: class 2 is too bright",
    "asks": f"{WHO} failed building the method 'asks': LookupError: no options",
    "holds": f"{WHO} failed building the method 'holds': PydanticSerializationError: Unable to serialize unknown type: "
    "<class '_sitebuiltins.Quitter'>",
    "mutates": f"{WHO}: the method 'mutates' changed the features in place; it has to work on a copy, "
    "such as features.clone()",
    "returns-leaves": f"{WHO} failed in the method 'returns-leaves' on the image 'val/0': SystemExit: 7",
    "returns-flat": f"{WHO}: the method 'returns-flat' returned (6, 4) for the images from 'val/0' on; {GOT}",
    "returns-four": f"{WHO}: the method 'returns-four' returned (6, 6, 4, 4) for the images from 'val/0' on; " + GOT,
    "returns-short": f"{WHO}: the method 'returns-short' returned (1, 4, 4) for the images from 'val/0' on; " + GOT,
    "returns-empty": f"{WHO}: the method 'returns-empty' returned (6, 0, 4) for the images from 'val/0' on; " + GOT,
    "returns-none": f"{WHO}: the method 'returns-none' returned NoneType for the images from 'val/0' on; {GOT}",
    "returns-numpy": f"{WHO}: the method 'returns-numpy' returned ndarray for the images from 'val/0' on; " + GOT,
}


def run_arguments(backbone, method, out, dataset="squares"):
    options = ["--weights", "random", "--limit", "6", "--interval", "0.05", "--device", "cpu", "--workers", "1"]
    return ["run", "--backbone", backbone, "--method", method, *options, "--dataset", dataset, "--out", str(out)]


@pytest.fixture(scope="module")
def healthy_site(tmp_path_factory):
    """A healthy plugin, installed by pip straight from its project."""
    folder = tmp_path_factory.mktemp("healthy")
    return pip_install(folder / "site", Project("acme-healthy", HEALTHY, version="1.1").write(folder))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Where every run of this module wants to write."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def results(command_line, healthy_site, outputs, tmp_path_factory, compiled_sweep):  # noqa: ARG001
    """All runs of this module, in one process: name -> result."""
    breaking = install(tmp_path_factory.mktemp("breaking"), Project("acme-breaking", BREAKING, version="1.2"))
    calls = {name: run_arguments(name, "cam", outputs / name) for name in [*BROKEN_BACKBONES, "flat-features"]}
    calls["tiny"] = [*run_arguments("tiny", "cam", outputs / "tiny"), "--no-gallery"]
    calls |= {name: run_arguments("tiny", name, outputs / name) for name in BROKEN_METHODS}
    calls["power"] = run_arguments("acme-healthy:tiny", "power", outputs / "power")
    calls["power"] += ["--method", "pc1", "--method-opt", "power.power=3", "--json"]
    calls["family"] = run_arguments("tinies", "power", outputs / "family")
    calls["describe"] = ["describe", "builds-not"]
    calls["replknet"] = [*run_arguments("replknet_nano", "pc1", outputs / "replknet"), "--no-gallery"]
    return dict(zip(calls, command_line(breaking, healthy_site).many(*calls.values()), strict=True))


@pytest.mark.slow
def test_is_listed_and_described_like_ours(command_line, healthy_site, our_names):
    describe = [["describe", name, "--json"] for name in ("tiny", "power", "tinies")]
    listed, plugins, *described = command_line(healthy_site).many(["list"], ["plugins"], *describe)
    assert sorted(listed.names) == sorted([*our_names, "tiny", "power", "squares"])
    rows = {row[0]: row[1:] for row in listed.rows}
    assert rows["tiny"] == ["backbone", "tinies", "acme-healthy 1.1 'healthy'", "Acme 2030"]
    assert rows["power"] == ["method", "", "acme-healthy 1.1 'healthy'", "Acme 2031"]
    assert listed.err == ""
    assert ["acme-healthy", "1.1", "healthy", "backbones tiny; methods power; datasets squares"] in plugins.rows
    tiny, power, family = (json.loads(result.out) for result in described)
    assert (tiny["kind"], tiny["provider"]) == ("backbone", "acme-healthy 1.1 'healthy'")
    assert (tiny["feature_channels"], tiny["feature_stride"], tiny["feature_size"]) == (6, 8, [4, 4])
    assert power["options"] == {"power": {"type": "float", "default": 2.0}}
    assert family == tiny


@pytest.mark.slow
def test_runs_like_ours(results, outputs):
    result = results["power"]
    assert result.code == 0, result.err
    assert "a method talks" in result.err
    power, pc1 = map(json.loads, result.out.splitlines())
    assert power["backbone"]["provider"] == "acme-healthy 1.1 'healthy'"
    assert power["method"]["provider"] == "acme-healthy 1.1 'healthy'"
    assert power["method"]["options"] == {"power": 3.0}
    assert power["environment"]["plugins"]["acme-healthy"] == "1.1"
    assert pc1["environment"]["plugins"].keys() == {"acme-breaking", "acme-healthy", "wsolbench"}
    assert 0 <= power["metrics"]["max_box_acc_v2"] <= 100
    assert [name for name in leftovers(outputs / "power") if not name.endswith(".gz")] == [
        "gallery-pc1.png",
        "gallery-power.png",
        "record-pc1.json",
        "record-power.json",
    ]


@pytest.mark.slow
def test_runs_on_the_embedded_data_set(command_line, healthy_site, tmp_path):
    out = tmp_path / "out"
    result = command_line(healthy_site)(*run_arguments("tiny", "power", out, "critters"))
    assert "MaxBoxAccV2" in result.out
    assert [name for name in leftovers(out) if not name.endswith(".gz")] == ["gallery-power.png", "record-power.json"]


def test_our_method_runs_on_its_backbone(results, outputs):
    assert results["tiny"].code == 0
    assert "record-cam.json" in leftovers(outputs / "tiny")


def test_a_family_without_weights_asks_for_a_variant(results, outputs):
    result = results["family"]
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("error: 'tinies' is a family of networks")
    assert line.endswith("name one: tiny")
    assert not (outputs / "family").exists()


def test_breaking_at_work_is_one_line_that_names_the_plugin(results, outputs):
    for name, expected in (BROKEN_BACKBONES | BROKEN_METHODS).items():
        result = results[name]
        assert (result.code, result.out) == (2, "")
        assert result.err == f"error: {expected}\n"
        assert not (outputs / name).exists()


def test_features_of_a_wrong_shape_are_an_error_that_names_the_plugin(results, outputs):
    result = results["flat-features"]
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith(f"error: {WHO}")
    assert not (outputs / "flat-features").exists()


def test_describing_a_network_that_cannot_be_built(results):
    result = results["describe"]
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error: {BROKEN_BACKBONES['builds-not']}\n"


def test_nothing_is_left_beside_the_outputs(results, outputs):
    assert results["replknet"].code == 0
    assert leftovers(outputs) == ["power", "replknet", "tiny"]
