"""ADL: the layer, its places and the coins are those of the reference; only training knows it."""

import json

import numpy as np
import pytest
import torch
from published import LABELS, Published, agrees_at_test_time
from reference_fill import agrees
from torch.nn import functional as F

import wsolbench
from wsolbench.contract import InputConfig
from wsolbench.errors import UsageError
from wsolbench.networks.shapes import build_shapes


@pytest.fixture
def adl(registry):
    def build(**options):
        return registry.systems.get("adl").spec.build(**options)

    return build


@pytest.fixture
def layer(shared_data):
    return np.load(shared_data / "systems" / "layer_adl.npz")


@pytest.mark.parametrize("threshold", [0.8, 0.9])
@pytest.mark.parametrize(("branch", "drop_rate"), [("importance", 0.0), ("drop", 1.0)])
def test_both_branches_and_their_gradients_are_those_of_the_reference(adl, layer, branch, drop_rate, threshold):
    maps = torch.from_numpy(layer["input"]).requires_grad_()
    out = adl(drop_rate=drop_rate, threshold=threshold).drop(maps)
    out.backward(torch.from_numpy(layer["gradient_out"]))
    assert agrees(out.detach(), layer[f"{branch}_{threshold}"], 1e-6)
    assert agrees(maps.grad, layer[f"{branch}_{threshold}_gradient_in"], 1e-6)


def test_the_coins_are_those_of_the_reference(adl, layer):
    maps = torch.rand(2, 3, 4, 4)
    torch.manual_seed(0)
    made = [adl().drop(maps) for _ in range(40)]
    assert [int((each == 0).any()) for each in made] == layer["coins_seed0_rate0.75"].tolist()


def test_a_literal_mask(adl):
    maps = torch.tensor([[[[1.0, 4.0], [3.5, -2.0]], [[1.0, 4.0], [3.7, 0.0]]]])  # means 1, 4, 3.6 and -1
    assert adl(drop_rate=1.0).drop(maps).tolist() == [[[[1, 0], [0, -2]], [[1, 0], [0, 0]]]]
    assert adl(drop_rate=0.0).drop(maps)[0, 0, 0, 1].item() == pytest.approx(4 / (1 + np.exp(-4)))


@pytest.mark.parametrize(
    ("name", "taps"), [("resnet_nano", ("layer3", "layer4")), ("replknet_nano", ("stages.1", "stages.2"))]
)
def test_other_networks_have_layers_behind_their_last_two_taps(registry, adl, name, taps):
    network = build_shapes(registry.backbones.get(f"adl:{name}").spec, 3)
    visited = []

    def forward_tapped(images, visit):
        visited.append(tuple(visit))
        return images

    network.forward_tapped = forward_tapped
    adl().forward(network, torch.zeros(1), torch.zeros(1))
    adl(places=(network.taps[0],)).forward(network, torch.zeros(1), torch.zeros(1))
    assert visited == [taps, network.taps[:1]]
    with pytest.raises(UsageError, match=r"places: .* has no tap 'layr4'; its taps: "):
        adl(places=("layr4",)).forward(network, torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize("name", ["resnet50_wsol", "vgg16_wsol", "inception_v3_wsol"])
def test_weights_in_either_numbering_are_read(registry, shared_data, name):
    spec = registry.backbones.get(f"adl:{name}").spec
    file = name.removesuffix("_wsol")
    theirs = json.loads((shared_data / "systems" / "keys" / f"{file}_adl.json").read_text(encoding="utf-8"))
    own = {key: list(value.shape) for key, value in build_shapes(spec, 10).state_dict().items()}
    assert spec.convert_weights(theirs) == own
    assert spec.convert_weights(own) == own


class Noting:
    """A layer that notes the importance, the mask and the coin (1 for the mask) of each call."""

    def __init__(self, system):
        self.system, self.seen, self.drop = system, [], system.drop

    def __call__(self, maps):
        made, attention = self.drop(maps), maps.detach().mean(dim=1, keepdim=True)
        mask = self.system.mask(attention)
        self.seen.append((attention.sigmoid(), mask, int(torch.equal(made, maps * mask))))
        return made


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "vgg16", "inception_v3"])
def test_networks_compute_what_the_reference_does(registry, adl, shared_data, monkeypatch, name):
    published = Published(shared_data, f"{name}_adl")
    spec = registry.backbones.get(f"adl:{name}_wsol").spec
    weights, images = spec.convert_weights(published.weights()), published.images()
    network = spec.build(10)
    network.load_state_dict(weights)
    agrees_at_test_time(network.eval(), published)
    for form, drop_rate in (("train", 0.75), ("train_all_importance", 0.0), ("train_all_drop", 1.0)):
        network.load_state_dict(weights)
        network.train().zero_grad()
        system = adl(drop_rate=drop_rate)
        noting = Noting(system)
        monkeypatch.setattr(type(system), "drop", lambda _, maps, noting=noting: noting(maps))
        torch.manual_seed(0)
        logits = system.forward(network, images, LABELS)["logits"]
        monkeypatch.undo()
        loss = F.cross_entropy(logits, LABELS)
        loss.backward()
        assert published.agrees(f"{form}_logits", logits, 1e-3)
        assert published.agrees(f"{form}_loss", loss, 1e-3)
        assert published.same_gradients(network, spec.convert_weights, name=f"{form}_grad_l2")
        if form == "train":
            assert [coin for *_, coin in noting.seen] == published["train_coins"].tolist()
            for number, (importance, mask, _) in enumerate(noting.seen):
                assert published.agrees(f"train_layer{number}_importance", importance, 2e-3)
                assert published.agrees(f"train_layer{number}_drop_mask", mask, 0)


def test_a_system_keeps_the_options_and_the_input_of_its_network(registry):
    base, spec = registry.backbones.get("convnext_nano").spec, registry.backbones.get("adl:convnext_nano").spec
    assert spec.name == "adl:convnext_nano"
    assert (spec.input, spec.checkpoints, spec.family) == (base.input, (), "adl:convnext")
    assert isinstance(spec.input, InputConfig)
    assert spec.build(3, kernel_size=3).stages[0].blocks[0].conv_dw.kernel_size == (3, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("no_curve")
@pytest.mark.parametrize("name", ["resnet_micro", "replknet_nano", "timm:vit_tiny_patch16_224"])
def test_small_networks_of_several_kinds_are_trained(folder_set, tmp_path, name):
    made = folder_set(train=8, test=2)
    data = {"dataset": "folder", "data_root": made.images, "metadata_root": made.metadata, "input_size": 64}
    recipe = {"epochs": 1, "batch_size": 4}
    adl, plain = (
        wsolbench.train(f"{system}{name}", **data, recipe_options=recipe, out=tmp_path / (system or "alone"))
        for system in ("adl:", "")
    )
    assert adl.card.parameters == plain.card.parameters
    assert adl.card.weights_sha256 != plain.card.weights_sha256
