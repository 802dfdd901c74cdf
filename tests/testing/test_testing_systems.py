"""The checks of systems: each notices what it is there for."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conformance import check_of, fails
from torch import nn

from wsolbench.api import Checkpoint, Stage, SystemSpec, UsageError, change_network, classification, rebuilt
from wsolbench.testing.fixes import fix_of
from wsolbench.testing.systems import TOY


def maps(images):
    for batch, _ in images:
        yield {"maps": images.network.forward_features(batch)}


def fit(step):
    return {**classification(step), "maps": (step.outputs["features"] - step.prepared["maps"]).square().mean()}


def system(*stages, network=rebuilt):
    stages = stages or (Stage("first", 2), Stage("fit", 3, loss=fit, targets=maps, trains=("conv",)))
    return SystemSpec("s", lambda: SimpleNamespace(stages=lambda _: stages), network, "us")


def refuse(_base):
    raise UsageError("needs a network of tokens")


def ships(base):
    return replace(base, checkpoints=(Checkpoint("critters", None),))


def other_classes(base):
    return replace(base, build=lambda num_classes: base.build(num_classes + 1))


def test_a_system_that_keeps_every_rule():
    assert fails(system()) == set()


def test_the_system_of_the_page_of_plugins_keeps_every_rule():
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    names = {"__name__": "wsol_twoheads"}
    exec(re.search(r"```python\n(# wsol_twoheads.py\n.*?)```", page, re.DOTALL)[1], names)
    (spec,) = names["wsolbench_systems"]()
    assert fails(spec) == set()


ON_NETWORK = {
    *("system_network", "system_classifies", "system_localizes", "system_targets", "system_trains", "system_process")
}


class MapsOfOneChannel(nn.Module):
    """A mixin whose maps have one dimension too many."""

    def localize(self, features, *_):
        return features[:, :1]


def test_maps_of_the_network_are_checked():
    made = system(network=lambda base: rebuilt(base, lambda network: change_network(network, MapsOfOneChannel)))
    assert fails(made) == {"system_localizes"}
    with pytest.raises(AssertionError, match="dimensions of the network's own maps: expected 3, got 4"):
        check_of(made, "system_localizes")()


def test_a_system_of_native_maps_needs_a_network_that_makes_them():
    made = replace(system(), method="native")
    assert fails(made) == {"system_network"}


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda base: rebuilt(base, lambda _: None), "the function that changes the network returned None; return the"),
        (lambda _: None, "'network' of the system 's' returned NoneType; return a BackboneSpec, as rebuilt"),
    ],
)
def test_a_forgotten_return_is_told(network, words):
    with pytest.raises(TypeError, match=words):
        check_of(system(network=network), "system_network")()


def test_the_fix_of_a_wrong_signature_is_that_of_a_system():
    called = TypeError("<lambda>() takes 2 positional arguments but 3 were given")
    assert "forward (network, images, labels)" in fix_of("check_system_trains", called, in_plugin=False)


def refuse_the_toy(base):
    return refuse(base) if base.name == "toy" else rebuilt(base)


def test_a_system_that_refuses_the_network_of_the_checks_has_to_be_checked_on_another_one():
    assert fails(system(network=refuse)) == ON_NETWORK
    assert fails(system(network=refuse_the_toy)) == ON_NETWORK
    assert fails(system(network=refuse_the_toy), base=replace(TOY, name="other")) == set()
    with pytest.raises(AssertionError, match=r"refuses 'toy' \(needs a network of tokens\); name one .*base=\.\.\.\)"):
        check_of(system(network=refuse), "system_trains")()


def boxes(images):
    for batch, _ in images:
        yield {"boxes": batch[:, 0, 0, :3]}


def outside(images):
    for batch, _ in images:
        yield {"boxes": torch.full((len(batch), 4), 40.0)}


def cast(images):
    for number, (batch, _) in enumerate(images):
        yield {"one": torch.zeros(len(batch), dtype=torch.float32 if number else torch.int64)}


def warm_up(step):
    terms = classification(step)
    return terms if step.epoch == 1 else {**terms, "extra": step.outputs["features"].square().mean()}


def test_epochs_of_a_warm_up_may_lack_a_term():
    assert fails(system(Stage("s", 3, loss=warm_up))) == set()


def doubled(network):
    network.conv.weight.mul_(2)
    network.begun = True


def begun(step):
    assert step.network.begun
    return classification(step)


def larger(images):
    for batch, _ in images.at_size(48):
        assert batch.shape[2:] == (48, 48)
        yield {"maps": batch}


def test_a_stage_may_begin_with_other_weights_and_make_targets_of_another_size():
    assert fails(system(Stage("s", 3, loss=begun, begin=doubled, targets=larger))) == set()


def changing():
    """Return a loss that has one more term in every second step."""
    steps = itertools.count()

    def loss(step):
        terms = classification(step)
        return terms if next(steps) % 2 else {**terms, "extra": step.outputs["features"].square().mean()}

    return loss


def in_eval_mode(step):
    step.network.eval()
    return classification(step)


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        (system(Stage("s", 1), Stage("s", 1)), "system_stages"),
        (system(Stage("s", 0)), "system_stages"),
        (system(Stage("s", 1, trains=())), "system_stages"),
        (system("s"), "system_stages"),
        (system(Stage("two", 1, after="one"), Stage("one", 1)), "system_stages"),
        (system(Stage("s", 1, pairs=0)), "system_stages"),
        (system(network=ships), "system_network"),
        (system(network=other_classes), "system_network"),
        (system(network=lambda base: rebuilt(base, classifier_key="fc.weight")), "system_network"),
        (system(network=other_classes), "system_classifies"),
        (system(Stage("s", 1, targets=boxes)), "system_targets"),
        (system(Stage("s", 1, targets=outside)), "system_targets"),
        (system(Stage("s", 1, targets=cast)), "system_targets"),
        (system(Stage("s", 1, targets=lambda _: [{"one": torch.zeros(3)}])), "system_targets"),
        (system(Stage("s", 1, loss=lambda step: {"a": step.outputs["logits"]})), "system_trains"),
        (system(Stage("s", 1, loss=lambda step: {"a": step.outputs["logits"].sum() / 0})), "system_trains"),
        (system(Stage("s", 1, loss=lambda step: {"a": 0 * step.outputs["logits"].sum()})), "system_trains"),
        (system(Stage("s", 1, trains=("decoder",))), "system_trains"),
        (system(Stage("s", 1, loss=lambda _: {})), "system_trains"),
        (system(Stage("s", 1, loss=lambda step: step.outputs["logits"].mean())), "system_trains"),
        (system(Stage("s", 1, loss=lambda step: {"a": step.outputs["logits"].mean().detach()})), "system_trains"),
        (system(Stage("s", 3, loss=changing())), "system_trains"),
        (system(Stage("s", 1, loss=in_eval_mode)), "system_trains"),
    ],
)
def test_a_system_that_breaks_a_rule(spec, rule):
    check = check_of(spec, rule)
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda step: {"a": step.outputs["side"]}, "of the outputs: expected one of features, logits, got 'side'"),
        (lambda step: {"a": step.prepared["boxes"]}, "of the targets: expected nothing, got 'boxes'"),
    ],
)
def test_what_a_loss_reads_and_nobody_gives_is_named(loss, said):
    with pytest.raises(AssertionError, match=f"^what the loss of 's' reads {said}$"):
        check_of(system(Stage("s", 1, loss=loss)), "system_trains")()
