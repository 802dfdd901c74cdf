"""Any network of timm's by its name: options, weights, names. Its families are in test_timm_families.py."""

import inspect
import json
import re
from dataclasses import replace

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed
from timm.utils import reparameterize_model
from wsolbench_plugins.backbones.timm_networks import wsolbench_backbones, zoo

from wsolbench import testing
from wsolbench.api import BackboneZoo, UsageError, WeightsError
from wsolbench.cli.weights import _about
from wsolbench.contract.inputs import InputChanges
from wsolbench.host.provider import Provider
from wsolbench.networks.configure import configure
from wsolbench.networks.describe import describe_backbone
from wsolbench.networks.diagnosis import compare
from wsolbench.networks.inputs import decide_input
from wsolbench.networks.load import load_network
from wsolbench.networks.shapes import build_shapes
from wsolbench.networks.weights_file import read_weights_file
from wsolbench.training.initial_weights import read_start, start_for

(ZOO,) = [spec for spec in wsolbench_backbones() if isinstance(spec, BackboneZoo)]
FORMS = {
    "resnet10t": "fc.weight",
    "mobilenetv2_035": "classifier.weight",
    "convnext_atto": "head.fc.weight",  # pool → layer norm → linear
    "resnetv2_18": "head.fc.weight",  # its classifier is a 1×1 convolution
}


@pytest.fixture(autouse=True)
def short_hints(monkeypatch):
    """Look for other networks that a file fits as shortly as can be; what is found is no part of these tests."""
    monkeypatch.setattr("wsolbench.networks.diagnosis._HINT_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("vit_tiny_patch16_224", "vit_tiny_patch16_224_backbone"),  # published with a classifier, saved without
        pytest.param("vit_small_patch14_dinov2", "dinov2_vits14_pretrain", marks=pytest.mark.slow),
    ],
)
def test_a_file_without_a_classifier_is_compared_with_networks_of_similar_names_first(name, file):
    with torch.device("meta"):
        entries = timm.create_model(name, num_classes=0).state_dict()
    looked = zoo.fitting({key: tuple(value.shape) for key, value in entries.items()}, file)
    assert name in [next(looked) for _ in range(8 if "dinov2" in name else 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "classes", "facts"),
    [
        ("vit_tiny_patch16_224", 2, ("blocks.11.norm1", False, True)),
        pytest.param("vit_tiny_patch16_224", 0, ("norm", False, True), marks=pytest.mark.slow),
        ("convnext_atto", 2, ("stages", True, False)),
        pytest.param("levit_128s", 2, ("stages", True, False), marks=pytest.mark.slow),
    ],
)
def test_the_layer_of_the_features_is_described_with_what_methods_need(name, classes, facts):
    about = describe_backbone(zoo.find(name), Provider("wsolbench", "0", "timm_networks"), classes, merged=False)
    assert (about["features"], about["class_weights"], about["attention"]) == facts


def test_options_have_the_values_of_the_network_and_not_those_of_its_class():
    options = inspect.signature(zoo.find("vit_tiny_patch16_224").build).parameters
    assert [options[name].default for name in ("embed_dim", "depth", "num_heads", "mlp_ratio")] == [192, 12, 3, 4.0]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_a_pooled_classifier_is_a_backbone(name):
    spec = ZOO.find(name)
    assert spec.classifier_key == FORMS[name]
    small = replace(spec, input=replace(spec.input, size=64))
    checks = dict(testing.conformance_checks(small))
    for rule in ("shapes", "classifier_key", "effective_weights"):
        checks[f"check_backbone_{rule}"]()


def test_entries_are_timms():
    spec = ZOO.find("resnet10t")
    with torch.device("meta"):
        assert spec.build(7).state_dict().keys() == timm.create_model("resnet10t").state_dict().keys()


def test_images_are_prepared_as_the_weights_of_a_tag_expect():
    spec = ZOO.find("inception_v3.tf_in1k")
    config = timm.get_pretrained_cfg("inception_v3.tf_in1k")
    assert (spec.input.size, spec.input.mean) == (config.input_size[-1], config.mean)
    assert (spec.input.std, spec.input.interpolation) == (config.std, config.interpolation)
    assert str(spec.pretrained) == "timm:inception_v3.tf_in1k"


def test_a_name_without_a_tag_means_timms_default_weights():
    assert str(ZOO.find("resnet10t").pretrained) == f"timm:resnet10t.{timm.get_pretrained_cfg('resnet10t').tag}"


@pytest.mark.parametrize("name", ["seresnet18", "nfnet_f0"])
def test_a_network_without_published_weights_has_none_to_fetch(name):
    assert ZOO.find(name).pretrained is None


