"""The published recipes: optimizers, schedules and augmentations, against slower or independent computations."""

import math
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import each
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.Image import Resampling
from timm.data.auto_augment import rand_augment_transform
from timm.data.mixup import mixup_target
from timm.loss import SoftTargetCrossEntropy
from timm.optim import param_groups_layer_decay
from torch import nn
from wsolbench_plugins.recipes.published.crops import resized_crop
from wsolbench_plugins.recipes.published.mixing import MixedLabels, cross_entropy, cutmix, mixup
from wsolbench_plugins.recipes.published.timm_augmentations import erase, rand_augment

from wsolbench.api import InputConfig, UsageError, warp
from wsolbench.contract.options import build_with_options
from wsolbench.host.loading import load_plugins

REGISTRY = load_plugins()
CONFIG = InputConfig(64)
NAMES = ("plain", "has", "cutmix", "modern", "modern-noaug")


def recipe(name, **options):
    texts = {option: str(value) for option, value in options.items()}
    return build_with_options(name, REGISTRY.recipes.get(name).spec.build, texts)[0]


def network(name, classes=3):
    torch.manual_seed(0)
    return REGISTRY.backbones.get(name).spec.build(classes)


def noise(height=80, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def torch_generator(seed=0):
    return torch.Generator().manual_seed(seed)


def names_of(module, optimizer):
    """Return for every group the names of its parameters."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return [{names[id(parameter)] for parameter in group["params"]} for group in optimizer.param_groups]


# ---------------------------------------------------------------------------------------------------------- reference


@pytest.mark.parametrize(
    ("backbone", "fast"),
    [
        ("resnet_nano", ("layer4.", "fc.")),
        ("convnext_nano", ("head.fc.",)),
        ("replknet_nano", ("head.",)),
        ("slak_nano", ("head.",)),
        ("vgg16_gap", ("conv6.", "fc.")),
        ("inception_v3_wsol", ("SPG_A3_1b.", "SPG_A3_2b.", "SPG_A4.")),
        ("acol:resnet_nano", ("layer4.", "classifier_A.", "classifier_B.")),
        ("spg:resnet_nano", ("layer4.", "fc.", "SPG_B_", "SPG_C.")),
    ],
)
def test_classifier_and_added_layers_learn_ten_times_as_fast(backbone, fast):
    module = network(backbone)
    optimizer, _ = recipe("plain", learning_rate=0.01).optimizer(module, 100)
    slow_names, fast_names = names_of(module, optimizer)
    expected = {key for key, _ in module.named_parameters() if key.startswith(fast)}
    assert fast_names == expected
    assert slow_names == {key for key, _ in module.named_parameters()} - expected
    slow_group, fast_group = optimizer.param_groups
    assert (slow_group["lr"], fast_group["lr"]) == (0.01, pytest.approx(0.1))
    for group in optimizer.param_groups:
        assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 1e-4)


def test_the_rate_is_a_tenth_from_the_epochs_on_that_the_period_divides():
    made = recipe("plain", epochs=9, decay_every=3, learning_rate=1.0)
    _, schedule = made.optimizer(network("resnet_nano"), 9 * 2)
    rates = []
    for _ in range(9):
        rates.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
        schedule.step()
    # epochs counted from 1: it drops at the beginning of epochs 3, 6 and 9
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001])


@pytest.mark.parametrize("size", [64, 96, 224])
def test_a_crop_is_a_part_of_the_warped_image_perhaps_flipped(size):
    made, image = recipe("plain"), noise(300, 280)
    larger = warp(image, round(size * 8 / 7), "bilinear")
    reach = len(larger) - size
    flips, places = 0, set()
    for seed in range(40):
        crop = made.augment(image, InputConfig(size), np.random.default_rng(seed))
        found = [
            (top, left, flipped)
            for top in range(reach + 1)
            for left in range(reach + 1)
            for flipped in (False, True)
            if np.array_equal(crop[0], larger[top, left : left + size][:: -1 if flipped else 1])
        ]
        ((top, left, flipped),) = found
        expected = larger[top : top + size, left : left + size]
        assert np.array_equal(crop, expected[:, ::-1] if flipped else expected)
        flips, places = flips + flipped, places | {(top, left)}
    assert 10 < flips < 30
    assert len(places) > 20


@each(("height", "width", "patch"), [(64, 64, 4), (64, 64, 16), (30, 41, 7), (5, 5, 9)])
def test_patches_are_hidden_whole(height, width, patch):
    images = 1 + torch.rand(50, 3, height, width)
    hidden, labels = recipe("has", patch_size=patch).prepare(images, torch.arange(50), torch_generator())
    kept = hidden == images
    assert torch.equal(hidden[~kept], torch.zeros(int((~kept).sum())))
    shares = []
    for top in range(0, height, patch):
        for left in range(0, width, patch):
            part = kept[:, :, top : top + patch, left : left + patch].flatten(1)
            assert torch.equal(part.all(dim=1), part.any(dim=1))
            shares.append(part.all(dim=1).float().mean())
    assert 0.3 < float(torch.stack(shares).mean()) < 0.7
    assert torch.equal(labels, torch.arange(50))


@each(("rate", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_drop_rate_is_that_of_patches(rate, share):
    images = torch.ones(4, 3, 64, 64)
    hidden, _ = recipe("has", drop_rate=rate).prepare(images, torch.arange(4), torch_generator())
    assert float(hidden.mean()) == share


def test_cutmix_puts_a_rectangle_of_another_image_in_and_counts_its_pixels():
    images = torch.arange(6.0)[:, None, None, None].expand(6, 3, 20, 30).clone()
    labels = torch.arange(6) + 10
    shares = set()
    for seed in range(30):
        mixed, targets = recipe("cutmix").prepare(images, labels, torch_generator(seed))
        others = targets.partners - 10
        assert sorted(others.tolist()) == list(range(6))
        for index in range(6):
            replaced = (mixed[index, 0] != images[index, 0]).nonzero()
            if int(others[index]) != index and len(replaced):
                (y0, x0), (y1, x1) = replaced.amin(dim=0).tolist(), (replaced.amax(dim=0) + 1).tolist()
                assert torch.equal(mixed[index, :, y0:y1, x0:x1], images[others[index], :, y0:y1, x0:x1])
                assert len(replaced) == (y1 - y0) * (x1 - x0)
                assert targets.share == pytest.approx(1 - len(replaced) / 600)
        assert torch.equal(targets.labels, labels)
        shares.add(targets.share)
    assert len(shares) > 20


def test_cutmix_mixes_a_share_of_the_batches():
    images, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    made = recipe("cutmix", probability=0.3)
    mixed = [isinstance(made.prepare(images, labels, torch_generator(seed))[1], MixedLabels) for seed in range(200)]
    assert 0.2 < sum(mixed) / 200 < 0.4


@pytest.fixture
def mixes(shared_data):
    return np.load(shared_data / "systems" / "layer_mixes.npz")


@pytest.mark.parametrize("grid", [4, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_hidden_patches_are_those_of_the_reference(mixes, monkeypatch, seed, grid):
    """The draws are its own: Python's, image by image and row by row."""
    draws = random.Random(seed)

    def drawn(*shape, generator):  # noqa: ARG001
        return torch.tensor([draws.random() for _ in range(math.prod(shape))], dtype=torch.float64).reshape(shape)

    monkeypatch.setattr("torch.rand", drawn)
    hidden, _ = recipe("has", patch_size=grid).prepare(torch.from_numpy(mixes["input"]), torch.arange(4), None)
    assert np.array_equal(hidden, mixes[f"has_seed{seed}_grid{grid}_rate0.5"])


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_mixed_images_are_those_of_the_reference(mixes, monkeypatch, seed):
    """The draws are its own: the share, row and column numpy's, the partners torch's."""
    draws = np.random.RandomState(seed)
    share, row, column = draws.beta(1, 1), draws.randint(12), draws.randint(12)
    assert share == mixes[f"cutmix_seed{seed}_lambda_drawn"]
    torch.manual_seed(seed)
    partners, places = torch.randperm(4).numpy(), iter((row, column))
    given_draws = SimpleNamespace(
        random=lambda: 0.5,
        beta=lambda *_: share,
        permutation=lambda _: partners,
        integers=lambda _: next(places),
    )
    monkeypatch.setattr("wsolbench_plugins.recipes.published.mixing.numpy_generator", lambda _: given_draws)
    images, labels = torch.from_numpy(mixes["input"]), torch.from_numpy(mixes["labels"])
    mixed, targets = recipe("cutmix").prepare(images, labels, None)
    assert np.array_equal(mixed, mixes[f"cutmix_seed{seed}_output"])
    assert np.array_equal(targets.partners, mixes[f"cutmix_seed{seed}_target_b"])
    assert targets.share == mixes[f"cutmix_seed{seed}_lambda_used"]
    y0, x0, y1, x1 = mixes[f"cutmix_seed{seed}_box"]
    assert 1 - (y1 - y0) * (x1 - x0) / 144 == pytest.approx(targets.share)


# ------------------------------------------------------------------------------------------------------------- mixing


@given(share=st.floats(0, 1), smoothing=st.sampled_from([0.0, 0.1]), seed=st.integers(0, 99))
def test_the_loss_of_mixed_labels_is_timms_of_soft_targets(share, smoothing, seed):
    logits = torch.randn(7, 5, generator=torch_generator(seed))
    labels = torch.randint(5, (7,), generator=torch_generator(seed))
    expected = SoftTargetCrossEntropy()(logits, mixup_target(labels, 5, share, smoothing))
    actual = cross_entropy(logits, MixedLabels(labels, labels.flip(0), share), smoothing)
    torch.testing.assert_close(actual, expected)


def test_mixup_weighs_both_images():
    images, partners = torch.randn(2, 4, 3, 8, 8, generator=torch_generator())
    mixed, share = mixup(images, partners, 0.8, np.random.default_rng(0))
    torch.testing.assert_close(mixed, share * images + (1 - share) * partners)
    shares = [mixup(images, partners, 0.8, np.random.default_rng(seed))[1] for seed in range(2000)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.8 + 1)), rel=0.1)  # of a beta distribution


