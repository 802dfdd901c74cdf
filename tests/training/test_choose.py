"""``train --choose``: options drawn at random, the best training on train-fullsup kept, and all of it recorded."""

import json
import shutil
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import pytest
from PIL import Image, ImageOps
from toys import PlainRecipe, TrainableNet

import wsolbench
from wsolbench.api import BackboneSpec, Choice, InputConfig, LogUniform, RecipeSpec, Uniform, UsageError, after_pooling
from wsolbench.config import TrainConfig
from wsolbench.files import sha256
from wsolbench.networks.card import Card
from wsolbench.records.identity import identity_of
from wsolbench.training import choose

pytestmark = pytest.mark.usefixtures("no_gallery", "no_curve")


class PooledNet(TrainableNet):
    def effective_weights(self, features, class_indices):  # noqa: ARG002
        return after_pooling(self.head, class_indices)


NETWORK = BackboneSpec("toynet", PooledNet, InputConfig(32, (0.5,) * 3, (0.5,) * 3), "us")
RAW_ONLY = BackboneSpec("rawnet", TrainableNet, InputConfig(32, (0.5,) * 3, (0.5,) * 3), "us")


@dataclass
class Drawn(PlainRecipe):
    epochs: int = 1
    batch_size: int = 4
    learning_rate: Annotated[float, LogUniform(1e-3, 1)] = 0.1


@dataclass
class Wild(Drawn):
    learning_rate: Annotated[float, Choice(0.1, 1e38)] = 0.1


RECIPE, WILD = RecipeSpec("drawn", Drawn, "us"), RecipeSpec("wild", Wild, "us")


@pytest.fixture
def data(folder_set):
    made = folder_set(train=8, val=6, test=2)
    return {"dataset": "folder", "data_root": made.images, "metadata_root": made.metadata}


def chosen_of(data, out, count=3, network=NETWORK, **settings):
    return wsolbench.train(network, **data, out=out, choose=count, **{"recipe": RECIPE, **settings})


def score_alone(data, out, rate, weights):
    """Train with the options of a draw, and score on train-fullsup, as a user would by hand."""
    alone = wsolbench.train(NETWORK, **data, out=out, recipe=RECIPE, recipe_options={"learning_rate": rate})
    options = {"cam": {"weights": weights}}
    (record,) = wsolbench.run(
        NETWORK, "cam", **data, weights=alone.weights, method_options=options, split="train-fullsup"
    )
    return record.metrics.max_box_acc_v2, alone


def test_the_best_of_all_draws_on_train_fullsup_is_kept_and_recorded(data, tmp_path):
    done = chosen_of(data, tmp_path / "out")
    chosen = done.card.chosen
    by_hand = [
        score_alone(data, tmp_path / f"by-hand-{number}", *draw.options.values())
        for number, draw in enumerate(chosen.draws)
    ]
    scores = [score for score, _ in by_hand]
    assert [draw.score for draw in chosen.draws] == scores
    assert chosen.draw == scores.index(max(scores))
    assert done.weights.read_bytes() == by_hand[chosen.draw][1].weights.read_bytes()
    assert all(1e-3 <= draw.options["recipe.learning_rate"] <= 1 for draw in chosen.draws)
    assert chosen.space == {
        "recipe.learning_rate": "log-uniform from 0.001 to 1",
        "method.weights": "one of raw, effective",
    }
    assert (chosen.method, chosen.metric, chosen.seed, chosen.images) == ("cam", "max_box_acc_v2", 0, 6)
    table = pd.read_csv(tmp_path / "out" / "choice.csv")
    assert table["max_box_acc_v2"].tolist() == scores
    assert table["chosen"].tolist() == [number == chosen.draw for number in range(3)]
    assert table["draw"].tolist() == [1, 2, 3]
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out"]
    (record,) = wsolbench.run(NETWORK, "cam", **data, weights=done.weights, out=tmp_path / "run")
    assert record.backbone.weights.training.chosen == chosen
    assert wsolbench.load_record(tmp_path / "run" / "record-cam.json") == record
    (plain,) = wsolbench.run(NETWORK, "cam", **data, weights=by_hand[chosen.draw][1].weights)
    assert record.metrics == plain.metrics
    assert identity_of(record) != identity_of(plain)


