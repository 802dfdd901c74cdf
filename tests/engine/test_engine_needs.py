"""Methods say what they need of a network; one that lacks it refuses them before the work begins."""

import pytest
import torch
from torch import nn
from toys import SIDE

import wsolbench
from wsolbench.contract import BackboneSpec, InputConfig, MethodSpec
from wsolbench.errors import PluginError, UsageError

INPUT = InputConfig(SIDE, (0.0,) * 3, (1.0,) * 3)


class TokenNet(nn.Module):
    """A network without class weights."""

    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 8, stride=8)
        self.head = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, num_classes))

    def forward_features(self, images):
        return self.conv(images)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))


class Invented(TokenNet):
    @property
    def classifier_weight(self):
        return torch.linspace(-1, 1, 32).reshape(2, 16)


class Unscored:
    """A data set whose annotations nobody may read: only the first image of a split, which is always tried."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __getattr__(self, name):
        return getattr(self.dataset, name)

    def annotations(self, split):
        raise AssertionError(f"the annotations of {split} were read")


def run(network, methods, dataset, **settings):
    spec = BackboneSpec("tokens", network, INPUT, "us", classifier_key="head.2.weight")
    return wsolbench.run(spec, methods, dataset, weights="random", workers=1, **settings)


@pytest.mark.parametrize("method", ["cam", "pc1", "cam-pas"])
def test_a_method_that_needs_class_weights_is_refused_before_the_work_begins(toys, method):
    words = (
        rf"the method '{method}' needs class weights, which 'tokens' does not have; methods that work with it: .*ddt"
    )
    with pytest.raises(UsageError, match=words) as caught:
        run(TokenNet, ["mean-feature", method], Unscored(toys.dataset()))
    assert " cam," not in str(caught.value)
    assert "grad-cam" in str(caught.value)


def test_a_method_that_needs_gradients_is_refused_by_a_head_without(toys):
    class Rounding(TokenNet):
        @torch.no_grad()
        def forward_head(self, features):
            return super().forward_head(features)

    with pytest.raises(UsageError, match="the method 'grad-cam' needs gradients, which 'tokens' does not have"):
        run(Rounding, "grad-cam", Unscored(toys.dataset()))


@pytest.mark.parametrize("network", [TokenNet, type("GivesNone", (TokenNet,), {"classifier_weight": None})])
def test_other_methods_work_without_class_weights(toys, network):
    records = run(network, ["mean-feature", "noise", "centred-box"], toys.dataset())
    assert len(records) == 3


def test_a_network_object_without_class_weights_works_too(toys):
    (record,) = wsolbench.run(TokenNet(), "mean-feature", toys.dataset(), input=INPUT, workers=1)
    assert record.metrics.max_box_acc_v2 is not None


def test_a_method_that_does_not_declare_its_need_gets_one_line(toys):
    own = MethodSpec("own", lambda: lambda features, context: features[:, 1] * context.class_weights[:, :1, None], "us")
    with pytest.raises(UsageError, match="TokenNet has no class weights"):
        run(TokenNet, own, toys.dataset())


def test_invented_class_weights_are_refused_and_the_network_named(toys):
    words = "classifier_weight does not belong to its class scores .* in 'tokens'"
    with pytest.raises(PluginError, match=words):
        run(Invented, "cam", toys.dataset())
