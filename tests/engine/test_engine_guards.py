"""Methods that misbehave while they run: the next method's numbers stay, or the method is refused by name."""

import os
import random
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from wsolbench.contract import Maps
from wsolbench.engine.run import carry_out
from wsolbench.errors import PluginError
from wsolbench.protocol import scoremaps

pytestmark = pytest.mark.usefixtures("no_gallery")

NAMED = r"plugin acme 1.0 'toys': the method 'bad' changed "


def doing(action):
    """Return a method that does something and then returns the green channel as it came."""

    def method(features, context):
        maps = features[:, 1].clone()
        action(features, context)
        return maps

    return method


def into_numpy(features, context):
    for tensor in (features, context.logits, context.class_indices, context.images):
        tensor.cpu().numpy()[:] = 0


def into_data(features, context):
    for tensor in (features, context.logits, context.class_indices, context.images):
        tensor.data.zero_()


@pytest.mark.parametrize("action", [into_numpy, into_data])
def test_writing_unseen_to_what_it_is_given_reaches_no_other_method(toys, action):
    (alone,) = toys.run(toys.method("green"), out=None)
    bad, green = toys.run(toys.method("bad", doing(action)), toys.method("green"), out=None)
    assert bad.metrics == green.metrics == alone.metrics
    assert green.outcomes == alone.outcomes or green.metrics.top1_loc == alone.metrics.top1_loc


def test_a_tensor_that_a_method_writes_to_again_holds_the_old_maps_no_longer(toys):
    """Maps are scored while the next batch is computed: what they are scored from is no view of the method's tensor."""
    buffer = torch.zeros(4, 8, 8, dtype=torch.float64)
    shares = torch.zeros(4, dtype=torch.float64)

    def reusing(features, _context):
        count = len(features)
        buffer[:count] = features[:, 1]
        shares[:count] = features[:, 1].mean(dim=(1, 2))
        return Maps(buffer[:count], {"share": shares[:count]})

    def fresh(features, _context):
        return Maps(features[:, 1].double(), {"share": features[:, 1].mean(dim=(1, 2)).double()})

    one, other = toys.run(toys.method("one", reusing), toys.method("other", fresh), out=None)
    assert one.metrics == other.metrics
    for mine, theirs in zip(one.outcomes, other.outcomes, strict=True):
        np.testing.assert_array_equal(mine.statistics["share"], theirs.statistics["share"])


def replace_layer(_features, context):
    context.backbone.head = nn.Linear(3, 2, bias=False)


CHANGES = {
    "train mode": (lambda _, context: context.backbone.train(), r"the mode \(train or eval\) of the whole network and"),
    "mode of a layer": (lambda _, context: context.backbone.head.train(), r"the mode \(train or eval\) of head"),
    "weights in place": (lambda _, context: context.backbone.head.weight.add_(1), "the weights head.weight"),
    "weights by data": (lambda _, context: context.backbone.head.weight.data.add_(1), "the weights head.weight"),
    "weights by numpy": (
        lambda _, context: np.negative(w := context.backbone.head.weight.detach().numpy(), out=w),
        "the weights head.weight",
    ),
    "weights exchanged": (
        lambda _, context: setattr(context.backbone.head.weight, "data", torch.ones(2, 3)),
        "the weights head.weight",
    ),
    "gradients": (
        lambda _, context: context.backbone.requires_grad_(not context.backbone.head.weight.requires_grad),
        "the weights head.weight",
    ),
    "a layer": (replace_layer, "the layers head"),
    "a hook": (lambda _, context: context.backbone.head.register_forward_hook(lambda *_: None), "the hooks of head"),
    "a function of the network": (
        lambda _, context: setattr(context.backbone, "forward_head", lambda features: features.mean((2, 3))),
        "the settings forward_head",
    ),
    "a setting of a layer": (
        lambda _, context: setattr(context.backbone.pool, "stride", 2),
        "the settings pool.stride",
    ),
}


