"""The conformance checks themselves: each notices what it is there for."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from wsolbench import testing
from wsolbench.api import (
    Annotations,
    BackboneSpec,
    Checkpoint,
    ImageSplit,
    InputConfig,
    Maps,
    MaskPair,
    MethodSpec,
    RecipeSpec,
    Split,
    after_pooling,
)


class Net(nn.Module):
    """A network that keeps every rule; subclasses break one each."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 8, 8), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, num_classes)

    def forward_features(self, images):
        return self.norm(self.conv(images))

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    @property
    def classifier_weight(self):
        return self.head.weight


class FlatFeatures(Net):
    def forward_features(self, images):
        return super().forward_features(images).flatten(2)


class WrongHead(Net):
    def forward_head(self, features):
        return super().forward_head(features)[:, 1:]


class WrongWeight(Net):
    classifier_weight = property(lambda self: self.head.weight.T)


class NotFinite(Net):
    def forward_features(self, images):
        return super().forward_features(images) / 0


class Noisy(Net):
    def forward_features(self, images):
        features = super().forward_features(images)
        return features + torch.rand_like(features)


class LooksAround(Net):
    def forward_features(self, images):
        features = super().forward_features(images)
        return features - features.mean(dim=0, keepdim=True)


class Learns(Net):
    def forward_features(self, images):
        self.norm.train()
        return super().forward_features(images)


class ForgetsMode(Net):
    def train(self, mode=True):
        self.conv.padding = (1, 1) if mode else self.conv.padding
        return super().train(mode)


class MergesWrongly(Net):
    def reparameterize(self):
        self.norm = nn.Identity()


class SaysItsWeights(Net):
    def effective_weights(self, features, class_indices):  # noqa: ARG002
        return after_pooling(self.head, class_indices)


class SaysOtherWeights(Net):
    def effective_weights(self, features, class_indices):  # noqa: ARG002
        return after_pooling(self.head, class_indices + 1)


class DropsBlocks(Net):
    """Its only block is a residual one, left out with a probability; layers are numbered."""

    rate = 0.0

    def forward_features(self, images):
        features = self.conv(images)
        draws = torch.rand(len(images), 1, 1, 1, device=images.device)
        return features + (draws >= self.rate if self.drops else 1) * self.norm(features)

    @property
    def drops(self):
        return self.training

    def set_drop_path(self, rate):
        self.rate = rate

    def layer_ids(self):
        return {name: 0 if name.startswith("conv") else 1 for name, _ in self.named_parameters()}


class DropsAlways(DropsBlocks):
    drops = property(lambda self: self.rate > 0)


class DropsNever(DropsBlocks):
    drops = False


class ForgetsALayer(DropsBlocks):
    def layer_ids(self):
        return {"conv.weight": 0, "head.weight": 1}


class CountsBackwards(DropsBlocks):
    def layer_ids(self):
        return {name: 1 - number for name, number in super().layer_ids().items()}


def backbone(build, **changes):
    return BackboneSpec("net", build, changes.pop("input", InputConfig(32)), "s", **changes)


def fails(spec, **given):
    """Return the checks that a spec fails."""
    failed = set()
    for name, check in testing.conformance_checks(spec, **given):
        try:
            check()
        except AssertionError:
            failed.add(name.removeprefix("check_"))
    return failed


@pytest.mark.parametrize("build", [Net, SaysItsWeights, DropsBlocks])
def test_a_network_that_keeps_every_rule(build):
    assert fails(backbone(build)) == set()


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        (FlatFeatures, "backbone_shapes"),
        (WrongHead, "backbone_shapes"),
        (WrongWeight, "backbone_shapes"),
        (NotFinite, "backbone_shapes"),
        (WrongHead, "backbone_on_meta"),
        (Noisy, "backbone_deterministic"),
        (LooksAround, "backbone_batch_invariance"),
        (Learns, "backbone_eval_mode"),
        (ForgetsMode, "backbone_eval_mode"),
        (MergesWrongly, "backbone_reparameterize"),
        (SaysOtherWeights, "backbone_effective_weights"),
        (DropsAlways, "backbone_drop_path"),
        (DropsNever, "backbone_drop_path"),
        (ForgetsALayer, "backbone_layers"),
        (CountsBackwards, "backbone_layers"),
        (lambda _: nn.Linear(1, 1), "backbone_shapes"),
    ],
)
def test_a_network_that_breaks_a_rule(build, rule):
    check = dict(testing.conformance_checks(backbone(build)))[f"check_{rule}"]
    with pytest.raises(AssertionError, match=r"expected .*, got "):
        check()


