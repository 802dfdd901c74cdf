"""PSOL: its boxes cell by cell, its loss by hand, its two stages, and its boxes in runs and in files."""

import csv
import itertools
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from served import check_network
from timm.layers import DropPath
from torch import nn
from toys import PROVIDER
from wsolbench_plugins.datasets.critters import dataset as critters
from wsolbench_plugins.localizers.psol import PSOL, network_of, wsolbench_systems
from wsolbench_plugins.localizers.psol.object_boxes import mean_squared_error, object_boxes

from wsolbench.contract import BackboneSpec, Boxes, Features, InputConfig, Layered, Split, StochasticDepth
from wsolbench.engine.boxes import boxes_in_pixels, sorted_boxes
from wsolbench.errors import UsageError
from wsolbench.host.registry import Offer
from wsolbench.testing.systems import SYSTEM_CHECKS
from wsolbench.training.built import Built
from wsolbench.training.targets import mirrored

STORED = Path(os.environ.get("WSOLBENCH_SHARED_DATA", "absent"), "systems", "ddt_per_class.npz")


class Small(nn.Module):
    """Two convolutions with a norm."""

    def __init__(self, num_classes=2):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 1))
        self.head = nn.Linear(6, num_classes)

    def forward_features(self, images):
        return self.body(images)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    def forward(self, images):
        return self.forward_head(self.forward_features(images))

    @property
    def classifier_weight(self):
        return self.head.weight


BASE = BackboneSpec("small", Small, InputConfig(32), "us")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return network_of(BASE).build(3).eval()


class Given(nn.Module):
    """A network whose images are features."""

    def forward_features(self, images):
        return images


class Images:
    """Given images and labels, in batches."""

    def __init__(self, images, labels, batch=3, network=None):
        self.images, self.labels, self.batch, self.network = images, labels, batch, network or Given()

    def __iter__(self):
        yield from zip(self.images.split(self.batch), self.labels.split(self.batch), strict=True)


# ---------------------------------------------------------------------------------------------------------- their boxes


@pytest.mark.skipif(not STORED.exists(), reason="the stored numbers are not here")
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_boxes_equal_the_stored_ones(batch):
    """Images of both classes are mixed, so they are told apart by their labels."""
    stored = np.load(STORED)
    features, boxes = (
        np.concatenate([stored[f"class{label}_{name}"] for label in (0, 1)]) for name in ("features", "boxes_xywh")
    )
    order, labels = [0, 4, 1, 5, 6, 2, 7, 3], torch.tensor([3] * 4 + [1] * 4)
    found = torch.cat(list(object_boxes(Images(torch.from_numpy(features)[order], labels[order], batch))))
    x, y, width, height = boxes[order].T
    np.testing.assert_allclose(found, np.stack([x, y, x + width, y + height], axis=1), atol=1e-6)


def literal_boxes(features, labels):
    """Mean, covariance and axis of each class from all of its cells, then a flood from every positive cell."""
    found = []
    for image, label in zip(features, labels, strict=True):
        own = [each for each, its in zip(features, labels, strict=True) if its == label and np.isfinite(each).all()]
        if not np.isfinite(image).all():
            found.append([math.nan] * 4)
            continue
        cells = np.concatenate([each.reshape(len(each), -1).T for each in own])
        axis = np.linalg.svd(cells - cells.mean(axis=0), full_matrices=False)[2][0]
        axis = axis * np.sign(axis[np.abs(axis).argmax()])
        height, width = image.shape[1:]
        positive = {
            (r, c)
            for r, c in itertools.product(range(height), range(width))
            if (image[:, r, c] - cells.mean(axis=0)) @ axis > 0
        }
        largest, left = set(), sorted(positive)
        while left:
            region, edge = set(), [left[0]]
            while edge:
                r, c = edge.pop()
                region.add((r, c))
                around = {(r + dr, c + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)}
                edge += (around & positive) - region - set(edge)
            left = [cell for cell in left if cell not in region]
            largest = region if len(region) > len(largest) else largest
        rows, columns = zip(*(largest or {(0, 0), (height - 1, width - 1)}), strict=True)
        found.append(
            [min(columns) / width, min(rows) / height, (max(columns) + 1) / width, (max(rows) + 1) / height],
        )
    return np.array(found)


