"""A training in stages: what each one trains, its targets, its order, and that it can be left after any step."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toys import PROVIDER, PlainRecipe, TrainableNet

from wsolbench.config import TrainConfig
from wsolbench.contract import Split, Stage, SystemSpec
from wsolbench.contract.systems import rebuilt
from wsolbench.data.images import warp
from wsolbench.errors import OutputError, PluginError, UsageError
from wsolbench.figures.training_curve import draw_curve
from wsolbench.host.registry import Offer
from wsolbench.networks.known_weights import KnownWeights
from wsolbench.networks.weights import StateDict
from wsolbench.progress import Reporter
from wsolbench.records import WeightsInfo
from wsolbench.training.built import Built
from wsolbench.training.job import train
from wsolbench.training.stages import Timetable, group_order, stages_of
from wsolbench.training.targets import mirrored
from wsolbench.training.train import continued_facts

pytestmark = pytest.mark.usefixtures("no_curve")
HEAD, BODY = ("head.weight", "head.bias"), ("features.0.weight", "features.1.running_mean")


@pytest.fixture(autouse=True)
def no_revision(monkeypatch):
    monkeypatch.setattr("wsolbench.training.train.git_revision", lambda: None)


class Staged:
    """A system of given stages."""

    def __init__(self, *stages):
        self.made = stages

    def stages(self, epochs):
        return [replace(stage, epochs=epochs) if stage.epochs < 0 else stage for stage in self.made]


@pytest.fixture
def staged(plan):
    """Make a plan of a training in stages; one of -1 epochs has those of the recipe."""

    def make(*stages, **settings):
        spec = SystemSpec("sys", Staged, lambda base: base, "us")
        return plan(system=Built(Offer(spec, PROVIDER), Staged(*stages), {"size": 3}), **settings)

    return make


def weights(folder):
    return load_file(folder / "weights.safetensors")


def same(one, other, names):
    return all(torch.equal(one[name], other[name]) for name in names)


def two_losses(step):
    extra = step.outputs["features"].square().mean()
    return {"classification": step.classification(step.outputs["logits"]), "extra": 0.1 * extra}


# ------------------------------------------------------------------------------------------ the recipe alone, as before


def test_the_recipe_alone_is_the_loop_that_it_was(plan, trained):
    """The loop of one stage, written out: the same bits."""
    made = plan(epochs=2)
    _, folder = trained(made)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network, recipe = TrainableNet(2).to(memory_format=torch.channels_last), PlainRecipe(epochs=2)
    split = made.dataset.dataset.images(Split.TRAIN_WEAKSUP)
    optimizer, schedule = recipe.optimizer(network, 4)
    for _ in range(2):
        network.train()
        order = torch.randperm(8, generator=generator).numpy()
        for batch in (order[:4], order[4:]):
            pixels = torch.from_numpy(np.stack([warp(split.load(int(index)), 32, "bilinear") for index in batch]))
            images = (pixels.float().div_(255) - 0.0).permute(0, 3, 1, 2)
            images, targets = recipe.prepare(images, torch.from_numpy(split.labels[batch]), generator)
            loss = recipe.loss(network.forward_head(network.forward_features(images)), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    kept = weights(folder)
    assert same(kept, network.state_dict(), kept)


def test_a_system_of_one_plain_stage_trains_what_the_recipe_alone_does(plan, staged, trained):
    _, alone = trained(plan(epochs=2), "alone")
    card, folder = trained(staged(Stage("training", -1), epochs=2), "system")
    kept = weights(folder)
    assert same(kept, weights(alone), kept)
    assert card.system.model_dump() == {
        "name": "sys",
        "options": {"size": 3},
        "stages": [{"name": "training", "epochs": 2, "trains": [""], "pairs": 1, "targets_sha256": None}],
    }
    assert card.training.system == card.system
    columns = list(pd.read_csv(folder / "log.csv"))
    assert columns[:2] + columns[-3:] == ["epoch", "learning_rate", "seconds", "stage", "classification"]
    assert "stage" not in pd.read_csv(alone / "log.csv")


# --------------------------------------------------------------------------------------------------------------- stages


def test_a_stage_trains_its_parts_and_the_rest_rests(staged, trained):
    made = staged(Stage("head", 1, trains=("head",)), Stage("all", 2, loss=two_losses), keep_every=1)
    _, folder = trained(made)
    torch.manual_seed(0)
    start = TrainableNet(2).state_dict()
    first, last = load_file(folder / "weights-epoch-001.safetensors"), weights(folder)
    assert same(first, start, BODY)
    assert not any(same(first, start, [name]) for name in HEAD)
    assert not any(same(last, first, [name]) for name in (*HEAD, *BODY))
    log = pd.read_csv(folder / "log.csv")
    assert log["stage"].tolist() == ["head", "all", "all"]
    assert log["extra"].isna().tolist() == [True, False, False]
    assert log["loss"].iloc[1:].to_numpy() == pytest.approx((log["classification"] + log["extra"]).iloc[1:].to_numpy())
    assert log["learning_rate"].tolist() == pytest.approx([log["learning_rate"][0]] * 2 + [log["learning_rate"][2]])


class Noted(nn.Module):
    """Notes which modules are in training mode."""

    def __init__(self, num_classes=2):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.1))
        self.head = nn.Linear(2, num_classes)
        self.drop, self.modes = nn.Dropout(0.1), set()

    def training_outputs(self, images, labels):
        self.modes.add((self.body.training, self.body[2].training, self.head.training, self.drop.training))
        return {"logits": self.head(self.drop(self.body(images).mean(dim=(2, 3)))), "labels": labels}

    def forward_features(self, images):
        return self.body(images)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))


def with_network(made, build):
    return replace(made, backbone=replace(made.backbone, spec=replace(made.backbone.spec, build=build)))


def test_frozen_layers_are_in_eval_mode_and_others_in_training_mode(staged, trained):
    built = []

    def build(classes):
        built.append(Noted(classes))
        return built[-1]

    trained(with_network(staged(Stage("head", 1, trains=("head",))), build))
    assert built[0].modes == {(False, False, True, True)}
    trained(with_network(staged(Stage("all", 1)), build), "all")
    assert built[1].modes == {(True, True, True, True)}


def test_a_loss_reads_what_the_network_gives_in_training(staged, trained):
    seen = []

    def loss(step):
        assert step.outputs["labels"].dtype is torch.int64
        seen.append((step.epoch, step.epochs, step.labels.tolist() == step.outputs["labels"].tolist()))
        return {"classification": step.classification(step.outputs["logits"])}

    trained(with_network(staged(Stage("first", 1), Stage("second", 2, loss=loss)), Noted))
    assert seen == [(1, 2, True)] * 2 + [(2, 2, True)] * 2


# -------------------------------------------------------------------------------------------------------------- targets


def bright(images):
    """Return, of every image, where it is bright, the columns of its square, its number and its label."""
    assert not images.network.training
    assert len(images) == 8
    for batch, labels in images:
        assert not torch.is_grad_enabled()
        columns = (batch[:, 1] > 0.5).any(dim=1).float()
        x0, x1 = columns.argmax(dim=1) / 32, 1 - columns.flip(1).argmax(dim=1) / 32
        yield {
            "bright": batch[:, 1:2] > 0.5,
            "boxes": torch.stack([x0, torch.full_like(x0, 4 / 32), x1, torch.full_like(x0, 20 / 32)], dim=1),
            "number": (batch[:, 0].amax(dim=(1, 2)) * 255).round(),
            "label": labels,
        }


def check_targets(step):
    """Compare the targets with the images that they belong to, and train the head."""
    assert torch.equal(step.prepared["bright"][:, 0], step.images[:, 1] > 0.5)
    assert torch.equal(step.prepared["number"], (step.images[:, 0].amax(dim=(1, 2)) * 255).round())
    assert torch.equal(step.prepared["label"], step.labels)
    for image, (x0, y0, x1, y1) in zip(step.images, step.prepared["boxes"] * 32, strict=True):
        assert image[1, round(float(y0)) : round(float(y1)), round(float(x0)) : round(float(x1))].min() > 0.5
    return two_losses(step)


def test_targets_are_mirrored_with_their_images(staged, trained):
    made = staged(Stage("start", 1), Stage("fit", 3, loss=check_targets, targets=bright))
    card, _ = trained(made)
    assert card.system.stages[0].targets_sha256 is None
    assert len(card.system.stages[1].targets_sha256) == 64


def test_mirroring_by_hand():
    images = torch.arange(4.0).reshape(2, 1, 1, 2)
    boxes = torch.tensor([[0.1, 0.2, 0.4, 0.5], [0.1, 0.2, 0.4, 0.5]])
    values = {"boxes": boxes, "maps": torch.tensor([[[1, 2]], [[3, 4]]]), "row": torch.tensor([[1, 2], [3, 4]])}
    generator = torch.Generator().manual_seed(0)
    flips = (torch.rand(2, generator=torch.Generator().manual_seed(0)) < 0.5).tolist()
    assert sorted(flips) == [False, True]
    made, targets = mirrored(images, values, generator)
    flipped, kept = flips.index(True), flips.index(False)
    assert made[flipped, 0, 0].tolist() == images[flipped, 0, 0].tolist()[::-1]
    assert targets["boxes"][flipped].tolist() == pytest.approx([0.6, 0.2, 0.9, 0.5])
    assert torch.equal(targets["boxes"][kept], boxes[kept])
    assert targets["maps"][flipped].tolist() == [values["maps"][flipped, 0].tolist()[::-1]]
    assert torch.equal(targets["row"], values["row"])


def drawn(images):
    """Return targets that depend on the weights and on torch's generator."""
    for batch, _ in images:
        yield {"maps": images.network.forward_features(batch) + torch.rand(())}