@pytest.mark.parametrize("key", ["fc.weight", "conv.weight", "norm.num_batches_tracked"])
def test_a_wrong_classifier_key(key):
    assert "backbone_classifier_key" in fails(backbone(Net, classifier_key=key))


@pytest.mark.parametrize(
    "convert",
    [
        lambda state: {f"net.{key}": value for key, value in state.items()},
        lambda state: {key: value for key, value in state.items() if key != "head.bias"},
        lambda state: {key: value + 1 for key, value in state.items()},
    ],
)
def test_a_conversion_that_changes_the_networks_own_weights(convert):
    assert fails(backbone(Net, convert_weights=convert)) == {"backbone_converts_itself"}
    assert fails(backbone(Net, convert_weights=dict)) == set()


@pytest.mark.parametrize(
    "config", [InputConfig(0), InputConfig(32, std=(0, 1, 1)), InputConfig(32, mean=(124, 117, 104))]
)
def test_a_wrong_input(config):
    with pytest.raises(AssertionError):
        testing.check_input_config(backbone(Net, input=config))


def test_checkpoints(tmp_path):
    path = tmp_path / "net.pth"
    spec = backbone(Net, checkpoints=(Checkpoint("birds", path),))
    with pytest.raises(AssertionError, match="expected a file"):
        testing.check_backbone_checkpoints(spec, {})
    torch.save(Net(7).state_dict(), path)
    testing.check_backbone_checkpoints(spec, {"birds": 7})
    with pytest.raises(AssertionError, match="expected 8, got 7"):
        testing.check_backbone_checkpoints(spec, {"birds": 8})
    torch.save({**Net(7).state_dict(), "norm.bias": torch.full((6,), torch.nan)}, path)
    with pytest.raises(AssertionError, match=r"norm\.bias.*expected finite"):
        testing.check_backbone_checkpoints(spec, {})


def in_place(features, _):
    return features.abs_().mean(dim=1)


def train_mode(features, context):
    context.backbone.train()
    return features.mean(dim=1)


def reporting(statistic):
    return lambda features, _: Maps(features.mean(dim=1), statistic(features))


METHODS = {
    "method_maps": [
        lambda features, _: features,
        lambda features, _: features.mean(dim=1).long(),
        lambda features, _: features.mean(dim=1) / 0,
        lambda features, _: features.mean(dim=1).numpy(),
        lambda features, _: features.mean(dim=1)[:1],
    ],
    "method_batch_invariance": [lambda features, _: features.mean(dim=1) - features.mean()],
    "method_leaves_its_input": [in_place, train_mode],
    "method_one_channel": [lambda features, _: features.std(dim=1)],
    "method_statistics": [
        reporting(lambda features: {"one": features.mean()}),
        reporting(lambda features: {"few": features[1:, 0, 0, 0]}),
        reporting(lambda features: {"text": "x" * len(features)}),
        reporting(lambda features: {"whole": features[:, 0, 0, 0].long()}),
        reporting(lambda features: {"": features[:, 0, 0, 0]}),
        reporting(lambda features: {"rank": features[:, 0, 0, 0] - features[:, 0, 0, 0].mean()}),
        reporting(lambda features: {"many": features[:, 0, 0, 0]} if len(features) > 1 else {}),
        reporting(lambda features: {"alone": features[:, 0, 0, 0] / (len(features) - 1)}),
    ],
    "method_not_square": [lambda features, _: features.mean(dim=1)[:, :, 5:]],
}


class Fitted:
    """A fitted method that keeps every rule: the map less the mean of what it was fitted on."""

    fit_images = 3

    def __init__(self, **changes):
        self.total, self.count = 0, 0
        for name, value in changes.items():
            setattr(self, name, value)

    def partial_fit(self, features):
        self.total, self.count = self.total + features.sum(), self.count + features.numel()

    def __call__(self, features, _):
        return features.mean(dim=1) - self.total / self.count


