"""The classes of the package ``grad-cam`` behind ``gradcam:``: their own maps, on our features, and nothing kept."""

import gc
import sys
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import cache
from unittest import SkipTest

import numpy as np
import pytest
import torch
from toy_tokens import ToyTokens
from wsolbench_plugins.backbones.timm_networks import networks
from wsolbench_plugins.methods.gradcam_package import wsolbench_methods

from wsolbench import testing
from wsolbench.api import Features, MethodContext, UsageError
from wsolbench.contract.options import build_with_options, list_options
from wsolbench.leaderboard import add, build
from wsolbench.records import read_record

(ZOO,) = wsolbench_methods()
OFFERED = {
    "AblationCAM",
    "EigenCAM",
    "EigenGradCAM",
    "FEM",
    "GradCAM",
    "GradCAMElementWise",
    "GradCAMPlusPlus",
    "HiResCAM",
    "KPCA_CAM",
    "LayerCAM",
    "ScoreCAM",
    "SegEigenCAM",
    "ShapleyCAM",
    "XGradCAM",
}
REFUSED = {"FinerCAM", "FullGrad", "RandomCAM", "RefineCAM", "SESS"}
BY_DEFAULT = "GradCAM"
"""The one class that the default tests try; the slow tests try all."""


def each(names):
    """Return a parameter for every name, slow but for the one class."""
    return [pytest.param(name, marks=[] if name == BY_DEFAULT else pytest.mark.slow) for name in sorted(names)]


package = pytest.importorskip("pytorch_grad_cam")
from pytorch_grad_cam.utils.image import scale_cam_image  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402


def made(name, **options):
    """Build a method from options given as text."""
    return build_with_options(name, ZOO.find(name).build, options)[0]


SIDE = 96


@cache
def scene(network):
    """Return features of two random images in a network built by timm, channels-last as in a run, and their context."""
    torch.manual_seed(0)
    backbone = networks.build(network, 7).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    with torch.no_grad():
        features = backbone.forward_features(images)
        logits = backbone.forward_head(features)
    return features, MethodContext(backbone, images, logits.argmax(dim=1), logits)


def test_every_class_of_the_package_is_known():
    """A new version of it may bring new ones: are they to be offered, and do they look at pixels?"""
    assert set(ZOO.names()) == OFFERED | REFUSED
    meta_classes = {name for name in vars(package) if name.endswith(("CAM", "Grad", "SESS"))}
    assert meta_classes <= OFFERED | REFUSED


@pytest.mark.parametrize("name", each(OFFERED))
def test_conforms(name):
    for _, check in testing.conformance_checks(ZOO.find(name)):
        with suppress(SkipTest):
            check()


@pytest.mark.parametrize("name", each(OFFERED))
def test_is_the_map_of_the_package_before_it_is_rescaled(name):
    assert_is_the_map_of_the_package("resnet_nano", name)


# XGradCAM divides by the sum of a channel, which ConvNeXt's features, of either sign, bring near 0: there processors
# differ by more than the tolerance.
@pytest.mark.parametrize("name", each(OFFERED - {"ScoreCAM", "XGradCAM"}))
def test_is_the_map_of_the_package_behind_a_layer_norm(name):
    assert_is_the_map_of_the_package("convnext_atto", name)


def assert_is_the_map_of_the_package(network, name):
    """The package by itself, on the whole network, with the tapped layer as its target, gives the same."""
    features, context = scene(network)
    with torch.no_grad():
        maps = made(name)(features, context)
    whole = deepcopy(context.backbone).requires_grad_(True)
    layer = whole.layer4 if network == "resnet_nano" else whole.stages
    targets = [ClassifierOutputTarget(index) for index in context.class_indices.tolist()]
    with getattr(package, name)(whole, [layer]) as cam:
        expected = cam(context.images.contiguous(), targets)
    assert maps.shape == features[:, 0].shape
    ours = scale_cam_image(scale_cam_image(maps.numpy(), (SIDE, SIDE)))
    assert expected.std() > 0.01
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@cache
def tokens():
    """Return feature maps of three random images in a network of tokens, and their context."""
    torch.manual_seed(0)
    backbone = ToyTokens().eval().requires_grad_(False)
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        features = backbone.forward_features(images)
        logits = backbone.forward_head(features)
    return features.maps, MethodContext(backbone, images, torch.tensor([3, 0, 4]), logits, features.rest)


