"""ACoL: literal forms of its formulas, and outputs of the reference code where they are at hand."""

from types import SimpleNamespace

import pytest
import torch
from published import LABELS, Published
from torch import nn
from torch.nn import functional as F
from wsolbench_plugins.localizers.acol import ACoL, with_threshold
from wsolbench_plugins.localizers.acol.network import attention_of, erase, width_of, with_two_classifiers

from wsolbench.contract import Features
from wsolbench.errors import UsageError
from wsolbench.networks.shapes import build_shapes
from wsolbench.testing.toys import ToyNetwork


@pytest.fixture
def network():
    torch.manual_seed(0)
    return with_two_classifiers(ToyNetwork(), size=48, name="toy", key="head.weight").eval()


def literal_maps(network, images, classes):
    """Return the label maps of both classifiers and the erased cells, image by image and cell by cell."""
    body = network.forward_features(images).rest[0]
    maps, seconds, erased = [], [], []
    for image, label in zip(body, classes.tolist(), strict=True):
        first = network.classifier_A(image[None])[0, label]
        low, high = float(first.min()), float(first.max())
        hidden, cells = image.clone(), torch.zeros_like(first)
        for row in range(first.shape[0]):
            for column in range(first.shape[1]):
                if (float(first[row, column]) - low) / (high - low) >= 0.7:
                    hidden[:, row, column] = 0
                    cells[row, column] = 1
        maps.append(first)
        seconds.append(network.classifier_B(hidden[None])[0])
        erased.append(cells)
    return torch.stack(maps), torch.stack(seconds), torch.stack(erased)


@torch.no_grad()
def test_the_second_classifier_does_not_see_what_the_first_finds(network):
    images, labels = torch.randn(2, 3, 48, 48), torch.tensor([3, 1])
    outputs = network.training_outputs(images, labels)
    first, second, erased = literal_maps(network, images, labels)
    assert torch.allclose(outputs["maps"][[0, 1], labels], first, atol=1e-5)
    assert torch.equal(outputs["erased"][:, 0], erased)
    assert 0 < erased.sum() < erased.numel()
    assert torch.allclose(outputs["maps_b"], second, atol=1e-5)
    assert torch.allclose(outputs["logits_b"], second.mean(dim=(2, 3)), atol=1e-5)
    assert torch.allclose(outputs["logits"], network(images), atol=1e-5)


@torch.no_grad()
def test_its_map_is_the_larger_of_both_maps_of_the_class(network):
    images, classes = torch.randn(2, 3, 48, 48), torch.tensor([0, 2])
    first, second, _ = literal_maps(network, images, classes)
    expected = []
    for a, b in zip(first, second[[0, 1], classes], strict=True):
        expected.append(torch.maximum((a - a.min()) / (a.max() - a.min()), (b - b.min()) / (b.max() - b.min())))
    maps = network.localize(network.forward_features(images), images, classes)
    assert torch.allclose(maps, torch.stack(expected), atol=1e-4)


@torch.no_grad()
def test_cam_is_the_class_map_of_the_first_classifier(network):
    """Up to the bias, which is the same in all cells."""
    features = network.forward_features(torch.randn(2, 3, 48, 48))
    weighted = torch.einsum("ck,bkhw->bchw", network.classifier_weight, features.maps)
    biases = network.classifier_A[-1].bias[:, None, None]
    assert torch.allclose(weighted + biases, network.classifier_A(features.rest[0]), atol=1e-5)


@torch.no_grad()
def test_a_constant_map_erases_nothing_and_leaves_the_map_of_the_other(network):
    nn.init.zeros_(network.classifier_A[-1].weight)
    images, labels = torch.randn(1, 3, 48, 48), torch.tensor([1])
    outputs = network.training_outputs(images, labels)
    assert outputs["attention"].isnan().all()
    assert outputs["erased"].sum() == 0
    features = network.forward_features(images)
    second = network.classifier_B(features.rest[0])[:, 1]
    expected = (second - second.min()) / (second.max() - second.min())
    assert torch.allclose(network.localize(features, images, labels), expected)
    nn.init.zeros_(network.classifier_B[-1].weight)
    assert torch.equal(network.localize(features, images, labels), torch.zeros_like(expected))


def test_what_is_erased_carries_no_gradient(network):
    """So the second loss teaches the first classifier nothing."""
    network.training_outputs(torch.randn(2, 3, 48, 48), torch.tensor([0, 1]))["logits_b"].sum().backward()
    assert all(parameter.grad is None for parameter in network.classifier_A.parameters())
    assert all(parameter.grad is not None for parameter in network.classifier_B.parameters())


def test_the_threshold_is_kept_with_the_weights(network):
    network.threshold.fill_(0.25)
    assert network.state_dict()["classifier_B.threshold"] == 0.25
    images, labels = torch.randn(2, 3, 48, 48), torch.tensor([0, 1])
    with torch.no_grad():
        outputs = network.training_outputs(images, labels)
    assert torch.equal(outputs["erased"] == 1, outputs["attention"] >= 0.25)
    assert with_threshold(network.state_dict())["classifier_B.threshold"] == 0.25


