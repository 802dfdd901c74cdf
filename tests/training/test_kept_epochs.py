"""Weights after every N-th epoch: those of the training at that time, whether it is cut short or not."""

import json
from itertools import count
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from wsolbench.contract import Split
from wsolbench.errors import UsageError
from wsolbench.files import sha256
from wsolbench.networks.card import read_card

STEPS = 2

pytestmark = pytest.mark.usefixtures("no_curve")


@pytest.fixture(autouse=True)
def no_revision(monkeypatch):
    """Start no other program in trainings of milliseconds."""
    monkeypatch.setattr("wsolbench.training.train.git_revision", lambda: None)


def kept_in(folder):
    """Return file name -> content of everything that was kept after an epoch."""
    return {path.name: path.read_bytes() for path in folder.glob("weights-epoch-*.safetensors")}


def recording(made):
    """Let the recipe of a plan write down the weights of the head after every step, seed after seed."""
    steps, optimizer = [], made.recipe.optimizer

    def recorded(network, total_steps):
        chosen, schedule = optimizer(network, total_steps)
        chosen.register_step_post_hook(lambda *_: steps.append(network.head.weight.detach().clone()))
        return chosen, schedule

    made.recipe.optimizer = recorded
    return steps


@pytest.mark.parametrize("seeds", [(0,), (3, 4)])
def test_weights_after_every_other_epoch_with_cards(plan, trained, seeds):
    made = plan(epochs=5, keep_every=2, seeds=seeds, watch=(Split.TEST,))
    steps = recording(made)
    card, folder = trained(made)
    assert sorted(kept_in(folder)) == ["weights-epoch-002.safetensors", "weights-epoch-004.safetensors"]
    log = (folder / "log.csv").read_text().splitlines()
    for epoch in (2, 4):
        path = folder / f"weights-epoch-{epoch:03}.safetensors"
        torch.testing.assert_close(load_file(path)["head.weight"], steps[epoch * STEPS - 1], rtol=0, atol=0)
        of_epoch = read_card(path, sha256(path))
        assert (of_epoch.epoch, of_epoch.training.epoch) == (epoch, epoch)
        assert [result.seed for result in of_epoch.results] == [seeds[0]]
        assert of_epoch.results[0].test_top1 == float(log[epoch].split(",")[5])
        assert of_epoch.checkpoint == "epoch"
        changed = {"epoch", "weights_sha256", "results", "checkpoint", "seconds", "images_per_second"}
        assert of_epoch.model_dump(exclude=changed) == card.model_dump(exclude=changed)
    assert card.epoch is None


def test_a_card_after_an_epoch_says_what_was_so_then(plan, trained, monkeypatch):
    clock = count(0.0, 10.0)
    monkeypatch.setattr("wsolbench.training.train.time", SimpleNamespace(monotonic=lambda: next(clock)))
    slower = (float(number**2) for number in count())  # every step takes longer than the one before
    monkeypatch.setattr("wsolbench.training.loop.time", SimpleNamespace(monotonic=lambda: next(slower)))
    card, folder = trained(plan(epochs=3, keep_every=1))
    written = [json.loads((folder / f"weights-epoch-00{epoch}.json").read_text()) for epoch in (1, 2, 3)]
    measured = {"seed", "final_loss", "train_fullsup_top1", "test_top1"}
    assert [set(each["results"][0]) for each in written] == [{"seed", "final_loss"}, {"seed", "final_loss"}, measured]
    assert written[2]["results"] == json.loads((folder / "card.json").read_text())["results"]  # the same weights
    assert [each["seconds"] for each in written] == [10, 20, 30]
    assert card.seconds == 40
    taken = pd.read_csv(folder / "log.csv")["seconds"].cumsum()
    speeds = [round(card.train_images * epoch / taken[epoch - 1], 1) for epoch in (1, 2, 3)]
    assert [each["images_per_second"] for each in written] == speeds == sorted(set(speeds), reverse=True)
    assert card.images_per_second == speeds[-1]


def test_averages_say_so(plan, trained):
    made = plan(epochs=2, keep_every=1)
    made.recipe.ema = 0.9
    _, folder = trained(made)
    assert json.loads((folder / "weights-epoch-001.json").read_text())["checkpoint"] == "epoch-ema"


