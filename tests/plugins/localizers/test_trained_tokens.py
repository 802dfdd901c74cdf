"""TS-CAM and SCM on the command line: trained on critters, run with their own map, started from their base."""

import json

import pandas as pd
import pytest
import torch
from served import check_network
from wsolbench_plugins.datasets.critters import dataset as critters

from wsolbench.contract import Split
from wsolbench.contract.inputs import NO_CHANGES
from wsolbench.training.initial_weights import read_start, start_for, start_from


@pytest.fixture
def few_critters(monkeypatch):
    for split, count in ((Split.TRAIN_WEAKSUP, 384), (Split.TRAIN_FULLSUP, 36), (Split.TEST, 36)):
        monkeypatch.setitem(critters.SIZES, split, count)


@pytest.mark.slow
@pytest.mark.usefixtures("no_curve", "no_gallery", "few_critters")
@pytest.mark.parametrize(("system", "options"), [("ts-cam", {}), ("scm", {"steps": 4})])
def test_a_transformer_is_trained_on_critters_and_run(cli, tmp_path, system, options):
    out = tmp_path / "trained"
    given = [part for name, value in options.items() for part in ("--system-opt", f"{name}={value}")]
    typed = ["--backbone", f"{system}:vit_nano", "--dataset", "critters"]
    done = cli("train", *typed, "--recipe-opt", "epochs=1", *given, "--out", out)
    assert done.code == 0, done.err
    assert "--method native" in done.out.splitlines()[-1]
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert card["system"]["options"] == options
    (line,) = pd.read_csv(out / "log.csv").to_dict("records")
    assert line["classification"] == pytest.approx(line["loss"])
    run = ["--weights", out / "weights.safetensors", "--interval", "0.1", "--json"]
    methods = ["--method", "native", "--method", "class-attention", "--method", "grad-cam"]
    records = cli("run", *typed, *run, *methods, "--out", tmp_path / "run").records
    assert len(records) == 3
    assert all(record["backbone"]["weights"]["training"]["system"] == card["system"] for record in records)
    assert cli("run", *typed, *run, "--method", "cam", "--out", tmp_path / "cam").refused("class weights")
    if system == "scm":  # its layers are not used at test time
        plain = cli("run", "--backbone", "ts-cam:vit_nano", *typed[2:], *run, *methods[:2], "--out", tmp_path / "plain")
        assert plain.records[0]["metrics"] == records[0]["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ts-cam:vit_micro", "scm:vit_micro", "ts-cam:timm:deit_tiny_patch16_224_64"])
def test_their_networks_conform(registry, name):
    spec = registry.backbones.get(name.removesuffix("_64")).spec
    spec = spec.at_size(64) if name.endswith("_64") else spec
    check_network(spec)


@pytest.mark.parametrize("system", ["ts-cam", pytest.param("scm", marks=pytest.mark.slow)])
def test_a_training_starts_from_weights_of_the_base(registry, tmp_path, system):
    base = registry.backbones.get("vit_micro").spec.build(7)
    torch.save(base.state_dict(), tmp_path / "base.pth")
    name = f"{system}:vit_micro"
    decided, known = read_start(registry, registry.backbones.get(name), tmp_path / "base.pth", None, NO_CHANGES)
    known = start_for(known, decided.offer.spec, 5)
    network = decided.offer.spec.build(5)
    start_from(known, decided.offer.spec, network, 5)
    assert "new layers semantic" in " ".join(known.info.notes)
    own = network.state_dict()
    for key, value in base.state_dict().items():
        assert key.startswith("head.") or torch.equal(own[key], value)
