"""What users meet whose disk is full or read-only, whose images vanish, whose clock jumps, who start a run twice."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from safetensors.torch import load_file
from same_records import same_records

from wsolbench.cache import open_shelf
from wsolbench.cache.shelves import Shelf, list_shelves, load_shelf
from wsolbench.engine import localize

NETWORK = ["-b", "wsolbench:replknet_nano", "-w", "random", "--no-gallery"]
PAGE = 4096


def mount(*arguments):
    """Mount a disk in memory, or change one; skip the test where that is not allowed."""
    if not sys.platform.startswith("linux"):
        pytest.skip("disks in memory are mounted on Linux alone")
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    """A disk of so many pages of 4 KiB, which is gone at the end of the block: ``with disk(3) as folder:``."""

    @contextmanager
    def mounted(pages):
        place = tmp_path / "disk"
        place.mkdir()
        mount("-t", "tmpfs", "-o", f"size={pages * PAGE},mode=777", "tmpfs", place)
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)
            place.rmdir()

    return mounted


@pytest.fixture
def run(cli, folder_set):
    """Run two methods on a small data set into a new folder."""
    data = folder_set(val=5, test=10)
    usual = [*NETWORK, *data.options, "-m", "cam", "-m", "pc1", "--batch-size", 4, "--interval", 0.1]

    def into(out, *options):
        return cli("run", *usual, *options, "--out", out)

    into.data = data
    return into


def left_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# ----------------------------------------------------------------------------------------------------------- full disks


@pytest.mark.slow
@pytest.mark.parametrize("pages", [1, 6])
def test_a_full_disk_under_the_cache_is_told_once_and_changes_no_record(run, disk, tmp_path, monkeypatch, pages):
    run(tmp_path / "whole", "--no-cache")
    with disk(pages) as place:
        monkeypatch.setenv("WSOLBENCH_CACHE", str(place / "cache"))
        done = run(tmp_path / "out")
        assert done.code == 0
        assert done.err == (
            f"warning: cache: maps cannot be kept in {place / 'cache'} (No space left on device), so that a run that "
            "is stopped makes them again; WSOLBENCH_CACHE may name another place\n"
        )
        same_records(tmp_path / "whole", tmp_path / "out")
        assert len(list_shelves(place / "cache")) == {1: 0, 6: 2}[pages]  # no folder without its description
        again = run(tmp_path / "again")
        assert ("14 maps from the cache" in again.err) == (pages == 6)
        same_records(tmp_path / "whole", tmp_path / "again")


@pytest.mark.slow
def test_a_full_disk_under_the_records_loses_nothing(run, disk, tmp_path):
    with disk(8) as place:  # there is room for one record, and not for two
        assert run(place / "deep" / "out").refused(f"--out {place}/deep/out: cannot be written (No space left")
        assert left_in(place) == []
        mount("-o", f"remount,size={100 * PAGE}", place)
        done = run(place / "deep" / "out")
        assert "30 maps from the cache" in done.err
        run(tmp_path / "whole", "--no-cache")
        same_records(tmp_path / "whole", place / "deep" / "out")


def test_a_full_disk_under_saved_scoremaps_is_one_line(run, disk, tmp_path):
    with disk(400) as place:  # a map takes 50 pages
        done = run(tmp_path / "out", "--save-scoremaps", place / "maps")
        assert done.refused(f"--save-scoremaps {place}/maps/", "cannot be written (No space left on device)")
        assert left_in(place) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("no_curve")
def test_a_full_disk_under_a_training_loses_no_epoch(cli, folder_set, disk, tmp_path):
    data = folder_set(train=8, test=2)
    recipe = ["--recipe-opt", "epochs=2", "--recipe-opt", "batch_size=8", "--input-size", 32]
    train = ["train", "--backbone", "wsolbench:replknet_nano", *data.options, *recipe]
    with disk(100) as place:
        done = cli(*train, "--out", place / "out")
        assert f"error: the training's state {place}/out.state cannot be written (No space left" in done.err
        assert done.code == 2
        assert left_in(place) == []
    with disk(800) as place:  # there is room for one state of 590 pages, and not for the next one beside it
        done = cli(*train, "--out", place / "out")
        assert done.code == 2
        assert f"{place}/out.state holds the training so far; --resume --out {place}/out continues it" in done.err
        assert left_in(place) == ["out.state"]
        mount("-o", f"remount,size={2000 * PAGE}", place)
        done = cli(*train, "--out", place / "out", "--resume")
        assert done.code == 0, done.err
        resumed = load_file(place / "out" / "weights.safetensors")
        assert not (place / "out.state").exists()
    cli(*train, "--out", tmp_path / "whole")
    whole = load_file(tmp_path / "whole" / "weights.safetensors")
    assert all(torch.equal(values, whole[name]) for name, values in resumed.items())


# ------------------------------------------------------------------------------------------------------ read-only disks


def test_a_read_only_place_is_refused_before_the_work(run, cli, disk, tmp_path):
    with disk(100) as place:
        (place / "empty").mkdir()
        mount("-o", "remount,ro", place)
        why = "cannot be written (Read-only file system)"
        assert run(place / "out").refused(f"--out {place}/out: {why}")
        assert run(place / "empty").refused(f"--out {place}/empty: {why}")
        maps = run(tmp_path / "out", "--save-scoremaps", place / "maps")
        assert maps.refused(f"--save-scoremaps {place}/maps/cam: {why}")
        trained = cli("train", "-b", "replknet_nano", *run.data.options, "--out", place / "out")
        assert trained.refused(f"--out {place}/out: {why}")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_read_only_cache_gives_what_it_holds(run, cli, disk, tmp_path, monkeypatch):
    with disk(100) as place:
        monkeypatch.setenv("WSOLBENCH_CACHE", str(place / "cache"))
        run(tmp_path / "first")
        mount("-o", "remount,ro", place)
        second = run(tmp_path / "second")
        assert "30 maps from the cache" in second.err
        assert "warning" not in second.err  # all is there: nothing had to be kept
        same_records(tmp_path / "first", tmp_path / "second")
        third = run(tmp_path / "third", "--seed", 1)
        assert third.err.count("maps cannot be kept") == 1
        assert "(Read-only file system)" in third.err
        assert "2 sets of maps" in cli("cache", "list").out
        assert "10 entries of 2 sets are whole" in cli("cache", "verify").out
        pruned = cli("cache", "prune", "--unused-for", 0)
        assert pruned.refused("cannot be removed (Read-only file system)")


# --------------------------------------------------------------------------------------------------------------- images


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["vanishes", "becomes a text"])
def test_an_image_that_is_lost_midway_costs_no_finished_map(run, tmp_path, monkeypatch, fate):
    run(tmp_path / "whole", "--no-cache")
    lost = run.data.images / run.data.ids()[-1]
    content, put = lost.read_bytes(), Shelf.put

    def lose(*arguments):
        if lost.exists():
            lost.unlink()
        if fate != "vanishes":
            lost.write_text("404: not found\n")
        return put(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "put", lose)
        done = run(tmp_path / "out")
        assert done.refused(run.data.ids()[-1])
    assert not (tmp_path / "out").exists()
    lost.write_bytes(content)
    again = run(tmp_path / "out")
    assert "26 maps from the cache" in again.err  # all but those of the last batch
    same_records(tmp_path / "whole", tmp_path / "out")


# ---------------------------------------------------------------------------------------------------- two runs at once


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="processes cannot be halted")
def test_two_runs_at_once_are_both_whole(run, cli, tmp_path):
    """One is halted while it works, the other begins and ends meanwhile; both use one cache and one --out."""
    data = [*run.data.options, "-m", "cam", "--batch-size", "1", "--interval", "0.1"]
    command = [sys.executable, "-m", "wsolbench", "run", *NETWORK, *data, "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as first:
        for line in first.stderr:
            if line.startswith("[train-fullsup]"):
                break
        first.send_signal(signal.SIGSTOP)
        try:
            kept = cli("cache", "prune", "--unused-for", 0)
            second = cli("run", *command[4:])
        finally:
            first.send_signal(signal.SIGCONT)
        err = first.stderr.read()
    assert "kept 1 set that a run uses right now" in kept.out
    assert second.code == 0, second.err
    assert first.returncode == 2
    assert err.splitlines()[-1] == (
        f"error: --out {tmp_path}/out: it was taken meanwhile; the results are in {tmp_path}/out-2"
    )
    same_records(tmp_path / "out", tmp_path / "out-2")
    assert cli("run", *command[4:-1], tmp_path / "alone", "--no-cache").code == 0
    same_records(tmp_path / "alone", tmp_path / "out")
    assert "are whole" in cli("cache", "verify").out


# ---------------------------------------------------------------------------------------------------------------- clock


@pytest.fixture
def own_times(disk):
    """A folder whose file system knows times that no calendar has."""
    with disk(100) as place:
        yield place


@pytest.mark.parametrize("moment", [2**33, -(2**33), 2**45])
def test_the_cache_is_listed_and_removed_whatever_the_clock_has_written(cli, monkeypatch, own_times, moment):
    monkeypatch.setenv("WSOLBENCH_CACHE", str(own_times))
    with open_shelf(own_times, {"network": "a"}) as shelf:
        shelf.put(b"p" * 32, b"c" * 32, b"kept")
    os.utime(shelf.folder / "shelf.json", (moment, moment))
    (listed,) = cli("cache", "list", "--json").records
    assert listed["used"][:4] == {2**33: "2242", -(2**33): "1697", 2**45: "9999"}[moment]
    removed = cli("cache", "prune", "--unused-for", 1e12)
    assert "removed 0 sets" in removed.out
    removed = cli("cache", "prune", "--unused-for", 30)
    assert ("removed 1 set" in removed.out) == (moment < 0)
    assert cli("cache", "prune", "--unused-for", 0).code == 0
    assert not shelf.folder.exists()


def test_a_clock_that_jumps_back_changes_no_record(run, tmp_path, monkeypatch):
    run(tmp_path / "whole", "--no-cache")
    now, clock = time.time(), [0.0]

    def jumping():
        clock[0] += 1e6
        return now - clock[0]

    monkeypatch.setattr(time, "time", jumping)
    assert run(tmp_path / "out").code == 0
    same_records(tmp_path / "whole", tmp_path / "out")
    seconds = json.loads((tmp_path / "out" / "record-cam.json").read_text())["seconds"]
    assert all(0 <= each < 1000 for each in seconds.values())


# ------------------------------------------------------------------------------------------------ entries of the cache


def shelves():
    return [load_shelf(shelf.folder) for shelf in list_shelves(Path(os.environ["WSOLBENCH_CACHE"]))]


def reseal(change):
    """Write every entry of the cache again, changed, with right checksums."""
    for shelf in shelves():
        entries = [stored for of_place in shelf._places.values() for stored in of_place]
        payloads = [shelf.get(stored.place, stored.content) for stored in entries]
        for path in shelf.folder.glob("*.shard"):
            path.unlink()
        with open_shelf(shelf.folder.parents[1], json.loads((shelf.folder / "shelf.json").read_text())) as again:
            for stored, payload in zip(entries, payloads, strict=True):
                again.put(stored.place, stored.content, change(payload))


def changed_arrays(change):
    """Return the change of a payload whose arrays are changed, and whose words stay."""

    def changed(payload):
        length = int.from_bytes(payload[:8], "little")
        arrays = load(payload)
        change(arrays)
        return save(arrays, metadata=json.loads(payload[8 : 8 + length])["__metadata__"])

    return changed


def with_nan(arrays):
    arrays["maps"][-1, 0, 0] = np.nan


def test_nan_of_a_method_is_told_with_and_without_the_cache(run, tmp_path, monkeypatch):
    apply = localize.apply_method

    def spoilt(*arguments):
        made = apply(*arguments)
        maps = made.maps.copy()
        maps[-1, 0, 0] = np.nan
        return replace(made, maps=maps)

    with monkeypatch.context() as patched:
        patched.setattr(localize, "apply_method", spoilt)
        computed = run(tmp_path / "computed")
    cached = run(tmp_path / "cached")
    assert "30 maps from the cache" in cached.err
    assert "NaN or infinity" in computed.err
    warnings = [[line for line in done.err.splitlines() if "warning" in line] for done in (computed, cached)]
    assert warnings[0] == warnings[1]
    same_records(tmp_path / "computed", tmp_path / "cached")


def test_nan_that_somebody_sealed_is_told(run, tmp_path):
    run(tmp_path / "first")
    reseal(changed_arrays(with_nan))
    assert "NaN or infinity" in run(tmp_path / "second").err


OTHER_THAN_WRITTEN = (
    lambda _: b"no batch",
    lambda payload: payload[:-8],
    changed_arrays(lambda arrays: arrays.pop("maps")),
    changed_arrays(lambda arrays: arrays.update(maps=arrays["maps"][:, 0].copy())),
    changed_arrays(lambda arrays: arrays.update(maps=arrays["maps"][:1].repeat(9, axis=0))),
    changed_arrays(lambda arrays: arrays.update({"hits 1": np.zeros(9, dtype=bool)})),
    changed_arrays(lambda arrays: arrays.update(sizes=arrays["sizes"][:, :1].copy())),
    changed_arrays(lambda arrays: arrays.update({"statistic x": np.zeros(9)})),
    changed_arrays(lambda arrays: arrays.update(counts=np.ones(9, dtype=np.int64), corners=arrays.pop("maps"))),
    lambda payload: payload.replace(b"digests", b"digestz"),
)


def test_what_somebody_sealed_and_is_no_batch_is_made_again(run, tmp_path):
    run(tmp_path / "first")
    changes = iter(OTHER_THAN_WRITTEN)  # one for each entry
    reseal(lambda payload: next(changes)(payload))
    done = run(tmp_path / "second")
    assert done.code == 0, done.err
    assert done.err.count("warning: cache: ") == done.err.count("an entry with a right checksum is no batch of maps")
    assert "from the cache" not in done.err
    same_records(tmp_path / "first", tmp_path / "second")
