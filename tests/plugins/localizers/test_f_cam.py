"""F-CAM: its seeds and terms, pixel by pixel, its decoder, and its two stages."""

import itertools
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
from torch import nn
from torch.nn import functional as F
from toys import PROVIDER
from wsolbench_plugins.datasets.critters import dataset as critters
from wsolbench_plugins.localizers.f_cam import FCAM, network_of, terms, wsolbench_systems
from wsolbench_plugins.localizers.f_cam.class_maps import class_maps
from wsolbench_plugins.localizers.f_cam.network import last_of_each_size, steps_of, width_of
from wsolbench_plugins.localizers.f_cam.seeds import BACKGROUND, FOREGROUND, IGNORED, candidates, draw_seeds
from wsolbench_plugins.methods.cam import CAM
from wsolbench_plugins.methods.gradients import LayerCAM

from wsolbench.contract import BackboneSpec, Features, InputConfig, MethodContext, Split
from wsolbench.contract.taps import visit_layers
from wsolbench.errors import UsageError
from wsolbench.host.registry import Offer
from wsolbench.training.built import Built


class Small(nn.Module):
    """Two convolutions with norms, and a dropout that no parameter is near."""

    taps = ("stem", "body")

    def __init__(self, num_classes=2):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.BatchNorm2d(4))
        self.body = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 6, 2, stride=2), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, num_classes)

    def forward_features(self, images):
        return F.dropout(self.body(self.stem(images)), 0.5, self.training)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    def forward(self, images):
        return self.forward_head(self.forward_features(images))

    def forward_tapped(self, images, visit):
        return visit_layers(self, images, visit)

    @property
    def classifier_weight(self):
        return self.head.weight


CONFIG = InputConfig(32, (0.5,) * 3, (0.1, 0.2, 0.3))
BASE = BackboneSpec("small", Small, CONFIG, "us")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return network_of(BASE).build(3).eval()


# ---------------------------------------------------------------------------------------------------------------- seeds


def literal_otsu(scaled):
    """Return the pixels above the threshold that parts a histogram best: largest variance between both parts."""
    values = scaled.flatten().tolist()
    best, found = -1.0, 0
    for threshold in range(256):
        low, high = [v for v in values if v <= threshold], [v for v in values if v > threshold]
        if low and high:
            apart = len(low) * len(high) * (sum(low) / len(low) - sum(high) / len(high)) ** 2
            if apart > best * (1 + 1e-9):
                best, found = apart, threshold
    return scaled > found


def literal_erosion(region, side):
    reach, eroded = side // 2, np.zeros_like(region)
    for row, column in np.ndindex(*region.shape):
        rows, columns = (slice(max(at - reach, 0), at + reach + 1) for at in (row, column))
        eroded[row, column] = region[rows, columns].all()
    return eroded


def hill(height=20, width=24, seed=0):
    rows, columns = np.mgrid[:height, :width]
    bump = np.exp(-((rows - 8) ** 2 + (columns - 13) ** 2) / 40)
    return (bump + 0.1 * np.random.default_rng(seed).random((height, width))).astype(np.float32)


@pytest.mark.parametrize(("seed", "erosion"), [(0, 5), (1, 1), (2, 11)])
def test_candidates_are_the_eroded_region_of_otsu_and_the_lowest_values(seed, erosion):
    values = hill(seed=seed)
    foreground, background = candidates(values, 0.1, erosion)
    scaled = np.round(255 * (values - values.min()) / (values.max() - values.min())).astype(int)
    region = literal_otsu(scaled)
    eroded = literal_erosion(region, erosion)
    assert region.any()
    assert np.array_equal(foreground, eroded if eroded.any() else region)
    assert eroded.any() == (erosion < 11)
    lowest = sorted(values.flatten().tolist())[: int(0.1 * values.size)]
    assert np.array_equal(background, np.isin(values, np.float32(lowest)))


def test_ties_may_all_be_background_and_the_region_may_not():
    values = np.zeros((10, 10), np.float32)
    values[2:7, 2:7] = 1
    foreground, background = candidates(values, 0.1, 3)
    assert np.array_equal(background, values == 0)
    assert np.argwhere(foreground).tolist() == [list(at) for at in itertools.product(range(3, 6), repeat=2)]
    foreground, background = candidates(1 - values * 0.01, 0.9, 1)
    assert not (foreground & background).any()


