"""``wsolbench train``: what it writes, how it is continued, and what it refuses."""

import json

import pandas as pd
import pytest
import torch
from cases import replacing
from safetensors.torch import load_file

from wsolbench.files import sha256
from wsolbench.host.loading import load_plugins
from wsolbench.networks.card import read_card

pytestmark = pytest.mark.usefixtures("no_curve")

TRAIN = ["train", "--backbone", "wsolbench:replknet_nano"]
FILES = ["card.json", "curve.png", "log.csv", "weights.safetensors"]
ONE_EPOCH = ["--recipe-opt", "epochs=1", "--recipe-opt", "batch_size=8"]


@pytest.fixture
def made(folder_set):
    return folder_set(train=16, val=2, test=4)


@pytest.mark.slow
@pytest.mark.usefixtures("no_gallery")
def test_trained_weights_come_with_a_true_card_and_run(cli, made, tmp_path):
    out = tmp_path / "trained"
    done = cli(*TRAIN, *made.options, *ONE_EPOCH, "--seed", 3, "--seed", 4, "--out", out)
    assert done.code == 0, done.err
    assert sorted(path.name for path in out.iterdir()) == FILES
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert card["weights_sha256"] == sha256(out / "weights.safetensors")
    assert card["command"].startswith("wsolbench train --backbone wsolbench:replknet_nano --dataset folder")
    assert card["command"].endswith(f"--seed 3 --seed 4 --out {out}")
    assert [result["seed"] for result in card["results"]] == [3, 4]
    assert card["recipe"] == "onecycle"
    assert (card["recipe_options"]["epochs"], card["recipe_options"]["batch_size"]) == (1, 8)
    assert (card["num_classes"], card["dataset"]) == (2, "folder")
    assert card["parameters"] > 100_000
    for result in card["results"]:
        assert f"seed {result['seed']}: top-1 on test {result['test_top1']:.1f} %" in done.out

    run = ["run", "--backbone", "replknet", "--weights", out / "weights.safetensors", "--method", "cam"]
    (record,) = cli(*run, *made.options, "--interval", "0.1", "--json", "--out", tmp_path / "run").records
    assert record["backbone"]["name"] == "replknet_nano"
    weights = record["backbone"]["weights"]
    expected = {"source": "file", "file": "weights.safetensors", "sha256": card["weights_sha256"]}
    assert expected.items() <= weights.items()
    random_weights = {"source": "random", "file": None, "sha256": None, "training": None, "key": None, "notes": []}
    assert weights["training"] == {
        "dataset": "folder",
        "recipe": "onecycle",
        "recipe_options": card["recipe_options"],
        "system": None,
        "precision": "fp32",
        "processes": None,
        "preprocessing": None,
        "seed": 3,
        "initial_weights": random_weights,
        "command": card["command"],
        "chosen": None,
        "best_epoch": None,
        "epoch": None,
        "time": {name: card[name] for name in ("seconds", "device", "threads")},
    }
    assert record["metrics"]["top1_acc"] == card["results"][0]["test_top1"]


