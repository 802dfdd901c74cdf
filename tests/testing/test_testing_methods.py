"""The checks of methods: each notices what it is there for."""

import pytest
import torch
from conformance import check_of, fails

from wsolbench import testing
from wsolbench.api import Boxes, Maps, MethodSpec


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
    check = check_of(MethodSpec("m", lambda: method, "s"), rule)
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


class Classwise:
    """Means of each class, refined in a second round; every rule is kept, subclasses break one each."""

    fit_images, fit_rounds = None, 2

    def __init__(self):
        self.sums, self.means = {}, {}

    def partial_fit(self, features, labels):
        for feature, label in zip(features.double().mean(dim=(2, 3)), labels.tolist(), strict=True):
            apart = feature - self.means.get(label, 0)
            self.sums[label] = self.sums.get(label, 0) + torch.cat([apart, torch.ones(1, dtype=torch.float64)])

    def merge(self, other):
        for label, values in other.sums.items():
            self.sums[label] = self.sums.get(label, 0) + values

    def end_round(self):
        for label, values in self.sums.items():
            self.means[label] = self.means.get(label, 0) + 0.5 * values[:-1] / values[-1]
        self.sums = {}

    def fit_state(self):
        return {"means": torch.stack([self.means[label] for label in sorted(self.means)])}

    def __call__(self, features, context):
        means = torch.stack([self.means[label] for label in context.class_indices.tolist()])
        return torch.einsum("bk,bkhw->bhw", means, features.double())


class ForgetsOther(Classwise):
    def merge(self, other):
        pass


class NoRounds(Classwise):
    fit_rounds = 0


class NoState(Classwise):
    def fit_state(self):
        return {}


class NotFiniteState(Classwise):
    def fit_state(self):
        return {"means": torch.tensor([float("nan")])}


class LacksMerge(Classwise):
    merge = property()


class ChangesLabels(Classwise):
    def partial_fit(self, features, labels):
        super().partial_fit(features, labels)
        labels.zero_()


def test_a_fit_with_labels_that_keeps_every_rule():
    assert fails(MethodSpec("m", lambda: Classwise(), "s")) == set()


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (ForgetsOther, "'means' of fits on all images and of merged fits on parts"),
        (NoRounds, "fit_rounds: expected a positive number, got 0"),
        (NoState, "fit_state: expected a tensor at least, got none"),
        (NotFiniteState, "'means' of fit_state: expected finite values"),
        (LacksMerge, r"a fit with labels: expected all of it, got none of \['merge'\]"),
    ],
)
def test_a_fit_with_labels_that_breaks_a_rule(method, words):
    with pytest.raises(AssertionError, match=words):
        testing.check_method_fit_with_labels(MethodSpec("m", lambda: method(), "s"))


def test_labels_are_not_to_be_changed():
    with pytest.raises(AssertionError, match="labels given to partial_fit: expected no change"):
        testing.check_method_fit(MethodSpec("m", lambda: ChangesLabels(), "s"))


def boxed(change):
    """Return a method that makes two boxes an image, the second of which is not there, and changes them."""

    def method(features, _):
        corner = features.mean(dim=(1, 2, 3)).sigmoid()[:, None] * torch.tensor([0.4, 0.4, 0.9, 1.1])
        return Boxes(change(torch.stack([corner, torch.full_like(corner, float("nan"))], dim=1)))

    return MethodSpec("m", lambda: method, "s")


def test_a_method_may_make_boxes():
    assert fails(boxed(lambda boxes: boxes)) == set()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda boxes: boxes[:1], r"boxes \(1, 2, 4\) for the images"),
        (lambda boxes: boxes.flip(2), "expected corners with x0 <= x1"),
        (lambda boxes: boxes * 224, "expected corners in fractions of the image"),
    ],
)
def test_boxes_that_break_a_rule(change, words):
    with pytest.raises(AssertionError, match=words):
        testing.check_method_maps(boxed(change))


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