def fit_maps(step):
    return {
        "classification": step.classification(step.outputs["logits"]),
        "maps": (step.outputs["features"] - step.prepared["maps"]).square().mean(),
    }


def everything(staged, **settings):
    """Return a plan with all that stages have: frozen parts, targets, pairs, losses, an average."""
    made = staged(
        Stage("start", 1, pairs=2),
        Stage("fit", 2, loss=fit_maps, targets=drawn, trains=("head", "features.0"), after="start"),
        Stage("end", 1, loss=two_losses),
        **settings,
    )
    made.recipe.ema = 0.8
    return made


class Killed(KeyboardInterrupt):
    """Stands for the end of the process."""


def outcome(card, folder):
    log = pd.read_csv(folder / "log.csv").drop(columns="seconds").to_csv()
    return (folder / "weights.safetensors").read_bytes(), log, card.model_dump(exclude={"seconds", "images_per_second"})


def test_a_training_that_is_killed_at_any_step_and_continued_is_the_one_that_was_not(staged, trained, monkeypatch):
    monkeypatch.setattr("wsolbench.training.state.SECONDS_BETWEEN_SAVES", 0)
    expected = outcome(*trained(everything(staged), "whole"))
    for step in (2, 3, 5, 6):  # at the end of a stage, and within each of the others
        made, name = everything(staged), f"killed-{step}"
        calls, loss = [], made.recipe.loss

        def dying(logits, targets, calls=calls, loss=loss, step=step):
            calls.append(1)
            if len(calls) > step:
                raise Killed
            return loss(logits, targets)

        made.recipe.loss = dying
        with pytest.raises(Killed):
            trained(made, name)
        assert outcome(*trained(everything(staged), name, resume=True)) == expected, step