def test_cutmix_takes_the_share_that_it_draws_but_for_the_borders():
    images = torch.zeros(1, 1, 200, 200)
    shares = [cutmix(images, images + 1, 1.0, np.random.default_rng(seed)) for seed in range(1000)]
    for mixed, share in shares[:50]:
        assert 1 - float(mixed.mean()) == pytest.approx(share, abs=1e-6)
    # The area of a rectangle of side r around a uniform point, cut at the borders, is (r − r²/4)² on average.
    side = np.sqrt(1 - np.linspace(0, 1, 10_001))
    expected = 1 - np.mean((side - side**2 / 4) ** 2)
    assert np.mean([share for _, share in shares]) == pytest.approx(expected, abs=0.03)


def test_modern_mixes_half_of_the_batches_by_each_and_pairs_from_both_ends():
    images = torch.arange(5.0)[:, None, None, None].expand(5, 3, 16, 16).clone()
    made, cut = recipe("modern", erasing=0), 0
    for seed in range(100):
        mixed, targets = made.prepare(images, torch.arange(5), torch_generator(seed))
        assert targets.partners.tolist() == [4, 3, 2, 1, 0]
        cut += set(mixed.unique().tolist()) <= set(range(5))
        torch.testing.assert_close(
            mixed.mean(dim=(1, 2, 3)),
            targets.share * torch.arange(5.0) + (1 - targets.share) * torch.arange(4.0, -1, -1),
        )
    assert 35 < cut < 65