@pytest.mark.parametrize("name", sorted(OFFERED))
def test_works_where_the_head_reads_a_token_too(name):
    features, context = tokens()
    with torch.no_grad():
        together = made(name)(features, context)
        alone = [made(name)(features[one], context[one]) for one in (slice(i, i + 1) for i in range(3))]
    assert together.shape == (3, 4, 4)
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5 * float(together.max()))


def test_ablation_keeps_the_token_of_its_image():
    features, context = tokens()
    shifted = features - features.amin(dim=(1, 2, 3), keepdim=True)  # no value below 0, so that it ablates with zeros

    def score(maps):
        return context.class_scores(maps).gather(1, context.class_indices[:, None])[:, 0]

    weights = []
    for channel in range(shifted.shape[1]):
        without = shifted.clone()
        without[:, channel] = 0
        weights.append((score(shifted) - score(without)) / score(shifted))
    with torch.no_grad():
        expected = (torch.stack(weights, dim=1)[:, :, None, None] * shifted).sum(dim=1).clamp(min=0)
        maps = made("AblationCAM")(shifted, context)
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-4 * float(expected.max()))


def test_grad_cam_is_that_of_the_core():
    features, context = tokens()
    with torch.enable_grad():
        tapped = features.clone().requires_grad_()
        scores = context.backbone.forward_head(Features(tapped, context.rest))
        scores.gather(1, context.class_indices[:, None]).sum().backward()
    expected = (tapped.grad.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).clamp(min=0)
    torch.testing.assert_close(made("GradCAM")(features, context), expected)


@pytest.mark.parametrize(
    ("name", "needs"), [("GradCAM", {"gradients"}), ("ScoreCAM", {"class scores"}), ("EigenCAM", set())]
)
def test_what_a_class_needs(name, needs):
    assert ZOO.find(name).needs == needs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AblationCAM", "GradCAM", "ScoreCAM", "ShapleyCAM"])
def test_nothing_stays_behind(name):
    features, context = scene("resnet_nano")
    method, before, version = made(name), features.clone(), features._version

    def living():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    with torch.no_grad():
        method(features, context)
        count = living()
        for _ in range(2):
            maps = method(features, context)
            assert not maps.requires_grad
            del maps
    assert living() == count
    assert (features._version, features.requires_grad, features.grad) == (version, False, None)
    assert torch.equal(features, before)
    modules = list(context.backbone.modules())
    assert not any(module._forward_hooks or module._backward_hooks for module in modules)
    assert all(parameter.grad is None for parameter in context.backbone.parameters())


@pytest.mark.parametrize("name", each(OFFERED))
def test_a_network_may_have_layers_that_are_none(name):
    features, context = scene("resnet_nano")
    backbone = deepcopy(context.backbone)
    backbone.register_module("merged_away", None)
    maps = made(name)(features, replace(context, backbone=backbone))
    torch.testing.assert_close(maps, made(name)(features, context))


def test_hooks_are_taken_away_when_the_package_fails(monkeypatch):
    features, context = scene("resnet_nano")
    method, kept = made("GradCAM"), []

    def fails(cam, *_):
        kept.append(cam.activations_and_grads)
        raise IndexError("which the package's own context manager swallows")

    monkeypatch.setattr(package.GradCAM, "get_cam_weights", fails)
    with pytest.raises(IndexError, match="swallows"):
        method(features, context)
    assert (kept[0].handles, kept[0].activations, kept[0].gradients) == ([], [], [])


