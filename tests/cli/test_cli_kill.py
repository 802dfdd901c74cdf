"""What is on disk after a run was killed, at moments spread over its duration."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from wsolbench.records.verify import read_verified

METHODS = ("cam", "pc1")
SETTINGS = ["--limit", "40", "--interval", "0.01"]
SCORED = ("max_box_acc", "fullsup_box_acc", "cam_threshold", "pxap")


def command(out, maps=None):
    parts = [sys.executable, "-m", "wsolbench", "run", "--backbone", "replknet", "--weights", "random", *SETTINGS]
    parts += [part for method in METHODS for part in ("--method", method)] + ["--out", str(out)]
    return parts if maps is None else [*parts, "--save-scoremaps", str(maps)]


def start(parts):
    """Start a command that heeds Ctrl-C, even where the tests are run in the background and must not."""
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(parts, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)


def check_whole_run(out):
    kinds = ("gallery-{}.png", "record-{}.json", "record-{}.outcomes.json.gz")
    expected = {kind.format(method) for kind in kinds for method in METHODS}
    names = {path.name for path in out.iterdir()}
    assert {name for name in names if not name.startswith("images-")} == expected
    assert len(names - expected) == 2  # the ids of the two splits
    for method in METHODS:
        with Image.open(out / f"gallery-{method}.png") as picture:
            picture.load()
    return {method: read_verified(out / f"record-{method}.json") for method in METHODS}


def check_whole_maps(cli, folder, record=None):
    for split in ("val", "test"):
        paths = list((folder / split).rglob("*"))
        stored = [np.load(path) for path in paths if path.suffix == ".npy"]
        assert len(stored) == 40
        assert all(scoremap.shape == (224, 224) for scoremap in stored)
    places = ["--scoremaps", folder / "test", "--fullsup-scoremaps", folder / "val"]
    (again,) = cli("evaluate", "--dataset", "critters", *places, *SETTINGS, "--json").records
    if record is not None:
        for name, value in record.metrics.model_dump().items():
            if any(part in name for part in SCORED):
                assert again["metrics"][name] == value


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_is_trusted_wrongly(cli, tmp_path):
    started = time.monotonic()
    with start(command(tmp_path / "timed")) as process:
        process.communicate(timeout=300)
    assert process.returncode == 0
    duration = time.monotonic() - started
    moments = random.Random(2)
    for attempt in range(10):
        out, maps = tmp_path / f"out-{attempt}", tmp_path / f"maps-{attempt}"
        with start(command(out, maps)) as process:
            try:
                process.wait(timeout=duration * (attempt + moments.random()) / 10 * 1.1)
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()
        records = check_whole_run(out) if out.exists() else {}
        for method in METHODS:
            if (maps / method).exists():
                check_whole_maps(cli, maps / method, records.get(method))
        if not out.exists() and attempt % 4 == 0:
            with start(command(out)) as process:
                assert process.communicate(timeout=300)[1].count("error") == 0
            assert process.returncode == 0
            check_whole_run(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sign", ["new/.out-draft-*", "maps/.pc1-draft-*/val/**/*.npy", "new/.out-draft-*/gallery-cam*"]
)
def test_ctrl_c_is_one_line_and_leaves_nothing(tmp_path, sign):
    work = tmp_path / "work"
    work.mkdir()
    with start(command(work / "new" / "out", work / "maps")) as process:
        while process.poll() is None and not any(work.glob(sign)):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    said = [line for line in err.splitlines() if not line.startswith(("warning: ", "replknet: the variant"))]
    assert said == ["interrupted: nothing was recorded"]
    assert list(os.walk(work)) == [(str(work), [], [])]


@pytest.mark.parametrize("moment", ["network", "first map", "gallery", "record"])
def test_an_interrupt_at_any_stage_is_one_line_and_leaves_nothing(cli, tmp_path, monkeypatch, folder_set, moment):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    targets = {
        "network": "wsolbench.engine.run.load_network",
        "first map": "wsolbench.engine.scoring.SplitScore.add",
        "gallery": "wsolbench.engine.run.draw_galleries",
        "record": "wsolbench.engine.run.write_record",
    }
    if moment == "record":
        monkeypatch.setattr("wsolbench.engine.run.draw_galleries", lambda *_: None)
    monkeypatch.setattr(targets[moment], interrupt)
    work = tmp_path / "work"
    work.mkdir()
    places = ["--out", work / "deep" / "out", "--save-scoremaps", work / "maps"]
    run = [
        "run",
        "--backbone",
        "wsolbench:replknet_nano",
        "--weights",
        "random",
        "--method",
        "cam",
        "--interval",
        "0.1",
    ]
    done = cli(*run, *folder_set(test=12, val=12).options, *places)
    assert (done.code, done.out, done.err) == (130, "", "interrupted: nothing was recorded\n")
    assert list(os.walk(work)) == [(str(work), [], [])]