@each(("options", "kind"), [({"mixup": 0}, "cut"), ({"cutmix": 0}, "mix"), ({}, "both")])
def test_either_mixture_can_be_left_out(options, kind):
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, 16, 16).clone()
    made = recipe("modern", erasing=0, **options)
    cut = [
        set(made.prepare(images, torch.arange(4), torch_generator(seed))[0].unique().tolist()) <= {0, 1, 2, 3}
        for seed in range(30)
    ]
    assert (all(cut), any(cut)) == {"cut": (True, True), "mix": (False, False), "both": (False, True)}[kind]


def test_without_augmentation_images_stay_as_they_are():
    images, labels = torch.rand(4, 3, 16, 16), torch.arange(4)
    for made in (recipe("modern-noaug"), recipe("modern", erasing=0, mixup=0, cutmix=0)):
        prepared, targets = made.prepare(images, labels, torch_generator())
        assert torch.equal(prepared, images)
        assert torch.equal(targets, labels)
    assert not hasattr(recipe("modern-noaug"), "augment")
    bare = recipe("modern", smallest_crop=1, flip=0, rand_augment="none")
    expected = warp(noise(), 64, "bilinear")
    assert np.array_equal(bare.augment(noise(), CONFIG, np.random.default_rng(0)), expected)


# -------------------------------------------------------------------------------------------------------------- crops


