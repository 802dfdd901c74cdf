"""What a weights file is: its network, what maps where, what is missing; or one line about a file that is none."""

import json

import pytest
import torch
from wsolbench_plugins.backbones.replknet import wsolbench_backbones as replknets
from wsolbench_plugins.backbones.slak import wsolbench_backbones as slaks

from wsolbench.networks import diagnosis

PARTS = ("net", "ema_net.module")
NETWORKS = {spec.name: spec for spec in (*replknets(), *slaks())}


@pytest.fixture
def saved(tmp_path):
    def save(name, change=lambda state: state, classes=7, merged=False):
        network = NETWORKS[name].build(classes)
        if merged:
            network.reparameterize()
        path = tmp_path / f"{name}.pth"
        torch.save({"model": change(network.state_dict())}, path)
        return path

    return save


@pytest.fixture
def few_networks(monkeypatch):
    """Compare files with two networks only: to build all of them takes seconds."""
    compared = diagnosis.diagnose

    def diagnose(file, offers, key):
        return compared(file, [offer for offer in offers if offer.name in ("replknet_nano", "slak_nano")], key)

    monkeypatch.setattr(diagnosis, "diagnose", diagnose)


@pytest.fixture
def short_search(monkeypatch):
    """Look in zoos for a moment, where the file is of no network in them."""
    monkeypatch.setattr(diagnosis, "_ZOO_SECONDS", 0.2)
    monkeypatch.setattr(diagnosis, "_TWIN_SECONDS", 0.2)


@pytest.mark.usefixtures("few_networks")
def test_a_file_is_told_with_its_classes_and_the_command_that_runs_it(cli, saved):
    path = saved("replknet_nano")
    done = cli("weights", path)
    assert done.code == 0
    assert "fits replknet_nano: 7 classes" in done.out
    assert "warped to 96×96 (bilinear), mean 0.5, 0.5, 0.5, std 0.25, 0.25, 0.25" in done.out
    assert f"--backbone replknet_nano --weights {path}" in done.out
    assert "missing" not in done.out


@pytest.mark.slow
@pytest.mark.usefixtures("few_networks")
def test_the_size_of_the_input_is_told_with_what_says_it(cli, saved):
    path = saved("replknet_nano")
    assert "  96 px: its own\n" in cli("weights", path).out
    named = path.rename(path.with_name("replknet_nano_22k_224.pth"))
    out = cli("weights", named).out
    assert "warped to 224×224" in out
    assert "its feature maps are 28×28" in out
    assert "  224 px: by the name of the weights file; its own are 96\n" in out
    out = cli("weights", named, "--input-size", 64).out
    assert "  64 px: as asked for; its own are 96\n" in out
    assert "by the name of the weights file the weights are for 224 px; the network runs at 64 px, as asked for" in out
    assert "--input-size 64 --dataset" in out


@pytest.mark.slow
@pytest.mark.usefixtures("few_networks", "short_search")
def test_merged_branches_are_recognised(cli, saved):
    assert "fits replknet_nano, branches merged: 7 classes" in cli("weights", saved("replknet_nano", merged=True)).out


@pytest.mark.slow
@pytest.mark.usefixtures("few_networks", "short_search")
def test_early_names_are_shown_with_what_they_map_to(cli, saved):
    def early(state):
        return {key.replace("LoRA", "Decom"): value for key, value in state.items()}

    out = cli("weights", saved("slak_nano", early)).out
    assert "fits slak_nano: 7 classes" in out
    assert "stages.0.0.large_kernel.Decom1.conv.weight -> stages.0.0.large_kernel.LoRA1.conv.weight" in out


@pytest.mark.slow
@pytest.mark.usefixtures("few_networks", "short_search")
def test_what_is_missing_and_too_much_is_listed(cli, saved):
    def spoil(state):
        return {"extra": torch.zeros(2), **{key: value for key, value in state.items() if key != "norm.weight"}}

    out = cli("weights", saved("slak_nano", spoil)).out
    assert "most similar to slak_nano: 7 classes" in out
    assert "1 missing:\n    norm.weight" in out
    assert "1 unexpected:\n    extra" in out
    assert "wsolbench run" not in out


@pytest.mark.slow
@pytest.mark.usefixtures("short_search")
def test_a_file_like_nothing_is_told_so(cli, tmp_path):
    torch.save({"alpha": torch.zeros(3)}, tmp_path / "w.pth")
    done = cli("weights", tmp_path / "w.pth")
    assert done.code == 0
    assert "no network that was compared is similar; its entries include alpha" in done.out


