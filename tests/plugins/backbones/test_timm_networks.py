"""What timm builds: its input configuration, maps of the size that WSOL wants, and the files that others published."""

import json

import numpy as np
import pytest
import timm
import torch
from reference_fill import IMAGE, agrees, filled, shapes
from wsolbench_plugins.backbones.timm_networks import wsolbench_backbones

from wsolbench.api import BackboneSpec
from wsolbench.networks.weights import difference, load_state, read_state

SPECS = {spec.name: spec for spec in wsolbench_backbones() if isinstance(spec, BackboneSpec)}
NANO = [name for name in SPECS if name.endswith("_nano") and SPECS[name].checkpoints]
TIMMS = {
    "resnet50": "resnet50.tv_in1k",
    "resnet50_wsol": "resnet50.tv_in1k",
    "resnet50_wsol14": "resnet50.tv_in1k",
    "convnext_tiny": "convnext_tiny.fb_in1k",
    "convnext_small": "convnext_small.fb_in1k",
    "convnext_base": "convnext_base.fb_in1k",
    "convnext_large": "convnext_large.fb_in1k",
    **{
        f"convnextv2_{size}": f"convnextv2_{size}.fcmae_ft_in1k"
        for size in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
    },
    "vgg16_gap": "vgg16.tv_in1k",
    "inception_v3": "inception_v3.tv_in1k",
}


def on_meta(name, num_classes):
    with torch.device("meta"):
        return SPECS[name].build(num_classes)


def map_size(name):
    size = SPECS[name].input.size
    with torch.no_grad():
        return tuple(on_meta(name, 2).eval().forward_features(torch.zeros(1, 3, size, size, device="meta")).shape[1:])


@pytest.mark.parametrize("name", NANO)
def test_nano_keeps_a_map_of_twelve_by_twelve_without_dilation(name):
    network = SPECS[name].build(12)
    assert network.forward_features(torch.zeros(2, 3, 96, 96)).shape == (2, 96, 12, 12)
    odd = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size[0] % 2]
    assert {module.dilation for module in odd} == {(1, 1)}
    assert all(module.padding == (module.kernel_size[0] // 2,) * 2 for module in odd)


@pytest.mark.parametrize("name", NANO)
def test_forward_is_head_after_features(name):
    network = SPECS[name].build(5).eval()
    image = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(network(image), network.forward_head(network.forward_features(image)))


def test_resnet_scores_are_linear_in_its_features():
    network = SPECS["resnet_nano"].build(5).eval()
    features = network.forward_features(torch.randn(2, 3, 96, 96))
    logits = features.mean(dim=(2, 3)) @ network.classifier_weight.T + network.fc.bias
    torch.testing.assert_close(network.forward_head(features), logits)


# ------------------------------------------------------------------------------------------------------- at full size


@pytest.mark.parametrize(("name", "theirs"), TIMMS.items())
def test_images_are_prepared_as_timm_prepares_them(name, theirs):
    ours, config = SPECS[name].input, timm.get_pretrained_cfg(theirs)
    assert ((3, ours.size, ours.size), ours.interpolation) == (config.input_size, config.interpolation)
    assert (ours.mean, ours.std) == (config.mean, config.std)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet50", (2048, 7, 7)),
        ("resnet50_wsol", (2048, 28, 28)),
        ("resnet_micro", (144, 8, 8)),
        ("resnet_micro_wsol", (144, 16, 16)),
        ("convnext_micro", (144, 8, 8)),
        ("convnext_tiny", (768, 7, 7)),
        ("convnext_base_cub", (1024, 12, 12)),
        ("vgg16_gap", (1024, 14, 14)),
        ("inception_v3", (2048, 8, 8)),
    ],
)
def test_maps_have_the_size_that_wsol_wants(name, size):
    assert map_size(name) == size


@pytest.mark.parametrize("size", [3, 7, 13, 21])
def test_only_the_depthwise_kernels_of_the_small_convnext_change_with_their_option(size):
    usual, changed = (shapes(SPECS["convnext_micro"].build(7, kernel_size=each)) for each in (7, size))
    assert usual.keys() == changed.keys()
    differing = {key for key in usual if usual[key] != changed[key]}
    depthwise = {key for key in usual if key.endswith("conv_dw.weight")}
    assert differing == (set() if size == 7 else depthwise)
    assert {tuple(changed[key][2:]) for key in depthwise} == {(size, size)}