class Net(nn.Module):
    """A toy network that computes with layers."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.head = nn.Linear(3, 2, bias=False)
        nn.init.constant_(self.head.weight, 0.5)
        self.requires_grad_(False)

    def forward_features(self, images):
        return self.pool(images)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    @property
    def classifier_weight(self):
        return self.head.weight


@pytest.mark.parametrize(("action", "what"), CHANGES.values(), ids=CHANGES)
def test_a_changed_network_is_refused_and_nothing_is_written(toys, action, what):
    plan = toys.plan(toys.method("bad", doing(action)), toys.method("green"), network=toys.network(Net()))
    with pytest.raises(PluginError, match=NAMED + what):
        carry_out(plan, toys.notes, command="wsolbench run")
    assert list(toys.folder.iterdir()) == []


def test_what_changes_the_weights_late_is_refused_at_the_end(toys):
    calls = []

    def late(_features, context):
        calls.append(1)
        if len(calls) > 2:
            context.backbone.head.weight.data.add_(1)

    with pytest.raises(PluginError, match=NAMED + "the weights head.weight"):
        toys.run(toys.method("bad", doing(late)), network=toys.network(Net()), out=None)


SETTINGS = {
    "default dtype": (lambda: torch.set_default_dtype(torch.float64), "torch's default dtype"),
    "default device": (lambda: torch.set_default_device("meta"), "torch's default device"),
    "gradient mode": (lambda: torch.set_grad_enabled(True), "gradient mode of torch"),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), "autocast of torch on cpu"),
    "deterministic": (lambda: torch.use_deterministic_algorithms(True), "deterministic algorithms of torch"),
    "matmul": (lambda: torch.set_float32_matmul_precision("medium"), "the precision of torch's matrix products"),
    "mkldnn": (lambda: setattr(torch.backends.mkldnn, "enabled", False), "torch.backends.mkldnn.enabled"),
    "cudnn": (lambda: setattr(torch.backends.cudnn, "benchmark", True), "torch.backends.cudnn.benchmark"),
    "global hook": (
        lambda: nn.modules.module.register_module_forward_hook(lambda *_: None),
        "hooks on all torch modules",
    ),
    "directory": (lambda: os.chdir("/"), "the working directory"),
}


@pytest.mark.parametrize(("action", "what"), SETTINGS.values(), ids=SETTINGS)
def test_a_changed_setting_is_refused_and_put_back(toys, action, what):
    before = (torch.get_default_dtype(), torch.get_float32_matmul_precision(), Path.cwd(), torch.is_grad_enabled())
    with pytest.raises(PluginError, match=rf"plugin acme 1.0 'toys' changed {what} \(from .* in the method 'bad'"):
        toys.run(toys.method("bad", doing(lambda *_: action())), toys.method("green"))
    assert before == (
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        Path.cwd(),
        torch.is_grad_enabled(),
    )
    assert str(torch.get_default_device()) == "cpu"
    assert torch.backends.mkldnn.enabled
    assert not torch.is_autocast_enabled("cpu")
    assert not nn.modules.module._global_forward_hooks


def meddle(*_):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    np.seterr(all="raise")
    warnings.simplefilter("ignore")
    os.environ["HOME"] = "/nowhere"
    os.environ["ACME"] = "1"
    sys.setrecursionlimit(5000)
    sys.stdout = sys.stderr


def harmless():
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        cv2.getNumThreads(),
        np.geterr(),
        list(warnings.filters),
        dict(os.environ),
        sys.getrecursionlimit(),
        sys.stdout,
    )


def test_harmless_changes_are_undone_without_a_word(toys):
    network = toys.network()  # whose initial weights are drawn
    before = harmless()
    (green,) = toys.run(toys.method("green"), network=network, out=None)
    _, again = toys.run(toys.method("bad", doing(meddle)), toys.method("green"), network=network, out=None)
    assert harmless() == before
    assert again.metrics == green.metrics


def test_draws_depend_on_the_seed_and_not_on_other_methods(toys):
    def draws(features, _context):
        shape = features[:, 1].shape
        return torch.rand(shape) + torch.from_numpy(np.random.rand(*shape)) + random.random()  # noqa: NPY002

    def scores(*methods, seed=0):
        return toys.run(*methods, out=None, seed=seed, threshold_step=0.01)[-1].metrics

    alone = scores(toys.method("draws", draws))
    assert scores(toys.method("bad", doing(meddle)), toys.method("draws", draws)) == alone
    assert scores(toys.method("other", draws), toys.method("draws", draws)) == alone
    assert scores(toys.method("draws", draws), seed=1) != alone


def test_a_function_that_scores_are_computed_with_is_put_back(toys):
    original = scoremaps.to_scoremap
    with pytest.raises(PluginError, match=NAMED + "the functions wsolbench.protocol.scoremaps.to_scoremap"):
        toys.run(toys.method("bad", doing(lambda *_: setattr(scoremaps, "to_scoremap", None))), out=None)
    assert scoremaps.to_scoremap is original


class Unusual(BaseException):
    """No Exception."""


def raising(error):
    def action(*_):
        raise error

    return action


@pytest.mark.parametrize("error", [Unusual("x"), GeneratorExit("x"), EOFError("x"), SystemExit("x")], ids=repr)
def test_whatever_a_method_raises_is_one_error_that_names_it(toys, error):
    words = rf"plugin acme 1.0 'toys' failed in the method 'bad' on the image 'val/0': {type(error).__name__}: x"
    with pytest.raises(PluginError, match=words):
        toys.run(toys.method("bad", doing(raising(error))), out=None)


RETURNS = {
    "too large": (lambda f: torch.zeros(1).expand(len(f), 320_000, 320_000), "expected at most"),
    "meta": (lambda f: f[:, 1].to("meta"), "failed in the method 'bad'"),
    "sparse": (lambda f: f[:, 1].to_sparse(), "expected raw maps"),
    "complex": (lambda f: f[:, 1].to(torch.complex64), r"returned torch.complex64 \(4, 8, 8\) for"),
    "statistics": (lambda f: Maps(f[:, 1], [1.0]), "returned list as statistics of"),
    "name": (lambda f: Maps(f[:, 1], {3: f[:, 1, 0, 0]}), "returned 3 as the name of a statistic"),
    "no name": (lambda f: Maps(f[:, 1], {"": f[:, 1, 0, 0]}), "returned '' as the name of a statistic"),
    "newline": (lambda f: Maps(f[:, 1], {"a\nb": f[:, 1, 0, 0]}), r"returned 'a\\nb' as the name of a statistic"),
    "value": (lambda f: Maps(f[:, 1], {"a": "b"}), "returned str as 'a' of"),
}


@pytest.mark.parametrize(("made", "words"), RETURNS.values(), ids=RETURNS)
def test_what_is_no_map_is_refused_at_once(toys, made, words):
    with pytest.raises(PluginError, match=words):
        toys.run(toys.method("bad", lambda features, _context: made(features)), out=None)


def test_a_fit_is_watched_like_a_batch(toys):
    class Fitted:
        fit_images = None

        def partial_fit(self, features):
            features.numpy()[:] = 0
            torch.set_default_dtype(torch.float64)

        def __call__(self, features, _context):
            return features[:, 1]

    with pytest.raises(PluginError, match=r"changed torch's default dtype .* fitting the method 'bad'"):
        toys.run(toys.method("bad", Fitted()), dataset=toys.dataset(weaksup=4), out=None)
    assert torch.get_default_dtype() is torch.float32