def test_half_precision_features():
    features, context = scene("convnext_atto")
    exact = made("GradCAM")(features, context)
    rounded = replace(context, backbone=deepcopy(context.backbone).bfloat16())
    maps = made("GradCAM")(features.bfloat16(), rounded)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, exact, rtol=0, atol=0.05 * float(exact.max()))


@pytest.mark.parametrize("name", ["ScoreCAM", "ShapleyCAM"])
def test_works_where_the_engine_keeps_inference_tensors(name):
    features, context = scene("resnet_nano")
    with torch.inference_mode():
        images, logits = context.images.clone(), context.logits.clone()
        inferred = replace(context, images=images, logits=logits, class_indices=logits.argmax(dim=1))
    torch.testing.assert_close(made(name)(features, inferred), made(name)(features, context))


def test_where_no_feature_is_negative_ablation_is_the_papers():
    """Desai & Ramaswamy, WACV 2020: a channel weighs what share of the score goes with it."""
    features, context = scene("resnet_nano")
    assert features.min() == 0

    def score(features):
        return context.backbone.forward_head(features).gather(1, context.class_indices[:, None])[:, 0]

    expected = torch.zeros_like(features[:, 0])
    for channel in range(features.shape[1]):
        without = features.clone()
        without[:, channel] = 0
        weight = (score(features) - score(without)) / score(features)
        expected += weight[:, None, None] * features[:, channel]
    maps = made("AblationCAM")(features, context)
    torch.testing.assert_close(maps, expected.clamp(min=0), rtol=0, atol=1e-4 * float(expected.max()))


def test_options_are_those_of_the_class():
    options = list_options(ZOO.find("AblationCAM").build)
    assert [(option.name, option.type, option.range, option.default) for option in options] == [
        ("batch_size", "int", "at least 1", 32),
        ("ratio_channels_to_ablate", "float", "above 0 and at most 1", 1.0),
    ]
    assert list_options(ZOO.find("GradCAM").build) == []
    with pytest.raises(UsageError, match="option 'k' takes a whole number, not 'two'"):
        made("FEM", k="two")


def test_an_option_reaches_the_class():
    features, context = scene("resnet_nano")
    maps = [made("FEM", k=k)(features, context) for k in ("0", "1")]
    assert (maps[0] - maps[1]).abs().max() > 0


@pytest.mark.parametrize(
    ("name", "option", "value", "accepts"),
    [
        ("AblationCAM", "batch_size", "0", "a whole number of at least 1"),
        ("AblationCAM", "ratio_channels_to_ablate", "0", "a number above 0 and at most 1"),
        ("AblationCAM", "ratio_channels_to_ablate", "1.5", "a number above 0 and at most 1"),
        ("AblationCAM", "ratio_channels_to_ablate", "nan", "a number above 0 and at most 1"),
    ],
)
def test_an_impossible_option_is_refused(name, option, value, accepts):
    with pytest.raises(UsageError, match=f"^{name}: option '{option}' takes {accepts}, not '{value}'"):
        made(name, **{option: value})


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_share_of_the_channels_is_ablated_without_a_warning():
    features, context = scene("resnet_nano")
    assert (features.amax(dim=(2, 3)) == features.amin(dim=(2, 3))).any()
    assert made("AblationCAM", ratio_channels_to_ablate="0.5")(features, context).isfinite().all()


def test_a_source_names_the_version():
    assert ZOO.find("EigenCAM").source.startswith("grad-cam 1.")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("FullGrad", "reads the biases of all layers"),
        ("RandomCAM", "draws from a generator"),
        ("SESS", "wraps another"),
    ],
)
def test_why_a_class_is_not_offered(cli, name, reason):
    ended = cli("run", "--backbone", "resnet_nano", "--method", f"gradcam:{name}")
    assert ended.refused(f"'gradcam:{name}' cannot be offered: it {reason}")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "meant"), [("gradcam:scorecam", "gradcam:ScoreCAM"), ("gradcam:Eigen", "gradcam:EigenCAM")]
)
@pytest.mark.parametrize("command", [("describe",), ("run", "--backbone", "resnet_nano", "--method")])
def test_an_unknown_name_suggests_the_packages(cli, command, typed, meant):
    assert cli(*command, typed).refused(f"'{typed}'. Did you mean '{meant}'")