@pytest.mark.parametrize("name", ["resnet50", "resnet_micro"])
def test_the_large_map_of_a_resnet_keeps_its_entries_and_needs_no_dilation(name):
    large = on_meta(f"{name}_wsol", 7)
    assert shapes(large) == shapes(on_meta(name, 7))
    assert {module.dilation for module in large.modules() if isinstance(module, torch.nn.Conv2d)} == {(1, 1)}


def test_vgg_gap_has_the_convolutions_of_vgg16():
    theirs = {}
    with torch.device("meta"):
        theirs = {k: v for k, v in shapes(timm.create_model("vgg16")).items() if k.startswith("features.")}
    ours = shapes(on_meta("vgg16_gap", 7))
    assert {key: shape for key, shape in ours.items() if key.startswith("features.")} == theirs
    assert ours.keys() - theirs.keys() == {"conv6.weight", "conv6.bias", "fc.weight", "fc.bias"}


def test_the_auxiliary_head_of_published_inception_files_is_left_out():
    state = on_meta("inception_v3", 7).state_dict()
    converted = SPECS["inception_v3"].convert_weights({**state, "AuxLogits.fc.weight": torch.zeros(7, 768)})
    assert converted.keys() == state.keys()


# -------------------------------------------------------------------------------------------------- published ConvNeXts


def entries(shared_data, name):
    """Return the entries of a published file, with shapes and no values."""
    text = (shared_data / "architectures" / "keys" / f"{name}.json").read_text()
    return {key: torch.zeros(shape, device="meta") for key, shape in json.loads(text).items()}


@pytest.mark.slow
@pytest.mark.parametrize("size", ["tiny", "small", "base", "large"])
def test_official_entries_fit_the_network_of_their_size(shared_data, size):
    spec = SPECS[f"convnext_{size}"]
    converted = spec.convert_weights(entries(shared_data, f"official_convnext_{size}"))
    assert not difference(on_meta(spec.name, 1000), converted)


def test_official_entries_of_another_size_are_named_in_timms_words(shared_data):
    converted = SPECS["convnext_tiny"].convert_weights(entries(shared_data, "official_convnext_base"))
    said = str(difference(on_meta("convnext_tiny", 1000), converted))
    assert "unexpected: stages.2.blocks.9" in said
    assert "stem.0.weight (file (128, 3, 4, 4), network (96, 3, 4, 4))" in said


def test_convnext_has_timms_entries(shared_data):
    assert shapes(on_meta("convnext_base", 200)) == {
        key: list(entry.shape) for key, entry in entries(shared_data, "timm_convnext_base_200").items()
    }


def test_the_authors_cub_entries_fit_the_form_without_a_last_norm(shared_data):
    theirs = entries(shared_data, "cba_convnext_base_384_in22ft1k_CUB")
    converted = SPECS["convnext_base_cub"].convert_weights(theirs)
    assert not difference(on_meta("convnext_base_cub", 200), converted)
    said = str(difference(on_meta("convnext_base", 200), SPECS["convnext_base"].convert_weights(theirs)))
    assert said == "2 missing: head.norm.weight, head.norm.bias"


@pytest.mark.slow
def test_outputs_are_the_official_ones(shared_data, tmp_path):
    """An official file, its values made from its own names, gives the official network's features and logits."""
    path = tmp_path / "convnext_base_1k_224.pth"
    torch.save({"model": filled(entries(shared_data, "official_convnext_base"))}, path)
    expected = np.load(shared_data / "architectures" / "outputs" / "arch_official_convnext_base.npz")
    spec = SPECS["convnext_base"]
    network = spec.build(1000).eval().to(memory_format=torch.channels_last)
    load_state(read_state(path, spec), spec, network)
    with torch.no_grad():
        features = network.forward_features(IMAGE)
        assert agrees(features, expected["features"], 1e-5)
        assert agrees(network.forward_head(features), expected["logits"], 1e-5)