@pytest.mark.slow
def test_a_network_without_a_classifier_is_refused_in_one_line(cli):
    with pytest.raises(UsageError, match="'timm:gemma4_vit_167m_enc' has no classifier"):
        ZOO.find("gemma4_vit_167m_enc")
    ended = cli("run", "--method", "cam", "--backbone", "timm:gemma4_vit_167m_enc")
    assert ended.refused("'timm:gemma4_vit_167m_enc' has no classifier")
    assert len(ended.err.splitlines()) == 1


def test_names_with_and_without_tags_are_known():
    assert {"resnet50", "resnet50.a1_in1k"} <= set(ZOO.names())


@pytest.mark.usefixtures("no_gallery")
def test_a_run_describes_and_records_the_name_that_was_typed(cli, folder_set, tmp_path):
    arguments = ("--backbone", "timm:resnet10t", "--method", "cam", "--weights", "random", "--json")
    ended = cli("run", *arguments, "--out", tmp_path / "out", *folder_set(val=1, test=1).options)
    assert ended.code == 0, ended.err
    backbone = ended.records[0]["backbone"]
    assert (backbone["requested"], backbone["name"], backbone["family"]) == ("timm:resnet10t", "timm:resnet10t", None)
    described = cli("describe", "wsolbench:timm:resnet10t", "--json")
    assert '"name": "timm:resnet10t"' in described.out


@pytest.mark.slow
@pytest.mark.usefixtures("no_gallery")
def test_a_network_trains_and_its_weights_run(cli, folder_set, tmp_path):
    made, name = folder_set(train=16, val=2, test=4), "timm:resnet10t"
    epoch = ("--recipe-opt", "epochs=1", "--recipe-opt", "batch_size=8")
    trained = cli("train", "--backbone", name, *made.options, *epoch, "--out", tmp_path / "trained")
    assert trained.code == 0, trained.err
    weights = ("--weights", tmp_path / "trained" / "weights.safetensors")
    ended = cli(
        "run", "--backbone", name, *weights, "--method", "cam", "--json", *made.options, "--out", tmp_path / "run"
    )
    assert ended.code == 0, ended.err
    assert ended.records[0]["backbone"]["weights"]["source"] == "file"


@pytest.mark.parametrize("command", [("describe",), ("run", "--method", "cam", "--backbone")])
def test_an_unknown_name_suggests_timms(cli, command):
    ended = cli(*command, "timm:resnet50d_")
    assert ended.refused("'timm:resnet50d_'. Did you mean", "'timm:resnet50d'")


@torch.no_grad()
def test_weights_run_at_another_size_as_timm_resizes_them():
    spec = ZOO.find("test_vit")  # 160 pixels
    torch.manual_seed(0)
    network = spec.build(5).eval()
    larger = spec.at_size(192)
    assert (spec.input.size, larger.input.size) == (160, 192)
    resized = larger.build(5).eval()
    resized.load_state_dict(larger.convert_weights(network.state_dict()))
    network.set_input_size(img_size=(192, 192))
    images = torch.rand(1, 3, 192, 192)
    assert torch.equal(
        resized(images),
        timm.models.VisionTransformer.forward_head(
            network, timm.models.VisionTransformer.forward_features(network, images)
        ),
    )


def test_a_network_built_for_another_size_keeps_its_name(registry):
    decided = decide_input(registry.backbones.get("timm:test_vit"), InputChanges(size=192))
    assert (decided.offer.spec.name, decided.offer.spec.input.size) == ("timm:test_vit", 192)


@pytest.mark.parametrize(
    ("name", "entry", "shape"),
    [
        ("gmlp_ti16_224", "blocks.0.mlp_channels.gate.proj.weight", (196, 196)),
        ("levit_128s", "stages.0.blocks.0.attn.attention_biases", (4, 196)),
    ],
)
def test_weights_that_timm_does_not_resize_are_refused(name, entry, shape):
    text = re.escape(f"its entry {entry} is {shape}, for images of another size than 256, and timm does not resize it")
    with pytest.raises(ValueError, match=text):
        zoo.resize(name, 256, {entry: torch.zeros(shape)})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "levit_128s"])
def test_a_class_that_passes_its_parameters_on_is_built_for_a_size(name):
    with torch.device("meta"):
        spec = zoo.find(name).at_size(256)
        assert spec.input.size == 256
        assert spec.build(3).eval()(torch.zeros(1, 3, 256, 256)).shape == (1, 3)


@pytest.mark.parametrize("size", [230, 238])
def test_patches_are_never_cut_off(size):
    with pytest.raises(UsageError, match=r"they are not whole patches of 16×16 pixels"):
        zoo.find("test_vit").at_size(size)