@torch.no_grad()
def test_the_system_trains_both_with_its_threshold(network):
    (stage,) = ACoL(threshold=0.25).stages(7)
    assert (stage.epochs, stage.trains, stage.mixed) == (7, ("",), True)
    images, labels = torch.randn(2, 3, 48, 48), torch.tensor([0, 1])
    outputs = stage.forward(network, images, labels)
    assert network.threshold == 0.25
    assert torch.equal(outputs["erased"] == 1, outputs["attention"] >= 0.25)
    step = SimpleNamespace(outputs=outputs, classification=lambda logits: 2 * F.cross_entropy(logits, labels))
    terms = stage.loss(step)
    expected = {"classification": outputs["logits"], "classification_b": outputs["logits_b"]}
    assert terms == {name: 2 * F.cross_entropy(logits, labels) for name, logits in expected.items()}


@pytest.mark.parametrize(("channels", "width"), [(24, 64), (96, 64), (144, 128), (384, 256), (512, 1024), (2048, 1024)])
def test_the_width_of_the_classifiers_follows_from_the_channels_that_they_read(channels, width):
    assert width_of(channels) == width


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet_nano", "convnext_nano", "replknet_nano", "slak_nano", "drn_d_22"])
def test_other_networks_have_no_classifier_of_their_own_any_more(registry, name):
    base = registry.backbones.get(name).spec.build(4)
    network = registry.backbones.get(f"acol:{name}").spec.build(4)
    gone = base.state_dict().keys() - network.state_dict().keys()
    assert gone
    assert all(key.startswith(("head.", "norm.", "fc.")) for key in gone)
    network(torch.randn(2, 3, 48, 48)).sum().backward()
    unused = [key for key, value in network.named_parameters() if value.grad is None]
    assert unused
    assert all(key.startswith("classifier_B.") for key in unused)


def test_shapes_alone_are_those_of_the_network(registry):
    """Its build runs the body, whose residual sums torch computes in place."""
    spec = registry.backbones.get("acol:resnet_nano").spec
    assert build_shapes(spec, 4).state_dict().keys() == spec.build(4).state_dict().keys()


def test_a_network_whose_head_reads_more_than_maps_is_refused():
    class WithToken(ToyNetwork):
        def forward_features(self, images):
            maps = super().forward_features(images)
            return Features(maps, (maps.mean(dim=(2, 3)),))

    with pytest.raises(UsageError, match=r"^needs a head that reads nothing but the feature maps"):
        with_two_classifiers(WithToken(), size=48, name="vit", key="head.weight")


def test_layers_agree_with_the_reference(shared_data):
    published = Published(shared_data, "layer_acol")
    attention = attention_of(published["class_map"], published["labels"])
    assert published.agrees("attention", attention, 1e-6)
    for threshold in (0.6, 0.7, 0.9):
        assert published.agrees(f"erased_{threshold}", erase(published["feature"], attention >= threshold), 0)
    constant = attention_of(torch.ones(1, 10, 3, 3), torch.tensor([0]))
    assert constant.isnan().all()
    assert published["attention_of_constant"].isnan().all()
    kept = erase(torch.ones(1, 1, 3, 3), constant >= 0.7)
    assert published.agrees("erased_of_constant_mask", kept, 0)
    second = attention_of(published["class_map_b"], published["labels"])
    assert published.agrees("fused_map", torch.maximum(attention, second)[:, 0], 1e-6)
    loss = sum(F.cross_entropy(published[f"logits_{head}"], published["labels"]) for head in "ab")
    assert published.agrees("loss", loss, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "vgg16", "inception_v3"])
def test_networks_agree_with_the_reference(registry, shared_data, name):
    published = Published(shared_data, f"{name}_acol")
    spec = registry.backbones.get(f"acol:{name}_wsol").spec
    network = spec.build(10)
    network.load_state_dict(spec.convert_weights(published.weights()))
    assert spec.convert_weights(network.state_dict()).keys() == network.state_dict().keys()
    images = published.images()

    network.eval()
    with torch.no_grad():
        features = network.forward_features(images)
        logits = network.forward_head(features)
        assert published.agrees("eval_logits", logits, 1e-4)
        assert published.agrees("eval_map", network.localize(features, images, LABELS), 1e-4)
        assert torch.equal(logits.argmax(dim=1), published["eval_argmax"])
        outputs = network.training_outputs(images, logits.argmax(dim=1))
        for theirs, ours in (("logit_b", "logits_b"), ("feat_map_a", "maps"), ("feat_map_b", "maps_b")):
            assert published.agrees(f"eval_{theirs}", outputs[ours], 1e-4)
        outputs = network.training_outputs(images, LABELS)
        assert published.agrees("eval_labels_logit_b", outputs["logits_b"], 1e-4)
        assert published.agrees("eval_labels_feat_map_b", outputs["maps_b"], 1e-4)

    network.train()
    outputs = network.training_outputs(images, LABELS)
    assert published.agrees("train_logits", outputs["logits"], 1e-3)
    assert published.agrees("train_logit_b", outputs["logits_b"], 1e-3)
    assert published.agrees("train_feat_map_a", outputs["maps"], 2e-3)
    assert published.agrees("train_feat_map_b", outputs["maps_b"], 2e-3)
    assert published.agrees("train_attention", outputs["attention"], 2e-3)
    assert published.agrees("train_erased", outputs["erased"], 0)
    losses = [F.cross_entropy(outputs[key], LABELS) for key in ("logits", "logits_b")]
    assert published.agrees("train_loss_parts", torch.stack(losses), 1e-3)
    assert published.agrees("train_loss", sum(losses), 1e-3)
    sum(losses).backward()
    assert published.same_gradients(network, with_threshold)