def test_targets_that_have_changed_are_noticed(staged, trained, toys, monkeypatch):
    monkeypatch.setattr("wsolbench.training.state.SECONDS_BETWEEN_SAVES", 0)
    made = everything(staged)
    calls = []

    def dying(step):
        calls.append(1)
        if len(calls) > 1:
            raise Killed
        return fit_maps(step)

    made.system.made.made = tuple(
        replace(stage, loss=dying) if stage.name == "fit" else stage for stage in made.system.made.made
    )
    with pytest.raises(Killed):
        trained(made)
    path = toys.folder / "out.targets" / "seed-0" / "fit" / "maps.npy"
    whole = path.read_bytes()
    told = (
        r"--resume: the targets of the stage 'fit' in .* are missing or have changed; .* delete .*out\.state to start"
    )
    for damaged in (whole[:-1] + b"x", whole[:40], b"", b"\x93NUMPY\x01\x00\x10\x00{'descr': ('<f4\n"):
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match=told):
            trained(everything(staged), resume=True)
    path.unlink()
    with pytest.raises(UsageError, match=told):
        trained(everything(staged), resume=True)


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (lambda _: iter([]), "targets of 0 of 8 images: expected one for each"),
        (lambda images: ({"a": batch} for batch, _ in [*images, *images]), "targets of the images from 8 on: expected"),
        (lambda images: ({str(len(batch)): batch, "b": batch[1:]} for batch, _ in images), "from 0 on: expected"),
    ],
)
def test_targets_that_are_not_those_of_all_images_are_the_systems_error(staged, trained, targets, reason):
    with pytest.raises(PluginError, match=f"acme .* failed in the stage 'fit' of the system 'sys': .*{reason}"):
        trained(staged(Stage("fit", 1, targets=targets)))