def test_weights_are_resized_with_the_interpolation_that_timm_takes_for_the_name():
    def of(name, size):
        return getattr(zoo._conversion(name, size)[1], "keywords", {})

    assert of("vit_tiny_patch16_224", 256) == {}
    assert of("flexivit_small", 256) == {"interpolation": "bilinear", "antialias": False}
    radio = next(name for name in timm.list_models("*radio*") if not name.startswith("naflex"))
    assert of(radio, 256).items() >= {"interpolation": "bilinear", "antialias": False}.items()
    assert timm.models._builder.load_pretrained.__module__ == "timm.models._builder"


def saved(path, **options):
    """Save random weights of timm's test_vit, and return their file."""
    torch.save(timm.create_model("test_vit", **options).state_dict(), path)
    return path


@pytest.mark.slow
def test_the_error_for_a_file_of_another_size_names_the_size(registry, tmp_path):
    weights = saved(tmp_path / "other.pth", num_classes=3, img_size=192)
    places = {"dataset": "x", "num_classes": 3, "weights": weights, "device": torch.device("cpu"), "seed": 0}
    with pytest.raises(
        WeightsError, match=r"pos_embed .*; it fits this network built for 192 pixels: --input-size 192$"
    ):
        load_network(registry, "timm:test_vit", **places)
    loaded = load_network(registry, "timm:test_vit", **places, changes=InputChanges(size=192))
    assert loaded.feature_shape[1:] == (12, 12)


@pytest.mark.slow
def test_what_a_training_does_not_take_from_its_weights_is_noted(registry, tmp_path):
    offer = registry.backbones.get("timm:test_vit")

    def notes(size, **options):
        weights = saved(tmp_path / "start.pth", **options)
        decided, known = read_start(registry, offer, weights, None, InputChanges(size=size))
        return start_for(known, decided.offer.spec, 3).info.notes

    new = "that of the network, head, starts at random for 3 classes"
    resized = "resized for images of 192 pixels: pos_embed"
    assert notes(None, num_classes=3) == []
    assert notes(None, num_classes=1200) == [f"its classifier has 1,200 classes; {new}"]
    assert notes(None, num_classes=0) == [f"it has no classifier; {new}"]
    assert notes(192, num_classes=0) == [resized, f"it has no classifier; {new}"]
    assert notes(192, num_classes=3) == [resized]


@pytest.mark.slow
def test_a_run_notes_which_weights_are_resized(registry, tmp_path):
    weights = saved(tmp_path / "own.pth", num_classes=3)
    places = {"dataset": "x", "num_classes": 3, "weights": weights, "device": torch.device("cpu"), "seed": 0}
    loaded = load_network(registry, "timm:test_vit", **places, changes=InputChanges(size=192))
    assert loaded.weights.notes == ["resized for images of 192 pixels: pos_embed"]
    assert load_network(registry, "timm:test_vit", **places).weights.notes == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "classes", "method"),
    [("test_vit", 3, "grad-cam"), ("test_vit", 0, "pc1-unsigned"), ("test_efficientnet", 3, "cam")],
)
def test_a_method_is_suggested_that_the_network_can_serve(registry, tmp_path, name, classes, method):
    torch.save(timm.create_model(name, num_classes=classes).state_dict(), tmp_path / "file.pth")
    file = read_weights_file(tmp_path / "file.pth")
    fit = compare(file, registry.backbones.get(f"timm:{name}"))
    assert _about(fit, registry, file, None, None, "")[-1].endswith(f"--method {method}")


@pytest.mark.slow
def test_a_size_that_a_network_does_not_take_is_refused_in_one_line(cli, folder_set):
    arguments = ("run", "--method", "grad-cam", "--weights", "random", "--backbone", "timm:test_vit")
    refused = cli(*arguments, "--input-size", 170, *folder_set().options)
    assert refused.refused(
        "--input-size 170: 'timm:test_vit' does not take such images", "the nearest that it takes: 160 and 176"
    )
    assert len(refused.err.splitlines()) == 1


@pytest.mark.slow
def test_an_earlier_name_gives_the_network_of_the_current_one(cli):
    described = json.loads(cli("describe", "timm:convnext_tiny_in22ft1k", "--json").out)
    assert described["name"] == "timm:convnext_tiny.fb_in22k_ft_in1k"


MERGED = ["repvgg_a0", "mobileone_s0", "fastvit_t8"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MERGED)
def test_a_file_saved_after_merging_loads_to_the_same_network(registry, tmp_path, name):
    network = calibrated(timm.create_model(name, num_classes=7))
    torch.save(network.state_dict(), tmp_path / "plain.pth")
    torch.save(reparameterize_model(network).state_dict(), tmp_path / "merged.pth")
    logits = []
    for file in ("plain.pth", "merged.pth"):
        loaded = load_network(
            registry,
            f"timm:{name}",
            dataset="x",
            num_classes=7,
            weights=tmp_path / file,
            device=torch.device("cpu"),
            seed=0,
        )
        assert bool(loaded.weights.notes) == (file == "merged.pth")
        logits.append(scores(loaded.module))
    assert logits[0].std() > 1e-3
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits[0], scores(network), rtol=1e-3, atol=1e-3)