class LastBatchOnly(Fitted):
    def partial_fit(self, features):
        self.total, self.count = features.sum(), features.numel()


class ChangesFeatures(Fitted):
    def partial_fit(self, features):
        super().partial_fit(features.mul_(2))


def test_a_method_that_keeps_every_rule():
    assert fails(MethodSpec("m", lambda: lambda features, _: features.mean(dim=1), "s")) == set()
    peaks = reporting(
        lambda features: {"peak": features.amax(dim=(1, 2, 3)), "never": features[:, 0, 0, 0] * torch.nan}
    )
    assert fails(MethodSpec("m", lambda: peaks, "s")) == set()
    assert fails(MethodSpec("m", lambda: Fitted(fit_images=None), "s")) == set()


@pytest.mark.filterwarnings("ignore:std")
@pytest.mark.parametrize(
    ("rule", "method"), [(rule, method) for rule, methods in METHODS.items() for method in methods]
)
def test_a_method_that_breaks_a_rule(rule, method):
    check = dict(testing.conformance_checks(MethodSpec("m", lambda: method, "s")))[f"check_{rule}"]
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize(
    "build",
    [
        lambda: Fitted(fit_images=0),
        lambda: Fitted(fit_images=2.5),
        LastBatchOnly,
        ChangesFeatures,
    ],
)
def test_a_fit_that_breaks_a_rule(build):
    with pytest.raises(AssertionError, match=r"expected .*, got "):
        testing.check_method_fit(MethodSpec("m", lambda: build(), "s"))


def test_a_method_that_is_not_deterministic():
    calls = []

    def method(features, _):
        calls.append(1)
        return features.mean(dim=1) + len(calls)

    with pytest.raises(AssertionError):
        testing.check_method_deterministic(MethodSpec("m", lambda: method, "s"))


def test_options_without_defaults():
    with pytest.raises(AssertionError, match="got none for depth"):
        testing.check_options(MethodSpec("m", lambda depth: depth, "s"))


class Toys:
    """A data set that keeps every rule, with one part changed."""

    name, version, class_names = "toys", "1", ("a", "b")
    splits = frozenset({Split.TEST})

    def __init__(self, **changes):
        self.changes = changes

    def images(self, _):
        image = np.zeros((8, 9, 3), dtype=np.uint8)
        parts = {"ids": ("x", "y"), "labels": np.array([0, 1]), "load": lambda _: image}
        return ImageSplit(**{key: self.changes.get(key, value) for key, value in parts.items()})

    def annotations(self, _):
        parts = {
            "boxes": {"x": np.array([[0, 0, 8, 7]]), "y": np.array([[1, 1, 1, 1]])},
            "image_sizes": {"x": (9, 8), "y": (9, 8)},
            "load_mask": lambda _: MaskPair(np.ones((8, 9), dtype=bool)),
        }
        return Annotations(**{key: self.changes.get(key, value) for key, value in parts.items()})


def dataset_fails(dataset):
    failed = set()
    for check in testing._DATASET_CHECKS:
        try:
            check(dataset)
        except AssertionError:
            failed.add(check.__name__.removeprefix("check_dataset_"))
    return failed


def test_a_data_set_that_keeps_every_rule():
    assert dataset_fails(Toys()) == set()


