"""The checks of backbones: each notices what it is there for."""

import re
from pathlib import Path

import pytest
import torch
from conformance import check_of, fails
from torch import nn
from toy_tokens import MeanTokens, ToyTokens

from wsolbench import testing
from wsolbench.api import Attention, BackboneSpec, Checkpoint, Features, InputConfig, after_pooling, visit_layers
from wsolbench.contract.taps import tap_gradients, tap_maps
from wsolbench.networks.class_weights import has_gradients


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


class OwnMap(Net):
    """It makes its own map, and gives more than logits in training."""

    def localize(self, features, images, class_indices):  # noqa: ARG002
        return features[torch.arange(len(features)), class_indices]

    def training_outputs(self, images, labels):
        features = self.forward_features(images)
        return {"logits": self.forward_head(features), "map": self.localize(features, images, labels)}


class FlatMap(OwnMap):
    def localize(self, features, images, class_indices):
        return super().localize(features, images, class_indices).flatten(1)


class MapOfTheBatch(OwnMap):
    def localize(self, features, images, class_indices):
        return super().localize(features, images, class_indices) - features.mean()


class NoLogitsInTraining(OwnMap):
    def training_outputs(self, images, labels):
        outputs = super().training_outputs(images, labels)
        return {"map": outputs["map"]}


class OneOutputInTraining(OwnMap):
    def training_outputs(self, images, labels):
        return super().training_outputs(images, labels)["logits"]


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


class Tapped(Net):
    """Its convolution can be tapped, and every pixel pays attention to all."""

    taps = ("conv",)

    def forward(self, images):
        return self.forward_head(self.forward_features(images))

    def forward_tapped(self, images, visit):
        return visit_layers(self, images, visit)

    def forward_attention(self, images):
        return Attention((torch.full((len(images), 2, 16, 16), 1 / 16),), 0, (4, 4))


class NoTaps(Tapped):
    taps = ()


class SameTapTwice(Tapped):
    taps = ("conv", "conv")


class FlatTap(Tapped):
    taps = ("head",)


class ShowsNothing(Tapped):
    def forward_tapped(self, images, visit):  # noqa: ARG002
        return self(images)


class TakesNothingBack(Tapped):
    def forward_tapped(self, images, visit):
        for function in visit.values():
            function(self.conv(images))
        return self(images)


class OtherScoresWhenTapped(Tapped):
    def forward_tapped(self, images, visit):
        return super().forward_tapped(images, visit) + 1


class AttentionOfNothing(Tapped):
    def forward_attention(self, images):  # noqa: ARG002
        return Attention((), 0, (4, 4))


class AttentionOfAnotherGrid(Tapped):
    def forward_attention(self, images):
        return Attention(super().forward_attention(images).weights, 1, (4, 4))


class AttentionOfTwo(Tapped):
    def forward_attention(self, images):
        return Attention((torch.eye(16).expand(len(images), 1, 16, 16) * 2,), 0, (4, 4))


class AttentionBelowZero(Tapped):
    def forward_attention(self, images):
        return Attention((2 * torch.eye(16).expand(len(images), 1, 16, 16) - 1 / 16,), 0, (4, 4))


class OneTokenForAll(ToyTokens):
    """The rest is not of each image."""

    def forward_features(self, images):
        return Features(self.patches(images), (self.token,))

    def forward_head(self, features):
        return super().forward_head(Features(features.maps, (self.token.expand(len(features.maps), -1, -1),)))


class NoTensorInTheRest(ToyTokens):
    def forward_features(self, images):
        return Features(self.patches(images), ((8, 8),))


class NotFiniteRest(ToyTokens):
    def forward_features(self, images):
        features = super().forward_features(images)
        return Features(features.maps, (features.rest[0] / 0,))


class NoisyRest(ToyTokens):
    def forward_features(self, images):
        features = super().forward_features(images)
        return Features(features.maps, (torch.rand(len(images), 1, 12),))


class WritesToItsTokens(ToyTokens):
    def forward_head(self, features):
        logits = super().forward_head(features)
        features.maps.add_(1)
        return logits


class HeadLooksAround(Net):
    def forward_head(self, features):
        logits = super().forward_head(features)
        return logits - logits.mean(dim=0, keepdim=True)