@pytest.mark.slow
@pytest.mark.usefixtures("no_gallery")
def test_weights_are_run_and_continued_at_the_size_of_their_training(cli, made, tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    assert cli(*TRAIN, *made.options, *ONE_EPOCH, "--input-size", 32, "--std", "1,1,1", "--out", small).code == 0
    weights = small / "weights.safetensors"
    trained = json.loads((small / "card.json").read_text(encoding="utf-8"))["preprocessing"]
    assert trained == {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [1.0, 1.0, 1.0], "interpolation": "bilinear"}

    again = cli(*TRAIN, *made.options, *ONE_EPOCH, "--weights", weights, "--input-size", 40, "--out", large)
    assert "by their card the weights are for 32 px; the network runs at 40 px, as asked for" in again.err
    card = json.loads((large / "card.json").read_text(encoding="utf-8"))
    assert card["preprocessing"] == trained | {"size": 40}
    assert card["initial_weights"]["training"]["preprocessing"] == trained

    run = ["run", *TRAIN[1:], "--method", "cam", "--interval", "0.1", "--json", *made.options]
    done = cli(*run, "--weights", weights, "--out", tmp_path / "run")
    assert "by their card images are prepared for 32 px, std 1, not 96 px, std 0.25" in done.err
    (record,) = done.records
    assert record["backbone"]["preprocessing"] == trained
    assert record["backbone"]["changed_input"] == ["size", "std"]
    assert record["backbone"]["weights"]["training"]["preprocessing"] == trained

    done = cli(*run, "--weights", weights, "--input-size", 96, "--std", ".25,.25,.25", "--out", tmp_path / "own")
    assert "by their card the weights are for 32 px, std 1; the network runs at 96 px, std 0.25" in done.err
    assert done.records[0]["backbone"]["changed_input"] == []


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["another file's card", "no card", "nothing"])
def test_a_card_that_is_not_of_the_weights_tells_nothing(cli, made, tmp_path, spoil):
    out = tmp_path / "trained"
    assert cli(*TRAIN, *made.options, *ONE_EPOCH, "--out", out).code == 0
    weights, card = out / "weights.safetensors", out / "card.json"
    digest = sha256(weights)
    assert read_card(weights, digest).training.seed == 0
    card.rename(weights.with_suffix(".json"))
    assert read_card(weights, digest).training.seed == 0
    if spoil == "another file's card":
        digest = "0" * 64
    elif spoil == "no card":
        weights.with_suffix(".json").write_text('{"seed": 0}')
    else:
        weights.with_suffix(".json").unlink()
    assert read_card(weights, digest) is None


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(cli, made, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli(*TRAIN, *made.options, *ONE_EPOCH, "--seed", seed, "--out", tmp_path / name).code == 0
    first, again, other = (load_file(tmp_path / name / "weights.safetensors") for name in "abc")
    assert all(first[key].equal(again[key]) for key in first)
    assert not first["head.weight"].equal(other["head.weight"])


RECIPES = [offer.name for offer in load_plugins().recipes if offer.provider.distribution == "wsolbench"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_box_reaches_a_training(cli, made, tmp_path, monkeypatch, recipe):
    """With true boxes, and with boxes that cannot even be read, the weights are the same."""
    from wsolbench.data.reference import ReferenceDataset

    def annotations(*_):
        raise AssertionError("training read annotations")

    monkeypatch.setattr(ReferenceDataset, "annotations", annotations)
    how = [*TRAIN, *made.options, *ONE_EPOCH, "--recipe", recipe, "--watch", "test", "--watch", "train-fullsup"]
    assert cli(*how, "--out", tmp_path / "a").code == 0
    for split in ("train", "val", "test"):
        (made.metadata / split / "localization.txt").write_text("no box at all")
    done = cli(*how, "--out", tmp_path / "b")
    assert done.code == 0, done.err
    first, second = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "ab")
    assert first == second
    assert json.loads((tmp_path / "a/card.json").read_text())["supervision"] == "image labels of train-weaksup"


def test_a_small_photo_set_trains_with_everything_on(cli, made, tmp_path):
    options = ["drop_path=0.2", "ema=0.99", "warm_up=0.1", "epochs=2", "batch_size=5"]
    given = [part for option in options for part in ("--recipe-opt", option)]
    done = cli(*TRAIN, *made.options, "--recipe", "modern", *given, "--watch", "test", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert card["checkpoint"] == "ema"
    assert {"drop_path": 0.2, "ema": 0.99, "rand_augment": 9, "mixup": 0.8}.items() <= card["recipe_options"].items()
    log = pd.read_csv(tmp_path / "out/log.csv")
    assert log["test_top1"].notna().all()
    assert log["train_fullsup_top1"].isna().all()


def state_of(out):
    return out.with_name(f"{out.name}.state")


@pytest.fixture
def cut_short(cli, made, tmp_path, monkeypatch):
    """Interrupt a training of two epochs after the first; return its options and its folder."""
    from wsolbench.training.loop import SeedTraining

    options = [*TRAIN, *made.options, "--recipe-opt", "epochs=2", "--recipe-opt", "batch_size=8"]
    out = tmp_path / "out"
    close = SeedTraining._close_epoch

    def interrupt(training):
        if training.log:
            raise KeyboardInterrupt
        close(training)

    with monkeypatch.context() as patched:
        patched.setattr(SeedTraining, "_close_epoch", interrupt)
        done = cli(*options, "--out", out)
    assert done.code == 130
    assert f"warning: {state_of(out)} holds the training so far; --resume --out {out} continues it" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.state", "set"]
    return options, out


def test_an_interrupted_training_is_continued(cli, cut_short, tmp_path):
    options, out = cut_short
    assert cli(*options, "--out", out).refused("out.state holds a training that was interrupted; add --resume")
    done = cli(*options, "--out", out, "--resume")
    assert done.code == 0, done.err
    assert f"continued from {state_of(out)}" in done.err
    assert cli(*options, "--out", tmp_path / "whole").code == 0
    for name in ("weights.safetensors", "curve.png"):
        assert (out / name).exists()
    assert (out / "weights.safetensors").read_bytes() == (tmp_path / "whole/weights.safetensors").read_bytes()
    card = json.loads((out / "card.json").read_text())
    assert card["command"].endswith(f"--out {out}")
    assert not state_of(out).exists()


def test_a_training_whose_folder_was_taken_meanwhile_is_complete_beside_it(cli, made, tmp_path, monkeypatch):
    from wsolbench.training import job

    out, carry_out = tmp_path / "out", job.carry_out

    def take_the_folder(*arguments, **options):
        card = carry_out(*arguments, **options)
        out.mkdir()
        (out / "theirs").touch()
        return card

    monkeypatch.setattr(job, "carry_out", take_the_folder)
    done = cli(*TRAIN, *made.options, *ONE_EPOCH, "--out", out)
    assert done.code == 2
    assert done.err.splitlines()[-1] == f"error: --out {out}: it was taken meanwhile; the results are in {out}-2"
    assert "--resume" not in done.err
    assert {path.name for path in tmp_path.iterdir() if "out" in path.name} == {"out", "out-2"}
    assert (tmp_path / "out-2" / "weights.safetensors").is_file()
    assert [path.name for path in out.iterdir()] == ["theirs"]


@pytest.mark.slow
def test_another_training_is_not_continued(cli, cut_short):
    options, out = cut_short
    changed = [*options, "--recipe-opt", "learning_rate=0.001", "--out", out, "--resume"]
    assert cli(*changed).refused("; type --recipe-opt learning_rate=0.003, or delete the file to start again")
    state_of(out).write_bytes(b"")
    assert cli(*options, "--out", out, "--resume").refused("is not a training state; delete it to start again")
    assert cli(*options, "--resume").refused("--resume needs the --out of the training to continue")


@pytest.mark.slow
def test_a_photo_cut_short_in_the_middle_is_told_and_the_training_goes_on_when_it_is_mended(cli, made, tmp_path):
    from wsolbench.training.loop import SeedTraining

    options = [*TRAIN, *made.options, "--recipe-opt", "epochs=2", "--recipe-opt", "batch_size=8"]
    photo = made.images / "train" / "11.png"
    content = photo.read_bytes()
    close = SeedTraining._close_epoch

    def spoil(training):
        close(training)
        photo.write_bytes(content[: len(content) // 2])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SeedTraining, "_close_epoch", spoil)
        done = cli(*options, "--out", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    *_, hint, error = done.err.splitlines()
    assert hint.startswith("warning: ")
    assert hint.endswith(f"--resume --out {tmp_path / 'out'} continues it")
    assert error.startswith("error: ")
    assert "train/11.png is cut short or damaged" in error
    photo.write_bytes(content)
    assert cli(*options, "--out", tmp_path / "out", "--resume").code == 0
    assert cli(*options, "--out", tmp_path / "whole").code == 0
    first, second = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("out", "whole"))
    assert first == second


STILL = ["--recipe", "modern-noaug", "--recipe-opt", "learning_rate=1e-12", *ONE_EPOCH]


def test_a_training_starts_from_given_weights(cli, made, tmp_path):
    assert cli(*TRAIN, *made.options, *ONE_EPOCH, "--out", tmp_path / "first").code == 0
    weights = tmp_path / "first/weights.safetensors"
    again = [*TRAIN, *made.options, *STILL, "--seed", 9, "--weights", weights, "--out", tmp_path / "again"]
    assert cli(*again).code == 0
    before, after = load_file(weights), load_file(tmp_path / "again/weights.safetensors")
    for key in ("stem.0.conv.weight", "head.weight", "head.bias"):
        torch.testing.assert_close(after[key], before[key])
    card = json.loads((tmp_path / "again/card.json").read_text())
    started = card["initial_weights"]
    assert (started["source"], started["file"], started["sha256"]) == ("file", "weights.safetensors", sha256(weights))
    assert started["training"]["seed"] == 0
    told = read_card(tmp_path / "again/weights.safetensors", card["weights_sha256"]).training
    assert [each.command for each in told.history] == [started["training"]["command"], card["command"]]


@pytest.mark.slow
def test_a_training_in_less_precision_says_so(cli, made, tmp_path):
    outs = {precision: tmp_path / precision for precision in ("fp32", "bf16")}
    for precision, out in outs.items():
        assert cli(*TRAIN, *made.options, *ONE_EPOCH, "--precision", precision, "--out", out).code == 0
    cards = {precision: json.loads((out / "card.json").read_text()) for precision, out in outs.items()}
    assert {precision: card["precision"] for precision, card in cards.items()} == {"fp32": "fp32", "bf16": "bf16"}
    assert cards["fp32"]["weights_sha256"] != cards["bf16"]["weights_sha256"]
    entries = load_file(outs["bf16"] / "weights.safetensors").values()
    assert {entry.dtype for entry in entries if entry.is_floating_point()} == {torch.float32}
    assert cards["bf16"]["results"][0]["final_loss"] == pytest.approx(
        cards["fp32"]["results"][0]["final_loss"], rel=0.1
    )


def test_a_classifier_of_other_classes_is_left_out(cli, made, tmp_path):
    (shipped,) = load_plugins().backbones.get("replknet_nano").spec.checkpoints
    done = cli(*TRAIN, *made.options, *STILL, "--weights", shipped.path, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    before, after = load_file(shipped.path), load_file(tmp_path / "out/weights.safetensors")
    torch.testing.assert_close(after["stem.0.conv.weight"], before["stem.0.conv.weight"])
    assert (len(before["head.weight"]), len(after["head.weight"])) == (12, 2)


@pytest.mark.slow
def test_weights_that_do_not_fit_are_told(cli, made, tmp_path):
    (other,) = load_plugins().backbones.get("slak_nano").spec.checkpoints
    for weights, words in ((other.path, "does not fit 'replknet_nano'"), (tmp_path / "no.pth", "does not exist")):
        assert cli(*TRAIN, *made.options, *ONE_EPOCH, "--weights", weights, "--out", tmp_path / "x").refused(words)


def test_a_class_without_training_images_is_told(cli, folder_set, tmp_path):
    made = folder_set(train=1, val=2, test=4)
    done = cli(*TRAIN, *made.options, *ONE_EPOCH, "--out", tmp_path / "out")
    assert done.refused(
        "train-weaksup of 'folder' has no image of 1 of its 2 classes; the first is 1 ('1'); add images"
    )


def test_a_split_that_is_not_there_cannot_be_watched(cli, folder_set, tmp_path):
    made = folder_set(train=4, val=2)
    done = cli(*TRAIN, *made.options, *ONE_EPOCH, "--watch", "test", "--out", tmp_path / "out")
    assert done.refused("has no split test; it has train-weaksup, train-fullsup")


def test_without_out_a_fresh_folder_in_runs_is_made(cli, folder_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = folder_set(train=4, val=2)
    done = cli(*TRAIN, *made.options, *ONE_EPOCH)
    assert done.code == 0
    assert "top-1 on test not measured (no test split)" in done.out
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-train-wsolbench-replknet_nano")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--recipe-opt", "epoch=1"],
            "the recipe 'onecycle' has no option 'epoch'. Did you mean 'epochs'? Its options: ",
        ),
        (["--recipe-opt", "epochs=many"], "option 'epochs' takes a whole number of at least 1, not 'many'"),
        (["--recipe-opt", "epochs"], "--recipe-opt epochs: expected NAME=VALUE"),
        (["--recipe-opt", "epochs=0"], "option 'epochs' takes a whole number of at least 1, not '0'"),
        (["--recipe-opt", "batch_size=-1"], "option 'batch_size' takes a whole number of at least 1, not '-1'"),
        (
            ["--recipe-opt", "shift=2"],
            "'onecycle': option 'shift' takes a number from 0 to below 0.5, not '2'",
        ),
        (["--recipe-opt", "learning_rate=1e30", "--recipe-opt", "batch_size=4"], "the loss became nan"),
        (["--recipe", "twocycle"], "unknown recipe 'twocycle'. Did you mean 'onecycle'?"),
        (["--backbone", "replknet"], "'replknet' is a family of networks; name the one to train: "),
        (["--backbone", "nope"], "unknown backbone 'nope'"),
        (["--dataset", "nope"], "unknown data set 'nope'"),
        (["--device", "meta"], "--device meta cannot be used here"),
        (["--workers", "0"], "'--workers'"),
        (["--seed", "x"], "--seed x: expected a whole number from 0"),
        (["--seed", "1", "--seed", "2", "--seed", "1"], "--seed 1 is given more than once; give every seed once"),
        (["--weights", "random"], "--weights random: without --weights a training starts from random weights; omit it"),
        (
            ["--weights", "timm"],
            "weights file timm does not exist; pass a file; 'replknet_nano' has no pretrained ones",
        ),
        (
            ["--backbone", "resnet50", "--weights", "x.pth"],
            "pass a file, or --weights timm for pretrained ones; without",
        ),
        (["--out", "/proc/wsolbench/x"], "--out /proc/wsolbench/x: cannot be written"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(cli, made, tmp_path, monkeypatch, options, words):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    done = cli(*replacing([*TRAIN, *made.options], options))
    assert done.refused(words)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_data_set_without_training_images_is_told(cli, folder_set, tmp_path):
    made = folder_set(val=2, test=2)
    done = cli(*TRAIN, *made.options, "--out", tmp_path / "out")
    assert done.refused("has no split train-weaksup; it has train-fullsup, test")
    (made.metadata / "train").mkdir()
    for name in ("image_ids", "class_labels", "image_sizes", "localization"):
        (made.metadata / "train" / f"{name}.txt").write_text("")
    assert cli(*TRAIN, *made.options, "--out", tmp_path / "out").refused("train-weaksup", "has no images")
    assert not (tmp_path / "out").exists()


def test_an_image_that_cannot_be_read_leaves_no_weights(cli, made, tmp_path):
    (made.images / "train" / "11.png").write_bytes(b"")
    done = cli(*TRAIN, *made.options, *ONE_EPOCH, "--out", tmp_path / "out")
    assert done.refused("train/11.png is empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_a_single_image_trains(cli, folder_set, tmp_path):
    made = folder_set(train=1, test=1)
    assert cli(*TRAIN, *made.options, *ONE_EPOCH, "--out", tmp_path / "out").code == 0