def test_weights_over_the_chosen_training_are_those_of_the_choice(data, tmp_path):
    done = chosen_of(data, tmp_path / "out", count=2, keep_every=1)
    card = Card.model_validate_json((tmp_path / "out" / "weights-epoch-001.json").read_text())
    assert (card.epoch, card.chosen) == (1, done.card.chosen)
    assert sha256(tmp_path / "out" / "weights-epoch-001.safetensors") == card.weights_sha256
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out"]


def test_options_of_a_system_are_drawn_too(registry, tmp_path):
    config = TrainConfig.of(backbone="adl:resnet_nano", out=tmp_path, system_options={"threshold": 0.7})
    assert choose.draw_space(config, registry)["system.drop_rate"] == Uniform(0, 1)
    assert "system.threshold" not in choose.draw_space(config, registry)


def test_an_interrupted_choice_goes_on_where_it_was(data, tmp_path, monkeypatch):
    whole = chosen_of(data, tmp_path / "whole").card.chosen
    trained = []

    def train(config, *arguments, **settings):
        if config.out.name == "draw-02" and not trained.count("draw-02"):
            trained.append("draw-02")
            raise KeyboardInterrupt
        trained.append(config.out.name)
        return original(config, *arguments, **settings)

    original = choose.train
    monkeypatch.setattr(choose, "train", train)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="--resume --out"):
        chosen_of(data, tmp_path / "out")
    with pytest.raises(UsageError, match="interrupted; add --resume"):
        chosen_of(data, tmp_path / "out")
    with pytest.raises(UsageError, match="with --seed 0, and this one has --seed 1; type --seed 0, or"):
        chosen_of(data, tmp_path / "out", resume=True, seeds=[1])
    assert chosen_of(data, tmp_path / "out", resume=True).card.chosen == whole
    assert trained == ["draw-00", "draw-01", "draw-02", "draw-02"]


@pytest.fixture
def interrupted(data, tmp_path, monkeypatch):
    """Interrupt a choice of three before its third draw, and return what continues it."""

    def train(config, *arguments, **settings):
        if config.out.name == "draw-02":
            raise KeyboardInterrupt
        return original(config, *arguments, **settings)

    original = choose.train
    with monkeypatch.context() as patch:
        patch.setattr(choose, "train", train)
        with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="--resume --out"):
            chosen_of(data, tmp_path / "out")
    return lambda count=3: chosen_of(data, tmp_path / "out", count, resume=True).card.chosen


def test_a_choice_is_not_continued_on_other_boxes_or_labels(data, interrupted):
    for split, name, what in (
        ("val", "localization", "the hash of train-fullsup"),
        ("train", "class_labels", "list of images and labels"),
    ):
        file = data["metadata_root"] / split / f"{name}.txt"
        before = file.read_text()
        first, *rest = before.split("\n")
        other = first[:-1] + ("0" if first[-1] != "0" else "1")
        file.write_text("\n".join([other, *rest]))
        with pytest.raises(UsageError, match=f"is of a choice with {what} [0-9a-f]+, and this one has"):
            interrupted()
        file.write_text(before)
    assert len(interrupted().draws) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("split", "label"), [("train", "train-weaksup"), ("val", "train-fullsup")])
@pytest.mark.filterwarnings("ignore:.*holds the draws so far")
def test_a_choice_is_not_continued_on_other_pixels(data, interrupted, split, label):
    image = next((data["data_root"] / split).glob("*.png"))
    before = image.read_bytes()
    with Image.open(image) as opened:
        ImageOps.invert(opened.convert("RGB")).save(image)
    with pytest.raises(UsageError, match=f"images of {label} have changed since the first draw"):
        interrupted()
    image.write_bytes(before)
    assert len(interrupted().draws) == 3


