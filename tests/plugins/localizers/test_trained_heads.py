"""ACoL and SPG on the command line: trained, started from weights of their base, and refused in one line."""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from served import check_network
from wsolbench_plugins.datasets.critters import dataset as critters

from wsolbench.contract import Split
from wsolbench.contract.inputs import NO_CHANGES
from wsolbench.errors import WeightsError
from wsolbench.training.initial_weights import read_start, start_for, start_from

TERMS = {"acol": ["classification", "classification_b"], "spg": ["classification", "b2", "b1", "c"]}


@pytest.mark.slow
@pytest.mark.usefixtures("no_curve", "no_gallery")
@pytest.mark.parametrize("system", ["acol", "spg"])
def test_a_network_is_trained_on_critters_and_run(cli, tmp_path, monkeypatch, system):
    for split, count in ((Split.TRAIN_WEAKSUP, 384), (Split.TRAIN_FULLSUP, 36), (Split.TEST, 36)):
        monkeypatch.setitem(critters.SIZES, split, count)
    name, out = f"{system}:resnet_nano", tmp_path / "trained"
    option = "threshold=0.6" if system == "acol" else "fused_high=0.6"
    recipe = ["--recipe-opt", "epochs=1", "--system-opt", option]
    done = cli("train", "--backbone", name, "--dataset", "critters", *recipe, "--out", out)
    assert done.code == 0, done.err
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert card["system"]["options"][option.partition("=")[0]] == 0.6
    (line,) = pd.read_csv(out / "log.csv").to_dict("records")
    assert sum(line[term] for term in TERMS[system]) == pytest.approx(line["loss"], rel=1e-5)
    if system == "acol":
        assert load_file(out / "weights.safetensors")["classifier_B.threshold"] == torch.tensor(0.6)
    weights = ["--weights", out / "weights.safetensors", "--dataset", "critters", "--interval", "0.1"]
    methods = ["--method", "cam", *(["--method", "native"] if system == "acol" else [])]
    records = cli("run", "--backbone", name, *weights, *methods, "--json", "--out", tmp_path / "run").records
    assert len(records) == len(methods) // 2
    assert all(record["backbone"]["weights"]["training"]["system"] == card["system"] for record in records)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acol:resnet_nano", "spg:resnet_nano"])
def test_their_networks_conform(registry, name):
    spec = registry.backbones.get(name).spec
    check_network(spec)


def published_vgg():
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    channels = [3, *[64] * 2, *[128] * 2, *[256] * 3, *[512] * 6]
    entries = {}
    for number, (place, before, after) in enumerate(zip(places, channels, channels[1:], strict=False), start=1):
        one = torch.tensor(float(number), dtype=torch.float16)
        entries[f"features.{place}.weight"] = one.expand(after, before, 3, 3).clone()
        entries[f"features.{place}.bias"] = one.expand(after).clone()
    return {**entries, "classifier.0.weight": torch.zeros(2, 2), "classifier.6.weight": torch.zeros(5, 2)}


def started(registry, name, path, classes):
    """Return a network as a training starts it from a file, and what is said about the file."""
    decided, known = read_start(registry, registry.backbones.get(name), path, None, NO_CHANGES)
    known = start_for(known, decided.offer.spec, classes)
    network = decided.offer.spec.build(classes)
    start_from(known, decided.offer.spec, network, classes)
    return network, " ".join(known.info.notes)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        pytest.param("acol:resnet_nano", "layers classifier_A.0, classifier_A.2, ", marks=pytest.mark.slow),
        ("spg:resnet_nano", "new layers SPG_B_1a.0, "),
    ],
)
def test_a_training_starts_from_weights_of_the_base(registry, tmp_path, name, note):
    base = registry.backbones.get("resnet_nano").spec.build(3)
    torch.save(base.state_dict(), tmp_path / "base.pth")
    network, said = started(registry, name, tmp_path / "base.pth", 5)
    assert note in said
    for key, value in base.state_dict().items():
        if not key.startswith("fc."):
            assert torch.equal(network.state_dict()[key], value)
    if name.startswith("spg"):  # the classifier is that of the base, and taken where the classes are as many
        assert "its classifier has 3 classes; that of the network, fc, starts at random for 5 classes" in said
        same, said = started(registry, name, tmp_path / "base.pth", 3)
        assert torch.equal(same.fc.weight, base.fc.weight)
        assert "classes" not in said
    torch.save(network.state_dict(), tmp_path / "own.pth")
    again, _ = started(registry, name, tmp_path / "own.pth", 5)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in again.state_dict().items())