@given(width=st.integers(1, 500), height=st.integers(1, 500), smallest=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_a_resized_crop_lies_in_the_image_and_has_a_legal_aspect(width, height, smallest, seed):
    left, upper, right, lower = resized_crop(width, height, smallest, np.random.default_rng(seed))
    slack = 1e-6 * max(width, height)
    assert -slack <= left < right <= width + slack
    assert -slack <= upper < lower <= height + slack
    assert 3 / 4 - 1e-6 <= (right - left) / (lower - upper) <= 4 / 3 + 1e-6
    if 3 / 4 <= width / height <= 4 / 3:
        assert (right - left) * (lower - upper) >= smallest * width * height * (1 - 1e-6) or smallest > 0.7


def test_resized_crops_are_spread_over_shares_and_places():
    boxes = np.array([resized_crop(100, 100, 0.25, np.random.default_rng(seed)) for seed in range(3000)])
    shares = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 1e4
    assert shares.min() < 0.27
    assert shares.max() > 0.9
    assert boxes[:, :2].min() < 1
    assert boxes[:, 2:].max() > 99
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert centres.mean(axis=0) == pytest.approx([50, 50], abs=1)


# --------------------------------------------------------------------------------------------------------------- timm


def test_rand_augment_is_timms():
    policy = rand_augment_transform(
        "rand-m9-mstd0.5-inc1",
        {
            "translate_const": int(0.45 * 64),
            "img_mean": tuple(round(255 * mean) for mean in CONFIG.mean),
            "interpolation": Resampling.BILINEAR,
            "magnitude_max": 9.99,
        },
    )
    changed = 0
    for seed in range(60):
        image = Image.fromarray(noise(64, 64, seed))
        actual = rand_augment(image, 9, CONFIG, np.random.default_rng(seed))
        draws = np.random.default_rng(seed)
        chosen = draws.integers(len(policy.ops), size=2)
        random.seed(int(draws.integers(2**62)))
        expected = image
        for index in chosen:
            expected = policy.ops[index](expected)
        assert np.array_equal(actual, expected)
        changed += not np.array_equal(actual, image)
    assert changed > 30


@each("magnitude", [0, 5, 10])
def test_every_magnitude_works_on_any_colours(magnitude):
    images = [np.full((64, 64, 3), value, dtype=np.uint8) for value in (0, 128, 255)]
    for seed in range(150):
        made = rand_augment(Image.fromarray(images[seed % 3]), magnitude, CONFIG, np.random.default_rng(seed))
        assert (made.size, made.mode) == ((64, 64), "RGB")


def test_augmented_images_do_not_hang_on_the_order_of_threads():
    made, images = recipe("modern"), [noise(seed=seed) for seed in range(60)]

    def augment(index):
        return made.augment(images[index], CONFIG, np.random.default_rng((0, 0, index)))

    expected = [augment(index) for index in range(60)]
    order = np.random.default_rng(0).permutation(60)
    with ThreadPoolExecutor(8) as pool:
        for index, actual in zip(order, pool.map(augment, order), strict=True):
            assert np.array_equal(actual, expected[index])


def test_the_generators_of_the_process_are_given_back():
    random.seed(5)
    torch.manual_seed(5)
    before, torch_before = random.getstate(), torch.get_rng_state()
    rand_augment(Image.fromarray(noise()), 9, CONFIG, np.random.default_rng(0))
    erase(torch.zeros(20, 3, 16, 16), 1.0, np.random.default_rng(0))
    assert random.getstate() == before
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_erased_rectangles_hold_noise_in_some_images():
    images = torch.full((200, 3, 32, 32), 7.0)
    erased = erase(images, 0.25, np.random.default_rng(0))
    assert torch.equal(images, torch.full((200, 3, 32, 32), 7.0))
    changed = [image for image in erased if not (image == 7).all()]
    assert 30 < len(changed) < 70
    for image in changed:
        places = (image[0] != 7).nonzero()
        (y0, x0), (y1, x1) = places.amin(dim=0).tolist(), (places.amax(dim=0) + 1).tolist()
        assert len(places) == (y1 - y0) * (x1 - x0)
        assert 0.01 < len(places) / 32**2 < 0.36
    values = torch.cat([image[image != 7] for image in changed])
    assert float(values.mean()) == pytest.approx(0, abs=0.05)
    assert float(values.std()) == pytest.approx(1, abs=0.05)


# ------------------------------------------------------------------------------------------------------------- modern


@pytest.mark.parametrize("name", ["modern", "modern-noaug"])
def test_the_rate_rises_linearly_and_falls_as_a_cosine(name):
    made = recipe(name, learning_rate=1.0, min_learning_rate=0.1, warm_up=0.2)
    optimizer, schedule = made.optimizer(network("resnet_nano"), 50)
    rates = []
    for _ in range(50):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:10] == pytest.approx(np.linspace(0.1, 1, 10))
    assert rates[10:] == pytest.approx([0.1 + 0.9 * (1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)])
    assert schedule.get_last_lr()[0] == pytest.approx(0.1)


