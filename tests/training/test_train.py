"""What a training writes, and what it refuses; the state that it is continued from has tests of its own."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from wsolbench.contract import Split
from wsolbench.errors import DataError, PluginError, UsageError
from wsolbench.figures.training_curve import draw_curve
from wsolbench.files import sha256
from wsolbench.training.depthwise import kernel_gradient

pytestmark = pytest.mark.usefixtures("no_curve")

FILES = ["card.json", "curve.png", "log.csv", "weights.safetensors"]


def test_weights_card_log_and_curve_are_written_without_reading_an_annotation(plan, trained, toys, monkeypatch):
    monkeypatch.setattr("wsolbench.training.train.draw_curve", draw_curve)
    card, folder = trained(plan(epochs=3))
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert card.weights_sha256 == sha256(folder / "weights.safetensors")
    assert json.loads((folder / "card.json").read_text()) == card.model_dump(mode="json")
    assert (card.backbone, card.dataset, card.recipe, card.num_classes) == ("toynet", "toys", "plain", 2)
    assert card.recipe_options == {"epochs": 3, "batch_size": 4, "learning_rate": 0.1}
    header, *lines = (folder / "log.csv").read_text().splitlines()
    assert header == "epoch,learning_rate,loss,train_top1,train_fullsup_top1,test_top1,seconds"
    assert [line.split(",")[0] for line in lines] == ["1", "2", "3"]
    assert len(toys.notes.said) == 3
    assert card.images_per_second > 0
    assert (card.train_images, card.checkpoint, card.initial_weights.source) == (8, "last", "random")
    with Image.open(folder / "curve.png") as picture:
        assert min(picture.size) > 300


def test_splits_are_watched_only_if_asked(plan, trained):
    _, folder = trained(plan(epochs=2))
    assert pd.read_csv(folder / "log.csv")[["train_fullsup_top1", "test_top1"]].isna().all(axis=None)
    card, folder = trained(plan(epochs=2, watch=(Split.TEST,)), "watched")
    log = pd.read_csv(folder / "log.csv")
    assert log["train_fullsup_top1"].isna().all()
    assert log["test_top1"].iloc[-1] == pytest.approx(card.results[0].test_top1)


def test_watching_changes_nothing(plan, trained):
    plain, _ = trained(plan(epochs=2), "plain")
    watched, _ = trained(plan(epochs=2, watch=(Split.TRAIN_FULLSUP, Split.TEST)), "watched")
    assert plain.weights_sha256 == watched.weights_sha256


class DepthwiseNet(nn.Module):
    """One depthwise convolution as large as the map, and a classifier."""

    def __init__(self, num_classes=2):
        super().__init__()
        self.pool, self.features = nn.AvgPool2d(4), nn.Conv2d(3, 3, 7, padding=3, groups=3)
        self.head = nn.Linear(3, num_classes)

    def forward_features(self, images):
        return self.features(self.pool(images))

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))


def test_a_training_on_a_cpu_has_the_faster_gradients_and_the_same_weights(plan, trained, monkeypatch):
    made = plan()
    offer = replace(made.backbone, spec=replace(made.backbone.spec, build=DepthwiseNet))
    made = replace(made, backbone=offer)
    calls = []

    def watched(*args):
        calls.append(args)
        return kernel_gradient(*args)

    monkeypatch.setattr("wsolbench.training.depthwise.kernel_gradient", watched)
    _, fast = trained(made, "fast")
    assert len(calls) == 2  # of two steps
    monkeypatch.setattr("wsolbench.training.loop.FastDepthwiseGradients", nullcontext)
    _, plain = trained(made, "plain")
    assert len(calls) == 2
    torch.testing.assert_close(
        load_file(fast / "weights.safetensors"), load_file(plain / "weights.safetensors"), rtol=1e-4, atol=1e-6
    )


def test_bf16_on_a_device_without_it_is_refused_before_the_training(plan, trained, monkeypatch):
    made = plan(precision="bf16")
    monkeypatch.setattr("wsolbench.training.loop.torch.autocast", lambda *_: nullcontext())
    with pytest.raises(UsageError, match=r"--precision bf16: the device 'cpu' does not support it \(.*\); omit it"):
        trained(made)

    def refuse(*_):
        raise RuntimeError("no bfloat16 here\nat all")

    monkeypatch.setattr("wsolbench.training.loop.torch.autocast", refuse)
    with pytest.raises(UsageError, match=r"does not support it \(no bfloat16 here\); omit it"):
        trained(made)


def test_the_data_hash_covers_ids_labels_and_pixels_and_not_their_order_of_use(plan, trained):
    first, other_seed = (trained(plan(seeds=(seed,)), f"seed-{seed}")[0] for seed in (0, 1))
    assert first.train_sha256 == other_seed.train_sha256
    made = plan()
    images = made.dataset.dataset.images

    def brighter(split):
        part = images(split)
        return type(part)(part.ids, part.labels, lambda index: part.load(index) | np.uint8(index == 3))

    made.dataset.dataset.images = brighter
    assert trained(made, "brighter")[0].train_sha256 != first.train_sha256


def test_images_that_no_step_used_are_in_the_hash(plan, trained):
    all_used, _ = trained(plan(batch_size=4), "used")
    one_left, _ = trained(plan(batch_size=7), "left")
    assert all_used.train_sha256 == one_left.train_sha256


def test_an_average_of_the_weights_is_kept_where_the_recipe_gives_a_decay(plan, trained):
    made = plan(epochs=3)
    made.recipe.ema = 0.5
    after_steps, optimizer = [], made.recipe.optimizer

    def recorded(network, total_steps):
        after_steps.append(network.head.weight.detach().clone())
        chosen, schedule = optimizer(network, total_steps)
        chosen.register_step_post_hook(lambda *_: after_steps.append(network.head.weight.detach().clone()))
        return chosen, schedule

    made.recipe.optimizer = recorded
    card, folder = trained(made)
    average = after_steps[0]
    assert len(after_steps) == 1 + 3 * 2
    for step, weight in enumerate(after_steps[1:], start=1):
        decay = 0 if step == 1 else min(1 - step ** (-2 / 3), 0.5)
        average = decay * average + (1 - decay) * weight
    kept = load_file(folder / "weights.safetensors")["head.weight"]
    torch.testing.assert_close(kept, average)
    assert not torch.equal(kept, after_steps[-1])
    assert card.checkpoint == "ema"


class Reddener:
    """Augments images to plain red ones, as bright as the generator says."""

    def __init__(self, seen, size=32):
        self.seen, self.size = seen, size

    def __call__(self, image, config, generator):
        made = np.zeros((self.size, self.size, 3), dtype=np.uint8)
        made[..., 0] = generator.integers(256)
        self.seen.append((int(image[0, 0, 0]), int(made[0, 0, 0]), config.size))
        return made


def test_a_recipe_may_augment_images_itself_by_numbers_of_seed_epoch_and_image(plan, trained):
    def drawn(name, **settings):
        made, seen = plan(epochs=2, **settings), []
        made.recipe.augment = Reddener(seen)
        trained(made, name)
        assert len(seen) == 2 * 8
        assert {size for _, _, size in seen} == {32}
        return sorted(seen)

    first = drawn("a", workers=1)
    assert first == drawn("b", workers=4)
    assert first != drawn("c", seeds=(1,))
    assert len({brightness for _, brightness, _ in first}) > 8


def test_an_augmentation_of_another_size_is_told(plan, trained):
    made = plan()
    made.recipe.augment = Reddener([], size=31)
    expected = r"in the recipe 'plain': .*augment returned uint8 \(31, 31, 3\), expected uint8 \(32, 32, 3\)"
    with pytest.raises(PluginError, match=expected):
        trained(made)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(plan, trained):
    first, again, other = (
        trained(plan(seeds=(seed,)), name)[0].weights_sha256 for seed, name in ((3, "a"), (3, "b"), (4, "c"))
    )
    assert first == again
    assert first != other


def test_the_first_seeds_weights_are_kept_and_all_are_reported(plan, trained):
    alone, _ = trained(plan(seeds=(3,)), "a")
    both, _ = trained(plan(seeds=(3, 4)), "b")
    assert both.weights_sha256 == alone.weights_sha256
    assert [result.seed for result in both.results] == [3, 4]
    assert both.results[0] == alone.results[0]
    assert all(0 <= result.test_top1 <= 100 for result in both.results)


@pytest.mark.parametrize(("batch_size", "count"), [(100, 8), (8, 1), (1, 3), (3, 8)])
def test_splits_and_batches_of_any_size_train(plan, trained, batch_size, count):
    made = plan(batch_size=batch_size)
    made.dataset.dataset.sizes[Split.TRAIN_WEAKSUP] = count
    made.dataset.dataset.class_names = made.dataset.class_names[:count]
    if count == 1:
        made.dataset.dataset.splits = frozenset({Split.TRAIN_WEAKSUP})
    trained(made)


def test_splits_that_are_not_there_are_not_measured(plan, trained):
    made = plan()
    made.dataset.dataset.splits = frozenset({Split.TRAIN_WEAKSUP})
    card, _ = trained(made)
    assert card.results[0].train_fullsup_top1 is None
    assert card.results[0].test_top1 is None


def test_without_a_training_split_the_error_says_so(plan, trained):
    made = plan()
    made.dataset.dataset.splits -= {Split.TRAIN_WEAKSUP}
    with pytest.raises(UsageError, match=r"'toys' has no split train-weaksup; it has train-fullsup, test"):
        trained(made)


def test_an_empty_training_split_is_told(plan, trained):
    made = plan()
    made.dataset.dataset.sizes[Split.TRAIN_WEAKSUP] = 0
    with pytest.raises(DataError, match="train-weaksup of the data set 'toys' has no images"):
        trained(made)


@pytest.mark.parametrize("option", ["epochs", "batch_size"])
def test_a_recipe_that_trains_on_nothing_is_refused(plan, trained, option):
    with pytest.raises(UsageError, match=f"the recipe 'plain' needs {option} of at least 1, got 0"):
        trained(plan(**{option: 0}))


def test_labels_beyond_the_classes_are_refused(plan, trained):
    made = plan()
    made.dataset.dataset.class_names = ("only",)
    with pytest.raises(DataError, match="labels in train-weaksup of 'toys' range from 0 to 1, but it has 1 classes"):
        trained(made)


def test_a_class_without_images_is_refused(plan, trained):
    made = plan()
    made.dataset.dataset.class_names = ("even", "odd", "neither", "both")
    expected = r"train-weaksup of 'toys' has no image of 2 of its 4 classes; the first is 2 \('neither'\)"
    with pytest.raises(DataError, match=expected):
        trained(made)


@pytest.mark.parametrize("ema", [None, 0.5])
def test_weights_spoilt_by_the_last_step_are_not_kept(plan, trained, toys, ema):
    """With a single step no loss is ever computed from them."""
    made = plan(batch_size=8)
    made.recipe.learning_rate = float("inf")
    if ema is not None:
        made.recipe.ema = ema
    expected = r"in the recipe 'plain': .*weights such as \S+ are not finite after epoch 1; a lower learning rate may"
    with pytest.raises(PluginError, match=expected):
        trained(made)
    assert list((toys.folder / "out").iterdir()) == []
    assert not (toys.folder / "out.state").exists()


def test_a_loss_that_is_not_finite_stops_the_training(plan, trained):
    made = plan()
    made.recipe.loss = lambda logits, _: logits.sum() * float("nan")
    with pytest.raises(
        PluginError, match=r"in the recipe 'plain': .*the loss became nan; a lower learning rate may help"
    ):
        trained(made)


@pytest.mark.parametrize(("part", "blamed"), [("prepare", "the recipe 'plain'"), ("optimizer", "the recipe 'plain'")])
def test_a_recipe_that_fails_is_named(plan, trained, part, blamed):
    made = plan()

    def fail(*_):
        raise ZeroDivisionError("oh\nno")

    setattr(made.recipe, part, fail)
    with pytest.raises(PluginError, match=f"plugin acme 1.0 'toys' failed in {blamed}: ZeroDivisionError: oh no"):
        trained(made)
