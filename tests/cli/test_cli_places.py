"""Where a data set lies, as the command line takes it."""

import shutil
import zipfile

import pytest

TRAIN = ["train", "--backbone", "wsolbench:replknet_nano", "--recipe-opt", "epochs=1", "--recipe-opt", "batch_size=8"]


def move_into_zip(folder, archive):
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(folder.rglob("*.png")):
            target.write(path, path.relative_to(folder.parent))
    shutil.rmtree(folder)


@pytest.mark.slow
def test_images_to_train_on_may_lie_in_a_zip_file(cli, folder_set, tmp_path):
    made = folder_set(train=16, val=2, test=4)
    first, second = tmp_path / "first", tmp_path / "second"
    assert cli(*TRAIN, *made.options, "--out", first).code == 0
    move_into_zip(made.images / "train", tmp_path / "photos.zip")
    assert cli(*TRAIN, *made.options).refused("train/00.png does not exist")
    done = cli(*TRAIN, *made.options, "--train-root", tmp_path / "photos.zip", "--out", second)
    assert done.code == 0, done.err
    assert (first / "weights.safetensors").read_bytes() == (second / "weights.safetensors").read_bytes()


def test_ddt_is_fitted_on_images_in_a_zip_file(cli, folder_set, tmp_path):
    made = folder_set(train=9, val=3, test=4)
    run = [
        "run",
        "--backbone",
        "wsolbench:replknet_nano",
        "--weights",
        "random",
        "--method",
        "ddt",
        "--interval",
        "0.5",
    ]
    (record,) = cli(*run, *made.options, "--json", "--out", tmp_path / "first").records
    move_into_zip(made.images / "train", tmp_path / "photos.zip")
    assert cli(*run, *made.options, "--out", tmp_path / "none").refused("train/00.png does not exist")
    zipped = ["--train-root", tmp_path / "photos.zip", "--json", "--out", tmp_path / "second"]
    (same,) = cli(*run, *made.options, *zipped).records
    assert same["method"]["fitted_images"] == 9
    assert same["outcomes"] == record["outcomes"]


def test_an_archive_whose_folders_begin_elsewhere_is_named(cli, folder_set, tmp_path):
    made = folder_set(train=16, val=2, test=4)
    move_into_zip(made.images / "train", tmp_path / "photos.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("top/train/00.png", b"")
        archive.writestr("another/train/00.png", b"")
    done = cli(*TRAIN, *made.options, "--train-root", tmp_path / "other.zip")
    assert done.refused("there is no train/00.png in", "other.zip; check where its folders begin")
    assert cli(*TRAIN, *made.options, "--train-root", tmp_path / "gone").refused("gone does not exist")


def test_a_data_set_with_its_lists_in_the_data_root(cli, shared_data, tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    named = ["--dataset", "tiny-imagenet-40", "--data-root", shared_data / "tiny-imagenet-40"]
    assert cli("evaluate", "--scoremaps", maps, *named).refused("n01855672/n01855672_425.JPEG")


def test_critters_lie_nowhere(cli, tmp_path):
    assert cli(*TRAIN, "--dataset", "critters", "--train-root", tmp_path).refused("'critters' is drawn", "--train-root")
