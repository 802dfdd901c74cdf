"""BridgeGAP and TAP on the command line: trained on critters, run, and refused in one line."""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from wsolbench_plugins.datasets.critters import dataset as critters

from wsolbench.contract import Split
from wsolbench.contract.inputs import NO_CHANGES
from wsolbench.training.initial_weights import read_start, start_from

TERMS = {"bridge-gap": ["classification", "drop", "similarity", "norm"], "tap": ["classification"]}
OPTIONS = {"bridge-gap": "warm_up=0.34", "tap": "threshold=0.2"}
METHODS = {"bridge-gap": "cam", "tap": "cam-nwc-pas"}


@pytest.fixture
def few_critters(monkeypatch):
    for split, count in ((Split.TRAIN_WEAKSUP, 208), (Split.TRAIN_FULLSUP, 24), (Split.TEST, 24)):
        monkeypatch.setitem(critters.SIZES, split, count)


@pytest.mark.slow
@pytest.mark.usefixtures("no_curve", "no_gallery", "few_critters")
@pytest.mark.parametrize("network", ["resnet_nano", "replknet_nano"])
@pytest.mark.parametrize("system", ["bridge-gap", "tap"])
def test_a_network_is_trained_on_critters_and_run(cli, tmp_path, system, network):
    name, out = f"{system}:{network}", tmp_path / "trained"
    recipe = ["--recipe-opt", "epochs=3", "--recipe-opt", "batch_size=16", "--system-opt", OPTIONS[system]]
    done = cli("train", "--backbone", name, "--dataset", "critters", *recipe, "--out", out)
    assert done.code == 0, done.err
    log = pd.read_csv(out / "log.csv")
    assert list(log.columns)[-len(TERMS[system]) :] == TERMS[system]
    assert log["loss"].to_numpy() == pytest.approx(log[TERMS[system]].fillna(0).sum(axis=1).to_numpy(), rel=1e-5)
    assert log["classification"].is_monotonic_decreasing
    assert log["loss"].is_monotonic_decreasing
    if system == "bridge-gap":  # the first of three epochs is warm-up
        assert log[["similarity", "norm"]].isna().all(axis=1).tolist() == [True, False, False]
        assert log["similarity"].iloc[2] < log["similarity"].iloc[1]
    else:
        assert load_file(out / "weights.safetensors")["tap_threshold"] == torch.tensor(0.2)
    weights = ["--weights", out / "weights.safetensors", "--dataset", "critters", "--interval", "0.1"]
    ran = cli("run", "--backbone", name, *weights, "--method", METHODS[system], "--json", "--out", tmp_path / "run")
    (record,) = ran.records
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert record["backbone"]["weights"]["training"]["system"] == card["system"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bridge-gap:drn_d_22"], "needs two taps, one to drop cells at and one behind it, and the network has none"),
        (["bridge-gap:resnet_nano", "--system-opt", "background=0.5"], "background 0.5 is above foreground 0.4"),
        *(
            pytest.param(arguments, words, marks=pytest.mark.slow)
            for arguments, words in (
                (["tap:resnet_nano", "--system-opt", "threshold=1"], "takes a number from 0 to below 1, not '1'"),
                (["bridge-gap:resnet_nano", "--system-opt", "norm_class=cub"], "takes any|label, not 'cub'"),
                (["bridge-gap:resnet_nano", "--system-opt", "warmup=0.1"], "Did you mean 'warm_up'?"),
                (["bridge-gap:resnet_nano", "--system-opt", "place=layr3"], "place: ResNet has no tap 'layr3' before"),
                (["bridge-gap:resnet_nano", "--recipe", "cutmix"], "use a recipe that does not mix"),
            )
        ),
    ],
)
@pytest.mark.usefixtures("few_critters")
def test_what_makes_no_sense_is_one_line(cli, tmp_path, arguments, words):
    out = tmp_path / "out"
    assert cli("train", "--backbone", *arguments, "--dataset", "critters", "--out", out).refused(words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_weights_of_the_network_alone_are_not_those_of_the_system(cli, registry, tmp_path):
    """Their scores would be those of another pool."""
    save_file(registry.backbones.get("resnet_nano").spec.build(12).state_dict(), tmp_path / "plain.safetensors")
    run = ["run", "--backbone", "tap:resnet_nano", "--weights", tmp_path / "plain.safetensors", "--dataset", "critters"]
    assert cli(*run, "--method", "cam", "--out", tmp_path / "out").refused("tap_threshold")


@pytest.mark.parametrize("name", ["tap", "bridge-gap"])
def test_a_training_starts_from_all_weights_of_the_network(registry, tmp_path, name):
    base = registry.backbones.get("resnet_nano").spec.build(5)
    torch.save(base.state_dict(), tmp_path / "base.pth")
    offer = registry.backbones.get(f"{name}:resnet_nano")
    decided, known = read_start(registry, offer, tmp_path / "base.pth", None, NO_CHANGES)
    network = decided.offer.spec.build(5)
    start_from(known, decided.offer.spec, network, 5)
    assert "layers" not in " ".join(known.info.notes)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in base.state_dict().items())