def later(first, second):
    """Return targets whose first batch is of one form and whose others are of another."""

    def targets(images):
        for number, (batch, _) in enumerate(images):
            yield {"a": (second if number else first)[: len(batch)]}

    return targets


def each(**values):
    """Return targets that are the same in every batch."""
    return lambda images: (values for _ in images)


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (
            later(torch.ones(4, dtype=torch.int64), torch.full((4,), 0.7)),
            "'a' are not all of one form: float32 () from",
        ),
        (
            later(torch.ones(4, 4, 4), torch.ones(4, 1, 1)),
            "'a' are not all of one form: float32 (1, 1) from image 4 on",
        ),
        (
            each(boxes=torch.zeros(4, 3)),
            "'boxes' are float32 of shape (4, 3): expected floating corners x0, y0, x1, y1",
        ),
        (each(boxes=torch.zeros(4)), "'boxes' are float32 of shape (4,): expected"),
        (each(boxes=torch.zeros(4, 4, dtype=torch.bool)), "'boxes' are bool of shape (4, 4): expected"),
        (each(boxes=torch.full((4, 4), 10.0)), "'boxes' have a corner at 10: expected"),
        (each(**{"../../x": torch.zeros(4)}), "targets '../../x': expected a name of lowercase letters, digits"),
        (each(a=[1, 2, 3, 4]), "targets 'a' are list: expected a tensor"),
        (
            each(a=torch.ones(4, dtype=torch.bfloat16)),
            "targets 'a' are bfloat16 of shape (4,): expected a row for each",
        ),
        (lambda _: None, "targets are NoneType: expected a mapping for one batch after another"),
        (lambda images: [batch for batch, _ in images], "targets of a batch are Tensor: expected a mapping"),
    ],
)
def test_targets_of_another_form_are_the_systems_error(staged, trained, toys, targets, reason):
    with pytest.raises(PluginError) as error:
        trained(staged(Stage("fit", 1, targets=targets)))
    assert "failed in the stage 'fit' of the system 'sys': " in str(error.value)
    assert reason in str(error.value)
    assert not list(toys.folder.parent.rglob("x.npy"))


def test_an_image_may_have_no_box(staged, trained):
    seen = []

    def loss(step):
        seen.extend(step.prepared["boxes"].isnan().all(dim=1).tolist())
        return two_losses(step)

    trained(staged(Stage("fit", 1, loss=loss, targets=each(boxes=torch.full((4, 4), torch.nan)))))
    assert seen == [True] * 8


@pytest.mark.parametrize("name", ["/tmp/elsewhere", "../out", "..", "a/b", "", "a\0b", "Two words", 1])
def test_the_name_of_a_stage_is_no_path(name):
    with pytest.raises(ValueError, match=r"^the stage .*: expected a name of lowercase letters, digits, '_', '\.', "):
        Stage(name, 1)


def test_the_numbers_of_a_stage_are_whole():
    with pytest.raises(ValueError, match=r"^epochs of the stage 'fit': expected a whole number, got 1\.5$"):
        Stage("fit", 1.5)
    with pytest.raises(ValueError, match=r"^pairs of the stage 'fit': expected a whole number, got None$"):
        Stage("fit", 1, pairs=None)


def test_targets_may_be_made_of_images_of_another_size(staged, trained):
    seen, sizes = [], {}

    def targets(images):
        for size in (32, 12):
            for batch, labels in images.at_size(size):
                sizes.setdefault(size, []).append(batch)
                assert images.at_size(size).network is images.network
                seen.extend(labels.tolist())
        for (batch, _), same_size in zip(images, sizes[32], strict=True):
            assert torch.equal(batch, same_size)
            yield {"maps": batch}

    made = staged(Stage("fit", 1, targets=targets))
    trained(made)
    config, split = made.backbone.spec.input, made.dataset.images(Split.TRAIN_WEAKSUP)
    small = torch.cat(sizes[12])
    assert small.shape == (8, 3, 12, 12)
    warped = warp(split.load(5), 12, config.interpolation)
    expected = (torch.from_numpy(warped).permute(2, 0, 1) / 255 - torch.tensor(config.mean)[:, None, None]) / (
        torch.tensor(config.std)[:, None, None]
    )
    assert torch.allclose(small[5], expected, atol=1e-5)
    assert seen == 2 * split.labels.tolist()