def test_the_boxes_are_those_of_the_formula():
    """Also of images without a positive cell, and of features that are not finite."""
    random = np.random.default_rng(4)
    features = random.normal(size=(9, 5, 4, 6))
    features[:, 0] += 8 * (random.random((9, 4, 6)) < 0.25)  # the object: few cells, so several regions
    features[3, :] = 0
    features[3, 0] = -9  # far on the negative side of its class
    features[5, 2, 1, 1] = np.inf
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 0])
    found = torch.cat(list(object_boxes(Images(torch.from_numpy(features), labels, 4))))
    expected = literal_boxes(features, labels.tolist())
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[3].tolist() == [0, 0, 1, 1]
    assert found[5].isnan().all()
    assert len({tuple(box) for box in found.tolist()}) > 5


def test_the_boxes_of_a_network_whose_head_reads_more():
    class Rest(Given):
        def forward_features(self, images):
            return Features(images, (images.mean(dim=(2, 3)),))

    torch.manual_seed(0)
    features, labels = torch.randn(6, 3, 4, 4), torch.tensor([0, 1] * 3)
    (one,), (other,) = (list(object_boxes(Images(features, labels, 6, network))) for network in (Given(), Rest()))
    assert torch.equal(one, other)


def test_the_boxes_may_be_found_in_larger_images():
    sizes = []

    def at_size(size):
        sizes.append(size)
        return Images(torch.randn(2, 3, 4, 4), torch.tensor([0, 0]))

    images = SimpleNamespace(at_size=at_size)
    ((boxes),) = [made["boxes"] for made in PSOL(ddt_size=448).targets(images)]
    assert boxes.shape == (2, 4)
    assert sizes == [448]


# ----------------------------------------------------------------------------------------------------------------- loss


def test_the_loss_is_fifty_times_the_squared_error_of_place_and_size():
    corners = torch.tensor([[0.25, 0.0, 0.75, 0.5], [0.0, 0.5, 1.0, 1.0], [math.nan] * 4])
    found = torch.tensor([[0.5, 0.25, 0.5, 0.75], [0.0, 0.5, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]], requires_grad=True)
    # Of the first: x 0.25, y 0.25, width 0, height 0.25 off; of the second the width 0.5; the third has no box.
    expected = (3 * 0.25**2 / 4 + 0.5**2 / 4) / 2
    step = SimpleNamespace(outputs={"boxes_xywh": found}, prepared={"boxes": corners})
    (loss,) = PSOL().loss(step).values()
    assert loss.item() == pytest.approx(50 * expected)
    assert PSOL(box_weight=2.0).loss(step)["boxes"].item() == pytest.approx(2 * expected)
    (gradient,) = torch.autograd.grad(loss, found)
    rows = [[0.25, 0.25, 0, 0.25], [0, 0, -0.5, 0], [0] * 4]
    assert torch.allclose(gradient, 50 * 2 * torch.tensor(rows) / (4 * 2))


def test_a_batch_without_boxes_teaches_nothing():
    found = torch.rand(2, 4, requires_grad=True)
    loss = mean_squared_error(found, torch.full((2, 4), math.nan))
    loss.backward()
    assert loss == 0
    assert not found.grad.any()


def test_boxes_are_mirrored_with_their_images():
    """A box around bright cells is around them in the mirrored image too, and one that is not there stays away."""
    images, boxes = torch.zeros(16, 3, 8, 8), torch.tensor([[0.125, 0.25, 0.5, 0.75]]).repeat(16, 1)
    images[:, :, 2:6, 1:4] = 1
    boxes[15] = math.nan
    flipped, changed = mirrored(images, {"boxes": boxes}, torch.Generator().manual_seed(0))
    sides = []
    for image, box in zip(flipped[:15], changed["boxes"][:15], strict=True):
        x0, y0, x1, y1 = (round(8 * number) for number in box.tolist())
        assert image[:, y0:y1, x0:x1].min() == 1
        assert image.sum() == 3 * (y1 - y0) * (x1 - x0)
        sides.append(x0)
    assert set(sides) == {1, 4}
    assert changed["boxes"][15].isnan().all()


# -------------------------------------------------------------------------------------------------------------- network