class NotDifferentiable(Net):
    def forward_head(self, features):
        return super().forward_head((features - features).abs().sqrt() + features)


class PoolsWithoutClasses(Net):
    def forward_head(self, features):
        return super().forward_head(features) if self.head.weight.numel() else features.mean(dim=(2, 3))


class NeedsClasses(Net):
    def __init__(self, num_classes):
        if num_classes < 1:
            raise ValueError("no classes")
        super().__init__(num_classes)


def backbone(build, **changes):
    return BackboneSpec("net", build, changes.pop("input", InputConfig(32)), "s", **changes)


@pytest.mark.parametrize(
    "build", [Net, SaysItsWeights, OwnMap, DropsBlocks, Tapped, ToyTokens, MeanTokens, NeedsClasses]
)
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
        (PoolsWithoutClasses, "backbone_without_classifier"),
        (OneTokenForAll, "backbone_shapes"),
        (NoTensorInTheRest, "backbone_shapes"),
        (NotFiniteRest, "backbone_shapes"),
        (NoisyRest, "backbone_deterministic"),
        (WritesToItsTokens, "backbone_head"),
        (HeadLooksAround, "backbone_head"),
        (NotDifferentiable, "backbone_head"),
        (FlatMap, "backbone_localizes"),
        (MapOfTheBatch, "backbone_localizes"),
        (NoLogitsInTraining, "backbone_training_outputs"),
        (OneOutputInTraining, "backbone_training_outputs"),
        (NoTaps, "backbone_taps"),
        (SameTapTwice, "backbone_taps"),
        (FlatTap, "backbone_taps"),
        (ShowsNothing, "backbone_taps"),
        (TakesNothingBack, "backbone_taps"),
        (OtherScoresWhenTapped, "backbone_taps"),
        (AttentionOfNothing, "backbone_attention"),
        (AttentionOfAnotherGrid, "backbone_attention"),
        (AttentionOfTwo, "backbone_attention"),
        (AttentionBelowZero, "backbone_attention"),
    ],
)
def test_a_network_that_breaks_a_rule(build, rule):
    check = check_of(backbone(build), rule)
    with pytest.raises(AssertionError, match=r"expected .*, got "):
        check()


PAGE = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")


def test_taps_as_the_documentation_adds_them_to_its_network():
    """The network has no `forward`: all that a backbone needs is `forward_features` and `forward_head`."""
    source = re.search(r"```python\n# wsol_smallnet.py\n(.*?)```", PAGE, re.DOTALL)[1]
    imported, added = re.search(r"```python\n([^`]*visit_layers)\n[^`]*?    \.\.\.\n([^`]*)```", PAGE).groups()
    namespace = {"__name__": "wsol_smallnet"}
    exec(f"{imported}\n{source}".replace("\n\n@hookimpl", f"{added}\n\n@hookimpl", 1), namespace)
    (spec,) = namespace["wsolbench_backbones"]()
    assert fails(spec) == set()
    network, images = spec.build(3).eval(), torch.randn(2, 3, 96, 96)
    assert "forward" not in vars(type(network))
    maps = tap_maps(network, images, ["body.1"])["body.1"]
    torch.testing.assert_close(maps, network.forward_features(images))
    gradient = tap_gradients(network, images, ["body.1"], torch.tensor([0, 2]))["body.1"][1]
    by_hand = network.head.weight[[0, 2], :, None, None] / maps[0, 0].numel()
    torch.testing.assert_close(gradient, by_hand.expand_as(maps))


@pytest.mark.slow
@pytest.mark.parametrize("module", ["wsol_smallnet", "wsol_ournet", "wsol_smallvit"])
def test_the_networks_of_the_documentation_keep_every_rule(module):
    source = re.search(rf"```python\n# {module}.py\n(.*?)```", PAGE, re.DOTALL)[1]
    assert len(source.strip().splitlines()) <= 36
    namespace = {"__name__": module}
    exec(source, namespace)
    (spec,) = namespace["wsolbench_backbones"]()
    assert fails(spec) == set()
    network = spec.build(3).eval()
    assert has_gradients(network, network.forward_features(torch.randn(2, 3, 96, 96)))


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
