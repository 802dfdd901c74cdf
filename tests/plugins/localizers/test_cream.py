"""CREAM: embeddings and clustering, cell by cell in numpy, and a training that they do not change."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from served import check_network
from toys import PROVIDER, TrainableNet
from wsolbench_plugins.datasets.critters import dataset as critters
from wsolbench_plugins.localizers.cream import CREAM, network_of, wsolbench_systems
from wsolbench_plugins.localizers.cream.clustering import estimated, expected, posteriors
from wsolbench_plugins.localizers.cream.network import cells_of, with_embeddings

from wsolbench.contract import BackboneSpec, Features, InputConfig, Split
from wsolbench.errors import UsageError
from wsolbench.host.registry import Offer
from wsolbench.testing.toys import ToyNetwork
from wsolbench.training.built import Built

BUFFERS = ["cream_foreground", "cream_background", "cream_steps", "cream_temperature"]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return with_embeddings(ToyNetwork())


def literal_cells(features):
    """Return the cells of one image, a list of (K,) arrays in float64, divided by the largest of their norms."""
    cells = [features[:, row, column].double().numpy() for row, column in np.ndindex(*features.shape[1:])]
    largest = max(math.sqrt(sum(cell**2)) for cell in cells)
    return [cell / largest for cell in cells]


def literal_class_map(features, weights):
    """Return the class map of each cell, (N,), from 0 to 1."""
    values = [float(weights.double().numpy() @ features[:, r, c].double().numpy()) for r, c in np.ndindex(4, 5)]
    return [(value - min(values)) / (max(values) - min(values)) for value in values]


# ----------------------------------------------------------------------------------------------------------- embeddings


def literal_embeddings(batches, weights, momentum, threshold):
    """Return what is remembered of each class: class -> foreground and background, in numpy."""
    kept = {}
    for features, labels in batches:
        for image, label in zip(features, labels.tolist(), strict=True):
            values, cells = literal_class_map(image, weights[label]), literal_cells(image)
            above = [cell for cell, value in zip(cells, values, strict=True) if value >= threshold]
            below = [cell for cell, value in zip(cells, values, strict=True) if value < threshold]
            new = [sum(some) / len(some) for some in (above, below)]
            old = kept.get(label, new)
            kept[label] = [momentum * before + (1 - momentum) * now for before, now in zip(old, new, strict=True)]
    return kept


@pytest.mark.parametrize(("momentum", "threshold"), [(0.9, 0.2), (0.0, 0.6), (0.5, 1.0)])
def test_embeddings_follow_the_cells_above_and_below_the_threshold(network, momentum, threshold):
    """Image after image, several of one class in a batch; classes 3 and 4 are never seen and stay zero."""
    torch.manual_seed(1)
    batches = [(torch.randn(4, 6, 4, 5), torch.tensor(labels)) for labels in ([0, 2, 0, 0], [1, 2, 2, 0])]
    for features, labels in batches:
        network.remember(features.requires_grad_(), labels, momentum=momentum, threshold=threshold)
    kept = literal_embeddings(
        [(each.detach(), labels) for each, labels in batches], network.head.weight.detach(), momentum, threshold
    )
    assert sorted(kept) == [0, 1, 2]
    for label, (foreground, background) in kept.items():
        assert np.allclose(network.cream_foreground[label], foreground, atol=1e-5)
        assert np.allclose(network.cream_background[label], background, atol=1e-5)
    assert not network.cream_foreground[3:].any()
    assert not network.cream_background[3:].any()
    assert not network.cream_foreground.requires_grad


def test_an_image_whose_class_map_is_constant_changes_nothing(network):
    features = torch.randn(2, 6, 4, 5)
    features[0] = features[0, :, :1, :1]
    features[1] = 0
    network.remember(features, torch.tensor([0, 1]), momentum=0.9, threshold=0.2)
    assert not network.cream_foreground.any()
    assert network.localize(features, None, torch.tensor([0, 1])).eq(0).all()


# ----------------------------------------------------------------------------------------------------------- clustering


def literal_em(cells, centres, steps, variance):
    """Return the probabilities of the first component in each cell, and the log-likelihood after each step."""
    shares, likelihoods = [0.5, 0.5], []
    for step in range(steps + 1):
        found, likelihood = [], 0.0
        for cell in cells:
            densities = [
                share * math.exp(-sum((cell - centre) ** 2) / (2 * variance))
                for share, centre in zip(shares, centres, strict=True)
            ]
            found.append([density / sum(densities) for density in densities])
            likelihood += math.log(sum(densities))
        likelihoods.append(likelihood)
        if step < steps:
            masses = [sum(each[side] for each in found) for side in (0, 1)]
            centres = [
                sum(each[side] * cell for each, cell in zip(found, cells, strict=True)) / masses[side]
                for side in (0, 1)
            ]
            shares = [mass / len(cells) for mass in masses]
    return [each[0] for each in found], likelihoods


@pytest.mark.parametrize(("steps", "temperature"), [(0, 0.2), (1, 0.2), (2, 0.05), (7, 1.0)])
def test_the_clustering_is_expectation_maximization(steps, temperature):
    torch.manual_seed(2)
    features, centres = torch.randn(3, 6, 4, 5), torch.randn(3, 2, 6) / 2
    found = posteriors(cells_of(features), centres, steps, temperature)
    assert torch.allclose(found.sum(dim=1), torch.ones(3, 20))
    for image, start, probabilities in zip(features, centres, found, strict=True):
        literal, likelihoods = literal_em(literal_cells(image), list(start.double().numpy()), steps, temperature)
        assert np.allclose(probabilities[0], literal, atol=1e-4)
        assert likelihoods == sorted(likelihoods)  # no step makes the cells less likely


def test_an_empty_component_stays_empty():
    """No cell is near the second centre; nothing is divided by zero."""
    cells, centres = torch.randn(1, 6, 20) * 0.01, torch.stack([torch.zeros(6), torch.full((6,), 100.0)])[None]
    found = posteriors(cells, centres, 3, 0.01)
    assert found[0, 0].eq(1).all()
    means, shares = estimated(cells, found)
    assert shares.tolist() == [[1, 0]]
    assert torch.allclose(means[0, 0], cells[0].mean(dim=1), atol=1e-7)
    assert expected(cells, means, shares, 0.01).isfinite().all()


# -------------------------------------------------------------------------------------------------------------- the map


def test_the_map_is_the_probability_of_the_side_where_the_class_map_is_higher(network):
    torch.manual_seed(3)
    features, classes = torch.randn(6, 6, 4, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    network.cream_foreground[:3], network.cream_background[:3] = torch.randn(2, 3, 6) / 2
    network.cream_steps.fill_(3)
    network.cream_temperature.fill_(0.3)
    maps, swaps = network.localize(features, None, classes).detach(), 0
    assert maps.shape == (6, 4, 5)
    assert ((maps >= 0) & (maps <= 1)).all()
    for image, label, found in zip(features, classes.tolist(), maps, strict=True):
        start = [each[label].double().numpy() for each in (network.cream_foreground, network.cream_background)]
        first = np.array(literal_em(literal_cells(image), start, 3, 0.3)[0])
        values = literal_class_map(image, network.head.weight[label].detach())
        inside, outside = (np.average(values, weights=weights) for weights in (first, 1 - first))
        swaps += outside > inside
        assert np.allclose(found.flatten(), 1 - first if outside > inside else first, atol=1e-4)
    assert 0 < swaps < 6
    swapped = network.cream_background.clone(), network.cream_foreground.clone()
    network.cream_foreground, network.cream_background = swapped
    assert torch.allclose(network.localize(features, None, classes), maps, atol=1e-5)


def test_a_class_that_was_never_seen_has_its_class_map(network):
    """Its neighbours in the batch are clustered; what stands beside the maps is not read."""
    features, classes = torch.randn(2, 6, 4, 5), torch.tensor([1, 4])
    network.remember(features[:1], classes[:1], momentum=0.9, threshold=0.2)
    maps = network.localize(Features(features, (torch.zeros(2),)), None, classes).detach()
    assert np.allclose(maps[1].flatten(), literal_class_map(features[1], network.head.weight[4].detach()), atol=1e-5)
    assert not np.allclose(maps[0].flatten(), literal_class_map(features[0], network.head.weight[1].detach()), atol=0.1)


# --------------------------------------------------------------------------------------------------------- the training


def test_the_loss_is_the_recipes_and_options_are_saved(network):
    system = CREAM(momentum=0.5, threshold=0.4, steps=5, temperature=0.07)
    (stage,) = system.stages(7)
    assert (stage.epochs, stage.trains, stage.mixed) == (7, ("",), False)
    features, labels = torch.randn(4, 6, 4, 5), torch.tensor([0, 1, 1, 0])
    step = SimpleNamespace(
        network=network,
        labels=labels,
        outputs={"features": features, "logits": torch.randn(4, 5)},
        classification=lambda logits: logits.sum(),
    )
    assert stage.loss(step) == {"classification": step.outputs["logits"].sum()}
    assert (int(network.cream_steps), float(network.cream_temperature)) == (5, pytest.approx(0.07))
    other = with_embeddings(ToyNetwork())
    other.head.load_state_dict(network.head.state_dict())
    other.remember(features, labels, momentum=0.5, threshold=0.4)
    assert torch.equal(other.cream_foreground, network.cream_foreground)
    assert network.cream_foreground[:2].any(dim=1).all()


@pytest.fixture
def systematic(plan, monkeypatch):
    """Make a plan of a training of a toy by the system."""
    monkeypatch.setattr("wsolbench.training.train.git_revision", lambda: None)

    def make(build=TrainableNet, **settings):
        made = plan(epochs=2, **settings)
        spec = replace(network_of(replace(made.backbone.spec, build=build)), input=made.backbone.spec.input)
        (offered,) = wsolbench_systems()
        return replace(made, backbone=Offer(spec, PROVIDER), system=Built(Offer(offered, PROVIDER), CREAM(), {}))

    return make


@pytest.mark.usefixtures("no_curve")
@pytest.mark.parametrize("average", [False, True])
def test_the_classifier_is_that_of_a_training_without_the_system(systematic, plan, trained, average):
    """Bit for bit; beside it are embeddings of both classes."""
    plans = systematic(), plan(epochs=2)
    for each in plans if average else ():
        each.recipe.ema = 0.9
    (_, folder), (_, alone) = trained(plans[0], "with"), trained(plans[1], "without")
    found, expected = (load_file(each / "weights.safetensors") for each in (folder, alone))
    assert sorted(found) == sorted([*expected, *BUFFERS])
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert found["cream_foreground"].any(dim=1).all()
    assert found["cream_background"].any(dim=1).all()
    assert (int(found["cream_steps"]), float(found["cream_temperature"])) == (2, pytest.approx(0.2))
    assert pd.read_csv(folder / "log.csv")["classification"].notna().all()


# ------------------------------------------------------------------------------------------------------------ bad input


class NoWeights(ToyNetwork):
    classifier_weight = None


def test_what_cannot_be_trained_is_one_line(systematic, trained, monkeypatch):
    with pytest.raises(UsageError, match=r"^'toy' cannot be trained by this system: needs class weights, and the net"):
        network_of(BackboneSpec("toy", lambda _: NoWeights(), InputConfig(48), "us")).build(5)
    made = systematic()
    monkeypatch.setattr(made.recipe, "prepare", lambda images, labels, _: (images, (labels, labels.flip(0), 0.3)))
    with pytest.raises(
        UsageError, match=r"needs one class an image, and the recipe 'plain' mixes images; use a recipe"
    ):
        trained(made)


# ------------------------------------------------------------------------------------------------------------- for real


@pytest.mark.slow
@pytest.mark.usefixtures("no_curve", "no_gallery")
def test_a_network_is_trained_on_critters_and_run(cli, registry, tmp_path, monkeypatch):
    """An epoch from random weights, and one from weights of the network without the system."""
    for split, count in ((Split.TRAIN_WEAKSUP, 384), (Split.TRAIN_FULLSUP, 36), (Split.TEST, 36)):
        monkeypatch.setitem(critters.SIZES, split, count)
    epochs, out, base = ["--dataset", "critters", "--recipe-opt", "epochs=1"], tmp_path / "trained", tmp_path / "base"
    options = ["--system-opt", "steps=3", "--system-opt", "temperature=0.1"]
    done = cli("train", "--backbone", "cream:resnet_nano", *epochs, *options, "--out", out)
    assert done.code == 0, done.err
    (record,) = cli(
        *("run", "--backbone", "cream:resnet_nano", "--weights", out / "weights.safetensors", "--method", "native"),
        *("--dataset", "critters", "--interval", "0.1", "--json", "--out", tmp_path / "run"),
    ).records
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert record["backbone"]["weights"]["training"]["system"] == card["system"]
    kept = load_file(out / "weights.safetensors")
    assert (int(kept["cream_steps"]), float(kept["cream_temperature"])) == (3, pytest.approx(0.1))
    assert cli("train", "--backbone", "resnet_nano", *epochs, "--out", base).code == 0
    later = [*epochs, "--weights", base / "weights.safetensors"]
    assert cli("train", "--backbone", "cream:resnet_nano", *later, "--out", tmp_path / "later").code == 0
    check_network(registry.backbones.get("cream:resnet_nano").spec)