def test_a_stage_begins_with_what_the_one_before_left(staged, trained):
    """What it changes is there before its targets are made, and is what it trains from."""
    found = []

    def begin(network):
        found.append(network.head.bias.detach().clone())
        network.head.bias.fill_(7)

    def targets(images):
        assert (images.network.head.bias == 7).all()
        for batch, _ in images:
            yield {"maps": batch}

    stages = [Stage("start", 1), Stage("fit", 1, trains=("features",), targets=targets, begin=begin)]
    _, folder = trained(staged(*stages, keep_every=1))
    assert torch.equal(found[0], load_file(folder / "weights-epoch-001.safetensors")["head.bias"])
    assert (weights(folder)["head.bias"] == 7).all()
    assert len(found) == 1


def test_a_stage_that_cannot_begin_is_the_systems_error(staged, trained):
    with pytest.raises(PluginError, match=r"acme .* failed in the stage 'fit' of the system 'sys': Attr.*'decoder'"):
        trained(staged(Stage("fit", 1, begin=lambda network: network.decoder.reset())))


# ---------------------------------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize("counts", [(4, 2), (5, 1, 3), (1,)])
@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_images_of_a_class_follow_one_another(counts, pairs):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    generator = torch.Generator().manual_seed(0)
    first, second = (group_order(labels, pairs, generator) for _ in range(2))
    assert len(first) == sum(-(-count // pairs) * pairs for count in counts)
    assert Timetable([], labels, 1).images_per_epoch(Stage("s", 1, pairs=pairs)) == len(first)
    assert set(first) == set(range(len(labels)))
    groups = labels[first].reshape(-1, pairs)
    assert (groups == groups[:, :1]).all()
    assert len(labels) == 1 or first.tolist() != second.tolist()


def test_the_timetable_counts_steps_and_images():
    stages = [Stage("a", 2), Stage("b", 1, pairs=2)]
    timetable = Timetable(stages, np.array([0, 0, 0, 1, 1, 1, 1]), 3)
    assert [timetable.steps(stage) for stage in stages] == [7 // 3, 8 // 3]
    assert [timetable.images_per_epoch(stage) for stage in stages] == [6, 6]
    assert (timetable.epochs, timetable.images_seen(), timetable.images_seen(1)) == (3, 18, 6)
    assert [timetable.stage_of(epoch) for epoch in (1, 2, 3)] == [0, 0, 1]
    small = Timetable(stages, np.array([0, 1, 1]), 4)
    assert [(small.steps(stage), small.images_per_epoch(stage)) for stage in stages] == [(1, 3), (1, 4)]


def test_batches_are_made_of_pairs(staged, trained):
    seen = []

    def loss(step):
        seen.append(step.labels.reshape(-1, 2))
        return {"classification": step.classification(step.outputs["logits"])}

    trained(staged(Stage("pairs", 2, loss=loss, pairs=2)))
    assert len(seen) == 4
    assert all(torch.equal(each[:, 0], each[:, 1]) for each in seen)


# ------------------------------------------------------------------------------------------------------------ bad input


def reads(name):
    return lambda step: {"loss": step.outputs[name].mean()}


MIXES = "needs one class an image, and the recipe 'plain' mixes images; use a recipe that does not mix"


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            Stage("s", 1, loss=reads("logits_b")),
            "the loss of 'sys' reads 'logits_b', which 'toynet' does not give (it gives features, logits)",
        ),
        (
            Stage("s", 1, loss=lambda step: step.prepared["masks"]),
            "the loss of 'sys' reads 'masks', which the stage 's' does not give (it gives nothing)",
        ),
        (Stage("s", 1, trains=()), "the stage 's' of 'sys' trains nothing; the network's parts: features, head"),
        (
            Stage("s", 1, trains=("head", "decoder")),
            "the stage 's' of 'sys' trains 'decoder', and the network has no such part; its parts: features, head",
        ),
        (
            Stage("s", 1, after="classifier"),
            "the stage 's' of 'sys' goes on from the stage 'classifier', which this training does not have; add that "
            "stage, or start from its weights: --weights FILE",
        ),
        (Stage("s", 0), "the system 'sys' has no epoch to train; give the recipe more than 1: --recipe-opt epochs=N"),
        (
            Stage("s", 1, pairs=3),
            "the stage 's' of 'sys' has 3 images of a class one after another, and batch_size 4 is no multiple of it; "
            "choose one: --recipe-opt batch_size=N",
        ),
    ],
)
def test_what_cannot_be_trained_is_one_line(staged, trained, stage, message):
    with pytest.raises(UsageError) as error:
        trained(staged(stage))
    assert str(error.value) == message


