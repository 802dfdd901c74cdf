"""Runs that continue: what was made before comes from the cache, and the records are those of one run."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from same_records import same_records

NETWORK = ["-b", "wsolbench:replknet_nano", "-w", "random", "--no-gallery"]

USUAL = {"--batch-size": 4, "--interval": 0.1}


def shards():
    return sorted(Path(os.environ["WSOLBENCH_CACHE"]).rglob("*.shard"))


@pytest.fixture
def run(cli, folder_set):
    """Run two methods on a small data set into a new folder."""
    data = folder_set(val=5, test=10)

    def into(out, *options, methods=("cam", "pc1")):
        named = [part for method in methods for part in ("-m", method)]
        usual = [part for name, value in USUAL.items() if name not in options for part in (name, value)]
        return cli("run", *NETWORK, *data.options, *named, *usual, *options, "--out", out)

    into.data = data
    return into


def test_a_second_run_takes_its_maps_from_the_cache(run, tmp_path):
    assert run(tmp_path / "none", "--no-cache").code == 0
    assert shards() == []
    assert "from the cache" not in run(tmp_path / "first").err
    second = run(tmp_path / "second")
    assert "30 maps from the cache" in second.err
    same_records(tmp_path / "first", tmp_path / "second")
    same_records(tmp_path / "none", tmp_path / "second")


def test_statistics_come_from_the_cache_too(run, tmp_path):
    methods = ("pc1", "cam-pos", "full-image", "noise")
    assert run(tmp_path / "first", methods=methods).code == 0
    assert "60 maps from the cache" in run(tmp_path / "second", methods=methods).err
    same_records(tmp_path / "first", tmp_path / "second")


@pytest.mark.slow
def test_a_further_method_alone_is_computed(run, tmp_path):
    run(tmp_path / "first", methods=["cam"])
    assert "15 maps from the cache" in run(tmp_path / "second").err
    run(tmp_path / "third", "--no-cache")
    same_records(tmp_path / "second", tmp_path / "third")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--seed", 1],
        ["--batch-size", 5],
        ["--input-size", 64],
        ["--target", "predicted"],
        ["--precision", "bf16"],
    ],
    ids=str,
)
def test_what_maps_depend_on_makes_them_anew(run, tmp_path, options):
    run(tmp_path / "first", methods=["cam"])
    done = run(tmp_path / "second", *options, methods=["cam"])
    assert "from the cache" not in done.err


def test_another_option_of_a_method_makes_its_maps_anew(run, tmp_path):
    run(tmp_path / "first")
    done = run(tmp_path / "second", "--method-opt", "pc1.weighting=magnitude")
    assert "15 maps from the cache" in done.err


@pytest.mark.slow
def test_a_changed_image_is_made_again_with_those_of_its_batch(run, tmp_path):
    run(tmp_path / "first")
    path = run.data.images / run.data.ids()[5]
    with Image.open(path) as image:
        size = image.size
    Image.new("RGB", size, "green").save(path)
    done = run(tmp_path / "second")
    assert "22 maps from the cache" in done.err
    run(tmp_path / "third", "--no-cache")
    same_records(tmp_path / "second", tmp_path / "third")


def test_an_image_that_vanished_is_an_error_in_one_line(run, tmp_path):
    run(tmp_path / "first")
    (run.data.images / run.data.ids()[5]).unlink()
    assert run(tmp_path / "second").refused(run.data.ids()[5])
    assert not (tmp_path / "second").exists()


def test_a_damaged_cache_is_told_and_made_again(run, tmp_path):
    run(tmp_path / "first")
    for path in shards():
        with path.open("r+b") as file:
            file.seek(-20, os.SEEK_END)
            file.write(b"\0" * 20)
    done = run(tmp_path / "second")
    assert done.err.count("warning: cache: ") == 2
    assert "damaged" in done.err
    same_records(tmp_path / "first", tmp_path / "second")
    assert "warning" not in run(tmp_path / "third").err


def test_a_place_that_cannot_be_written_is_told_once_and_ends_nothing(run, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("WSOLBENCH_CACHE", str(tmp_path / "file" / "cache"))
    done = run(tmp_path / "first", methods=["cam"])
    assert done.code == 0
    assert done.err.count("maps cannot be kept") == 1


# ------------------------------------------------------------------------------------------------------ finished runs


def test_the_same_command_again_finds_that_nothing_is_left_to_do(run, tmp_path):
    first = run(tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    again = run(tmp_path / "out")
    assert again.code == 0
    assert "nothing is left to do" in again.err
    assert again.out == first.out
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.skipif(os.name != "posix", reason="there are no locks of POSIX")
def test_a_run_that_was_killed_as_soon_as_it_was_finished_leaves_no_lock(run, tmp_path):
    run(tmp_path / "out")
    lock = tmp_path / ".out-draft-12345678.lock"
    lock.write_text(f"wsolbench draft on {socket.gethostname()}\n")
    assert "nothing is left to do" in run(tmp_path / "out").err
    assert not lock.exists()


def test_other_settings_do_not_go_into_a_finished_folder(run, tmp_path):
    run(tmp_path / "out")
    assert run(tmp_path / "out", "--seed", 1).refused("the folder is not empty; name a new one")
    assert run(tmp_path / "out", methods=["cam"]).refused("the folder is not empty; name a new one")


def test_a_finished_run_of_other_images_is_refused(run, tmp_path):
    run(tmp_path / "out")
    path = run.data.images / run.data.ids()[5]
    path.write_bytes(path.read_bytes() + b"\0")  # the same pixels, another file
    assert run(tmp_path / "out").refused("as they are now", "name a new folder")


def test_without_the_cache_nobody_can_tell_whether_images_are_the_same(run, tmp_path, cli):
    run(tmp_path / "out")
    assert cli("cache", "prune", "--unused-for", 0).code == 0
    assert run(tmp_path / "out").refused("the cache has no maps of 'cam'", "name a new folder")


# ------------------------------------------------------------------------------------------------------------- rescore


def test_rescored_maps_have_the_scores_of_a_run_with_these_settings(run, cli, tmp_path):
    run(tmp_path / "coarse")
    run(tmp_path / "fine", "--interval", 0.01, "--tau", "otsu", "--no-cache")
    for method in ("cam", "pc1"):
        record = tmp_path / "coarse" / f"record-{method}.json"
        done = cli("rescore", record, "--interval", 0.01, "--tau", "otsu", "--out", tmp_path / method)
        assert done.code == 0, done.err
        ours, theirs = (
            json.loads((folder / record.name).read_text()) for folder in (tmp_path / method, tmp_path / "fine")
        )
        same = ("metrics", "intervals", "thresholds", "dataset", "backbone", "method", "protocol", "outcomes_sha256")
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
        assert ours["rescored_from"] == json.loads(record.read_text())["outcomes_sha256"]


def test_another_split_is_scored_if_its_maps_are_there(run, cli, tmp_path):
    run(tmp_path / "out")
    done = cli(
        "rescore", tmp_path / "out" / "record-cam.json", "--split", "train-fullsup", "--out", tmp_path / "o", "--json"
    )
    assert done.records[0]["dataset"]["split_sizes"] == {"train-fullsup": 5}


def test_what_cannot_be_rescored_is_refused(run, cli, tmp_path):
    run(tmp_path / "out", "--no-cache")
    record = tmp_path / "out" / "record-cam.json"
    assert cli("rescore", record).refused("does not hold its maps", "make them again: wsolbench run")
    assert cli("rescore", tmp_path / "none.json").refused("none.json")
    run(tmp_path / "kept")
    path = run.data.images / run.data.ids()[5]
    path.write_bytes(path.read_bytes() + b"\0")
    record = tmp_path / "kept" / "record-cam.json"
    assert cli("rescore", record, "--out", tmp_path / "new").refused("their files have changed")
    assert not (tmp_path / "new").exists()


def test_saved_maps_are_scored_as_those_of_their_run(run, cli, tmp_path):
    run(tmp_path / "out", "--save-scoremaps", tmp_path / "maps")
    record = tmp_path / "out" / "record-pc1.json"
    places = ["--scoremaps", tmp_path / "maps/pc1/test", "--fullsup-scoremaps", tmp_path / "maps/pc1/val"]
    given = ["evaluate", *run.data.options, *places, "--interval", 0.1, "--from", record]
    done = cli(*given, "--classifier", record, "--out", tmp_path / "again")
    assert done.code == 0, done.err
    ours, theirs = (json.loads(path.read_text()) for path in (tmp_path / "again" / record.name, record))
    for name in ("metrics", "backbone", "method", "protocol"):
        assert ours[name] == theirs[name], name
    assert cli(*given, "--name", "mine").refused("--from and --name", "omit one")
    assert cli("evaluate", "--dataset", "critters", *places, "--from", record).refused("is of the data set 'folder'")
    assert cli(*given[:-1], tmp_path / "none.json").refused("none.json")


# -------------------------------------------------------------------------------------------------------- the commands


def test_what_is_kept_is_listed_verified_and_removed(run, cli, tmp_path):
    assert "0 sets of maps" in cli("cache", "list").out
    run(tmp_path / "out")
    listed = cli("cache", "list").out
    assert "replknet_nano (random seed 0), cam, folder" in listed
    assert "2 sets of maps" in listed
    (first, _) = cli("cache", "list", "--json").records
    assert first["identity"]["recorded"]["backbone"]["name"] == "replknet_nano"
    assert cli("cache", "verify").out == "10 entries of 2 sets are whole\n"
    with shards()[0].open("ab") as file:
        file.write(b"half an entry")
    assert cli("cache", "verify").refused("1 fault", "cut short", "cache prune --damaged")
    assert "removed 1 set of maps" in cli("cache", "prune", "--damaged").out
    assert "1 set of maps" in cli("cache", "list").out
    assert cli("cache", "prune").refused("name what to remove")
    assert "removed 1 set of maps" in cli("cache", "prune", "--unused-for", 0).out
    assert shards() == []


# ---------------------------------------------------------------------------------------------------------------- kills


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
def test_killed_and_continued_runs_give_the_record_of_one_run(tmp_path):
    """``WSOLBENCH_KILLS`` says how many runs are killed; 20 by default."""
    options = [*NETWORK, "--dataset", "critters", "--limit", 60, "-m", "cam", "-m", "pc1", "--batch-size", 4]
    command = [sys.executable, "-m", "wsolbench", "run", *map(str, options), "--out"]
    whole = subprocess.run([*command, tmp_path / "whole", "--no-cache"], capture_output=True, text=True, check=True)
    assert whole.stdout
    generator, taken = random.Random(0), 0
    for number in range(int(os.environ.get("WSOLBENCH_KILLS", 20))):
        shutil.rmtree(os.environ["WSOLBENCH_CACHE"], ignore_errors=True)
        out = tmp_path / f"out-{number}"
        process = subprocess.Popen([*command, out], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for line in process.stderr:  # kill it while it works, not while it imports
            if line.startswith("[train-fullsup]"):
                break
        time.sleep(generator.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        done = subprocess.run([*command, out], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        taken += "from the cache" in done.stderr
        same_records(tmp_path / "whole", out)
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert taken