@torch.no_grad()
def test_the_box_is_that_of_the_regressor_in_corners(network):
    images = torch.randn(3, 3, 32, 32)
    regressor = network.regressor
    pooled = regressor.body.body(images).mean(dim=(2, 3))
    first, last = regressor.head[0], regressor.head[2]
    assert (first.weight.shape, last.weight.shape) == ((512, 6), (4, 512))
    numbers = (pooled @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    x, y, width, height = (1 / (1 + (-numbers.double()).exp())).T
    found = network.localize(network.forward_features(images), images, torch.tensor([0, 1, 2]))
    assert isinstance(found, Boxes)
    assert found.scores is None
    assert torch.allclose(found.boxes, torch.stack([x, y, x + width, y + height], dim=1), atol=1e-6)


@torch.no_grad()
def test_degenerate_boxes_are_handled_as_boxes_of_methods_are(network):
    """Whole images, boxes of no size, boxes beyond the border, and none, of an image of 200×100 pixels."""
    network.regressor.forward = lambda _: torch.tensor(
        [[0.0, 0, 1, 1], [0.5, 0.5, 0, 0], [0.5, 0.5, 1, 1], [1.0, 1, 1, 1], [math.nan] * 4]
    )
    made = network.localize(None, torch.zeros(5, 3, 32, 32), torch.zeros(5, dtype=torch.int64))
    found = [boxes_in_pixels(each, (200, 100)) for each in sorted_boxes(made, list("abcde"))]
    assert [each.corners.tolist() for each in found] == [
        [[0, 0, 199, 99]],
        [[100, 50, 100, 50]],
        [[100, 50, 199, 99]],
        [],
        [],
    ]
    assert [each.cut for each in found] == [0, 0, 1, 1, 0]


def test_the_classifier_is_that_of_the_base(network):
    torch.manual_seed(0)
    base = Small(3).eval()
    own, images = network.state_dict(), torch.randn(2, 3, 32, 32)
    assert all(torch.equal(value, own[name]) for name, value in base.state_dict().items())
    assert torch.equal(network(images), base(images))
    assert {name.split(".")[0] for name in own} == {"body", "head", "regressor"}
    assert not any(name.startswith("regressor.body.head") for name in own)


@pytest.mark.parametrize("name", ["resnet_nano", "replknet_nano"])
def test_both_bodies_have_the_depth_and_the_layer_numbers_of_the_base(registry, name):
    """Those of the base alone, twice; the layers behind the second body have the number of the classifier."""

    def rates(network):
        return [module.drop_prob for module in network.modules() if isinstance(module, DropPath)]

    base, both = (registry.backbones.get(each).spec.build(3) for each in (name, f"psol:{name}"))
    for network in (base, both):
        network.set_drop_path(0.3)
    assert max(rates(base)) == 0.3
    assert rates(both) == 2 * rates(base)
    assert list(both.state_dict())[: len(base.state_dict())] == list(base.state_dict())
    own, numbers = base.layer_ids(), both.layer_ids()
    expected = {f"regressor.body.{layer}": number for layer, number in own.items()}
    last = {layer: max(own.values()) for layer in numbers if layer.startswith("regressor.head.")}
    assert len(last) == 4
    assert numbers == {layer: {**own, **expected, **last}[layer] for layer, _ in both.named_parameters()}


def test_a_network_without_depth_and_numbers_claims_neither(network):
    assert not isinstance(network, StochasticDepth | Layered)


def test_the_system_conforms():
    (spec,) = wsolbench_systems()
    for check in SYSTEM_CHECKS:
        check(spec)


# --------------------------------------------------------------------------------------------------------------- stages


@pytest.fixture
def staged(plan, monkeypatch):
    """Make a plan of a training of the small network by the system."""
    monkeypatch.setattr("wsolbench.training.train.git_revision", lambda: None)

    def make(build=Small, **options):
        made = plan(epochs=1)
        spec = replace(network_of(BackboneSpec("small", build, BASE.input, "us")), input=made.backbone.spec.input)
        (offered,) = wsolbench_systems()
        return replace(
            made,
            backbone=Offer(spec, PROVIDER),
            system=Built(Offer(offered, PROVIDER), PSOL(**options), options),
        )

    return make


def weights(folder, name="weights"):
    return load_file(folder / f"{name}.safetensors")


def test_the_stages_have_the_epochs_of_the_recipe_or_their_own():
    assert [(stage.name, stage.epochs) for stage in PSOL().stages(7)] == [("classifier", 7), ("regressor", 7)]
    assert [stage.epochs for stage in PSOL(classifier_epochs=0, regressor_epochs=6).stages(7)] == [0, 6]


@pytest.mark.usefixtures("no_curve")
def test_the_regressor_starts_from_the_classifier_which_then_stays(staged, trained, monkeypatch):
    started = []
    original = PSOL.begin

    def begin(self, network):
        original(self, network)
        started.append({name: value.clone() for name, value in network.state_dict().items()})

    monkeypatch.setattr(PSOL, "begin", begin)
    card, folder = trained(replace(staged(regressor_epochs=2), keep_every=1))
    assert [(stage.name, stage.targets_sha256 is None) for stage in card.system.stages] == [
        ("classifier", True),
        ("regressor", False),
    ]
    (start,), first, last = started, weights(folder, "weights-epoch-001"), weights(folder)
    classifier = [name for name in first if not name.startswith("regressor.")]
    assert all(torch.equal(first[name], last[name]) for name in classifier)
    body = [name for name in first if name.startswith("regressor.body.")]
    assert {"regressor.body.body.1.running_mean", "regressor.body.body.3.weight"} < set(body)
    assert all(torch.equal(start[name], last[name.removeprefix("regressor.body.")]) for name in body)
    assert all(not torch.equal(first[name], last[name]) for name in first if name.startswith("regressor.head."))
    assert any(not torch.equal(start[name], last[name]) for name in body)
    log = pd.read_csv(folder / "log.csv")
    assert log["stage"].tolist() == ["classifier", "regressor", "regressor"]
    assert log["boxes"][1:].tolist() == pytest.approx(log["loss"][1:].tolist())
    assert log["train_top1"].isna().tolist() == [False, True, True]


# ------------------------------------------------------------------------------------------------------------ bad input


class Tokens(Small):
    """A network whose head reads more than its feature maps."""

    def forward_features(self, images):
        maps = super().forward_features(images)
        return Features(maps, (maps.mean(dim=(2, 3)),))

    def forward_head(self, features):
        return self.head(features.rest[0])


@pytest.mark.usefixtures("no_curve")
@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (
            Tokens,
            {},
            "'small' cannot be trained by this system: needs a head that reads nothing but the feature maps; this one "
            "reads more, such as a class token",
        ),
        (
            Small,
            {"classifier_epochs": 0},
            "the stage 'regressor' of 'psol' goes on from the stage 'classifier', which this training does not have; "
            "omit --system-opt classifier_epochs=0, or start from its weights: --weights FILE",
        ),
    ],
)
def test_what_cannot_be_trained_is_one_line(staged, trained, build, options, message):
    with pytest.raises(UsageError) as error:
        trained(staged(build, **options))
    assert str(error.value) == message