@pytest.mark.slow
def test_the_authors_cub_file_gives_the_scores_of_their_network(shared_data, tmp_path):
    """Their network: timm's without norm and head, then average pool → linear."""
    theirs = filled(entries(shared_data, "cba_convnext_base_384_in22ft1k_CUB"))
    path = tmp_path / "convnext_base_384_in22ft1k_CUB.pth"
    torch.save(theirs, path)
    body = torch.nn.Sequential(*list(timm.create_model("convnext_base").children())[:-2])
    body.load_state_dict({key.removeprefix("0."): value for key, value in theirs.items() if key.startswith("0.")})
    spec = SPECS["convnext_base_cub"]
    network = spec.build(200).eval()
    load_state(read_state(path, spec), spec, network)
    with torch.no_grad():
        features = body.eval()(IMAGE)
        logits = features.mean(dim=(2, 3)) @ theirs["1.fc.weight"].T + theirs["1.fc.bias"]
        assert agrees(network.forward_features(IMAGE), features.numpy(), 1e-6)
        assert agrees(network(IMAGE), logits.numpy(), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("convnext_base_cub", "cba_convnext_base_384_in22ft1k_CUB"),
        ("replknet_31b_cub", "cba_replknet_31B1K384_CUB"),
    ],
)
def test_the_authors_cub_files_run_on_photos_of_cub(cli, shared_data, tmp_path, name, file):
    path = tmp_path / f"{file}.pth"
    torch.save(filled(entries(shared_data, file)), path)
    photos = shared_data / "cub-sample"
    ended = cli(
        *("run", "--backbone", name, "--weights", path, "--method", "pc1", "--json", "--out", tmp_path / "out"),
        *("--dataset", "folder", "--data-root", photos / "images", "--metadata-root", photos / "metadata" / "CUB"),
        *("--split", "train-fullsup", "--limit", 2),
    )
    assert ended.code == 0, ended.err
    backbone = ended.records[0]["backbone"]
    assert backbone["feature_shape"] == [1024, 12, 12]
    assert backbone["preprocessing"] == {
        **{"size": 384, "interpolation": "bilinear"},
        **{"mean": [0.5] * 3, "std": [0.5] * 3},
    }


# ------------------------------------------------------------------------------------------------- pretrained weights


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.pretrained])
def test_pretrained_weights_are_known_to_timm_and_fit(name):
    assert SPECS[name].pretrained.source == "timm"
    assert SPECS[name].pretrained.name == TIMMS[name]
    assert TIMMS[name] in timm.list_pretrained()
    with torch.device("meta"):
        theirs = timm.create_model(TIMMS[name])
    assert not difference(on_meta(name, theirs.num_classes), theirs.state_dict())


@pytest.mark.parametrize("name", ["resnet50", "resnet50_wsol"])
def test_without_a_network_a_line_names_the_weights_and_says_what_to_pass(cli, folder_set, monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "empty")
    ended = cli("run", "--backbone", name, "--method", "cam", "--weights", "timm", *folder_set().options)
    assert ended.refused("timm's weights 'resnet50.tv_in1k' are not available", "pass a file", "--weights FILE")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.slow
def test_pretrained_weights_run_are_recorded_and_drawn_again(cli, monkeypatch, tmp_path, folder_set):
    def create(name, **settings):
        asked.append((name, settings.pop("pretrained", False)))
        torch.manual_seed(3)
        return made(name.partition(".")[0], **settings)

    made, asked = timm.create_model, []
    monkeypatch.setattr(timm, "create_model", create)
    (tmp_path / "map.csv").write_text("folder,row\n*,*\n")
    run = ("run", "--backbone", "resnet50", "--weights", "timm", "--method", "cam", "--limit", 2, "--batch-size", 2)
    photos = folder_set(val=2, test=2).options
    ended = cli(*run, *photos, "--class-map", tmp_path / "map.csv", "--json", "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert asked == [("resnet50.tv_in1k", True), ("resnet50", False)]
    weights = ended.records[0]["backbone"]["weights"]
    assert (weights["source"], weights["file"]) == ("pretrained", "timm:resnet50.tv_in1k")
    assert len(weights["sha256"]) == 64
    drawn = cli(
        "gallery", *photos[2:], tmp_path / "out" / "record-cam.json", "--images", 1, "--out", tmp_path / "again.png"
    )
    assert drawn.code == 0, drawn.err