def saved(registry, name, classes, path):
    """Save random weights of a network; returns its entries."""
    network = registry.backbones.get(name).spec.build(classes)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.9)
    torch.save(network.state_dict(), path)
    return network.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theirs", "ours", "taken"),
    [
        ("tap", "bridge-gap", "86 of its 87 entries"),
        ("tap", "", "86 of its 87 entries"),
        ("acol", "", " are taken; the new layers fc start at random"),
        pytest.param("cream", "", "86 of its 90 entries", marks=pytest.mark.slow),
        pytest.param("bridge-gap", "cream", "86 of its 86 entries", marks=pytest.mark.slow),
        pytest.param("f-cam", "spg", "86 of its ", marks=pytest.mark.slow),
        pytest.param("spg", "adl", "86 of its ", marks=pytest.mark.slow),
    ],
)
def test_a_training_takes_what_a_network_and_that_of_another_system_both_have(registry, tmp_path, theirs, ours, taken):
    known = saved(registry, f"{theirs}:resnet_nano", 3, tmp_path / "w.pth")
    network, said = started(registry, f"{ours}:resnet_nano".removeprefix(":"), tmp_path / "w.pth", 3)
    assert taken in said
    shared = [name for name in network.state_dict() if name in known]
    assert len(shared) > 55
    assert all(torch.equal(network.state_dict()[name], known[name]) for name in shared)


def test_entries_that_no_system_adds_are_refused_as_ever(registry, tmp_path):
    known = saved(registry, "resnet_nano", 3, tmp_path / "w.pth")
    torch.save({**known, "other.weight": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"does not fit 'resnet_nano': 1 unexpected: other\.weight"):
        started(registry, "resnet_nano", tmp_path / "w.pth", 3)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("acol:resnet_nano", ["classifier_A.4", "classifier_B.4"]),
        ("cream:resnet_nano", ["fc", "cream_foreground", "cream_background"]),
    ],
)
def test_all_that_depends_on_the_classes_is_left_out_where_they_differ(registry, tmp_path, name, layers):
    known = saved(registry, name, 3, tmp_path / "w.pth")
    network, said = started(registry, name, tmp_path / "w.pth", 5)
    assert f"its classifier has 3 classes; that of the network, {', '.join(layers)}, starts at random for 5" in said
    for entry, value in network.state_dict().items():
        assert torch.equal(value, known[entry]) != entry.startswith(tuple(layers))


def test_weights_of_another_network_are_refused(registry, tmp_path):
    torch.save(registry.backbones.get("resnet_micro").spec.build(3).state_dict(), tmp_path / "micro.pth")
    with pytest.raises(
        WeightsError, match=r"not for 'spg:resnet_nano': it is not of 'resnet_nano' either: it has no '"
    ):
        started(registry, "spg:resnet_nano", tmp_path / "micro.pth", 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acol:vgg16_wsol", "spg:vgg16_wsol"])
def test_vgg_starts_from_the_convolutions_of_a_published_file(registry, tmp_path, name):
    torch.save(published_vgg(), tmp_path / "vgg16.pth")
    network, _ = started(registry, name, tmp_path / "vgg16.pth", 3)
    convolutions = [layer for layer in network.features if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.weight.unique().tolist() for layer in convolutions] == [[number] for number in range(1, 14)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param(
            "acol:timm:vit_tiny_patch16_224",
            ("the system 'acol' cannot train 'timm:vit_tiny_patch16_224': needs a head that reads nothing but",),
            marks=pytest.mark.slow,
        ),
        ("spg:drn_d_22", ("the system 'spg' cannot train 'drn_d_22': needs three taps", "the network has none")),
    ],
)
def test_a_network_that_cannot_be_served_is_one_line(cli, name, words):
    assert cli("describe", name).refused(*words)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("threshold=0", "option 'threshold' takes a number above 0 and at most 1, not '0'"),
        pytest.param("treshold=0.6", "Did you mean 'threshold'?", marks=pytest.mark.slow),
    ],
)
def test_a_threshold_out_of_range_is_one_line(cli, tmp_path, option, words):
    train = ["train", "--backbone", "acol:resnet_nano", "--system-opt", option, "--out", tmp_path / "out"]
    assert cli(*train).refused(words)
    assert not (tmp_path / "out").exists()
