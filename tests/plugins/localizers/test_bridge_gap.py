"""BridgeGAP: its formulas, cell by cell in numpy, and its two passes, layer by layer."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from wsolbench_plugins.localizers.bridge_gap import BridgeGap, network_of, terms
from wsolbench_plugins.localizers.bridge_gap.terms import drop_cells
from wsolbench_plugins.localizers.bridge_gap.two_passes import two_passes

from wsolbench.contract import BackboneSpec, Features, InputConfig
from wsolbench.errors import UsageError
from wsolbench.testing.toys import CLASSES, DeepToy, ToyNetwork

# ------------------------------------------------------------------------------------------------- literal formulas


def norm_of(vector):
    return math.sqrt(sum(float(value) ** 2 for value in vector))


def cells_of(maps):
    return [(row, column) for row in range(maps.shape[-2]) for column in range(maps.shape[-1])]


def scaled_norms(image):
    """Return cell -> norm of its features, from 0 to 1 in the image, of features (K, h, w)."""
    norms = {cell: norm_of(image[:, cell[0], cell[1]]) for cell in cells_of(image)}
    low, high = min(norms.values()), max(norms.values())
    return {cell: (norm - low) / (high - low) for cell, norm in norms.items()}


def cosine(image, cell, weight):
    vector = image[:, cell[0], cell[1]]
    length = norm_of(vector) * norm_of(weight)
    return sum(float(a) * float(b) for a, b in zip(vector, weight, strict=True)) / length if length else 0.0


def mean(values):
    return sum(values) / len(values) if values else 0.0


def literal_drop(features, dropped):
    return float(np.mean([abs(float(a) - float(b)) for a, b in zip(features.flat, dropped.flat, strict=True)]))


def literal_similarity(features, weights, labels, foreground, background):
    found = []
    for image, label in zip(features, labels, strict=True):
        norms = scaled_norms(image)
        cosines = {cell: cosine(image, cell, weights[label]) for cell in norms}
        low = mean([cosines[cell] for cell in norms if norms[cell] < background])
        found.append(low - mean([cosines[cell] for cell in norms if norms[cell] > foreground]))
    return mean(found)


def literal_norm(features, weights, labels, which):
    found = []
    for image, label in zip(features, labels, strict=True):
        norms = scaled_norms(image)
        chosen = weights if which == "any" else weights[label : label + 1]
        largest = {cell: max(cosine(image, cell, weight) for weight in chosen) for cell in norms}
        low = mean([norms[cell] for cell in norms if largest[cell] < 0])
        found.append(low - mean([norms[cell] for cell in norms if largest[cell] > 0]))
    return mean(found)


@pytest.fixture
def scene():
    """Features of two passes, class weights and labels, in float64."""
    draws = np.random.default_rng(0)
    features, dropped = draws.normal(size=(2, 3, 4, 5, 5))
    features[0, :, 2, 2] = 0  # a dead cell
    return features, dropped, draws.normal(size=(4, 4)), [3, 1, 3]


def step_of(scene, **settings):
    features, dropped, weights, labels = scene
    tensors = [torch.tensor(each, requires_grad=True) for each in (features, dropped, weights)]
    outputs = {"features": tensors[0], "features_dropped": tensors[1], "logits": torch.tensor(7.0)}
    made = SimpleNamespace(
        outputs=outputs,
        network=SimpleNamespace(classifier_weight=tensors[2]),
        labels=torch.tensor(labels),
        classification=lambda logits: logits,
        **{"epoch": 1, "epochs": 1, **settings},
    )
    return made, tensors


@pytest.mark.parametrize("which", ["any", "label"])
def test_the_terms_are_their_formulas(scene, which):
    features, dropped, weights, labels = scene
    system = BridgeGap(norm_class=which, foreground=0.5, background=0.3, drop_weight=3.0, norm_weight=0.25)
    step, _ = step_of(scene)
    found = {name: term.item() for name, term in system.loss(step).items()}
    assert found == pytest.approx(
        {
            "classification": 7.0,
            "drop": 3 * literal_drop(features, dropped),
            "similarity": 0.5 * literal_similarity(features, weights, labels, 0.5, 0.3),
            "norm": 0.25 * literal_norm(features, weights, labels, which),
        }
    )


@pytest.mark.parametrize("which", ["any", "label"])
def test_gradients_are_those_of_the_formulas_with_the_masks_held(scene, which):
    """A small change of features or weights moves no cell from one mask to another, so a difference holds them."""
    features, dropped, weights, labels = scene
    step, tensors = step_of(scene)
    found = BridgeGap(norm_class=which).loss(step)
    (found["drop"] + found["similarity"] + found["norm"]).backward()

    def total():
        return (
            2 * literal_drop(features, dropped)
            + 0.5 * literal_similarity(features, weights, labels, 0.4, 0.2)
            + 0.05 * literal_norm(features, weights, labels, which)
        )

    for values, tensor in zip((features, dropped, weights), tensors, strict=True):
        for place in np.random.default_rng(1).integers(values.size, size=8):
            kept, around = values.flat[place], []
            for change in (1e-6, -1e-6):
                values.flat[place] = kept + change
                around.append(total())
            values.flat[place] = kept
            assert tensor.grad.flatten()[place] == pytest.approx((around[0] - around[1]) / 2e-6, abs=1e-7)


def test_images_without_cells_of_a_kind_add_nothing():
    same = torch.ones(1, 2, 3, 3, requires_grad=True)  # all norms are equal
    own = terms.own_cosines(same, torch.tensor([[1.0, 0.0]]))
    similarity = terms.similarity(own, same, foreground=0.4, background=0.2)
    norm = terms.norm(same, own)
    (similarity + norm).backward()
    assert (similarity, norm) == (0, 0)
    assert same.grad.isfinite().all()
    features = torch.rand(1, 2, 3, 3) + 0.1
    positive = terms.norm(features, torch.ones(1, 3, 3))  # no cosine is negative
    norms = features.norm(dim=1)
    assert positive.item() == pytest.approx(-float((norms - norms.min()).mean() / (norms.max() - norms.min())))


# -------------------------------------------------------------------------------------------------- dropout, two passes


def test_cells_are_dropped_one_by_one_above_a_share_of_the_maximum():
    maps = torch.rand(2, 3, 6, 6)
    torch.manual_seed(0)
    found = drop_cells(maps, 0.6, 0.5)
    torch.manual_seed(0)
    draws = torch.rand(2, 1, 6, 6)
    count = 0
    for image in range(2):
        means = maps[image].mean(dim=0)
        for row, column in cells_of(means):
            dropped = float(means[row, column]) > 0.6 * float(means.max()) and float(draws[image, 0, row, column]) < 0.5
            expected = torch.zeros(3) if dropped else maps[image, :, row, column]
            assert torch.equal(found[image, :, row, column], expected)
            count += dropped
    assert 0 < count < 36
    assert torch.equal(drop_cells(maps, 0.6, 0.0), maps)
    assert torch.equal(drop_cells(maps, 1.0, 1.0), maps)  # no cell is above the maximum


@pytest.mark.parametrize(
    ("name", "behind"),
    [
        ("resnet_nano", ("layer4.",)),
        pytest.param("convnext_nano", ("stages.3.",), marks=pytest.mark.slow),
        pytest.param("replknet_nano", ("stages.2.", "transitions.1."), marks=pytest.mark.slow),
        pytest.param("vgg16_wsol", (), marks=pytest.mark.slow),
    ],
)
def test_the_second_pass_computes_what_is_behind_the_last_tap_but_one(registry, name, behind):
    torch.manual_seed(0)
    network = registry.backbones.get(f"bridge-gap:{name}").spec.build(4).train()
    if hasattr(network, "set_drop_path") and name != "resnet_nano":
        network.set_drop_path(0.0)
    images = torch.randn(2, 3, 48, 48)
    outputs = BridgeGap(drop_rate=1.0).forward(network, images, torch.tensor([0, 1]))
    batches = {key: int(value) for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    assert batches == {key: 2 if key.startswith(behind) else 1 for key in batches}
    with torch.no_grad():
        expected = network.forward_features(images)
        assert torch.allclose(outputs["features"], expected, atol=1e-5)
        assert torch.allclose(outputs["features_dropped"], literal_second_pass(name, network, images), atol=1e-5)
        assert not torch.allclose(outputs["features"], outputs["features_dropped"], atol=1e-3)
        assert torch.allclose(outputs["logits"], network.forward_head(expected), atol=1e-5)
    assert all("forward" not in vars(layer) for layer in network.modules())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())


def literal_second_pass(name, network, images):
    """Return the features of a pass whose last blocks read the maps before them with all active cells at zero."""
    maps = {}
    network.forward_tapped(images, {network.taps[-2]: lambda found: maps.setdefault("before", found)})
    before = maps["before"].clone()
    for image in before:
        means = image.mean(dim=0)
        for row, column in cells_of(means):
            if means[row, column] > 0.8 * means.max():
                image[:, row, column] = 0
    if name == "resnet_nano":
        return network.layer4(before)
    if name == "vgg16_wsol":
        return F.relu(network.conv6(before))
    if name == "replknet_nano":
        return network.stages[2](network.transitions[1](before))
    return network.norm_pre(network.stages[3](before))


class Shared(ToyNetwork):
    """One activation, which works in place, before and behind the place; and noise before it."""

    taps = ("first", "second")

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(6, 6, 1), nn.Dropout(0.5))
        self.second = nn.Conv2d(6, 6, 1)
        self.act = nn.ReLU(inplace=True)

    def forward_features(self, images):
        return self.act(self.second(self.act(self.first(self.act(self.conv(images))))))


def test_layers_that_are_used_again_and_random_ones_before_the_place():
    network = Shared().train()
    images = torch.randn(2, 3, 32, 32)
    first, second = two_passes(network, images, "first", lambda maps: maps)
    assert torch.equal(first, second)  # the noise is the same
    first, second = two_passes(network, images, "first", torch.zeros_like)
    assert torch.allclose(second, network.second.bias.relu()[:, None, None].expand_as(second))
    (first - second).abs().mean().backward()
    assert network.conv.weight.grad.abs().sum() > 0
    torch.manual_seed(3)
    first, second = two_passes(network, images, "first", lambda maps: 2 * maps)
    torch.manual_seed(3)
    maps = network.first(network.conv(images).relu())
    for found, scale in ((first, 1), (second, 2)):
        assert torch.allclose(found, network.second((scale * maps).relu()).relu(), atol=1e-6)


# ----------------------------------------------------------------------------------------------- stages and refusals


@pytest.mark.parametrize(
    ("warm_up", "epochs", "expected"), [(0.2857, 70, 20), (0.2857, 1, 0), (0.9, 1, 0), (0.5, 4, 2)]
)
def test_epochs_of_the_warm_up_have_no_alignment(scene, warm_up, epochs, expected):
    system = BridgeGap(warm_up=warm_up)
    (stage,) = system.stages(epochs)
    assert (stage.epochs, stage.trains, stage.mixed) == (epochs, ("",), False)
    lacking = [
        epoch
        for epoch in range(1, epochs + 1)
        if "norm" not in stage.loss(step_of(scene, epoch=epoch, epochs=epochs)[0])
    ]
    assert lacking == list(range(1, expected + 1))


def spec_of(network):
    return BackboneSpec("toy", lambda _classes: network, InputConfig(size=32), "us")


def test_networks_that_it_cannot_serve_are_refused():
    class WithToken(DeepToy):
        def forward_features(self, images):
            maps = super().forward_features(images)
            return Features(maps, (maps.mean(dim=(2, 3)),))

    class WithoutWeights(DeepToy):
        classifier_weight = None

    assert network_of(spec_of(DeepToy())).build(CLASSES).taps == DeepToy().taps
    with pytest.raises(
        UsageError, match=r"^'toy' cannot be trained by .*: needs two taps, .*, and the network has conv$"
    ):
        network_of(spec_of(ToyNetwork())).build(CLASSES)
    with pytest.raises(
        UsageError,
        match=r"^'toy' cannot be trained by .*: needs a head that reads nothing but the feature maps",
    ):
        network_of(spec_of(WithToken())).build(CLASSES)
    with pytest.raises(
        UsageError, match=r"^'toy' cannot be trained by .*: needs class weights, and the network has none$"
    ):
        network_of(spec_of(WithoutWeights())).build(CLASSES)
    channels_last = DeepToy()
    layer = channels_last.get_submodule(channels_last.taps[-2])
    layer.register_forward_hook(lambda _module, _inputs, maps: maps.movedim(1, 3))
    channels_last.get_submodule(channels_last.taps[-1]).register_forward_pre_hook(
        lambda _module, inputs: (inputs[0].movedim(3, 1),)
    )
    with pytest.raises(
        UsageError,
        match=r"^'toy' .*: needs maps \(B, K, h, w\) at 'layers\.\d', which gives a tensor \(2, \d+, \d+, \d+\) of 2",
    ):
        network_of(spec_of(channels_last)).build(CLASSES)


def test_places_and_norms_that_make_no_sense_are_refused():
    forward = BridgeGap(place="layers.1").forward
    with pytest.raises(UsageError, match=r"^place: DeepToy has no tap 'layers.1' before its last one; .* layers.0$"):
        forward(DeepToy(), torch.zeros(1, 3, 32, 32), torch.zeros(1))
    outputs = BridgeGap(place="conv", drop_rate=1.0).forward(DeepToy(), torch.randn(1, 3, 32, 32), torch.zeros(1))
    assert not torch.equal(outputs["features"], outputs["features_dropped"])
    with pytest.raises(UsageError, match=r"background 0.5 is above foreground 0.4"):
        BridgeGap(background=0.5)
