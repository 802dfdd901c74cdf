"""Systems on the command line: trained, run, described, and refused in one line."""

import json
import shlex

import pandas as pd
import pytest

from wsolbench.networks.describe import usual_method

pytestmark = pytest.mark.usefixtures("no_curve", "no_gallery")

NAMES = ("vit_nano", "adl:vit_nano_64", "adl:resnet_nano", "ts-cam:vit_nano", "no_network")
SHORT = ["--recipe-opt", "epochs=1", "--recipe-opt", "batch_size=8"]


def test_a_network_is_trained_by_a_system_and_run(cli, folder_set, tmp_path):
    made, out = folder_set(train=16, val=2, test=4), tmp_path / "trained"
    options = ["--system-opt", "threshold=0.6", "--system-opt", "places=layer4"]
    done = cli("train", "--backbone", "adl:resnet_nano", *made.options, *SHORT, *options, "--out", out)
    assert done.code == 0, done.err
    typed = ["--backbone", "adl:resnet_nano", "--weights", str(out / "weights.safetensors"), "--method", "cam"]
    _, command = done.out.splitlines()[-1].split("run it with: wsolbench ")
    scored = ["--interval", "0.1", "--json", "--out", tmp_path / "printed"]
    (printed,) = cli(*shlex.split(command), *scored).records
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert (card["backbone"], card["recipe"]) == ("adl:resnet_nano", "onecycle")
    assert card["system"] == {
        "name": "adl",
        "options": {"drop_rate": 0.75, "threshold": 0.6, "places": ["layer4"]},
        "stages": [{"name": "training", "epochs": 1, "trains": [""], "pairs": 1, "targets_sha256": None}],
    }
    assert {"stage", "classification"} <= set(pd.read_csv(out / "log.csv"))
    other = cli("run", "--backbone", "acol:resnet_nano", *typed[2:], *made.options)
    assert other.refused("its card says 'adl:resnet_nano': run it with --backbone adl:resnet_nano")
    scored = [*made.options, "--interval", "0.1", "--json"]
    (record,) = cli("run", *typed, *scored, "--out", tmp_path / "run").records
    assert record["backbone"]["name"] == "adl:resnet_nano"
    assert printed["metrics"] == record["metrics"]
    assert record["backbone"]["weights"]["training"]["system"] == card["system"]
    plain = cli("run", "--backbone", "resnet_nano", *typed[2:], *scored, "--out", tmp_path / "plain")
    assert "the weights were trained by the system 'adl', and run as 'resnet_nano': the name of" in plain.err
    told = cli("weights", out / "weights.safetensors").out
    assert "by its card it is 'adl:resnet_nano'" in told
    assert f"wsolbench run --backbone adl:resnet_nano --weights {out / 'weights.safetensors'}" in told


@pytest.mark.slow
def test_where_there_are_no_class_weights_another_method_is_told_and_runs(cli, registry, folder_set, tmp_path):
    made, out = folder_set(train=16, val=2, test=4), tmp_path / "trained"
    trained = cli("train", "--backbone", "adl:vit_nano", *made.options, *SHORT, "--input-size", "32", "--out", out)
    assert trained.code == 0, trained.err
    typed = ["--backbone", "adl:vit_nano", "--weights", str(out / "weights.safetensors"), "--method", "grad-cam"]
    _, command = trained.out.splitlines()[-1].split("run it with: wsolbench run ")
    assert command.startswith("--backbone adl:vit_nano --method grad-cam --dataset ")
    assert cli("run", *typed, *made.options, "--interval", "0.1", "--out", tmp_path / "run").code == 0
    assert cli("weights", out / "weights.safetensors").out.splitlines()[-1].endswith("--method grad-cam")
    described = json.loads(cli("describe", "adl:vit_nano", "--json").out)
    assert described["method"] == "grad-cam"
    assert described["example"].endswith("--method grad-cam")
    assert [usual_method(registry, name) for name in NAMES] == ["grad-cam", "grad-cam", "cam", "native", "cam"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backbone", "adl:resnet_nano", "--system-opt", "treshold=0.6"], ("no option 'treshold'", "'threshold'")),
        (["--backbone", "resnet_nano", "--system-opt", "a=1"], ("--system-opt a", "SYSTEM:resnet_nano")),
        (["--backbone", "adk:resnet_nano"], ("unknown backbone 'adk:resnet_nano'", "'adl:resnet_nano'")),
        (["--backbone", "adl:resnet"], ("'adl:resnet' is a family", "adl:resnet_nano")),
        (["--backbone", "adl:resnet_nano", "--system-opt", "places=layr4"], ("no tap 'layr4'", "layer4")),
        (
            ["--backbone", "adl:resnet_nano", "--system-opt", "places=layer4,layer4"],
            ("the system 'adl': places: a tap is named more than once; name each once",),
        ),
        (
            ["--backbone", "psol:resnet_nano", "--system-opt", "ddt_size=100000000"],
            ("'ddt_size' takes a whole number from 1 to 4096, or none, not '100000000'",),
        ),
    ],
)
def test_what_cannot_be_trained_is_one_line(cli, folder_set, tmp_path, arguments, words):
    made = folder_set(train=16, val=2, test=4)
    assert cli("train", *arguments, *made.options, *SHORT, "--out", tmp_path / "out").refused(*words)
    assert not (tmp_path / "out").exists()


def test_systems_are_listed_and_described(cli):
    assert "adl\tsystem\t" in cli("list", "systems").out
    described = json.loads(cli("describe", "adl", "--json").out)
    assert (described["kind"], described["method"], described["train"]) == ("system", "cam", "adl:BACKBONE")
    assert described["needs"] == ["taps"]
    assert described["options"]["threshold"]["default"] == 0.9


def test_a_network_behind_a_system_is_described_with_it(cli):
    described = json.loads(cli("describe", "acol:resnet_nano_64", "--json").out)
    assert described["system"].startswith("acol: Zhang et al., Adversarial Complementary Learning")
    assert (described["name"], described["method"]) == ("acol:resnet_nano", "native")
    assert described["source"].startswith("He et al.")
    assert "system" not in json.loads(cli("describe", "resnet_nano", "--json").out)
