import json

import pytest
from safetensors.torch import load_file

from wsolbench.engine.files import sha256

TRAIN = ["train", "--backbone", "wsolbench:replknet_nano"]
ONE_EPOCH = ["--recipe-opt", "epochs=1", "--recipe-opt", "batch_size=8"]


@pytest.fixture
def made(folder_set):
    return folder_set(train=16, val=2, test=4)


@pytest.mark.usefixtures("no_gallery")
def test_trained_weights_come_with_a_true_card_and_run(cli, made, tmp_path):
    out = tmp_path / "trained"
    done = cli(*TRAIN, *made.options, *ONE_EPOCH, "--seed", 3, "--seed", 4, "--out", out)
    assert done.code == 0, done.err
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "curve.png", "log.csv", "weights.safetensors"]
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
    weights = {"source": "file", "file": "weights.safetensors", "sha256": card["weights_sha256"]}
    assert record["backbone"]["weights"] == weights
    assert record["metrics"]["top1_acc"] == card["results"][0]["test_top1"]


def test_the_same_seed_gives_the_same_weights(cli, made, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli(*TRAIN, *made.options, *ONE_EPOCH, "--seed", seed, "--out", tmp_path / name).code == 0
    first, again, other = (load_file(tmp_path / name / "weights.safetensors") for name in "abc")
    assert all(first[key].equal(again[key]) for key in first)
    assert not first["head.weight"].equal(other["head.weight"])


def test_only_labels_of_images_are_read(cli, made, tmp_path, monkeypatch):
    from wsolbench.data.reference import ReferenceDataset

    def annotations(*_):
        raise AssertionError("training read annotations")

    monkeypatch.setattr(ReferenceDataset, "annotations", annotations)
    assert cli(*TRAIN, *made.options, *ONE_EPOCH, "--out", tmp_path / "out").code == 0


def test_without_out_a_fresh_folder_in_runs_is_made(cli, folder_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = folder_set(train=4, val=2)
    done = cli(*TRAIN, *made.options, *ONE_EPOCH)
    assert done.code == 0
    assert "top-1 on test not measured (no test split)" in done.out
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-train-replknet_nano")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipe-opt", "epoch=1"], "the recipe 'onecycle' has no option 'epoch'; it has epochs, batch_size"),
        (["--recipe-opt", "epochs=many"], "option 'epochs' takes int, not 'many'"),
        (["--recipe-opt", "epochs"], "--recipe-opt epochs: expected NAME=VALUE"),
        (["--recipe-opt", "epochs=0"], "needs epochs of at least 1, got 0"),
        (["--recipe-opt", "batch_size=-1"], "needs batch_size of at least 1, got -1"),
        (["--recipe-opt", "shift=2"], "failed in the recipe 'onecycle'"),
        (["--recipe-opt", "learning_rate=1e30", "--recipe-opt", "batch_size=4"], "the loss became nan"),
        (["--recipe", "twocycle"], "unknown recipe 'twocycle'. Did you mean 'onecycle'?"),
        (["--backbone", "replknet"], "'replknet' is a family of networks; name the one to train: "),
        (["--backbone", "nope"], "unknown backbone 'nope'"),
        (["--dataset", "nope"], "unknown dataset 'nope'"),
        (["--device", "meta"], "--device meta cannot be used here"),
        (["--workers", "0"], "'--workers'"),
        (["--seed", "x"], "'--seed'"),
        (["--out", "/proc/wsolbench/x"], "--out /proc/wsolbench/x: cannot be written"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(cli, made, tmp_path, monkeypatch, options, words):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    done = cli(*TRAIN, *made.options, *options)
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
