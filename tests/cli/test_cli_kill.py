"""What is on disk after a run was killed, at moments spread over its duration."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from PIL import Image

from wsolbench.cli.signals import Stopped, raising_stopped
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


SAID = {
    signal.SIGINT: "interrupted: nothing was recorded",
    signal.SIGTERM: "stopped by SIGTERM: nothing was recorded",
    signal.SIGHUP: "stopped by SIGHUP: nothing was recorded",
}


def has(folder, pattern):
    """Whether a path of a pattern exists; folders may vanish while they are searched."""
    with suppress(FileNotFoundError):
        return any(folder.glob(pattern))
    return False


@pytest.mark.slow
@pytest.mark.parametrize("number", SAID)
@pytest.mark.parametrize(
    "sign", ["new/.out-draft-*", "maps/.pc1-draft-*/val/**/*.npy", "new/.out-draft-*/gallery-cam*"]
)
def test_a_signal_is_one_line_and_leaves_nothing(tmp_path, sign, number):
    work = tmp_path / "work"
    work.mkdir()
    with start(command(work / "new" / "out", work / "maps")) as process:
        while process.poll() is None and not has(work, sign):
            time.sleep(0.01)
        process.send_signal(number)
        process.send_signal(number)  # as ``timeout`` does
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == SAID[number]
    assert list(os.walk(work)) == [(str(work), [], [])]


IMPORTING = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
from wsolbench.cli.app import main
sys.meta_path.insert(0, Interrupting())
main()
"""


@pytest.mark.parametrize("module", ["typer", "wsolbench.cli.commands", "pydantic"])
def test_an_interrupt_during_the_imports_is_one_line(module):
    with start([sys.executable, "-c", IMPORTING, module]) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted: nothing was recorded\n")


def test_little_is_imported_before_an_interrupt_is_heeded():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, wsolbench.cli.app; print(*sys.modules)"], capture_output=True, text=True
    )
    assert not {"typing", "typer", "traceback", "importlib.metadata"} & set(done.stdout.split())


def test_a_second_signal_ends_the_process_at_once(monkeypatch):
    ended = []
    monkeypatch.setattr("wsolbench.cli.signals.exit_at_once", ended.append)
    monkeypatch.setattr("wsolbench.cli.signals.ECHO_SECONDS", 0.05)
    before = signal.getsignal(signal.SIGTERM)
    with raising_stopped():
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert ended == []
        time.sleep(0.06)
        signal.raise_signal(signal.SIGINT)
    assert ended == [signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raising_stopped():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_end_of_file_is_no_interrupt(cli, monkeypatch):
    def end(*_, **__):
        raise EOFError("a damaged file")

    monkeypatch.setattr("wsolbench.cli.session.Session.load_plugins", end)
    with pytest.raises(EOFError, match="a damaged file"):
        cli("list")


@pytest.mark.parametrize("number", SAID)
def test_a_signal_when_the_work_is_done_says_where_the_results_are(cli, tmp_path, monkeypatch, folder_set, number):
    monkeypatch.setattr("wsolbench.records.tables.results_table", lambda *_, **__: signal.raise_signal(number))
    out = tmp_path / "out"
    run = ["run", "--backbone", "wsolbench:replknet_nano", "--weights", "random", "--method", "cam"]
    done = cli(*run, "--interval", "0.5", *folder_set(test=2, val=2).options, "--out", out)
    what = SAID[number].partition(":")[0]
    assert (done.code, done.out, done.err) == (128 + number, "", f"{what}: the results are in {out}\n")
    assert (out / "record-cam.json").is_file()


def test_a_run_whose_folder_was_taken_meanwhile_keeps_its_results(cli, tmp_path, monkeypatch, folder_set):
    from wsolbench.engine import redraw

    out, draw = tmp_path / "out", redraw.draw_galleries

    def take_the_folder(*arguments):
        out.mkdir()
        (out / "theirs").touch()
        draw(*arguments)

    monkeypatch.setattr(redraw, "draw_galleries", take_the_folder)
    run = ["run", "--backbone", "wsolbench:replknet_nano", "--weights", "random", "--method", "cam"]
    done = cli(*run, "--interval", "0.5", *folder_set(test=2, val=2).options, "--out", out)
    assert done.refused(f"--out {out}: it was taken meanwhile; the results are in {out}-2")
    assert read_verified(tmp_path / "out-2" / "record-cam.json")
    assert [path.name for path in out.iterdir()] == ["theirs"]


@pytest.mark.parametrize("moment", ["network", "first map", "gallery", "record"])
def test_an_interrupt_at_any_stage_is_one_line_and_leaves_nothing(cli, tmp_path, monkeypatch, folder_set, moment):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    targets = {
        "network": "wsolbench.engine.run.load_network",
        "first map": "wsolbench.engine.scoring.SplitScore.add",
        "gallery": "wsolbench.engine.redraw.draw_galleries",
        "record": "wsolbench.engine.run.put_record",
    }
    if moment == "record":
        monkeypatch.setattr("wsolbench.engine.redraw.draw_galleries", lambda *_: None)
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