def test_a_seed_is_a_drawn_pixel_with_those_around_it():
    """Over many draws each candidate comes up about as often as any other."""
    maps, generator = torch.zeros(1, 12, 12), torch.Generator().manual_seed(0)
    maps[0, 3:8, 3:8] = 1
    counts = np.zeros((12, 12))
    for _ in range(400):
        seeds = draw_seeds(maps, (12, 12), generator, lowest=0.1, erosion=3, dilation=1)[0].numpy()
        assert sorted(seeds[seeds != IGNORED].tolist()) == [BACKGROUND, FOREGROUND]
        counts += seeds == FOREGROUND
        assert maps[0].numpy()[seeds == BACKGROUND] == 0
    assert set(np.argwhere(counts)[:, 0]) == {4, 5, 6}
    assert counts[counts > 0].size == 9
    assert np.abs(counts[counts > 0] - 400 / 9).max() < 4 * math.sqrt(400 / 9)


def test_squares_that_meet_teach_neither_where_they_do():
    maps = torch.full((1, 5, 7), 0.1)
    maps[0, 1:4, 1:4], maps[0, 2, 5] = 1, 0
    seeds = draw_seeds(maps, (5, 7), torch.Generator().manual_seed(0), lowest=0.01, erosion=3, dilation=5)
    assert seeds.tolist() == [[[FOREGROUND] * 3 + [IGNORED] * 2 + [BACKGROUND] * 2] * 5]


def test_a_constant_map_gives_no_seed_and_draws_nothing():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    maps = torch.stack([torch.full((4, 4), 0.3), torch.full((4, 4), math.nan)])
    seeds = draw_seeds(maps, (8, 8), generator, lowest=0.1, erosion=3, dilation=3)
    assert (seeds == IGNORED).all()
    assert torch.equal(generator.get_state(), before)
    loss = terms.partial_cross_entropy(torch.zeros(2, 2, 8, 8, requires_grad=True), seeds)
    loss.backward()
    assert loss == 0


# ---------------------------------------------------------------------------------------------------------------- terms


def test_the_cross_entropy_is_that_of_the_seeds():
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    seeds = torch.full((2, 5, 5), IGNORED)
    seeds[0, 1, 2], seeds[0, 4, 4], seeds[1, 0, 3] = FOREGROUND, BACKGROUND, FOREGROUND
    found = [
        -math.log(math.exp(logits[b, k, r, c]) / sum(math.exp(logits[b, each, r, c]) for each in (0, 1)))
        for b, k, r, c in ((0, 1, 1, 2), (0, 0, 4, 4), (1, 1, 0, 3))
    ]
    assert terms.partial_cross_entropy(logits, seeds).item() == pytest.approx(sum(found) / 3)


