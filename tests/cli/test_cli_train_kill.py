"""A training whose process is killed, again and again, ends as the one that nobody disturbed, with every system too."""

import json
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise, product

import pandas as pd
import pytest
from served import network_for

from wsolbench.host.loading import load_plugins

SYSTEMS = [offer.name for offer in load_plugins().systems]
ALONE = "replknet_nano"
RECIPE = ["--recipe", "modern", "--recipe-opt", "drop_path=0.2", "--recipe-opt", "ema=0.99", "--watch", "test"]
SETTINGS = {
    ALONE: [*RECIPE, "--seed", "1", "--seed", "2"],
    "f-cam": ["--seed", "1", "--seed", "2", "--keep-every", "2"],
    "psol": ["--choose", "2", "--keep-every", "1", "--method", "native"],
}
EPOCHS = 5
TIMES = {"seconds", "images_per_second", "command"}
SAVING_EVERY_STEP = """
import sys
from wsolbench.cli.app import main
from wsolbench.training import state
state.SECONDS_BETWEEN_SAVES = 0
main(sys.argv[1:])
"""


def moments(log, settings, draws):
    """Return when a process is killed, in the order of the training: lines that it has said, and seconds after them.

    That is once in each stage of every seed or draw, and at the earliest two epochs before the end of a stage.
    """
    seeds = [value for option, value in pairwise(settings) if option == "--seed"] or ["0"]
    rounds = [f"draw {draw} of 2" for draw in (1, 2)] if "--choose" in settings else [""]
    stages = [epochs for _, epochs in log.groupby("stage", sort=False)] if "stage" in log else [log]
    for said, seed, stage in product(rounds, seeds, stages):
        lines = [f"seed {seed} epoch {number}/" for number in stage["epoch"][:-2]]
        if len(stages) > 1:
            lines.append(f"seed {seed}: stage '{stage['stage'].iloc[0]}' (")
        yield [said, draws.choice(lines)], draws.uniform(0, stage["seconds"].mean())


def kill(arguments, lines, delay):
    """Start a process that saves after every step, and kill it some time after it has said lines in their order."""
    program = [sys.executable, "-c", SAVING_EVERY_STEP, *arguments]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        heard, left = [], list(lines)
        while left and (line := process.stderr.readline()):
            heard.append(line)
            del left[: left[0] in line]
        time.sleep(delay)
        process.kill()
    assert (left, process.returncode) == ([], -signal.SIGKILL), "".join(heard)


def outcome(out):
    """Return everything that a training leaves but for times: weights, log, cards, draws."""
    log = pd.read_csv(out / "log.csv").drop(columns="seconds").to_csv()
    cards = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*.json")}
    return (
        {path.name: path.read_bytes() for path in out.glob("*.safetensors")},
        log,
        {name: {key: value for key, value in card.items() if key not in TIMES} for name, card in cards.items()},
        (out / "choice.csv").read_text() if (out / "choice.csv").exists() else None,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("no_curve")
@pytest.mark.parametrize("trained", [ALONE, *SYSTEMS])
def test_a_training_killed_in_each_stage_and_resumed_is_the_uninterrupted_one(cli, folder_set, tmp_path, trained):
    made, settings = folder_set(train=24, val=4, test=2), SETTINGS.get(trained, [])
    recipe = ["--recipe-opt", f"epochs={EPOCHS}", "--recipe-opt", "batch_size=4", "--input-size", "32"]
    train = [
        "train",
        "--backbone",
        ALONE if trained == ALONE else network_for(trained),
        *made.options,
        *recipe,
        *settings,
        "--device",
        "cpu",
    ]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = cli(*train, "--out", whole)
    assert done.code == 0, done.err
    resumed = [*train, "--out", str(cut), "--resume"]
    for lines, delay in moments(pd.read_csv(whole / "log.csv"), settings, random.Random(trained)):
        kill(resumed, lines, delay)
        assert not cut.exists()
    done = cli(*resumed)
    assert done.code == 0, done.err
    assert "continued from" in done.err
    assert outcome(cut) == outcome(whole)
    assert sorted(path.name for path in tmp_path.glob("cut*")) == ["cut"]
