"""Which input a network gets: what the user says, else what its weights say, else its own."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from wsolbench.contract import BackboneSpec, InputConfig
from wsolbench.contract.inputs import InputChanges, changed_input, shown_input
from wsolbench.errors import UsageError
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer, Registry
from wsolbench.networks.configure import configure
from wsolbench.networks.inputs import AskedInput, decide_input
from wsolbench.networks.load import load_network

HALF, IMAGENET = (0.5, 0.5, 0.5), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OWN = InputConfig(64, HALF, HALF, "bicubic")
CARD = AskedInput(InputConfig(32, *IMAGENET, "bicubic"), "their card")


class Strided(nn.Module):
    """Maps of a sixteenth of the image."""

    def __init__(self, classes):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 16, 16), nn.Linear(4, classes)

    def forward_features(self, images):
        return self.conv(images)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))


class Positioned(Strided):
    """Maps of a sixteenth, and a number for every cell of them."""

    def __init__(self, classes, size, gain=1.0):
        super().__init__(classes)
        if size % 16:
            raise ValueError("patches of 16 do not divide it")
        self.gain, self.positions = gain, nn.Parameter(torch.zeros(size // 16, size // 16))

    def forward_features(self, images):
        return self.gain * self.conv(images) + self.positions


def positioned(size):
    def build(classes: int, gain: float = 1.0) -> Positioned:
        return Positioned(classes, size, gain)

    return BackboneSpec("positioned", build, InputConfig(size, HALF, HALF, "bicubic"), "us", at_size=positioned)


def offer(build=Strided, **about):
    return Offer(
        BackboneSpec("strided", build, OWN, "us", classifier_key="head.weight", **about), Provider("acme", "1", "net")
    )


def decided(changes, asked=None, build=Strided, **about):
    return decide_input(offer(build, **about), changes, asked)


@pytest.mark.parametrize(
    ("changes", "asked", "expected"),
    [
        (InputChanges(), None, OWN),
        (InputChanges(), CARD, CARD.config),
        (InputChanges(size=96), None, InputConfig(96, HALF, HALF, "bicubic")),
        (InputChanges(size=96), CARD, InputConfig(96, *IMAGENET, "bicubic")),
        (InputChanges(preprocessing="imagenet"), None, InputConfig(64, *IMAGENET, "bicubic")),
        (InputChanges(preprocessing="half"), CARD, InputConfig(32, HALF, HALF, "bicubic")),
        (InputChanges(preprocessing="imagenet", std=HALF), None, InputConfig(64, IMAGENET[0], HALF, "bicubic")),
        (InputChanges(interpolation="nearest"), None, InputConfig(64, HALF, HALF, "nearest")),
        (InputChanges.all_of(CARD.config), None, CARD.config),
    ],
)
def test_the_user_is_followed_then_the_weights_then_the_network(changes, asked, expected):
    assert decided(changes, asked).offer.spec.input == expected


def test_timm_stands_for_what_timm_has_for_its_networks():
    of_timm = Offer(replace(offer().spec, source="timm 1.0"), offer().provider)
    taken = decide_input(of_timm, InputChanges(preprocessing="timm"), CARD)
    assert taken.offer.spec.input == InputConfig(32, HALF, HALF, "bicubic")
    with pytest.raises(UsageError, match="'strided' is no network of timm; omit it, or pass imagenet or half"):
        decided(InputChanges(preprocessing="timm"))


def test_what_weights_say_is_told_where_it_counts_and_where_it_does_not():
    assert decided(InputChanges(), CARD).notes == (
        "by their card images are prepared for 32 px, mean 0.485 0.456 0.406, std 0.229 0.224 0.225, "
        "not 64 px, mean 0.5, std 0.5",
    )
    assert decided(InputChanges(), AskedInput(OWN, "their card")).notes == ()
    against = decided(InputChanges(size=64), CARD)
    assert against.notes == ()
    assert against.against == ("by their card the weights are for 32 px; the network runs at 64 px, as asked for",)


def test_a_network_is_built_for_the_size_with_its_options():
    spec, provider = positioned(64), Provider("acme", "1", "net")
    configured, _ = configure(Offer(spec, provider), {"gain": "3"})
    taken = decide_input(configured, InputChanges(size=96)).offer.spec
    network = taken.build(2)
    assert (tuple(network.positions.shape), network.gain) == ((6, 6), 3.0)
    with pytest.raises(UsageError, match=r"--input-size 90: 'positioned' does not take such images \(patches of 16"):
        decide_input(configured, InputChanges(size=90))


class Cropped(Positioned):
    """Patches at the border are left out where they are no whole ones."""

    def __init__(self, classes, size):
        super().__init__(classes, size // 16 * 16)


def cropped(size):
    return BackboneSpec("cropped", lambda classes: Cropped(classes, size), InputConfig(size), "us", at_size=cropped)


def test_a_network_that_is_built_for_a_size_takes_whole_patches():
    with pytest.raises(
        UsageError,
        match=r"\(they are not whole cells of 6×6 maps\); the nearest that it takes: 96 and 112; its own: 64$",
    ):
        decide_input(Offer(cropped(64), Provider("acme", "1", "net")), InputChanges(size=100))


def fixed(classes):
    return Positioned(classes, 64)


@pytest.mark.parametrize(
    ("build", "size", "words"),
    [
        (fixed, 96, r"--input-size 96: 'strided' does not take such images \(.*\); it takes 64 only$"),
        (Strided, 16, r"\(its feature maps would be of one cell\); the nearest that it takes: 32 and 48; its own: 64$"),
        (Strided, 9, r"the nearest that it takes: 32 and 48; its own: 64$"),
    ],
)
def test_a_size_that_a_network_does_not_take_is_refused_with_those_that_it_takes(build, size, words):
    with pytest.raises(UsageError, match=words):
        decided(InputChanges(size=size), build=build)


def test_a_size_beside_the_stride_is_told():
    assert decided(InputChanges(size=100)).warnings == (
        "100 pixels are no multiple of the stride 16 of 'strided', so that its maps do not cover the image evenly; "
        "96 and 112 are",
    )
    assert decided(InputChanges(size=96)).warnings == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("strided_224", ("strided", 224)),
        ("acme:strided_96", ("acme:strided", 96)),
        ("strided", ("strided", None)),
        ("strided_96x", ("strided_96x", None)),
        ("nothing_224", ("nothing_224", None)),
        ("strided_64", ("strided_64", None)),
    ],
)
def test_a_size_may_stand_behind_the_name_of_a_network(name, meant):
    named = Offer(replace(offer().spec, name="strided_64"), offer().provider)
    assert Registry([offer(), named]).sized(name) == meant


def load(path, **options):
    cpu = torch.device("cpu")
    return load_network(
        Registry([offer()]), "strided", dataset="x", num_classes=2, weights=path, device=cpu, seed=0, **options
    )


def test_the_size_that_a_file_states_is_used_or_contradicted(tmp_path):
    stated, named, plain = tmp_path / "w.pth", tmp_path / "w_1k_224.pth", tmp_path / "v.pth"
    entries = Strided(2).state_dict()
    torch.save({"model": entries, "args": {"input_size": 96}}, stated)
    for path in (named, plain):
        torch.save(entries, path)
    loaded = load(stated)
    assert (loaded.spec.input.size, loaded.changed_input, loaded.feature_shape) == (96, ("size",), (4, 6, 6))
    assert "by the weights file images are prepared for 96 px, not 64 px" in loaded.weights.notes
    assert load(named).spec.input.size == 224
    assert load(plain).spec.input.size == 64

    against = load(named, changes=InputChanges(size=64))
    assert against.changed_input == ()
    assert [each for each in against.warnings if "the name of the weights file says 224 pixels" in each]


def test_a_stated_size_that_the_network_does_not_take_is_only_told(tmp_path):
    torch.save({"model": Positioned(2, 64).state_dict(), "args": {"input_size": 96}}, tmp_path / "w.pth")
    registry = Registry([offer(fixed)])
    loaded = load_network(
        registry, "strided", dataset="x", num_classes=2, weights=tmp_path / "w.pth", device=torch.device("cpu"), seed=0
    )
    assert loaded.spec.input.size == 64
    assert [each for each in loaded.warnings if "the weights file says 96 pixels" in each]


def test_settings_of_an_input_are_shown_in_short():
    assert shown_input(changed_input(CARD.config, InputConfig(32, HALF, HALF))) == (
        "mean 0.485 0.456 0.406, std 0.229 0.224 0.225, bicubic"
    )
    assert shown_input({}) == ""
