"""SPG: literal forms of its formulas, and outputs of the reference code where they are at hand."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from published import LABELS, Published
from torch import nn
from torch.nn import functional as F
from wsolbench_plugins.localizers.spg import SPG, in_own_names
from wsolbench_plugins.localizers.spg.guidance import IGNORED, guided, resize, seeds
from wsolbench_plugins.localizers.spg.network import with_branches

from wsolbench.errors import UsageError
from wsolbench.testing.toys import DeepToy, ToyNetwork


def literal_seeds(maps, high, low):
    """Return targets as the paper and the reference set them, pixel by pixel."""
    targets = torch.full_like(maps, IGNORED)
    for image, target in zip(maps[:, 0], targets[:, 0], strict=True):
        pixels = [(row, column) for row in range(image.shape[0]) for column in range(image.shape[1])]
        bound = high
        if sum(float(image[pixel]) > high for pixel in pixels) / len(pixels) < 30 / 224**2:
            bound = 0.7 * float(image.max())
        for pixel in pixels:
            if float(image[pixel]) > bound:
                target[pixel] = 1
            if float(image[pixel]) < low:
                target[pixel] = 0
    return targets


def test_seeds_are_the_surest_pixels():
    maps = torch.rand(3, 1, 6, 6)
    maps[1] *= 0.5  # nothing above 0.7, so above 0.7 of its maximum
    maps[2] = -maps[2]  # nothing above 0.7 of a negative maximum
    for high, low in ((0.7, 0.1), (0.3, 0.6)):
        assert torch.equal(seeds(maps, high, low), literal_seeds(maps, high, low))
    found = seeds(maps, 0.7, 0.1)
    assert all((found[image] == 1).any() for image in (0, 1))
    assert (found[2] == 0).all()


def test_the_bound_of_one_image_is_not_that_of_the_next():
    """As in the reference; in the authors' code it stays for the rest of the batch."""
    maps = torch.rand(2, 1, 6, 6)
    maps[0] *= 0.5
    assert torch.equal(seeds(maps, 0.7, 0.1)[1:], seeds(maps[1:], 0.7, 0.1))


def test_a_pixel_at_a_bound_has_no_target():
    maps = torch.tensor([0.75, 0.75, 0.25, 0.875]).reshape(1, 1, 2, 2)
    assert seeds(maps, 0.75, 0.25).flatten().tolist() == [IGNORED, IGNORED, IGNORED, 1]


def test_background_wins():
    maps = torch.tensor([0.1, 0.15, 0.5, 0.9]).reshape(1, 1, 2, 2)
    assert seeds(maps, 0.05, 0.2).flatten().tolist() == [0, 0, 1, 1]


def test_a_few_pixels_are_thirty_of_a_frame_of_224():
    maps = torch.full((1, 1, 224, 224), 0.5)
    maps[0, 0, 0, :29] = 0.8
    assert (seeds(maps, 0.7, 0.1) == 1).sum() == 29  # above 0.56
    maps[0, 0, 0, 0] = 1.0
    maps[0, 0, 1, :100] = 0.699
    assert (seeds(maps, 0.7, 0.1) == 1).sum() == 1 + 28  # above 0.7: 29 pixels, so above 0.7 of 1
    maps[0, 0, 0, 1] = 0.6999
    maps[0, 0, 0, 29:31] = 0.8
    assert (seeds(maps, 0.6, 0.1) == 1).sum() == 31 + 100


def test_the_loss_is_the_mean_over_pixels_with_a_target():
    logits = torch.tensor([2.0, -1.0, 0.5, 3.0]).reshape(1, 1, 2, 2)
    targets = torch.tensor([1.0, 0.0, IGNORED, 0.0]).reshape(1, 1, 2, 2)
    p = 1 / (1 + np.exp([-2.0, 1.0, -3.0]))
    expected = -(np.log(p[0]) + np.log(1 - p[1]) + np.log(1 - p[2])) / 3
    assert guided(logits, targets) == pytest.approx(expected, rel=1e-6)


