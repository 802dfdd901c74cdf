"""A toy data set, network and method, put together in this process."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import nn

from wsolbench.config import RunConfig
from wsolbench.contract import (
    Annotations,
    BackboneSpec,
    ImageSplit,
    InputConfig,
    MaskPair,
    MethodSpec,
    RecipeSpec,
    Split,
)
from wsolbench.data.opened import OpenDataset
from wsolbench.engine.methods import BuiltMethod
from wsolbench.engine.run import RunPlan, carry_out
from wsolbench.host.loading import load_plugins
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer
from wsolbench.networks.network import LoadedNetwork
from wsolbench.progress import Reporter
from wsolbench.records import WeightsInfo
from wsolbench.training.built import Built
from wsolbench.training.plan import TrainingPlan
from wsolbench.training.train import carry_out as train

PROVIDER = Provider("acme", "1.0", "toys")
SIDE = 32


@pytest.fixture(scope="session")
def registry():
    """Every installed plugin."""
    return load_plugins(strict=False, warn=lambda _: None)


class ToyDataset:
    """Bright squares on black; the image's number is its red channel. The class is the number's parity."""

    name, version, class_names = "toys", "1", ("even", "odd")

    def __init__(self, sizes, boxes=True, masks=True):
        self.sizes, self.boxes, self.masks = sizes, boxes, masks
        self.splits = frozenset(sizes)

    def images(self, split):
        count = self.sizes[split]

        def load(index):
            image = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
            image[4:20, 4 + index : 20 + index, 1:] = 255
            image[..., 0] = index
            return image

        ids = tuple(f"{split.value}/{index}" for index in range(count))
        return ImageSplit(ids, np.arange(count, dtype=np.int64) % 2, load)

    def annotations(self, split):
        ids = self.images(split).ids
        boxes = {image_id: np.array([[4 + index, 4, 19 + index, 19]]) for index, image_id in enumerate(ids)}
        mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
        mask[4:20, 4:20] = True
        return Annotations(
            boxes=boxes if self.boxes else {},
            image_sizes=dict.fromkeys(ids, (SIDE, SIDE)) if self.boxes else {},
            load_mask=(lambda _: MaskPair(mask)) if self.masks else None,
        )


class ToyNet(nn.Module):
    """Features are the pixels, pooled; channel 0 tells an image's number (times 255). Logits are the parity."""

    def __init__(self, num_classes=2):
        super().__init__()
        self.head = nn.Linear(3, num_classes, bias=False)
        nn.init.constant_(self.head.weight, 0.5)

    def forward_features(self, images):
        return nn.functional.avg_pool2d(images, 4)

    def forward_head(self, features):
        number = (features[:, 0].mean(dim=(1, 2)) * 255).round().long()
        return nn.functional.one_hot(number % 2, self.head.weight.shape[0]).float()

    @property
    def classifier_weight(self):
        return self.head.weight


class GreenMethod:
    """The map is the green channel, unless the image's number is one of those that are spoilt."""

    def __init__(self, nan=(), constant=(), fail=()):
        self.nan, self.constant, self.fail = nan, constant, fail

    def __call__(self, features, _context):
        maps = features[:, 1].clone()
        for position, number in enumerate((features[:, 0].mean(dim=(1, 2)) * 255).round().int().tolist()):
            if number in self.fail:
                raise ValueError(f"no map\nfor {number}")
            if number in self.nan:
                maps[position, 0, 0] = float("nan")
            if number in self.constant:
                maps[position] = 3.5
        return maps


class Notes(Reporter):
    """Keeps what was said."""

    def __init__(self):
        super().__init__()
        self.said, self.warned = [], []

    def say(self, message):
        self.said.append(message)

    def warn(self, message):
        self.warned.append(message)


@dataclass
class Toys:
    """Makes plans out of toys."""

    folder: object
    notes: Notes = field(default_factory=Notes)

    def dataset(self, fullsup=4, test=6, weaksup=0, **kinds):
        sizes = {Split.TRAIN_WEAKSUP: weaksup, Split.TRAIN_FULLSUP: fullsup, Split.TEST: test}
        return ToyDataset({split: count for split, count in sizes.items() if count}, **kinds)

    def method(self, name="green", method=None, **spoilt):
        method = method or GreenMethod(**spoilt)
        return BuiltMethod(Offer(MethodSpec(name, lambda: method, "us"), PROVIDER), method, {})

    def network(self, module=None):
        spec = BackboneSpec("toynet", ToyNet, InputConfig(SIDE, (0.0,) * 3, (1.0,) * 3), "us")
        return LoadedNetwork(
            requested="toynet",
            offer=Offer(spec, PROVIDER),
            module=(module or ToyNet()).eval(),
            num_classes=2,
            parameters=6,
            largest_kernel=0,
            stage_kernel=0,
            reparameterized=False,
            weights=WeightsInfo(source="random", file=None, sha256=None),
            device=torch.device("cpu"),
        )

    def plan(self, *methods, dataset=None, network=None, **settings):
        """Return the plan of a run of toys; further keywords are settings of its `RunConfig`.

        Nothing is cached: toys of one name, in one file, do different things.
        """
        config = {"threshold_step": 0.05, "batch_size": 4, "out": self.folder / "out", "cache": False, **settings}
        built = methods or (self.method(),)
        asked = RunConfig.of(backbone="toynet", methods={each.name: {} for each in built}, dataset="toys", **config)
        return RunPlan(
            config=asked,
            dataset=OpenDataset(dataset or self.dataset(), PROVIDER, asked.roots.conventions),
            network=network or self.network(),
            methods=built,
        )

    def run(self, *methods, **settings):
        """Carry such a plan out; return its records."""
        return carry_out(self.plan(*methods, **settings), self.notes, command="wsolbench run")


@pytest.fixture
def toys(tmp_path):
    return Toys(tmp_path)


class PlainRecipe:
    """Gradient descent with momentum, and noise for augmentation."""

    def __init__(self, epochs=1, batch_size=4, learning_rate=0.1):
        self.epochs, self.batch_size, self.learning_rate = epochs, batch_size, learning_rate

    def prepare(self, images, labels, generator):
        return images + torch.rand(images.shape, generator=generator), labels

    def loss(self, logits, targets):
        return nn.functional.cross_entropy(logits, targets)

    def optimizer(self, network, total_steps):
        optimizer = torch.optim.SGD(network.parameters(), lr=self.learning_rate, momentum=0.9)
        return optimizer, torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=total_steps)


class TrainableNet(nn.Module):
    """A convolution with batch norm, and a drop-out that draws from torch's own generator."""

    def __init__(self, num_classes=2):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2))
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
    """Make a plan for a training on toys, whose annotations nobody may read."""
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
            backbone=Offer(replace(offer.spec, build=TrainableNet), offer.provider),
            dataset=OpenDataset(dataset, offer.provider),
            built_recipe=Built(
                Offer(RecipeSpec("plain", PlainRecipe, "us"), offer.provider), recipe, dict(vars(recipe))
            ),
            seeds=(0,),
            device=torch.device("cpu"),
            workers=2,
            command="wsolbench train",
        )
        return replace(plan, **settings)

    return make


@pytest.fixture
def trained(toys):
    """Carry a plan out: ``trained(plan, "name")`` gives the card and the folder, ``resume=True`` continues."""

    def trained(plan, name="out", **how):
        folder, state_path = toys.folder / name, toys.folder / f"{name}.state"
        folder.mkdir(exist_ok=True)
        card = train(plan, folder, toys.notes, state_path=state_path, **how)
        state_path.unlink(missing_ok=True)
        return card, folder

    return trained
