"""``--checkpoint best-on-train-fullsup``: the one way in which boxes decide about weights, only by name, and told."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_choose import NETWORK, RECIPE
from toys import PROVIDER

import wsolbench
from wsolbench.contract import Split, Stage, SystemSpec
from wsolbench.errors import UsageError
from wsolbench.host.registry import Offer
from wsolbench.records import BestEpochInfo
from wsolbench.records.identity import identity_of
from wsolbench.records.tables import records_frame, results_table
from wsolbench.training.built import Built

pytestmark = pytest.mark.usefixtures("no_gallery", "no_curve")
BEST = {"checkpoint": "best-on-train-fullsup"}
EPOCHS = 2


@pytest.fixture
def data(folder_set):
    made = folder_set(train=8, val=6, test=2)
    return {"dataset": "folder", "data_root": made.images, "metadata_root": made.metadata}


def train(data, out, **settings):
    return wsolbench.train(
        NETWORK, **data, out=out, recipe=RECIPE, recipe_options={"epochs": EPOCHS}, keep_every=1, **settings
    )


def test_the_weights_of_the_best_epoch_are_kept_and_everything_says_so(data, tmp_path):
    best, plain = train(data, tmp_path / "best", **BEST), train(data, tmp_path / "plain")
    kept = [f"weights-epoch-00{epoch}.safetensors" for epoch in range(1, EPOCHS + 1)]
    by_epoch = []
    for name in kept:
        assert (best.folder / name).read_bytes() == (plain.folder / name).read_bytes()  # scoring changed nothing
        (record,) = wsolbench.run(NETWORK, "cam", **data, weights=plain.folder / name, split="train-fullsup")
        by_epoch.append(record)
    by_hand = [each.metrics.max_box_acc_v2 for each in by_epoch]
    info = best.card.best_epoch
    assert (info.scores, info.epoch, info.first) == (by_hand, int(np.argmax(by_hand)) + 1, 1)
    assert (info.metric, info.method, info.images) == ("max_box_acc_v2", "cam", 6)
    assert best.weights.read_bytes() == (plain.folder / kept[info.epoch - 1]).read_bytes()
    assert pd.read_csv(best.folder / "log.csv")["train_fullsup_max_box_acc_v2"].tolist() == by_hand
    assert best.card.supervision == "image labels of train-weaksup; boxes or masks of train-fullsup chose the epoch"
    assert (plain.card.best_epoch, plain.card.supervision) == (None, "image labels of train-weaksup")
    assert not {"score", "train_fullsup_max_box_acc_v2"} & set(pd.read_csv(plain.folder / "log.csv"))

    (record,) = wsolbench.run(NETWORK, "cam", **data, weights=best.weights, out=tmp_path / "run")
    assert record.backbone.weights.training.best_epoch == info
    assert wsolbench.load_record(tmp_path / "run" / "record-cam.json") == record
    told = "§ weights of the epoch that localizes best on train-fullsup: its boxes or masks were used in training"
    assert "cam §" in results_table([record])
    assert told in results_table([record])
    assert records_frame([record])["best_epoch"].tolist() == [info.epoch]
    assert "§" not in results_table([by_epoch[0]])
    assert dict(identity_of(record).network)["epoch chosen"]


class Scorer:
    """Gives the scores of a list."""

    metric, config = "pxap", SimpleNamespace(method="cam")
    facts = {"images": 1, "annotations_sha256": "0" * 64, "metric": "pxap", "method": "cam", "method_options": {}}  # noqa: RUF012

    def __init__(self, *scores):
        self.left, self.seen = list(scores), []

    def score(self, weights):
        self.seen.append({name: value.clone() for name, value in weights.items()})
        return self.left.pop(0)

    def info(self, first, scores, epoch):
        return BestEpochInfo(first=first, scores=scores, epoch=epoch, **self.facts)


class Staged:
    def stages(self, epochs):
        return [Stage("first", 1), Stage("last", epochs)]


def test_the_epochs_of_the_last_stage_are_scored_and_the_first_of_equal_ones_counts(plan, trained):
    system = Built(Offer(SystemSpec("sys", Staged, lambda base: base, "us"), PROVIDER), Staged(), {})
    scorer = Scorer(None, 40.0, 40.0, 20.0)
    card, folder = trained(plan(epochs=4, system=system, scorer=scorer, keep_every=1))
    assert (card.best_epoch.first, card.best_epoch.epoch, card.best_epoch.scores) == (2, 3, [None, 40.0, 40.0, 20.0])
    assert (folder / "weights.safetensors").read_bytes() == (folder / "weights-epoch-003.safetensors").read_bytes()


class Killed(KeyboardInterrupt):
    """Stands for the end of the process."""


def test_a_continued_training_keeps_the_same_epoch(plan, trained):
    whole, folder = trained(plan(epochs=4, scorer=Scorer(10.0, 40.0, 30.0, 20.0)), "whole")
    made = plan(epochs=4, scorer=Scorer(10.0, 40.0, 30.0))
    loss, left = made.recipe.loss, iter(range(2 * 3 + 1))

    def dying(logits, targets):
        if next(left, None) is None:
            raise Killed
        return loss(logits, targets)

    made.recipe.loss = dying
    with pytest.raises(Killed):
        trained(made, "cut")
    card, continued = trained(plan(epochs=4, scorer=Scorer(20.0)), "cut", resume=True)
    assert card.best_epoch == whole.best_epoch
    assert (continued / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


def test_without_the_name_no_annotation_is_read_and_with_it_they_are(toys, plan, trained):
    """The dataset of `plan` raises where its annotations are read, whatever the stages."""
    trained(plan(epochs=1))
    dataset = plan().dataset.dataset
    dataset.class_names = ("even", "odd")
    assert Split.TRAIN_FULLSUP in dataset.splits
    with pytest.raises(wsolbench.errors.WsolbenchError, match="training read annotations"):
        wsolbench.train(NETWORK, dataset, out=toys.folder / "best", recipe=RECIPE, **BEST)


def test_no_epoch_with_a_score_is_one_line(plan, trained):
    with pytest.raises(UsageError, match="best-on-train-fullsup: no epoch has a score by 'cam'; omit the option"):
        trained(plan(scorer=Scorer(None)))


def test_what_cannot_be_scored_is_refused_before_the_training(cli, folder_set, tmp_path):
    made = folder_set(train=8, test=2)
    train = ["train", "--backbone", "resnet_nano", *made.options, "--out", tmp_path / "out"]
    best = ["--checkpoint", "best-on-train-fullsup"]
    assert cli(*train, *best).refused("--checkpoint best-on-train-fullsup needs train-fullsup")
    assert cli(*train, "--method", "cam").refused("--method is an option of a choice", "--checkpoint best-on")


def test_what_does_not_fit_the_choice_is_refused_before_the_training(cli, folder_set, tmp_path):
    made, best = folder_set(train=8, val=2, test=2), ["--checkpoint", "best-on-train-fullsup"]
    train = ["train", "--backbone", "resnet_nano", *made.options, "--out", tmp_path / "out"]
    assert cli(*train, *best, "--method", "native").refused("the method 'native' needs a map that the network itself")
    assert cli(*train, *best, "--choose-by", "pxap").refused("--choose-by pxap: train-fullsup has no masks")
    assert not (tmp_path / "out").exists()


def test_a_record_that_does_not_say_the_best_epoch_is_damaged():
    with pytest.raises(ValueError, match="epoch 3 is not the first with the best score"):
        BestEpochInfo(first=2, scores=[40.0, 40.0], epoch=3, **Scorer.facts)


def test_seeds_of_one_training_count_as_one(plan, trained):
    one, other = (
        trained(plan(seeds=(seed,), scorer=Scorer(score)), f"seed-{seed}")[0].training
        for seed, score in ((0, 10.0), (1, 20.0))
    )
    assert one.without_seed() == other.without_seed()
    assert one.without_seed() != replace_best(one)


def replace_best(training):
    return training.model_copy(update={"best_epoch": None}).without_seed()