@pytest.mark.parametrize("sharpness", [1.0, 1.5, 10.0])
def test_the_barrier_is_a_logarithm_and_then_a_line_of_the_slope_at_their_joint(sharpness):
    joint = -1 / sharpness**2
    values = torch.tensor([-50.0, joint * 2, joint, joint / 2, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    found = terms.barrier(values, sharpness)
    (slopes,) = torch.autograd.grad(found.sum(), values)
    for z, value, slope in zip(values.tolist(), found.tolist(), slopes.tolist(), strict=True):
        if z <= joint:
            assert (value, slope) == pytest.approx((-math.log(-z) / sharpness, -1 / (sharpness * z)))
        else:
            line = sharpness * z - math.log(1 / sharpness**2) / sharpness + 1 / sharpness
            assert (value, slope) == pytest.approx((line, sharpness))
    assert slopes[2].item() == pytest.approx(sharpness)
    assert terms.barrier(torch.tensor(joint + 1e-9), sharpness).item() == pytest.approx(found[2].item(), abs=1e-6)


def test_the_barrier_sharpens_by_a_hundredth_an_epoch_up_to_ten():
    assert [terms.sharpness(epoch) for epoch in (1, 2, 3)] == pytest.approx([1, 1.01, 1.0201])
    assert terms.sharpness(232) < 10
    assert terms.sharpness(233) == terms.sharpness(1000) == 10


def test_both_regions_are_to_be_large():
    regions = torch.tensor([[0.25] * 16, [0.75] * 16]).reshape(1, 2, 4, 4)
    assert terms.sizes(regions, 1.0).item() == pytest.approx(-math.log(4) - math.log(12))
    empty = torch.tensor([[0.0] * 16, [1.0] * 16]).reshape(1, 2, 4, 4)
    assert terms.sizes(empty, 2.0).item() == pytest.approx(
        -math.log(1 / 4) / 2 + 1 / 2 - math.log(16) / 2  # the size 0 is on the line
    )


def literal_pairs(regions, colours, colour, distance):
    """Return the sum over all pairs of an image, and its gradient, pair by pair, of (2, h, w) and (3, h, w)."""
    cells = list(itertools.product(range(len(regions[0])), repeat=2))
    total, gradient = 0.0, torch.zeros_like(regions).tolist()
    regions, colours = regions.tolist(), colours.permute(1, 2, 0).tolist()
    for (r, c), (y, x) in itertools.product(cells, cells):
        apart = ((r - y) ** 2 + (c - x) ** 2) / (2 * distance**2)
        unlike = math.dist(colours[r][c], colours[y][x]) ** 2 / (2 * colour**2)
        weight = math.exp(-apart - unlike)
        for k in (0, 1):
            total += weight * regions[k][r][c] * (1 - regions[k][y][x])
            gradient[k][r][c] += weight * (1 - 2 * regions[k][y][x])
    return total, torch.tensor(gradient, dtype=torch.float64)


def test_pairs_are_all_pairs_of_pixels(monkeypatch):
    """The sum and its gradient; W is computed a part at a time."""
    monkeypatch.setattr(terms, "_PAIRS_AT_ONCE", 640)
    torch.manual_seed(0)
    regions = torch.randn(2, 2, 8, 8, dtype=torch.float64).softmax(dim=1).requires_grad_()
    colours = 255 * torch.rand(2, 3, 8, 8, dtype=torch.float64) - 100
    expected = [literal_pairs(*each, 30.0, 4.0) for each in zip(regions.detach(), colours, strict=True)]
    found = terms.pairs(regions, colours, colour=30.0, distance=4.0)
    (gradient,) = torch.autograd.grad(found, regions)
    assert found.item() == pytest.approx(sum(total for total, _ in expected) / 2)
    # Regions add up to 1, so a gradient counts up to what is the same for both.
    of_both = torch.stack([each for _, each in expected]) / 2
    assert torch.allclose(gradient[:, 0] - gradient[:, 1], of_both[:, 0] - of_both[:, 1])


# ----------------------------------------------------------------------------------------------------- maps and decoder


@torch.no_grad()
def test_its_maps_are_those_of_the_methods(network):
    images, classes = torch.randn(3, 3, 32, 32), torch.tensor([2, 0, 1])
    features = network.forward_features(images)
    context = MethodContext(network, images, classes, network.forward_head(features))
    cam = CAM(relu=False)(features, context) * features.shape[1]
    assert torch.allclose(class_maps(network, images, classes, "cam"), cam, atol=1e-6)
    layer = LayerCAM()(features, context)
    assert layer.amax() > 0
    assert torch.allclose(class_maps(network, images, classes, "layer-cam"), layer, atol=1e-6)


@torch.no_grad()
def test_maps_of_a_network_whose_head_reads_more():
    class WithToken(Small):
        def forward_features(self, images):
            maps = super().forward_features(images)
            return Features(maps, (maps.mean(dim=(2, 3)),))

        def forward_head(self, features):
            return self.head(features.maps.amax(dim=(2, 3)) + features.rest[0])

    torch.manual_seed(0)
    network = network_of(BackboneSpec("tokens", WithToken, CONFIG, "us")).build(3).eval()
    images, classes = torch.randn(2, 3, 32, 32), torch.tensor([2, 0])
    features = network.forward_features(images)
    context = MethodContext(network, images, classes, network.forward_head(features), features.rest)
    expected = LayerCAM()(features.maps, context)
    assert torch.allclose(class_maps(network, images, classes, "layer-cam"), expected, atol=1e-6)


@torch.no_grad()
def test_the_map_is_the_probability_of_the_foreground_at_every_pixel(network):
    images = torch.randn(2, 3, 32, 32)
    logits, maps = network.decoded(images)
    assert torch.equal(logits, network(images))
    assert maps.shape == (2, 2, 32, 32)
    found = network.localize(network.forward_features(images), images, torch.tensor([0, 2]))
    exp = maps.double().exp()
    assert torch.allclose(found.double(), exp[:, 1] / exp.sum(dim=1))
    larger = torch.randn(1, 3, 50, 44)
    assert network.localize(network.forward_features(larger), larger, torch.tensor([0])).shape == (1, 50, 44)


@torch.no_grad()
def test_the_decoder_enlarges_and_joins_step_by_step(network):
    """Written out: the body's maps beside the stem's, then twice the size, then the input's."""
    images = torch.randn(2, 3, 32, 32)
    stem = network.stem(images)
    maps = network.body(stem.clone())
    assert network.decoder_taps == ("body", "stem")
    blocks = network.decoder.blocks
    assert [block[0].weight.shape[:2] for block in blocks] == [(64, 10), (32, 64), (16, 32)]
    twice = maps.repeat_interleave(2, 2).repeat_interleave(2, 3)
    maps = blocks[0](torch.cat([twice, stem], dim=1))
    for block in blocks[1:]:
        maps = block(maps.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.allclose(network.decoder.maps(maps), network.decoded(images)[1], atol=1e-5)


def test_which_taps_and_widths():
    sides = {"act1": 112, "layer1": 56, "layer2": 28, "layer3": 28, "layer4": 28}
    assert last_of_each_size(sides) == ("layer4", "layer1", "act1")
    assert list(steps_of([28, 56, 112], 224)) == [(56, 1), (112, 2), (224, None)]
    assert list(steps_of([14], 224)) == [(28, None), (56, None), (112, None), (224, None)]
    assert list(steps_of([7, 28, 224], 224)) == [(14, None), (28, 1), (56, None), (112, None), (224, 2)]
    assert list(steps_of([28, 54, 110], 224)) == [(54, 1), (110, 2), (224, None)]
    assert [width_of(side, 224) for side in (7, 14, 28, 56, 110, 112, 224)] == [256, 256, 128, 64, 32, 32, 16]


# --------------------------------------------------------------------------------------------------------------- stages


def step_of(network, system, **settings):
    torch.manual_seed(0)
    images, maps = torch.randn(2, 3, 32, 32), torch.from_numpy(np.stack([hill(), hill(seed=1)]))
    outputs = system.forward(network, images, torch.tensor([0, 1]))
    made = {"epoch": 3, "network": network, "images": images, "outputs": outputs, "prepared": {"maps": maps}}
    return SimpleNamespace(generator=torch.Generator().manual_seed(5), **{**made, **settings})


def test_the_terms_are_put_together_with_their_factors(network):
    system = FCAM(size_weight=0.3, crf_weight=1e-4, crf_colour=20.0, crf_distance=7.0)
    step = step_of(network, system)
    found = system.decoder_loss(step)
    logits, generator = step.outputs["maps"], torch.Generator().manual_seed(5)
    seeds = draw_seeds(step.prepared["maps"], (32, 32), generator, lowest=0.1, erosion=11, dilation=3)
    assert {FOREGROUND, BACKGROUND} < set(seeds.flatten().tolist())
    colours = (step.images * torch.tensor(CONFIG.std)[:, None, None] + 0.5) * 255
    regions = logits.softmax(dim=1)
    expected = {
        "pixels": F.cross_entropy(logits, seeds, ignore_index=IGNORED),
        "size": 0.3 * terms.barrier(-regions.sum(dim=(2, 3)), 1.01**2).sum() / 2,
        "crf": 1e-4 * terms.pairs(regions, colours, colour=20.0, distance=7.0),
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-4), name
    assert list(FCAM().decoder_loss(step)) == ["pixels", "size"]
    assert torch.equal(step.generator.get_state(), generator.get_state()) is False  # drawn anew in each step


def test_the_stages_have_the_epochs_of_the_recipe_or_their_own():
    assert [(stage.name, stage.epochs, stage.trains) for stage in FCAM().stages(7)] == [
        ("classifier", 7, ("",)),
        ("decoder", 7, ("decoder",)),
    ]
    assert [stage.epochs for stage in FCAM(classifier_epochs=0, decoder_epochs=3).stages(7)] == [0, 3]


@pytest.fixture
def staged(plan, monkeypatch):
    """Make a plan of a training of the small network by the system."""
    monkeypatch.setattr("wsolbench.training.train.git_revision", lambda: None)

    def make(build=Small, **options):
        made = plan(epochs=1)
        spec = replace(network_of(BackboneSpec("small", build, CONFIG, "us")), input=made.backbone.spec.input)
        (offered,) = wsolbench_systems()
        system = Built(Offer(offered, PROVIDER), FCAM(erosion=3, **options), options)
        return replace(made, backbone=Offer(spec, PROVIDER), system=system)

    return make


def weights(folder, name="weights"):
    return load_file(folder / f"{name}.safetensors")


@pytest.mark.usefixtures("no_curve")
@pytest.mark.parametrize("kind", ["cam", "layer-cam"])
def test_the_second_stage_changes_the_decoder_alone(staged, trained, kind):
    """Bit for bit: weights and statistics of the classifier's norms are those of the end of the first stage."""
    card, folder = trained(replace(staged(map=kind, decoder_epochs=2), keep_every=1))
    assert [stage.name for stage in card.system.stages] == ["classifier", "decoder"]
    first, last = weights(folder, "weights-epoch-001"), weights(folder)
    classifier = [name for name in first if not name.startswith("decoder.")]
    assert {"stem.1.running_mean", "body.2.num_batches_tracked", "head.bias"} <= set(classifier)
    assert all(torch.equal(first[name], last[name]) for name in classifier)
    changed = [name for name in first if not torch.equal(first[name], last[name])]
    assert set(changed) == {name for name in first if name.startswith("decoder.")}
    start = network_of(BASE)
    torch.manual_seed(0)
    new = start.build(2).state_dict()
    assert all(torch.equal(first[name], new[name]) for name in changed)  # the first stage does not touch it
    log = pd.read_csv(folder / "log.csv")
    assert log["stage"].tolist() == ["classifier", "decoder", "decoder"]
    assert (log["pixels"] + log["size"])[1:].tolist() == pytest.approx(log["loss"][1:].tolist())


# ------------------------------------------------------------------------------------------------------------ bad input


class NoWeights(Small):
    classifier_weight = None


class NoTaps(Small):
    taps = ()


@pytest.mark.usefixtures("no_curve")
@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (
            NoWeights,
            {},
            "f-cam: map=cam needs class weights, and the network has none; type --system-opt map=layer-cam",
        ),
        (NoTaps, {}, "'small' cannot be trained by this system: needs taps, and the network has none"),
        (
            Small,
            {"classifier_epochs": 0},
            "the stage 'decoder' of 'f-cam' goes on from the stage 'classifier', which this training does not have; "
            "omit --system-opt classifier_epochs=0, or start from its weights: --weights FILE",
        ),
    ],
)
def test_what_cannot_be_trained_is_one_line(staged, trained, build, options, message):
    with pytest.raises(UsageError) as error:
        trained(staged(build, **options))
    assert str(error.value) == message


def test_squares_have_a_middle():
    with pytest.raises(UsageError, match="erosion=10: expected an odd number of pixels, such as 11"):
        FCAM(erosion=10)


# ------------------------------------------------------------------------------------------------------------- for real


@pytest.mark.slow
@pytest.mark.usefixtures("no_curve", "no_gallery")
def test_a_network_is_trained_on_critters_and_run(cli, registry, tmp_path, monkeypatch):
    """Both stages; then the second alone, from weights of the network without the system."""
    for split, count in ((Split.TRAIN_WEAKSUP, 384), (Split.TRAIN_FULLSUP, 36), (Split.TEST, 36)):
        monkeypatch.setitem(critters.SIZES, split, count)
    epochs, out, base = ["--dataset", "critters", "--recipe-opt", "epochs=1"], tmp_path / "trained", tmp_path / "base"
    done = cli("train", "--backbone", "f-cam:resnet_nano", *epochs, "--out", out)
    assert done.code == 0, done.err
    log = pd.read_csv(out / "log.csv")
    assert log["stage"].tolist() == ["classifier", "decoder"]
    data = ["--dataset", "critters", "--interval", "0.1", "--json", "--out", tmp_path / "run"]
    (record,) = cli(
        *("run", "--backbone", "f-cam:resnet_nano", "--weights", out / "weights.safetensors"),
        *("--method", "native", *data),
    ).records
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert record["backbone"]["weights"]["training"]["system"] == card["system"]
    assert cli("train", "--backbone", "resnet_nano", *epochs, "--out", base).code == 0
    later = [*epochs, "--weights", base / "weights.safetensors", "--system-opt", "classifier_epochs=0"]
    assert cli("train", "--backbone", "f-cam:resnet_nano", *later, "--out", tmp_path / "later").code == 0
    before, after = weights(base), weights(tmp_path / "later")
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    check_network(registry.backbones.get("f-cam:resnet_nano").spec)
