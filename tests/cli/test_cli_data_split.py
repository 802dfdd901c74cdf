"""``wsolbench data split``: a train-fullsup cut off the boxed photos of one folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsolbench.api import DatasetRoots
from wsolbench.data import folder_title

BOX = "1,2,20,19"


def write_photo(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path):
    """Write so many photos a class; ``copies`` of the last one of every class are equal to it."""

    def make(root="photos", copies=0, **classes):
        rows = ["image,x0,y0,x1,y1"]
        for number, (name, count) in enumerate((classes or {"cat": 5, "dog": 10}).items()):
            for place in range(count):
                write_photo(tmp_path / root / name / f"{place}.png", 100 * number + min(place, count - 1 - copies))
                rows.append(f"{name}/{place}.png,{BOX}")
        (tmp_path / "boxes.csv").write_text("\n".join(rows))
        return tmp_path

    return make


def split(cli, place, *more, root="photos", out="lists"):
    where = ("--data-root", place / root, "--metadata-root", place / "boxes.csv", "--out", place / out)
    return cli("data", "split", "imagefolder", *where, *more)


def listed(place, part, out="lists"):
    return (place / out / part / "image_ids.txt").read_text().split()


def test_results_and_tables_are_headed_by_the_name_of_the_folder(cli, photos, monkeypatch):
    place = photos(root="Holiday 2024")
    monkeypatch.chdir(place)
    assert split(cli, place, "--share", 0.2, root="Holiday 2024").code == 0
    roots = ("--data-root", "Holiday 2024", "--metadata-root", "lists")
    settings = ("--backbone", "resnet_nano", "--weights", "random", "--method", "full-image", "--no-gallery")
    done = cli("run", "--dataset", "folder", *roots, *settings, "--out", "results")
    assert done.code == 0, done.err
    assert done.out.startswith("Holiday 2024, test: 12 images; τ chosen on 3 images of train-fullsup\n")
    record = json.loads((place / "results" / "record-full-image.json").read_text())
    assert (record["dataset"]["name"], record["dataset"]["title"]) == ("folder", "Holiday 2024")
    added = cli("leaderboard", "add", "results/record-full-image.json", "--folder", "board", "--build")
    assert added.code == 0, added.err
    assert "Holiday 2024, test (12 images, τ from 3 of train-fullsup" in (place / "board" / "README.md").read_text()


@pytest.mark.parametrize(
    ("place", "title"),
    [("birds", "birds"), ("birds/images", "birds"), ("birds.zip", "birds"), ("birds/data", "birds"), ("/", None)],
)
def test_the_title_of_a_folder(place, title):
    assert folder_title(DatasetRoots(images=Path(place))) == title
    assert folder_title(DatasetRoots(metadata=Path(place))) == title


def test_every_class_is_cut_and_the_lists_are_checked(cli, photos):
    place = photos()
    done = split(cli, place, "--share", 0.2)
    assert done.code == 0
    assert "train-fullsup: 3 images; test: 12 images" in done.out
    fullsup, test = listed(place, "val"), listed(place, "test")
    assert [path.partition("/")[0] for path in fullsup] == ["cat", "dog", "dog"]
    everything = [f"{name}/{number}.png" for name, count in (("cat", 5), ("dog", 10)) for number in range(count)]
    assert sorted(fullsup + test) == sorted(everything)
    assert (place / "lists" / "val" / "localization.txt").read_text().split() == [f"{path},{BOX}" for path in fullsup]
    note = json.loads((place / "lists" / "split.json").read_text())
    assert (note["seed"], note["share"], note["train-fullsup"], note["test"]) == (0, 0.2, 3, 12)
    assert note["classes"][1] == {"label": 1, "name": "dog", "train-fullsup": 2, "test": 8}
    command = done.out.splitlines()[1].partition("wsolbench ")[2].split()
    assert cli(*command).code == 0
    assert f"run --dataset folder --data-root {place / 'photos'} --metadata-root {place / 'lists'} --b" in done.out


def test_the_choice_depends_on_the_seed_and_the_pictures_alone(cli, photos):
    place = photos()
    split(cli, place, "--images-per-class", 2)
    assert len(listed(place, "val")) == 4
    (place / "boxes.csv").write_text("\n".join(["image,x0,y0,x1,y1", *sorted_rows(place)[::-1]]))
    split(cli, place, "--images-per-class", 2, out="again")
    assert listed(place, "val", "again") == listed(place, "val")
    split(cli, place, "--images-per-class", 2, "--seed", 1, out="other")
    assert listed(place, "val", "other") != listed(place, "val")


def sorted_rows(place):
    return sorted((place / "boxes.csv").read_text().split("\n")[1:])


def test_equal_pictures_stay_together(cli, photos):
    place = photos(copies=4, cat=10, dog=10)
    for seed in range(3):
        split(cli, place, "--share", 0.5, "--seed", seed, out=f"lists{seed}")
        for name in ("cat", "dog"):
            copies = {f"{name}/{number}.png" for number in range(5, 10)}
            assert len(copies & set(listed(place, "val", f"lists{seed}"))) in (0, 5)
        assert json.loads((place / f"lists{seed}" / "split.json").read_text())["identical_pictures"] == 8


def test_photos_in_a_folder_of_test(cli, photos):
    place = photos(root="photos/test")
    for number in range(2):
        for name in ("cat", "dog"):
            write_photo(place / "photos" / "train" / name / f"{number + 50}.png", 1000 + number)
    assert split(cli, place, "--share", 0.4).code == 0
    assert all(path.startswith("test/") for path in listed(place, "val") + listed(place, "test"))
    assert listed(place, "train")[0] == "train/cat/50.png"


def test_what_cannot_be_cut_is_one_line(cli, photos):
    place = photos(cat=1, dog=4)
    assert split(cli, place, "--share", 0.2).refused("the class 'cat' has 1 image; both splits need one")
    shutil.rmtree(place / "photos")
    place = photos(copies=3, cat=4, dog=4)
    assert split(cli, place, "--share", 0.5).refused("the class 'cat' cannot be cut", "remove the copies")
    assert split(cli, place, "--images-per-class", 4).refused("4 images, of which --images-per-class 4 leaves none")
    for wrong in (("--share", 1), ("--share", "nan"), ("--images-per-class", 0)):
        assert split(cli, place, *wrong).refused(f"{wrong[0]} {wrong[1]}: expected")
    assert split(cli, place).refused("say how much of every class", "--share 0.2 or --images-per-class 10")
    (place / "map.csv").write_text("folder,row\nkat,3\n")
    assert split(cli, place, "--share", 0.2, "--class-map", place / "map.csv").refused(
        "'kat' is not (did you mean 'cat'?)"
    )
    assert not (place / "lists").exists()
    (place / "lists").mkdir()
    (place / "lists" / "mine.txt").touch()
    assert split(cli, place, "--share", 0.5).refused("the folder is not empty")
    shutil.move(place / "photos", place / "moved")
    shutil.move(place / "moved", place / "photos" / "test")
    write_photo(place / "photos" / "val" / "cat" / "a.png", 7)
    assert split(cli, place, "--share", 0.5, out="new").refused("has a train-fullsup split here already")