# ------------------------------------------------------------------------------------------------------------- for real


@pytest.mark.slow
@pytest.mark.usefixtures("no_curve", "no_gallery")
def test_a_network_is_trained_on_critters_and_its_boxes_score_the_same_from_files(cli, registry, tmp_path, monkeypatch):
    """Both stages; the run's boxes scored by `evaluate`; then the second stage from weights of the base alone."""
    for split, count in ((Split.TRAIN_WEAKSUP, 384), (Split.TRAIN_FULLSUP, 36), (Split.TEST, 36)):
        monkeypatch.setitem(critters.SIZES, split, count)
    data, epochs = ["--dataset", "critters"], ["--recipe-opt", "epochs=1"]
    best = ["--checkpoint", "best-on-train-fullsup"]
    out, base = tmp_path / "trained", tmp_path / "base"
    done = cli("train", "--backbone", "psol:resnet_nano", *data, *epochs, *best, "--out", out)
    assert done.code == 0, done.err
    run = ["--weights", out / "weights.safetensors", "--save-scoremaps", tmp_path / "boxes", "--json"]
    (record,) = cli(
        *("run", "--backbone", "psol:resnet_nano", "--method", "native"), *data, *run, "--out", tmp_path / "run"
    ).records
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert record["backbone"]["weights"]["training"]["system"] == card["system"]
    file = next((tmp_path / "boxes").rglob("test.csv"))
    (scored,) = cli(
        *("evaluate", *data, "--predicted-boxes", file, "--name", "psol", "--json", "--out", tmp_path / "evaluate")
    ).records
    shared = {name: value for name, value in scored["metrics"].items() if value is not None}
    assert {"max_box_acc", "max_box_acc_v2", "max_box_acc_by_iou", "mean_iou", "gt_known_loc"} <= set(shared)
    assert {name: record["metrics"][name] for name in shared} == shared
    assert record["metrics"]["top1_loc"] is not None
    with file.open(encoding="utf-8") as lines:
        assert len(list(csv.DictReader(lines))) == 36
    assert cli("train", "--backbone", "resnet_nano", *data, *epochs, "--out", base).code == 0
    later = ["--weights", base / "weights.safetensors", "--system-opt", "classifier_epochs=0"]
    larger = ["--system-opt", "ddt_size=128"]
    done = cli("train", "--backbone", "psol:resnet_nano", *data, *epochs, *later, *larger, "--out", tmp_path / "later")
    assert done.code == 0, done.err
    before, after = weights(base), weights(tmp_path / "later")
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    check_network(registry.backbones.get("psol:resnet_nano").spec)