def test_a_constant_class_map_teaches_nothing():
    """In the reference the loss of such a batch is NaN, the mean over no pixel; here it is 0, and others go on."""
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    maps = torch.rand(2, 1, 4, 4)
    maps[0] = torch.nan
    assert (seeds(maps, 0.7, 0.1)[0] == IGNORED).all()
    assert torch.equal(guided(logits, seeds(maps, 0.7, 0.1)), guided(logits[1:], seeds(maps[1:], 0.7, 0.1)))
    loss = guided(logits, seeds(torch.full_like(maps, torch.nan), 0.7, 0.1))
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_the_terms_of_the_loss_have_the_seeds_of_the_options():
    torch.manual_seed(0)
    outputs = {name: torch.randn(2, 1, 4, 4) for name in ("logits_b1", "logits_b2", "logits_c")}
    outputs |= {name: torch.rand(2, 1, 8, 8) for name in ("attention", "fused_attention")}
    options = {"attention_high": 0.6, "attention_low": 0.2, "b2_high": 0.55, "b2_low": 0.45, "fused_high": 0.8}
    (stage,) = SPG(**options, fused_low=0.3).stages(3)
    step = SimpleNamespace(outputs={**outputs, "logits": 5.0}, classification=lambda logits: logits)
    terms = stage.loss(step)
    b1, b2, c = (
        F.interpolate(outputs[f"logits_{name}"], scale_factor=2, mode="bilinear") for name in ("b1", "b2", "c")
    )
    assert terms == {
        "classification": 5.0,
        "b2": guided(b2, literal_seeds(outputs["attention"], 0.6, 0.2)),
        "b1": guided(b1, literal_seeds(b2.sigmoid(), 0.55, 0.45)),
        "c": guided(c, literal_seeds(outputs["fused_attention"], 0.8, 0.3)),
    }


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("resnet_nano", ("layer2", "layer3")),
        pytest.param("convnext_nano", ("stages.1", "stages.2"), marks=pytest.mark.slow),
        pytest.param("replknet_nano", ("stages.0", "stages.1"), marks=pytest.mark.slow),
        pytest.param("slak_nano", ("stages.0", "stages.1"), marks=pytest.mark.slow),
    ],
)
def test_branches_read_the_taps_before_the_last(registry, name, places):
    base = registry.backbones.get(name).spec
    network = registry.backbones.get(f"spg:{name}").spec.build(4).eval()
    assert network.places == places
    images, labels = torch.randn(2, 3, base.input.size, base.input.size), torch.tensor([3, 1])
    outputs = network.training_outputs(images, labels)
    logits = network(images)
    assert torch.allclose(outputs["logits"], logits, atol=1e-5)
    kept = {}
    network.forward_tapped(images, {place: lambda maps, place=place: kept.setdefault(place, maps) for place in places})
    for place, branch, key in zip(places, ("SPG_B_1a", "SPG_B_2a"), ("logits_b1", "logits_b2"), strict=True):
        expected = network.SPG_B_shared(getattr(network, branch)(kept[place]))
        assert torch.allclose(outputs[key], expected, atol=1e-4)
    assert torch.allclose(outputs["logits_c"], network.SPG_C(network.forward_features(images)), atol=1e-4)


@torch.no_grad()
def test_attention_is_the_resized_class_map_of_the_label():
    network = with_branches(DeepToy(), size=40, name="deep", key="head.weight").eval()
    images, labels = torch.randn(2, 3, 48, 48), torch.tensor([3, 1])
    outputs = network.training_outputs(images, labels)
    maps = torch.einsum("bk,bkhw->bhw", network.head.weight[labels], network.forward_features(images))
    resized = F.interpolate(maps[:, None], (40, 40), mode="bilinear", align_corners=False)
    low, high = resized.amin(dim=(2, 3), keepdim=True), resized.amax(dim=(2, 3), keepdim=True)
    assert torch.allclose(outputs["attention"], (resized - low) / (high - low), atol=1e-4)
    said = [F.interpolate(outputs[key], (40, 40), mode="bilinear").sigmoid() for key in ("logits_b1", "logits_b2")]
    assert torch.allclose(outputs["fused_attention"], sum(said) / 2, atol=1e-5)