@pytest.mark.filterwarnings("ignore:.*holds the draws so far")
def test_a_choice_ends_with_the_draws_that_are_done_but_not_with_fewer(interrupted):
    with pytest.raises(UsageError, match=r"--choose 1: 2 draws are done in .*; --choose 2 ends with these"):
        interrupted(1)
    assert len(interrupted(2).draws) == 2


def test_what_holds_for_all_draws_is_said_once(cli, data, tmp_path):
    sizes = data["metadata_root"] / "train" / "image_sizes.txt"
    first, *rest = sizes.read_text().split("\n")
    name, width, height = first.split(",")
    sizes.write_text("\n".join([f"{name},{2 * int(width)},{2 * int(height)}", *rest]))
    roots = ["--dataset", "folder", "--data-root", data["data_root"], "--metadata-root", data["metadata_root"]]
    train = ["train", "--backbone", "resnet_nano", *roots, "--recipe-opt", "epochs=1", "--choose", 2]
    assert cli(*train, "--method-opt", "weights=raw").refused("expected METHOD.NAME=VALUE")
    done = cli(*train, "--method-opt", "cam.weights=raw", "--out", tmp_path / "out")
    assert done.code == 0
    assert "--method cam --method-opt cam.weights=raw" in done.out
    assert done.err.count("1 image (train/00.png) resized") == 1
    assert done.err.count("draw 2 of 2") == 2


def test_a_training_that_diverges_has_no_score_and_is_not_chosen(data, tmp_path):
    chosen = chosen_of(data, tmp_path / "out", 5, recipe=WILD, method_options={"weights": "raw"}).card.chosen
    rates = [draw.options["recipe.learning_rate"] for draw in chosen.draws]
    assert set(rates) == {0.1, 1e38}
    assert [draw.score is None for draw in chosen.draws] == [rate == 1e38 for rate in rates]
    assert "the loss became" in next(draw.failed for draw in chosen.draws if draw.failed)
    assert chosen.draw == rates.index(0.1)
    assert chosen.method_options == {"weights": "raw"}


def test_a_draw_that_the_network_cannot_serve_has_no_score(data, tmp_path):
    chosen = chosen_of(data, tmp_path / "out", 4, RAW_ONLY).card.chosen
    effective = [draw.options["method.weights"] == "effective" for draw in chosen.draws]
    assert set(effective) == {True, False}
    assert [draw.score is None for draw in chosen.draws] == effective
    assert "does not offer effective weights" in next(draw.failed for draw in chosen.draws if draw.failed)


def test_what_cannot_be_chosen_is_refused_before_any_training(cli, data, tmp_path, monkeypatch):
    monkeypatch.setattr(choose, "train", None)
    for settings, words in (
        ({"seeds": [0, 1]}, "one seed"),
        ({"choose_by": "pxap"}, "train-fullsup has no masks"),
        ({"method_options": {"weights": "other"}}, "option 'weights' takes"),
        (
            {"recipe_options": {"learning_rate": 0.1}, "method_options": {"weights": "raw"}},
            "nothing can be drawn: the recipe",
        ),
    ):
        with pytest.raises(UsageError, match=words):
            chosen_of(data, tmp_path / "out", **settings)
    shutil.rmtree(data["metadata_root"] / "val")
    with pytest.raises(UsageError, match="needs train-fullsup, which the data set 'folder' does not have"):
        chosen_of(data, tmp_path / "out")
    train = ["train", "--backbone", "resnet_nano", "--out", tmp_path / "out"]
    assert cli(*train, "--method", "pc1").refused("--method", "--choose N")
    assert not list(tmp_path.glob("out*"))


def test_describe_shows_what_is_drawn(cli):
    assert "drawn by --choose: log-uniform from 1e-05 to 1" in cli("describe", "plain").out
    about = json.loads(cli("describe", "cam", "--json").out)
    assert about["options"]["weights"]["search"] == "one of raw, effective"
