"""ADL: the layer, its places and the coins are those of the reference; only training knows it."""

import json

import numpy as np
import pytest
import torch
from reference_fill import agrees, filled

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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50_wsol", "vgg16_wsol", "inception_v3_wsol"])
def test_networks_compute_what_the_reference_does(registry, adl, shared_data, name):
    spec = registry.backbones.get(f"adl:{name}").spec
    file = name.removesuffix("_wsol")
    published = np.load(shared_data / "systems" / f"{file}_adl.npz")
    keys = json.loads((shared_data / "systems" / "keys" / f"{file}_adl.json").read_text(encoding="utf-8"))
    entries = filled({key: torch.empty(shape) for key, shape in keys.items() if "num_batches" not in key})
    network = spec.build(10)

    def load():
        network.load_state_dict(spec.convert_weights(entries), strict=False)

    i = np.arange(2 * 3 * 64 * 64, dtype=np.float64)
    waves = float(published["input_amplitude"]) * (np.sin(0.05 * i) + np.sin(0.0007 * i) + np.cos(0.31 * i))
    images, labels = torch.from_numpy(waves.astype(np.float32).reshape(2, 3, 64, 64)), torch.tensor([1, 3])
    load()
    network.eval()
    with torch.no_grad():
        features = network.forward_features(images)
        assert agrees(network.forward_head(features), published["eval_logits"], 1e-4)
        weighted = network.classifier_weight[labels, :, None, None] * features
        bias = network.SPG_A4.bias[labels, None, None] if file == "inception_v3" else 0
        maps = weighted.sum(dim=1) + bias if file == "inception_v3" else weighted.mean(dim=1)
    assert agrees(maps, published["eval_map"], 1e-4)
    for form, drop_rate in (("train", 0.75), ("train_all_importance", 0.0), ("train_all_drop", 1.0)):
        load()
        network.train()
        torch.manual_seed(0)
        logits = adl(drop_rate=drop_rate).forward(network, images, labels)["logits"]
        loss = torch.nn.functional.cross_entropy(logits, labels)
        assert agrees(logits.detach(), published[f"{form}_logits"], 1e-3), form
        assert agrees(loss.detach(), published[f"{form}_loss"], 1e-3), form
        if form == "train":
            loss.backward()
            norms = [float(each.grad.norm()) for each in network.parameters()]
            assert np.abs(norms - published["train_grad_l2"]).max() <= 5e-2 * published["train_grad_l2"].max()


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
