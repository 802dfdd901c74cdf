import json

import pytest
import torch
from torch import nn

from wsolbench.engine.files import sha256
from wsolbench.engine.train import TrainingPlan, train
from wsolbench.errors import DataError, PluginError, UsageError
from wsolbench.interfaces import Split


class PlainRecipe:
    """Gradient descent without augmentation."""

    def __init__(self, epochs=1, batch_size=4, learning_rate=0.1):
        self.epochs, self.batch_size, self.learning_rate = epochs, batch_size, learning_rate

    def prepare(self, images, labels, generator):
        return images + torch.rand(images.shape, generator=generator), labels

    def loss(self, logits, targets):
        return nn.functional.cross_entropy(logits, targets)

    def optimizer(self, network, total_steps):
        optimizer = torch.optim.SGD(network.parameters(), lr=self.learning_rate)
        return optimizer, torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=total_steps)


class TrainableNet(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, num_classes)

    def forward_features(self, images):
        return self.features(images)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    @property
    def classifier_weight(self):
        return self.head.weight


@pytest.fixture
def plan(toys):
    from dataclasses import replace

    dataset = toys.dataset()
    dataset.splits |= {Split.TRAIN_WEAKSUP}
    dataset.sizes[Split.TRAIN_WEAKSUP] = 8

    def annotations(_split):
        raise AssertionError("training read annotations")

    dataset.annotations = annotations
    offer = toys.network().offer

    def make(**settings):
        recipe = PlainRecipe(**{key: settings.pop(key) for key in ("epochs", "batch_size") if key in settings})
        plan = TrainingPlan(
            spec=replace(offer.spec, build=TrainableNet),
            backbone_provider=offer.provider,
            dataset=dataset,
            dataset_provider=offer.provider,
            recipe_name="plain",
            recipe_provider=offer.provider,
            recipe=recipe,
            recipe_options=vars(recipe),
            seeds=(0,),
            device=torch.device("cpu"),
            workers=2,
            command="wsolbench train",
        )
        return replace(plan, **settings)

    return make


@pytest.fixture
def trained(toys):
    def trained(plan, name="out"):
        folder = toys.folder / name
        folder.mkdir()
        return train(plan, folder, toys.notes), folder

    return trained


def test_weights_card_and_log_are_written_without_reading_an_annotation(plan, trained, toys):
    card, folder = trained(plan(epochs=3))
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "log.csv", "weights.safetensors"]
    assert card.weights_sha256 == sha256(folder / "weights.safetensors")
    assert json.loads((folder / "card.json").read_text()) == card.model_dump(mode="json")
    assert (card.backbone, card.dataset, card.recipe, card.num_classes) == ("toynet", "toys", "plain", 2)
    assert card.recipe_options == {"epochs": 3, "batch_size": 4, "learning_rate": 0.1}
    header, *lines = (folder / "log.csv").read_text().splitlines()
    assert header == "epoch,learning_rate,loss,train_top1,val_top1,seconds"
    assert [line.split(",")[0] for line in lines] == ["1", "2", "3"]
    assert len(toys.notes.said) == 3


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
    made.dataset.sizes[Split.TRAIN_WEAKSUP] = count
    trained(made)


def test_splits_that_are_not_there_are_not_measured(plan, trained):
    made = plan()
    made.dataset.splits = frozenset({Split.TRAIN_WEAKSUP})
    card, _ = trained(made)
    assert card.results[0].train_fullsup_top1 is None
    assert card.results[0].test_top1 is None


def test_without_a_training_split_the_error_says_so(plan, trained):
    made = plan()
    made.dataset.splits -= {Split.TRAIN_WEAKSUP}
    with pytest.raises(UsageError, match=r"'toys' has no split train-weaksup; it has train-fullsup, test"):
        trained(made)


def test_an_empty_training_split_is_told(plan, trained):
    made = plan()
    made.dataset.sizes[Split.TRAIN_WEAKSUP] = 0
    with pytest.raises(DataError, match="train-weaksup of the data set 'toys' has no images"):
        trained(made)


@pytest.mark.parametrize("option", ["epochs", "batch_size"])
def test_a_recipe_that_trains_on_nothing_is_refused(plan, trained, option):
    with pytest.raises(UsageError, match=f"the recipe 'plain' needs {option} of at least 1, got 0"):
        trained(plan(**{option: 0}))


def test_labels_beyond_the_classes_are_refused(plan, trained):
    made = plan()
    made.dataset.class_names = ("only",)
    with pytest.raises(DataError, match="labels in train-weaksup of 'toys' go from 0 to 1, but it has 1 classes"):
        trained(made)


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