def test_a_stage_that_stands_before_the_one_that_it_goes_on_from_is_one_line(staged, trained):
    said = "the stage 'two' of 'sys' goes on from the stage 'one', which does not stand before it; the system states"
    with pytest.raises(UsageError, match=said):
        trained(staged(Stage("two", 1, after="one"), Stage("one", 1)))


@pytest.mark.parametrize(("given", "said"), [(None, "NoneType"), (["one"], r"\['str'\]"), (iter(()), "tuple_iterator")])
def test_stages_of_another_form_are_the_systems_error(staged, trained, monkeypatch, given, said):
    monkeypatch.setattr(Staged, "stages", lambda *_: given)
    with pytest.raises(PluginError, match=f"in the system 'sys': TypeError: its stages are {said}: expected a list of"):
        trained(staged())


@pytest.mark.parametrize("classes", [2, 3, 0])
def test_a_stage_goes_on_from_weights_that_have_the_classifier(staged, classes):
    """With 3 classes or none, the classifier would start at random, and make the targets of the stage."""
    entries = {f"features.{name}": torch.ones(1) for name in ("0.weight", "1.weight")}
    entries |= {"head.weight": torch.ones(classes, 2)} if classes else {}
    state = StateDict(Path("w.pth"), entries)
    made = replace(
        staged(Stage("fit", 1, after="classifier")),
        initial=KnownWeights(state, WeightsInfo(source="file", file="w.pth", sha256=None)),
    )
    if classes == 2:
        assert [stage.name for stage in made.stages] == ["fit"]
        return
    with pytest.raises(UsageError) as error:
        assert made.stages
    assert str(error.value) == (
        "the stage 'fit' of 'sys' goes on from the stage 'classifier', which this training does not have, and the "
        "weights that it starts from have no classifier of its classes; add that stage, or start from weights of a "
        "training on these classes"
    )


class OwnEpochs:
    """Two stages whose epochs are options, as those of psol and f-cam."""

    def __init__(self, first: int = 1, second: int = 1, weight: int = 0):
        self.made, self.weight = {"one": first, "two": second}, weight

    def stages(self, _epochs):
        return [Stage(name, each, after="one" if name == "two" else None) for name, each in self.made.items()]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (0, 0, "has no epoch to train; omit --system-opt first=0 or --system-opt second=0"),
        (0, 1, "which this training does not have; omit --system-opt first=0, or start from its weights: "),
    ],
)
def test_options_that_leave_stages_out_are_named(first, second, message):
    offer, options = Offer(SystemSpec("sys", OwnEpochs, lambda base: base, "us"), PROVIDER), (first, second, 0)
    built = Built(offer, OwnEpochs(*options), dict(zip(("first", "second", "weight"), options, strict=True)))
    with pytest.raises(UsageError, match=message):
        stages_of(built, 3, start="random")


def test_mixed_images_are_refused_where_a_stage_needs_one_class(staged, trained):
    made = staged(Stage("s", 1, mixed=False))
    prepare = made.recipe.prepare
    made.recipe.prepare = lambda *given: (prepare(*given)[0], ("mixed", 0.3))
    with pytest.raises(UsageError, match=f"the stage 's' of 'sys' {MIXES}"):
        trained(made)


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (
            lambda step: step.outputs["logits"].mean(),
            "the loss returned Tensor, expected a mapping of one",
        ),
        (lambda _: {}, "the loss returned no term, expected a mapping of one"),
        (
            lambda step: {"a": step.outputs["logits"].mean().detach(), "b": torch.ones(())},
            r"no term of the loss \(a, b\) depends on the weights that the stage trains",
        ),
        (lambda step: {"a": step.outputs["logits"]}, r"the term 'a' of the loss is \(4, 2\), expected a scalar tensor"),
        (
            lambda step: {"a": step.outputs["logits"].mean(), "b": step.outputs["logits"].mean() / 0},
            r"the loss became -?inf \(its term b\)",
        ),
    ],
)
def test_a_loss_of_another_form_is_the_systems_error(staged, trained, loss, reason):
    with pytest.raises(PluginError, match=f"failed in the stage 's' of the system 'sys': .*{reason}"):
        trained(staged(Stage("s", 1, loss=loss)))