def test_the_prefix_alone_tells_how_it_is_used(cli):
    ended = cli("run", "--backbone", "resnet_nano", "--method", "gradcam")
    assert ended.refused("Did you mean 'gradcam:NAME' or 'grad-cam'")


def test_listings_name_the_prefix(cli):
    assert "any gradcam:NAME" in cli("plugins").out
    (line,) = [line for line in cli("list", "methods").out.splitlines() if line.startswith("gradcam")]
    assert line.split("\t")[:2] == ["gradcam:NAME", "method"]
    assert "the package grad-cam's classes" in line
    assert "gradcam:NAME" not in cli("list", "backbones").out


@pytest.fixture
def without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    monkeypatch.delitem(sys.modules, "wsolbench_plugins.methods.gradcam_package.adapter", raising=False)
    monkeypatch.delattr("wsolbench_plugins.methods.gradcam_package.adapter", raising=False)


@pytest.mark.usefixtures("without_the_package")
@pytest.mark.parametrize("command", [("describe",), ("run", "--backbone", "resnet_nano", "--method")])
def test_without_the_package_one_line_says_what_to_install(cli, command):
    ended = cli(*command, "gradcam:ScoreCAM")
    assert ended.refused("gradcam:NAME needs the package grad-cam", "pip install 'wsolbench[gradcam]'")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.usefixtures("without_the_package")
def test_without_the_package_everything_else_works(cli):
    assert cli("list", "methods").code == 0
    assert cli("describe", "grad-cam").code == 0
    assert cli("describe", "gradcm").refused("unknown name 'gradcm'")


CHOSEN = ["AblationCAM", "EigenCAM", "ScoreCAM"]


@pytest.mark.slow
def test_a_run_records_them_and_the_leaderboard_shows_them(cli, folder_set, tmp_path):
    data, out = folder_set(val=2, test=3), tmp_path / "out"
    methods = [part for name in CHOSEN for part in ("--method", f"gradcam:{name}")]
    options = ["--method-opt", "gradcam:AblationCAM.batch_size=8", "--save-scoremaps", out / "maps"]
    run = ["run", "--backbone", "resnet_nano", "--weights", "random", "--method", "grad-cam++", *methods, *options]
    ended = cli(*run, "--interval", "0.05", "--out", out, "--json", *data.options)
    assert ended.code == 0, ended.err
    assert "it/s" not in ended.err  # the package's own bars
    names = [f"gradcam:{name}" for name in CHOSEN]
    assert [record["method"]["name"] for record in ended.records] == ["grad-cam++", *names]
    records = [out / f"record-{name}.json" for name in ("grad-cam++", *(f"gradcam-{name}" for name in CHOSEN))]
    for path, line in zip(records, ended.records, strict=True):
        assert read_record(path).method.name == line["method"]["name"]
        assert "grad-cam" in line["environment"]["packages"]
        assert path.with_name(path.name.replace("record", "gallery")).with_suffix(".png").is_file()
        assert (out / "maps" / path.stem.removeprefix("record-") / "test" / "test" / "00.png.npy").is_file()
    assert ended.records[1]["method"]["changed_options"] == {"batch_size": 8}

    board = tmp_path / "leaderboard"
    kept = [path.name for path in add(board, records)]
    build(board)
    assert "resnet_nano__gradcam-AblationCAM-batch_size-8__random.json" in kept
    page = (board / "README.md").read_text()
    assert "| gradcam:AblationCAM (batch_size=8) |" in page
    assert "| gradcam:ScoreCAM " in page

    picture = tmp_path / "side.png"
    places = data.options[2:]
    ended = cli("gallery", records[0], records[1], "--images", "2", "--out", picture, *places)
    assert (ended.code, picture.is_file()) == (0, True), ended.err