ONE_BOX = {"x": np.array([[0, 0, 8, 7]])}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"ids": ("x", "x")}, "ids"),
        ({"ids": ()}, "ids"),
        ({"labels": np.array([0, 2])}, "labels"),
        ({"labels": np.array([-1, 1])}, "labels"),
        ({"labels": np.array([0, 1], dtype=np.int32)}, "labels"),
        ({"labels": np.array([0])}, "labels"),
        ({"load": lambda _: np.zeros((8, 9, 3))}, "images"),
        ({"load": lambda _: np.zeros((8, 9), dtype=np.uint8)}, "images"),
        ({"load": lambda _: np.random.default_rng().integers(0, 255, (8, 9, 3), dtype=np.uint8)}, "images"),
        ({"boxes": ONE_BOX}, "boxes"),
        ({"boxes": {**ONE_BOX, "y": np.array([[0, 0, 9, 7]])}}, "boxes"),
        ({"boxes": {**ONE_BOX, "y": np.array([[-1, 0, 8, 7]])}}, "boxes"),
        ({"boxes": {**ONE_BOX, "y": np.array([[5, 0, 4, 7]])}}, "boxes"),
        ({"boxes": {**ONE_BOX, "y": np.zeros((0, 4), dtype=int)}}, "boxes"),
        ({"image_sizes": {"x": (8, 9), "y": (9, 8)}}, "boxes"),
        ({"load_mask": lambda _: MaskPair(np.ones((8, 9)))}, "masks"),
        ({"load_mask": lambda _: MaskPair(np.zeros((8, 9), dtype=bool))}, "masks"),
        ({"load_mask": lambda _: MaskPair(np.ones((8, 9), dtype=bool), np.ones(9, dtype=bool))}, "masks"),
        ({"boxes": {}, "load_mask": None}, "can_be_scored"),
    ],
)
def test_a_data_set_that_breaks_a_rule(changes, rule):
    assert rule in dataset_fails(Toys(**changes))


def recipe(**changes):
    def optimizer(network, steps):
        chosen = torch.optim.SGD(network.parameters(), lr=0.1)
        return chosen, torch.optim.lr_scheduler.LinearLR(chosen, total_iters=steps)

    parts = {
        "epochs": 1,
        "batch_size": 2,
        "prepare": lambda images, labels, generator: (images + torch.rand(1, generator=generator), labels),
        "loss": nn.functional.cross_entropy,
        "optimizer": optimizer,
    }
    return RecipeSpec("r", lambda: SimpleNamespace(**{**parts, **changes}), "s")


def augment(image, config, generator):
    return np.full((config.size, config.size, 3), generator.integers(256), dtype=np.uint8) | image[:1, :1]


def spoil(image, config, generator):
    image[0] = 0
    return augment(image, config, generator)


def forgetful(network, steps):
    """Return an optimizer whose momentum is in no saved state."""
    chosen, schedule = recipe().build().optimizer(network, steps)
    chosen.param_groups[0]["momentum"] = 0.9
    chosen.state_dict = lambda: {"state": {}, "param_groups": type(chosen).state_dict(chosen)["param_groups"]}
    return chosen, schedule


@pytest.mark.parametrize("changes", [{}, {"augment": augment, "ema": 0.9}, {"ema": None}])
def test_a_recipe_that_keeps_every_rule(changes):
    assert fails(recipe(**changes)) == set()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"epochs": 0}, "recipe_numbers"),
        ({"batch_size": 2.0}, "recipe_numbers"),
        ({"prepare": lambda images, labels, _: (images[:, :, 1:], labels)}, "recipe_prepare"),
        ({"prepare": lambda images, labels, _: (images.double(), labels)}, "recipe_prepare"),
        ({"prepare": lambda images, labels, _: (images + torch.rand(1), labels)}, "recipe_deterministic"),
        ({"loss": lambda logits, _: logits.sum(dim=1)}, "recipe_step"),
        ({"loss": lambda logits, _: logits.sum() / 0}, "recipe_step"),
        ({"loss": lambda logits, _: 0 * logits.sum()}, "recipe_step"),
        ({"augment": lambda image, _config, _generator: image}, "recipe_augment"),
        ({"augment": lambda *given: augment(*given).astype(np.float32)}, "recipe_augment"),
        ({"augment": lambda *given: augment(*given) + np.uint8(np.random.randint(99))}, "recipe_augment"),  # noqa: NPY002
        ({"augment": spoil}, "recipe_augment"),
        ({"ema": 1.0}, "recipe_average"),
        ({"optimizer": forgetful}, "recipe_continues"),
    ],
)
def test_a_recipe_that_breaks_a_rule(changes, rule):
    check = dict(testing.conformance_checks(recipe(**changes)))[f"check_{rule}"]
    with pytest.raises(AssertionError):
        check()