def test_weight_decay_spares_biases_and_norms():
    module = network("slak_nano")
    optimizer, _ = recipe("modern", weight_decay=0.3).optimizer(module, 10)
    decays = {
        name: group["weight_decay"]
        for group, names in zip(optimizer.param_groups, names_of(module, optimizer), strict=True)
        for name in names
    }
    for name, parameter in module.named_parameters():
        assert decays[name] == (0.3 if parameter.ndim > 1 else 0), name
    assert isinstance(optimizer, torch.optim.AdamW)


def test_layer_decay_of_a_resnet_is_timms():
    module = network("resnet_nano")
    made = recipe("modern", learning_rate=0.5, layer_decay=0.7, weight_decay=0.2)
    optimizer, _ = made.optimizer(module, 10)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    expected = {
        names[id(parameter)]: (pytest.approx(0.5 * group["lr_scale"]), group["weight_decay"])
        for group in param_groups_layer_decay(module, 0.2, layer_decay=0.7)
        for parameter in group["params"]
    }
    actual = {
        names[id(parameter)]: (group["initial_lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert actual == expected
    assert len({rate for rate, _ in actual.values()}) > 4


def test_stochastic_depth_is_given_to_the_network():
    module = network("replknet_nano")
    recipe("modern", drop_path=0.3).optimizer(module, 10)
    rates = [part.drop_prob for part in module.modules() if type(part).__name__ == "DropPath"]
    assert rates == pytest.approx([0, 0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3])


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)


@each(
    ("options", "words"),
    [
        ({"drop_path": 0.1}, "Bare has no stochastic depth; set drop_path=0"),
        ({"layer_decay": 0.7}, "Bare does not number its layers; set layer_decay=1"),
    ],
)
def test_what_a_network_does_not_offer_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        recipe("modern", **options).optimizer(Bare(), 10)


@each(
    ("name", "options", "words"),
    [
        ("plain", {"decay_every": 0}, "option 'decay_every' takes a whole number of at least 1, not '0'"),
        ("has", {"patch_size": 0}, "option 'patch_size' takes a whole number of at least 1, not '0'"),
        ("has", {"drop_rate": 1.5}, "option 'drop_rate' takes a number from 0 to 1, not '1.5'"),
        ("has", {"decay_every": 0}, "option 'decay_every' takes a whole number of at least 1, not '0'"),
        ("plain", {"learning_rate": "inf"}, "option 'learning_rate' takes a number above 0, not 'inf'"),
        ("plain", {"classifier_rate": -1}, "option 'classifier_rate' takes a number above 0, not '-1'"),
        ("plain", {"weight_decay": -1}, "option 'weight_decay' takes a number of at least 0, not '-1'"),
        ("cutmix", {"beta": 0}, "option 'beta' takes a number above 0, not '0'"),
        ("cutmix", {"beta": "nan"}, "option 'beta' takes a number above 0, not 'nan'"),
        ("cutmix", {"probability": -1}, "option 'probability' takes a number from 0 to 1, not '-1'"),
        ("modern", {"warm_up": 1}, "option 'warm_up' takes a number from 0 to below 1, not '1'"),
        ("modern", {"learning_rate": 0}, "option 'learning_rate' takes a number above 0, not '0'"),
        ("modern", {"min_learning_rate": "nan"}, "option 'min_learning_rate' takes a number of at least 0, not 'nan'"),
        ("modern", {"layer_decay": "inf"}, "option 'layer_decay' takes a number above 0, not 'inf'"),
        ("modern", {"ema": 1}, "option 'ema' takes a number above 0 and below 1, or none, not '1'"),
        ("modern", {"rand_augment": 11}, "option 'rand_augment' takes a whole number from 0 to 10, or none, not '11'"),
        ("modern", {"smallest_crop": 0}, "option 'smallest_crop' takes a number above 0 and at most 1, not '0'"),
        ("modern", {"erasing": 2}, "option 'erasing' takes a number from 0 to 1, not '2'"),
        ("modern", {"mixup": -0.1}, "option 'mixup' takes a number of at least 0, not '-0.1'"),
        ("modern", {"cutmix": "inf"}, "option 'cutmix' takes a number of at least 0, not 'inf'"),
        ("modern-noaug", {"weight_decay": "nan"}, "option 'weight_decay' takes a number of at least 0, not 'nan'"),
        ("modern-noaug", {"drop_path": 1}, "option 'drop_path' takes a number from 0 to below 1, not '1'"),
        ("modern-noaug", {"mixup": 0.1}, "has no option 'mixup'"),
        ("onecycle", {"learning_rate": -1}, "option 'learning_rate' takes a number above 0, not '-1'"),
        ("onecycle", {"weight_decay": "inf"}, "option 'weight_decay' takes a number of at least 0, not 'inf'"),
        ("onecycle", {"warm_up": 1}, "option 'warm_up' takes a number from 0 to below 1, not '1'"),
        ("onecycle", {"label_smoothing": 2}, "option 'label_smoothing' takes a number from 0 to below 1, not '2'"),
        ("onecycle", {"shift": 0.5}, "option 'shift' takes a number from 0 to below 0.5, not '0.5'"),
    ],
)
def test_options_out_of_range_are_refused(name, options, words):
    with pytest.raises(UsageError, match=words):
        recipe(name, **options)


@each("warm_up", [0.0, 0.01, 0.25, 0.5, 0.99])
def test_one_cycle_has_a_rate_for_every_step_of_a_short_training(warm_up):
    for steps in (1, 2, 3, 4):
        optimizer, schedule = recipe("onecycle", warm_up=warm_up).optimizer(network("resnet_nano"), steps)
        for step in range(1, steps):
            optimizer.step()
            schedule.step()
            assert 0 < schedule.get_last_lr()[0] <= 3e-3, f"step {step} of {steps}"


@pytest.mark.parametrize("name", NAMES)
def test_photos_of_any_size_become_the_input(name):
    made = recipe(name)
    augment = getattr(made, "augment", lambda image, config, _: warp(image, config.size, config.interpolation))
    for shape, size in product([(1, 1), (3, 200), (64, 64), (375, 500)], [32, 64, 96]):
        inputs = augment(noise(*shape), InputConfig(size), np.random.default_rng(0))
        assert (inputs.shape, inputs.dtype) == ((size, size, 3), np.uint8), shape


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_any_size_train(name):
    for batch in (1, 3):
        module, made = network("resnet_nano"), recipe(name)
        optimizer, _ = made.optimizer(module.eval(), 4)
        images, targets = made.prepare(torch.randn(batch, 3, 32, 32), torch.arange(batch), torch_generator())
        loss = made.loss(module(images), targets)
        loss.backward()
        optimizer.step()
        assert loss.isfinite(), f"{batch=}"


def test_interpolation_is_the_networks():
    nearest = partial(InputConfig, 64, interpolation="nearest")
    colours = {tuple(pixel) for pixel in noise(9, 9).reshape(-1, 3)}
    bare = recipe("modern", rand_augment="none")
    for made in (recipe("plain"), bare):
        pixels = made.augment(noise(9, 9), nearest(), np.random.default_rng(0)).reshape(-1, 3)
        assert {tuple(pixel) for pixel in pixels} <= colours