def test_keeping_changes_nothing_and_the_last_epoch_is_the_end(plan, trained):
    plain, without = trained(plan(epochs=2), "plain")
    kept, folder = trained(plan(epochs=2, keep_every=1), "kept")
    assert plain.weights_sha256 == kept.weights_sha256
    assert not kept_in(without)
    assert kept_in(folder)["weights-epoch-002.safetensors"] == (folder / "weights.safetensors").read_bytes()
    assert read_card(folder / "weights.safetensors", kept.weights_sha256).epoch is None


class Killed(KeyboardInterrupt):
    """Stands for the end of the process."""


def cut_short(trained, made, after):
    """Start a training that ends in the step after some steps."""
    loss, left = made.recipe.loss, iter(range(after))

    def dying(logits, targets):
        if next(left, None) is None:
            raise Killed
        return loss(logits, targets)

    made.recipe.loss = dying
    with pytest.raises(Killed):
        trained(made, "cut")


def test_a_continued_training_keeps_the_same(plan, trained, toys):
    whole, folder = trained(plan(epochs=4, keep_every=1, seeds=(0, 1)), "whole")
    cut_short(trained, plan(epochs=4, keep_every=1, seeds=(0, 1)), 2 * STEPS + 1)
    assert sorted(kept_in(toys.folder / "cut.epochs")) == [f"weights-epoch-00{epoch}.safetensors" for epoch in (1, 2)]
    card, continued = trained(plan(epochs=4, keep_every=1, seeds=(0, 1)), "cut", resume=True)
    assert kept_in(continued) == kept_in(folder)
    assert card.weights_sha256 == whole.weights_sha256


@pytest.mark.parametrize(
    ("every", "change", "words"),
    [
        (
            1,
            lambda path: path.unlink(),
            "weights-epoch-001.safetensors is missing or has changed; restore it",
        ),
        (1, lambda path: path.write_bytes(b"other"), "is missing or has changed"),
        (
            2,
            lambda _: None,
            "and this one has --keep-every 2; type --keep-every 1, or delete the file",
        ),
        (None, lambda _: None, "with --keep-every 1, and this one has none; type --keep-every 1, or delete"),
    ],
)
def test_what_cannot_be_continued_is_refused(plan, trained, toys, every, change, words):
    cut_short(trained, plan(epochs=4, keep_every=1), 2 * STEPS)
    change(toys.folder / "cut.epochs" / "weights-epoch-001.safetensors")
    with pytest.raises(UsageError) as refused:
        trained(plan(epochs=4, keep_every=every), "cut", resume=True)
    assert words in str(refused.value)


def test_a_training_that_keeps_none_is_continued_so(plan, trained):
    cut_short(trained, plan(epochs=4), 2 * STEPS)
    with pytest.raises(
        UsageError, match="without --keep-every, and this one has --keep-every 2; omit --keep-every, or"
    ):
        trained(plan(epochs=4, keep_every=2), "cut", resume=True)


def test_a_number_above_that_of_epochs_is_refused(plan, trained):
    with pytest.raises(UsageError, match="--keep-every 4: the training has 3 epochs, so nothing would be kept"):
        trained(plan(epochs=3, keep_every=4))


@pytest.mark.filterwarnings("ignore:.*holds the training so far")
def test_only_the_folder_of_results_is_left(cli, tmp_path, folder_set):
    made = folder_set(train=4, val=2, test=2)
    where = ("--dataset", "folder", "--data-root", made.images, "--metadata-root", made.metadata)
    recipe = ("--recipe-opt", "epochs=2", "--recipe-opt", "batch_size=4", "--workers", "1")
    done = cli("train", "--backbone", "resnet_nano", *where, *recipe, "--keep-every", 1, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert [path.name for path in tmp_path.glob("out*")] == ["out"]
    card = json.loads((tmp_path / "out" / "weights-epoch-001.json").read_text())
    assert card["epoch"] == 1
    weights = [tmp_path / "out" / f"weights-epoch-00{epoch}.safetensors" for epoch in (1, 2)]
    given = [part for path in weights for part in ("--backbone", "resnet_nano", "--weights", path)]
    done = cli("analyze", "noise", *given, *where, "--no-random", "--json", "--out", tmp_path / "noise")
    assert [row["network"] for row in json.loads(done.out)] == ["resnet_nano (epoch 1)", "resnet_nano (epoch 2)"]
