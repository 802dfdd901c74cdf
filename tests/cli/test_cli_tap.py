"""``--tap``: the features of a run are those of a layer of the network."""

import numpy as np
import pytest
import torch

from wsolbench.leaderboard.entries import file_stem, read_entry
from wsolbench.records import identity_of, read_record
from wsolbench.records.store import read_summary

RUN = ["run", "--backbone", "replknet_nano", "--limit", 2, "--interval", 0.1, "--workers", 1]


@pytest.fixture
def tapped(cli, tmp_path):
    def tapped(name, *options):
        out = tmp_path / name
        return cli(*RUN, "--out", out, *options), out

    return tapped


@pytest.mark.usefixtures("no_gallery")
def test_a_record_names_the_layer_and_a_gallery_draws_its_maps_again(tapped, cli, tmp_path):
    done, out = tapped("out", "--tap", "stages.0", "--method", "layer-cam")
    assert done.code == 0
    assert "replknet_nano (tap=stages.0), shipped weights" in done.out
    record = read_record(out / "record-layer-cam.json")
    assert record.backbone.tap == record.config["tap"] == "stages.0"
    assert record.backbone.feature_shape == (24, 24, 24)
    assert record.metrics.top1_acc == 100
    assert ("tap", "stages.0") in identity_of(record).network
    assert file_stem(read_entry(out / "record-layer-cam.json", "it")).startswith(
        "replknet_nano-tap-stages.0__layer-cam__"
    )
    again = cli("gallery", out / "record-layer-cam.json", "--images", 1, "--out", tmp_path / "side.png")
    assert (again.code, again.out) == (0, f"{tmp_path / 'side.png'}\n")


@pytest.mark.usefixtures("no_gallery")
def test_the_tap_before_the_head_gives_the_maps_of_the_network_itself(tapped, tmp_path):
    maps = {}
    for name, tap in (("without", []), ("with", ["--tap", "stages.2"])):
        done, _ = tapped(name, "--method", "cam", "--save-scoremaps", tmp_path / f"maps-{name}", *tap)
        assert done.code == 0
        maps[name] = [np.load(path) for path in sorted((tmp_path / f"maps-{name}").rglob("*.npy"))]
    assert len(maps["with"]) == 4
    assert all(np.array_equal(one, other) for one, other in zip(maps["with"], maps["without"], strict=True))


@pytest.mark.usefixtures("no_gallery")
def test_a_tap_works_in_less_precision(tapped):
    done, out = tapped("out", "--tap", "stages.1", "--method", "grad-cam", "--precision", "bf16")
    assert done.code == 0
    assert read_summary(out / "record-grad-cam.json").backbone.precision == "bf16"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--tap", "stage.1", "--method", "cam"],
            "--tap stage.1: 'replknet_nano' has no tap 'stage.1'. Did you mean 'stages.1'? "
            "Its taps: stages.0, stages.1, stages.2",
        ),
        (["--tap", "stages.1", "--method", "cam"], "the method 'cam' needs class weights, which 'replknet_nano' does"),
        (
            ["--method", "layer-cam-fused", "--method-opt", "layer-cam-fused.taps=stages.1,stages.99"],
            "the option taps of 'layer-cam-fused': 'replknet_nano' has no tap 'stages.99'. Did you mean 'stages.2'? "
            "Its taps: stages.0, stages.1, stages.2",
        ),
        (
            ["--tap", "stages.1", "--method", "pc1", "--compile"],
            "--compile: a network tapped at 'stages.1' is not compiled; omit --compile",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_the_work_begins(tapped, options, line):
    done, out = tapped("out", *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {line}")
    assert done.err.count("\n") == 1
    assert not out.exists()


def test_where_a_method_cannot_work_the_tap_is_named(tapped):
    done, _ = tapped("out", "--tap", "stages.1", "--method", "cam")
    assert "does not have at the tap 'stages.1'; methods that work with it: " in done.err
    assert " cam," not in done.err


def test_describe_lists_the_taps_with_their_shapes(cli):
    assert (
        "taps                stages.0 24×24×24, stages.1 48×12×12, stages.2 72×12×12"
        in cli("describe", "replknet_nano").out.splitlines()
    )


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
