import shutil

import pytest


@pytest.fixture
def made(folder_set):
    return folder_set(train=4, val=4, test=6)


def test_a_clean_data_set(cli, made):
    done = cli("data", "check", "folder", *made.options[2:])
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "folder"
    assert lines[2].split()[:3] == ["split", "images", "expected"]
    assert lines[6].split() == ["test", "6", "–", "2", "3", "6", "–", "0", "0"]
    assert lines[-1] == "no error and no warning"
    assert done.err == ""


def test_a_faulty_data_set_has_a_report_and_an_exit_code(cli, made):
    (made.images / "test" / "02.png").write_bytes(b"")
    shutil.copy(made.images / "val" / "00.png", made.images / "test" / "00.png")
    done = cli("data", "check", "folder", *made.options[2:])
    assert done.code == 2
    assert done.err == "error: 2 errors in the data set 'folder': a run would fail or violate the protocol\n"
    assert "errors\n  test: image 'test/02.png' cannot be read" in done.out
    assert (
        "train-fullsup and test share 1 picture (val/00.png = test/00.png): a threshold would be chosen on" in done.out
    )
    assert "no error and no warning" not in done.out


def test_what_is_only_a_warning_fails_nothing(cli, made):
    for name in ("unlisted.png", "._00.png"):  # the second as file managers leave it
        shutil.copy(made.images / "test" / "00.png", made.images / "test" / name)
    done = cli("data", "check", "folder", *made.options[2:])
    assert done.code == 0
    assert "warnings\n  in no list, but below " in done.out
    assert "1 image (test/unlisted.png)" in done.out
    assert done.out.splitlines()[-1] == "no error; see the warnings"


def test_faults_of_boxes_do_not_hide_those_of_images(cli, made, tmp_path):
    rows = [f"{split}/{name}/0.png,0,0,3,3" for split in ("val", "test") for name in ("cat", "dog")]
    for split in ("train", "val", "test"):
        for number, name in enumerate(("cat", "dog")):
            (tmp_path / "own" / split / name).mkdir(parents=True)
            shutil.copy(made.images / split / f"{number:02d}.png", tmp_path / "own" / split / name / "0.png")
    (tmp_path / "own" / "test" / "cat" / "0.png").write_bytes(b"")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(["image,x0,y0,x1,y1", *rows]).replace("test/dog/0.png,0", "test/dog/0.png,x"))
    done = cli("data", "check", "imagefolder", "--data-root", tmp_path / "own", "--metadata-root", boxes)
    assert done.code == 2
    assert "test: image 'test/cat/0.png' cannot be read" in done.out
    assert done.out.count("boxes.csv, line 5: expected image,x0,y0,x1,y1 in numbers") == 1
    assert "in no list" not in done.out


def test_what_is_not_available_is_no_fault(cli, made):
    shutil.rmtree(made.images / "train")
    done = cli("data", "check", "folder", *made.options[2:])
    assert done.code == 0
    assert done.out.splitlines()[4].split() == ["train-weaksup", "4", "–", "2", "2", "–", "–", "not", "available", "0"]
    assert "notes\n  train-weaksup is not available: none of its 4 images is below" in done.out


def test_it_takes_the_places_that_every_command_takes(cli, made, tmp_path):
    (made.images / "train").rename(tmp_path / "train")
    options = [*made.options[2:], "--train-root", tmp_path]
    assert "not available" not in cli("data", "check", "folder", *options).out


def test_mistakes_are_told_in_one_line(cli, tmp_path):
    assert cli("data", "check", "foldr").refused("unknown data set 'foldr'. Did you mean 'folder'")
    assert cli("data", "check", "folder").refused("pass --metadata-root DIR")
    assert cli("data", "check", "folder", "--metadata-root", tmp_path).refused("holds no split")


@pytest.mark.slow
def test_the_shared_photos(cli, shared_data):
    done = cli("data", "check", "tiny-imagenet-40", "--data-root", shared_data / "tiny-imagenet-40")
    assert done.code == 0, done.err
    assert "errors" not in done.out
    assert "train-weaksup and train-fullsup share 1 picture" in done.out  # two names for one bottle