def test_no_gradient_reaches_a_target():
    network = with_branches(DeepToy(), size=40, name="deep", key="head.weight")
    outputs = network.training_outputs(torch.randn(2, 3, 48, 48), torch.tensor([0, 1]))
    assert [key for key, value in outputs.items() if not value.requires_grad] == ["attention", "fused_attention"]


def test_what_it_cannot_serve_is_one_line():
    with pytest.raises(UsageError, match=r"^needs three taps, .*, and the network has conv$"):
        with_branches(ToyNetwork(), size=48, name="toy", key="head.weight")
    untapped = DeepToy()
    untapped.__class__ = type("Untapped", (nn.Module,), {"classifier_weight": DeepToy.classifier_weight})
    with pytest.raises(UsageError, match=r"and the network has none$"):
        with_branches(untapped, size=48, name="toy", key="head.weight")


@pytest.mark.parametrize("name", ["attention", "b2", "fused"])
def test_no_pixel_is_object_and_background(name):
    assert getattr(SPG(**{f"{name}_high": 0.3, f"{name}_low": 0.3}), f"{name}_low") == 0.3
    with pytest.raises(
        UsageError, match=rf"^{name}_low 0\.4 is above {name}_high 0\.3, .*; choose a smaller {name}_low$"
    ):
        SPG(**{f"{name}_high": 0.3, f"{name}_low": 0.4})


def test_layers_agree_with_the_reference(shared_data):
    published = Published(shared_data, "layer_spg")

    attention = resize(published["class_map"][[0, 1], published["labels"]][:, None], 224)
    low, high = attention.amin(dim=(2, 3), keepdim=True), attention.amax(dim=(2, 3), keepdim=True)
    attention = (attention - low) / (high - low)
    assert published.agrees("attention", attention, 1e-5)
    said = {branch: resize(published[f"logits_{branch}"], 224) for branch in ("b1", "b2", "c")}
    fused = (said["b1"].sigmoid() + said["b2"].sigmoid()) / 2
    targets = {
        "b2": seeds(attention, 0.7, 0.01),
        "b1": seeds(said["b2"].sigmoid(), 0.5, 0.05),
        "c": seeds(fused, 0.7, 0.1),
    }
    parts = [F.cross_entropy(published["logits"], published["labels"])]
    for branch, target in targets.items():
        assert counts(target).tolist() == published[f"mask_{branch}_counts"].tolist()
        parts.append(guided(said[branch], target))
        assert published.agrees(f"mask_{branch}", target, 0)
    assert published.agrees("loss_parts", torch.stack(parts), 1e-5)
    assert published.agrees("loss", sum(parts), 1e-5)
    assert published.agrees("sigmoid_b2", said["b2"].sigmoid(), 1e-5)
    assert published.agrees("fused_attention", fused, 1e-5)
    assert published["loss_of_constant_attention"].isnan()  # ours is 0
    assert guided(said["b2"], seeds(torch.full_like(attention, torch.nan), 0.7, 0.01)) == 0


