"""SqueezeNet: entries, features and class scores against torchvision's own network and a formula."""

import pytest
import torch
import torchvision
from torch.nn import functional as F
from wsolbench_plugins.backbones import squeezenet
from wsolbench_plugins.backbones.squeezenet import network

from wsolbench.api import WeightsError

SPECS = {spec.name: spec for spec in squeezenet.wsolbench_backbones()}


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_entries_and_logits_are_torchvisions(name):
    theirs = torchvision.models.get_model(name).eval()
    ours = SPECS[name].build(1000).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = ours.forward_features(images)
        assert features.shape[:2] == (2, 512)
        assert torch.equal(ours.forward_head(features), theirs(images))


def test_class_scores_are_means_of_class_maps_behind_a_relu():
    ours = SPECS["squeezenet1_1"].build(5).eval()
    features = torch.randn(2, 512, 3, 4)
    with torch.no_grad():
        bias = ours.get_parameter("classifier.1.bias").uniform_(-1, 1)
        maps = torch.einsum("ck,bkhw->bchw", ours.classifier_weight, features) + bias[:, None, None]
        torch.testing.assert_close(ours.forward_head(features), F.relu(maps).mean((2, 3)))
    assert ours.classifier_weight.shape == (5, 512)


def test_taps_are_the_fire_modules_and_the_last_one_is_the_features():
    ours = SPECS["squeezenet1_0"].build(5).eval()
    assert ours.taps == tuple(f"features.{place}" for place in (3, 4, 5, 7, 8, 9, 10, 12))
    images, seen = torch.randn(1, 3, 64, 64), []
    with torch.no_grad():
        logits = ours.forward_tapped(images, {ours.taps[-1]: lambda maps: seen.append(maps) or maps})
        features = ours.forward_features(images)
    assert torch.equal(seen[0], features)
    assert torch.equal(logits, ours.forward_head(features))


def test_files_with_caffes_names_read_bgr_images_of_0_to_255_less_their_mean():
    theirs = torchvision.models.squeezenet1_0(num_classes=3).eval()
    places = dict(zip((f"features.{place}" for place in (3, 4, 5, 7, 8, 9, 10, 12)), range(2, 10), strict=True))
    names = {"features.0": "conv1", "classifier.1": "conv10"} | {old: f"fire{number}" for old, number in places.items()}
    caffe = {}
    for key, value in theirs.state_dict().items():
        front = next(old for old in names if key.startswith(f"{old}."))
        caffe[key.replace(front, names[front])] = value
    ours = SPECS["squeezenet1_0"].build(3).eval()
    ours.load_state_dict(SPECS["squeezenet1_0"].convert_weights(caffe))
    image = torch.rand(1, 3, 67, 67)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    expected = theirs((255 * image - torch.tensor([123.0, 117.0, 104.0])[:, None, None]).flip(1))
    torch.testing.assert_close(ours.forward_head(ours.forward_features((image - mean) / std)), expected)
    own = ours.state_dict()
    assert SPECS["squeezenet1_0"].convert_weights(own) is own


def test_weights_that_cannot_be_fetched_are_named_with_their_address(monkeypatch):
    class Unreachable:
        url = "https://example.org/squeezenet1_0.pth"

        def get_state_dict(self, **_):
            raise OSError("no route to host")

    monkeypatch.setitem(network.WEIGHTS, "1_0", Unreachable())
    with pytest.raises(WeightsError, match=r"no route to host\); without a connection, download https://example"):
        dict(SPECS["squeezenet1_0"].pretrained.fetch())