def calibrated(network):
    """Return a network in eval mode whose batch norms have seen random images."""
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 96, 96, generator=torch.Generator().manual_seed(0)))
    return network.eval()


def scores(network):
    with torch.no_grad():
        return network.forward_head(network.forward_features(torch.linspace(-1, 1, 3 * 96 * 96).reshape(1, 3, 96, 96)))


# --------------------------------------------------------------------------------------------------- options of timm's


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "entry", "shape"),
    [
        ("convnext_atto", {"kernel_sizes": "7,7,9,11"}, "stages.3.blocks.0.conv_dw.weight", (320, 1, 11, 11)),
        ("mobilenetv2_035", {"pad_type": "same"}, "conv_stem.weight", (16, 3, 3, 3)),
    ],
)
def test_options_of_timms_class_are_options_of_the_network(registry, name, options, entry, shape):
    offer, chosen = configure(registry.backbones.get(f"timm:{name}"), options)
    assert chosen.keys() == options.keys()
    assert build_shapes(offer.spec, 5).state_dict()[entry].shape == shape


def test_a_stride_of_ones_own_gives_larger_maps(cli):
    described = json.loads(cli("describe", "timm:resnet10t", "--json", "--backbone-opt", "output_stride=16").out)
    assert described["feature_stride"] == 16


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("output_strid=16", "has no option 'output_strid'. Did you mean 'output_stride'?"),
        ("output_stride=wide", "option 'output_stride' takes a whole number, not 'wide'"),
        ("output_stride=7", "timm cannot build 'resnet10t' with output_stride=7 ("),
        ("output_stride", "expected NAME=VALUE"),
    ],
)
def test_an_option_that_does_not_work_is_refused_in_one_line(cli, option, words):
    refused = cli("describe", "timm:resnet10t", "--backbone-opt", option)
    assert refused.refused(words)
    assert len(refused.err.splitlines()) == 1


def test_the_prefix_alone_tells_how_it_is_used(cli):
    assert cli("run", "--method", "cam", "--backbone", "timm").refused("Did you mean 'timm:NAME'?")


@pytest.mark.slow
def test_a_network_of_tokens_is_built_for_a_size_with_its_positions_resized(registry, tmp_path):
    own = timm.create_model("vit_tiny_patch16_224", num_classes=5)
    torch.save(own.state_dict(), tmp_path / "vit.pth")
    cpu = torch.device("cpu")
    loaded = load_network(
        registry,
        "timm:vit_tiny_patch16_224",
        dataset="x",
        num_classes=5,
        weights=tmp_path / "vit.pth",
        device=cpu,
        seed=0,
        changes=InputChanges(size=96),
    )
    assert loaded.feature_shape == (192, 6, 6)
    state = own.state_dict()
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], new_size=[6, 6])
    larger = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=96).eval()
    larger.load_state_dict(state)
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(loaded.forward(images)[1], larger(images), rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match=r"does not take such images .* takes: 96 and 112; its own: 224"):
        load_network(
            registry,
            "timm:vit_tiny_patch16_224",
            dataset="x",
            num_classes=5,
            weights="random",
            device=cpu,
            seed=0,
            changes=InputChanges(size=100),
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("flexivit_small", 192),
        ("vit_tiny_patch16_224", 192),
        ("deit_tiny_distilled_patch16_224", 256),
        ("deit3_small_patch16_224", 192),
        ("vit_small_patch14_dinov2", 224),
        ("vit_relpos_small_patch16_224", 192),
        ("eva02_tiny_patch14_224", 280),
        ("swin_tiny_patch4_window7_224", 256),
        ("swinv2_cr_tiny_ns_224", 256),
        ("mvitv2_tiny", 256),
        ("beit_base_patch16_224", 256),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:timm.layers.interpolate")
def test_weights_of_another_size_give_the_logits_that_timm_gives_with_them(name, size):
    torch.manual_seed(0)
    own = timm.create_model(name, num_classes=5)
    state = {
        key: torch.randn_like(value) * 0.1 if value.is_floating_point() else value
        for key, value in own.state_dict().items()
    }
    source = {"state_dict": state, "num_classes": 5}
    theirs = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay=source, num_classes=5, img_size=size
    ).eval()
    spec = zoo.find(name).at_size(size)
    ours = spec.build(5).eval()
    ours.load_state_dict(spec.convert_weights(state), strict=False)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        logits = theirs(images)
        assert logits.std() > 0
        torch.testing.assert_close(ours(images), logits, rtol=1e-4, atol=1e-5)