def of_first_steps(step, calls=[]):  # noqa: B006
    """Return one term more in every other step."""
    calls.append(1)
    return dict(list(two_losses(step).items())[: 1 + len(calls) % 2])


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        *(
            (lambda step, name=name: {name: step.outputs["logits"].mean()}, f"a term '{name}', as a column of the log")
            for name in ("stage", "loss", "epoch", "train_fullsup_max_box_acc_v2")
        ),
        (
            of_first_steps,
            "step 2 of the epoch has the terms classification, that of the first step classification, extra: expected",
        ),
    ],
)
def test_terms_that_the_log_cannot_hold_are_the_systems_error(staged, trained, loss, reason):
    with pytest.raises(PluginError, match=f"failed in the stage 's' of the system 'sys': .*{reason}"):
        trained(staged(Stage("s", 1, loss=loss)))


OUTPUTS = {
    "float32 of shape (4,)": lambda logits: logits[:, 0],
    "float32 of shape (2, 2)": lambda logits: logits[:2],
    "float32 of shape (4, 6)": lambda logits: torch.cat([logits] * 3, dim=1),
    "int64 of shape (4, 2)": lambda logits: logits.long(),
    "list as 'logits', expected a tensor": lambda _: [1, 2],
    "not finite, while the loss is": lambda logits: logits * torch.nan,
}


@pytest.mark.parametrize("reason", OUTPUTS)
@pytest.mark.parametrize("by", ["'toynet' while it is trained by ", ""])
def test_logits_of_another_form_are_an_error_of_who_gives_them(staged, trained, reason, by):
    def given(network, images, _=None):
        return {"logits": OUTPUTS[reason](network.forward_head(network.forward_features(images)))}

    class Other(Noted):
        training_outputs = given

    def loss(step):
        return {"weights": sum(parameter.square().sum() for parameter in step.network.parameters())}

    made = staged(Stage("fit", 1, loss=loss, forward=None if by else given))
    with pytest.raises(PluginError) as error:
        trained(with_network(made, Other))
    assert f" failed in {by}the stage 'fit' of the system 'sys': " in str(error.value)
    assert reason in str(error.value)


@pytest.mark.parametrize("give", [lambda network, images, _: network.forward_features(images), lambda *_: None])
def test_a_forward_pass_that_gives_no_mapping_is_the_systems_error(staged, trained, give):
    with pytest.raises(
        PluginError, match=r"stage 's' of the system 'sys': TypeError: the forward pass returned \w+, expected"
    ):
        trained(staged(Stage("s", 1, forward=give)))


def test_system_options_and_stages_are_what_a_continuation_is_held_to(staged):
    made = staged(Stage("s", 2), Stage("t", 1, trains=("head",), pairs=2))
    facts = continued_facts(made)
    assert {name: facts[name] for name in ("system", "the system's size", "stages")} == {
        "system": "sys of acme 1.0 'toys'",
        "the system's size": 3,
        "stages": "s 2 epochs, trains all; t 1 epochs, trains head, 2 of a class together",
    }
    assert not {"system", "stages"} & continued_facts(replace(made, system=None)).keys()


# -------------------------------------------------------------------------------------------------------------- picture


