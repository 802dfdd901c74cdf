"""VGG-16 and Inception-v3 in the forms of WSOL: as the reference has them, and started from published weights."""

from pathlib import Path

import pytest
import timm
import torch
from published import LABELS, Published, agrees_at_test_time
from reference_fill import shapes

from wsolbench.contract.inputs import NO_CHANGES
from wsolbench.errors import WeightsError
from wsolbench.training.initial_weights import read_start, start_from


def build(registry, name, classes=10):
    return registry.backbones.get(f"wsolbench:{name}").spec.build(classes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "inception_v3", "resnet50"])
def test_keys_logits_maps_and_gradients_are_those_of_the_reference(registry, shared_data, name):
    published, network = Published(shared_data, f"{name}_cam"), build(registry, f"{name}_wsol")
    assert shapes(network) == published.keys
    network.load_state_dict(published.weights())
    agrees_at_test_time(network.eval(), published)
    for form in ("train", "train_dropout") if "train_dropout_loss" in published else ("train",):
        network.load_state_dict(published.weights())
        network.train().zero_grad()
        if name == "inception_v3":
            network.dropout = 0.5 if form == "train_dropout" else 0.0
        torch.manual_seed(0)
        logits = network(published.images())
        loss = torch.nn.functional.cross_entropy(logits, LABELS)
        loss.backward()
        assert published.agrees(f"{form}_logits", logits, 1e-3)
        assert published.agrees(f"{form}_loss", loss, 1e-3)
        if form == "train":
            assert published.same_gradients(network, dict)


@pytest.mark.parametrize(("name", "maps"), [("vgg16_gap", 14), ("vgg16_wsol", 28), ("inception_v3_wsol", 28)])
def test_maps_at_224_are_those_of_the_literature(registry, name, maps):
    with torch.device("meta"):
        features = build(registry, name).eval().forward_features(torch.zeros(1, 3, 224, 224))
    assert tuple(features.shape) == (1, 1024, maps, maps)


def published_vgg(width=lambda channels: channels):
    """Return the entries of a VGG-16 of torchvision, with the number of its layer in place of every weight."""
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    channels = [3, *[64] * 2, *[128] * 2, *[256] * 3, *[512] * 6]
    entries = {}
    for number, (place, before, after) in enumerate(zip(places, channels, channels[1:], strict=False), start=1):
        one = torch.tensor(float(number), dtype=torch.float16)
        entries[f"features.{place}.weight"] = one.expand(width(after), before, 3, 3).clone()
        entries[f"features.{place}.bias"] = one.expand(width(after)).clone()
    return {**entries, "classifier.0.weight": torch.zeros(2, 2), "classifier.6.weight": torch.zeros(5, 2)}


def start(registry, name, path):
    return read_start(registry, registry.backbones.get(f"wsolbench:{name}"), Path(path), None, NO_CHANGES)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "last"), [("vgg16_gap", 28), ("vgg16_wsol", 27)])
def test_a_training_of_vgg_starts_from_the_convolutions_of_a_published_file(registry, tmp_path, name, last):
    torch.save(published_vgg(), tmp_path / "vgg16.pth")
    decided, known = start(registry, name, tmp_path / "vgg16.pth")
    assert known.info.notes[-1] == "26 of its 28 entries are taken; the new layers conv6, fc start at random"
    network = decided.offer.spec.build(7)
    head = network.conv6.weight.clone()
    start_from(known, decided.offer.spec, network, 7)
    convolutions = [layer for layer in network.features if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.weight.unique().tolist() for layer in convolutions] == [[number] for number in range(1, 14)]
    assert [layer.bias.unique().tolist() for layer in convolutions] == [[number] for number in range(1, 14)]
    assert network.features[last] is convolutions[-1]
    assert torch.equal(network.conv6.weight, head)


@pytest.mark.slow
def test_a_training_of_inception_starts_from_the_body_of_a_published_file(registry, tmp_path):
    published = timm.create_model("inception_v3", num_classes=3, aux_logits=True).half().state_dict()
    torch.save(published, tmp_path / "inception.pth")
    decided, known = start(registry, "inception_v3_wsol", tmp_path / "inception.pth")
    assert known.info.notes[-1].endswith("the new layers SPG_A3_1b.0, SPG_A3_2b.0, SPG_A4 start at random")
    network = decided.offer.spec.build(7)
    start_from(known, decided.offer.spec, network, 7)
    own = network.state_dict()
    for name in ("Conv2d_1a_3x3.conv.weight", "Mixed_6a.branch3x3.conv.weight", "Mixed_6e.branch_pool.bn.weight"):
        assert torch.equal(own[name], published[name].float())


@pytest.mark.slow
def test_what_a_training_cannot_start_from_is_one_line(registry, cli, tmp_path):
    torch.save(published_vgg(lambda channels: channels // 2), tmp_path / "thin.pth")
    with pytest.raises(WeightsError, match="is not for 'vgg16_wsol': it does not hold the 13 convolutions of a VGG-16"):
        start(registry, "vgg16_wsol", tmp_path / "thin.pth")
    torch.save(published_vgg(), tmp_path / "vgg16.pth")
    run = cli("run", "--backbone", "wsolbench:vgg16_wsol", "--method", "cam", "--weights", tmp_path / "vgg16.pth")
    assert run.refused("it has no 'fc.weight'", "wsolbench train --backbone vgg16_wsol --weights FILE")