def test_few_surest_pixels_are_looked_for_again_as_in_the_reference(shared_data):
    """Of both maps the file holds a sample and the maximum; a row below it has the maximum and background."""
    published = Published(shared_data, "layer_spg")
    samples, masks = (published[f"fallback_{name}__sample"].reshape(2, 1, 24, 41) for name in ("pre_mask", "mask"))
    row = torch.full((2, 1, 1, 41), -0.9)
    row[:, 0, 0, 0] = published["fallback_note_max"]
    maps = torch.cat([samples, row], dim=2)
    assert torch.equal(seeds(maps, 0.7, 0.1)[:, :, :24], masks)
    background = seeds(maps, 0.05, 0.2)[:, :, :24]  # which wins where a pixel is both
    assert torch.equal(background == 1, samples >= 0.2)
    shares = (background == 1).float().mean(dim=(1, 2, 3)) * 224**2
    assert shares.tolist() == pytest.approx(published["overwrite_counts"][:, 0].tolist(), rel=0.02)


def counts(targets):
    """Return the numbers of pixels of the object, of the background, and without target, of each image."""
    return torch.stack([(targets == value).sum(dim=(1, 2, 3)) for value in (1, 0, IGNORED)], dim=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "vgg16", "inception_v3"])
def test_networks_agree_with_the_reference(registry, shared_data, name):
    published = Published(shared_data, f"{name}_spg")
    spec = registry.backbones.get(f"spg:{name}_wsol").spec
    network = spec.build(10)
    weights = spec.convert_weights(published.weights())
    assert spec.convert_weights(network.state_dict()).keys() == network.state_dict().keys()
    images = published.images()
    for dropout in ("", "dropout_") if "train_dropout_loss" in published else ("",):
        network.dropout = 0.5 if dropout else 0.0
        network.load_state_dict(weights)
        if not dropout:
            check_test_time(network.eval(), published, images)
        network.load_state_dict(weights)
        check_training(network.train(), published, images, f"train_{dropout}")
        if not dropout:
            assert published.same_gradients(network, partial(in_own_names, f"{name}_wsol"))


@torch.no_grad()
def check_test_time(network, published, images):
    features = network.forward_features(images)
    logits = network.forward_head(features)
    assert published.agrees("eval_logits", logits, 1e-4)
    assert torch.equal(logits.argmax(dim=1), published["eval_argmax"])
    bias = (network.fc if hasattr(network, "fc") else network.SPG_A4).bias
    maps = network.class_maps(features, LABELS)[:, 0] + bias[LABELS][:, None, None]
    assert published.agrees("eval_map", maps, 1e-4)
    outputs = network.training_outputs(images, logits.argmax(dim=1))
    for key in ("logits_b1", "logits_b2", "logits_c", "attention", "fused_attention"):
        assert published.agrees(f"eval_{key}", outputs[key], 1e-4)
    attention = network.training_outputs(images, LABELS)["attention"]
    assert published.agrees("eval_labels_attention", attention, 1e-4)


def check_training(network, published, images, prefix):
    network.zero_grad()
    torch.manual_seed(0)
    outputs = network.training_outputs(images, LABELS)
    for key in ("logits", "logits_b1", "logits_b2", "logits_c"):
        assert published.agrees(f"{prefix}{key}", outputs[key], 1e-3)
    for key in ("attention", "fused_attention"):
        assert published.agrees(f"{prefix}{key}", outputs[key], 2e-3)
    targets = {
        "b2": seeds(outputs["attention"], 0.7, 0.01),
        "b1": seeds(resize(outputs["logits_b2"].detach(), 224).sigmoid(), 0.5, 0.05),
        "c": seeds(outputs["fused_attention"], 0.7, 0.1),
    }
    for branch, target in targets.items():
        assert (counts(target) - published[f"{prefix}mask_{branch}_counts"]).abs().max() <= 10
    (stage,) = SPG().stages(1)
    step = SimpleNamespace(outputs=outputs, classification=lambda logits: F.cross_entropy(logits, LABELS))
    terms = stage.loss(step)
    assert list(terms) == ["classification", "b2", "b1", "c"]
    parts = list(terms.values())
    assert published.agrees(f"{prefix}loss_parts", torch.stack(parts), 1e-3)
    assert published.agrees(f"{prefix}loss", sum(parts), 1e-3)
    sum(parts).backward()