@pytest.mark.slow
@pytest.mark.usefixtures("short_search")
def test_the_reason_why_a_plugin_cannot_take_a_file_is_shown(cli, saved, tmp_path):
    def undecomposed(state):
        return {key.replace("LoRA1", "lkb_origin"): value for key, value in state.items() if "LoRA2" not in key}

    path = saved("slak_nano", undecomposed)
    done = cli("weights", path)
    assert done.code == 0
    assert "most similar to" not in done.out
    assert done.out.count("'slak' cannot use it: it holds a SLaK whose large kernels are not decomposed") == 1
    assert "no network that was compared is similar; its entries include downsample_layers.0.0.weight, " in done.out
    run = ["--method", "cam", "--limit", 2, "--out", tmp_path / "out"]
    assert cli("run", "--backbone", "replknet_nano", "--weights", path, *run).refused("compares it with every network")


@pytest.mark.slow
@pytest.mark.usefixtures("short_search")
def test_a_few_names_in_common_do_not_make_a_file_like_a_network(cli, saved):
    def other(state):
        return {key if key.startswith("head") else f"body.{key}": value for key, value in state.items()}

    done = cli("weights", saved("replknet_nano", other))
    assert "most similar to" not in done.out
    assert "no network that was compared is similar; its entries include body." in done.out


@pytest.mark.slow
@pytest.mark.usefixtures("few_networks", "short_search")
def test_the_same_network_in_another_width_is_recognised_by_its_names(cli, saved):
    def wider(state):
        return {key: torch.zeros([size + 1 for size in value.shape]) for key, value in state.items()}

    out = cli("weights", saved("slak_nano", wider)).out
    assert "most similar to slak_nano: 8 classes" in out
    assert "of another shape:" in out


@pytest.mark.slow
def test_a_run_with_another_networks_file_says_what_it_is(cli, saved, tmp_path):
    path = saved("slak_nano")
    run = ["--method", "cam", "--limit", 2, "--out", tmp_path / "out"]
    assert cli("run", "--backbone", "replknet_nano", "--weights", path, *run).refused("compares it with every network")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "damaged"), (b"hello", "damaged"), (None, "does not exist"), ([1, 2], "holds no state dict")],
)
def test_what_is_no_weights_file_is_refused(cli, tmp_path, content, words):
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    assert cli("weights", path).refused(words, "w.pth")


@pytest.mark.slow
@pytest.mark.usefixtures("short_search")
def test_the_authors_cub_files_are_recognised(cli, shared_data, tmp_path):
    for file, name in (
        ("cba_convnext_base_384_in22ft1k_CUB", "convnext_base_cub"),
        ("cba_replknet_31B1K384_CUB", "replknet_31b_cub"),
    ):
        shapes = json.loads((shared_data / "architectures" / "keys" / f"{file}.json").read_text())
        torch.save({key: torch.zeros(shape) for key, shape in shapes.items()}, tmp_path / "w.pth")
        assert f"fits {name}: 200 classes" in cli("weights", tmp_path / "w.pth").out


@pytest.mark.slow
def test_a_file_of_a_zoos_network_is_told_with_those_that_it_fits_too(cli, tmp_path):
    import timm

    path = tmp_path / "best.pth"
    state = timm.create_model("tf_efficientnet_b0", num_classes=7).state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}, "arch": "x"}, path)
    out = cli("weights", path).out
    assert "fits timm:tf_efficientnet_b0: 7 classes" in out
    assert "fits timm:efficientnet_b0: 7 classes" in out
    assert "ambiguous" in out
    torch.save({"state_dict": state, "arch": "efficientnet_b0"}, path)
    out = cli("weights", path).out
    assert "it says that its network is 'efficientnet_b0'" in out
    assert "fits timm:efficientnet_b0: 7 classes" in out
    run = ["--method", "cam", "--limit", 2, "--out", tmp_path / "out", "--dataset", "critters"]
    said = cli("run", "--backbone", "timm:tf_efficientnet_b0", "--weights", path, *run).err
    assert "the weights file says the network is 'efficientnet_b0'; 'timm:tf_efficientnet_b0' runs at" in said
    assert "the weights fit other networks just as well: 'timm:efficientnet_b0' (7×7 maps at 224 pixels)" in said


@pytest.mark.slow
@pytest.mark.usefixtures("few_networks", "short_search")
def test_the_state_dicts_of_a_file_are_listed_as_a_run_lists_them(cli, saved):
    state = NETWORKS["replknet_nano"].build(7).state_dict()
    path = saved(
        "replknet_nano", lambda _: {f"{part}.{name}": value for part in PARTS for name, value in state.items()}
    )
    out = cli("weights", path).out
    assert "2 state dicts, under 'model.net', 'model.ema_net.module'; 'model.net' is used" in out
    for key in ("model.ema_net.module", "ema_net"):
        out = cli("weights", path, "--weights-key", key).out
        assert "'model.ema_net.module' is used" in out
        assert f"--backbone replknet_nano --weights {path} --weights-key {key} --dataset" in out
