"""A training whose process is killed, again and again, ends as the one that nobody disturbed."""

import json
import random
import subprocess
import sys
import time

import pandas as pd
import pytest

OPTIONS = ["epochs=6", "batch_size=16", "drop_path=0.2", "ema=0.99", "learning_rate=0.01"]
TIMES = ("seconds", "images_per_second", "command")


def command(made, out):
    parts = [sys.executable, "-m", "wsolbench", "train", "--backbone", "wsolbench:replknet_nano", *made.options]
    parts += ["--recipe", "modern", *[part for option in OPTIONS for part in ("--recipe-opt", option)]]
    return [*parts, "--seed", "1", "--seed", "2", "--watch", "test", "--device", "cpu", "--out", str(out), "--resume"]


def start(parts):
    return subprocess.Popen(parts, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(out):
    card = json.loads((out / "card.json").read_text())
    log = pd.read_csv(out / "log.csv").drop(columns="seconds")
    return (
        (out / "weights.safetensors").read_bytes(),
        log.to_csv(),
        {key: value for key, value in card.items() if key not in TIMES},
    )


def kill_after_a_save(process, state, delay):
    """Wait until the state is written, and some time more; kill the process if it is still there."""
    before = state.stat().st_mtime_ns if state.exists() else None
    while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.005)
    time.sleep(delay)
    killed = process.poll() is None
    process.kill()
    process.communicate()
    return killed


@pytest.mark.slow
def test_a_training_killed_at_random_moments_and_resumed_is_the_uninterrupted_one(folder_set, tmp_path):
    made = folder_set(train=64, test=4)
    with start(command(made, tmp_path / "whole")) as process:
        err = process.communicate(timeout=600)[1]
    assert process.returncode == 0, err
    out, delays, kills = tmp_path / "cut", random.Random(0), 0
    for _ in range(3):
        with start(command(made, out)) as process:
            kills += kill_after_a_save(process, tmp_path / "cut.state", delays.uniform(0, 1))
    assert kills >= 2
    assert not out.exists()
    with start(command(made, out)) as process:
        err = process.communicate(timeout=600)[1]
    assert process.returncode == 0, err
    assert "continued from" in err
    assert outcome(out) == outcome(tmp_path / "whole")
    assert not (tmp_path / "cut.state").exists()