@pytest.mark.parametrize("top1", [[None, 40.0, 50.0], [None] * 3])
def test_the_curve_of_stages_has_no_empty_panel_and_names_terms_and_stages(tmp_path, monkeypatch, top1):
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure))
    log = pd.DataFrame({"epoch": [1, 2, 3], "learning_rate": 0.1, "loss": [3.0, 2.0, 1.0], "train_top1": top1})
    log[["train_fullsup_top1", "test_top1"]] = None
    log = log.assign(stage=["warm-up", "all", "all"], first=[3.0, 1.5, 0.5], second=[None, 0.5, 0.5])
    draw_curve(log, "a network", tmp_path / "curve.png")
    figure, *_ = drawn
    loss, *others = figure.axes
    assert (tmp_path / "curve.png").exists()
    assert [line.get_label() for line in loss.lines[:3]] == ["sum", "first", "second"]
    assert [text.get_text() for text in loss.texts] == ["warm-up", "all"]
    for line, values in zip(loss.lines, ([3.0, None, 2.0, 1.0], [3.0, None, 1.5, 0.5]), strict=False):
        assert line.get_ydata().tolist() == pytest.approx([np.nan if v is None else v for v in values], nan_ok=True)
        assert (line.get_marker(), line.get_markevery()) == ("o", [0])  # the only epoch of its stage
    assert len(others) == (2 if top1[1] else 1)
    assert all(axes.lines for axes in figure.axes)


# ---------------------------------------------------------------------------------------------------- left behind


@dataclass(frozen=True)
class WithTargets:
    """A system whose second stage has targets; it ends after some calls of its loss."""

    calls: int = 100

    def stages(self, epochs):
        left = iter(range(self.calls))

        def loss(step):
            if next(left, None) is None:
                raise Killed
            return fit_maps(step)

        return [Stage("start", epochs), Stage("fit", epochs, loss=loss, targets=drawn, after="start")]


def test_targets_lie_beside_the_state_until_the_training_is_complete(registry, folder_set, tmp_path):
    made = folder_set(train=8, test=2)
    offer = Offer(SystemSpec("sys", WithTargets, rebuilt, "us"), PROVIDER)
    config = TrainConfig.of(
        backbone="sys:resnet_nano",
        dataset="folder",
        data_root=made.images,
        metadata_root=made.metadata,
        recipe_options={"epochs": 1, "batch_size": 4},
        input_size=32,
        out=tmp_path / "out",
    )

    def left():
        return sorted(path.name for path in tmp_path.glob("out*"))

    registry, killed = registry.including(offer), config.model_copy(update={"system_options": {"calls": 1}})
    with pytest.raises(Killed):
        train(killed, registry, Reporter(), command="")
    assert left() == ["out.state", "out.targets"]
    with pytest.raises(UsageError, match="; type --system-opt calls=1, or delete the file"):
        train(config.model_copy(update={"resume": True}), registry, Reporter(), command="")
    (tmp_path / "out.state").unlink()
    done = train(config, registry, Reporter(), command="")
    assert [stage.name for stage in done.card.system.stages] == ["start", "fit"]
    assert left() == ["out"]


class WithoutRows(WithTargets):
    """Targets of which there are too few, before any state is saved."""

    def stages(self, epochs):
        return [Stage("fit", epochs, targets=lambda images: ({"a": labels[:1]} for _, labels in images))]


def test_targets_that_nothing_continues_from_are_removed_and_what_is_not_ours_stays(registry, folder_set, tmp_path):
    made = folder_set(train=8, test=2)
    registry = registry.including(Offer(SystemSpec("sys", WithoutRows, rebuilt, "us"), PROVIDER))
    config = TrainConfig.of(
        backbone="sys:resnet_nano",
        dataset="folder",
        data_root=made.images,
        metadata_root=made.metadata,
        recipe_options={"epochs": 1, "batch_size": 4},
        input_size=32,
        out=tmp_path / "out",
    )
    with pytest.raises(PluginError, match="targets of 2 of 8 images: expected one for each"):
        train(config, registry, Reporter(), command="")
    assert not list(tmp_path.glob("out*"))
    (other := tmp_path / "out.targets").mkdir()
    (other / "notes.txt").write_text("mine")
    for _ in ("a folder", "a file"):
        with pytest.raises(UsageError, match=r"out\.targets holds something else.*; move it, or name another --out"):
            train(config, registry, Reporter(), command="")
        assert [path.name for path in tmp_path.glob("out*")] == ["out.targets"]
        if other.is_dir():
            assert (other / "notes.txt").read_text() == "mine"
            (other / "notes.txt").unlink()
            other.rmdir()
            other.write_text("mine")


def test_a_full_disk_is_no_fault_of_the_system(staged, trained, monkeypatch):
    def full(*_given, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wsolbench.training.targets.open_memmap", full)
    with pytest.raises(OutputError, match=r"the targets .*fit cannot be written \(No space left on device\)"):
        trained(staged(Stage("fit", 1, targets=each(a=torch.zeros(4)))))
