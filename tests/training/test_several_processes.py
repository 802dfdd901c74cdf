"""A training in several processes: the steps of one process, but for rounding; killed and resumed, the same bits."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from wsolbench.engine.ranks import Ranks
from wsolbench.networks.weights import state_sha256
from wsolbench.training.shared_steps import SharedSteps

MIXING = """
import os, signal
from dataclasses import dataclass
from functools import cached_property
import numpy as np
import torch
from torch.nn import functional as F
from wsolbench.api import RecipeSpec, hookimpl

@dataclass
class Mixing:
    epochs: int = 2
    batch_size: int = 4
    calls = 0

    def augment(self, image, config, generator):
        noise = generator.integers(256, size=(config.size, config.size, 3), dtype=np.uint8)
        return noise // 2 + int(image.mean()) // 2

    def prepare(self, images, labels, generator):
        Mixing.calls += 1
        if Mixing.calls == 5 and os.environ.get("RANK") == os.environ.get("KILLED"):
            os.kill(os.getpid(), signal.SIGKILL)
        partner = torch.randperm(len(images), generator=generator)
        return 0.7 * images + 0.3 * images[partner], (labels, labels[partner])

    def loss(self, logits, targets):
        first, second = targets
        return 0.7 * F.cross_entropy(logits, first) + 0.3 * F.cross_entropy(logits, second)

    def optimizer(self, network, total_steps):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0, 1)

@hookimpl
def wsolbench_recipes():
    return [RecipeSpec(name="mixing", build=Mixing, source="a test")]
"""


def test_a_batch_is_divided_in_order_each_image_once():
    order = np.array([9, 3, 7, 1, 8, 2, 5])
    of = [SharedSteps(Ranks(number, 2)) for number in range(2)]
    assert [list(each.own(order[:6], 4)) for each in of] == [[9, 3, 8], [7, 1, 2]]
    assert [list(each.own(order[:3], 4)) for each in of] == [[9], [3, 7]]


def test_one_process_exchanges_nothing():
    alone, part = SharedSteps(), torch.ones(3, 2)
    before = torch.get_rng_state()
    alone.seed(0, 1, 2, of_all=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert alone.whole(part, 3) is part
    assert alone.rows(5) == slice(0, 5)


def test_draws_of_a_step_are_of_a_process_or_of_all():
    def drawn(number, *, of_all, step=0):
        SharedSteps(Ranks(number, 2)).seed(7, 1, step, of_all=of_all)
        return torch.rand(()).item()

    assert drawn(0, of_all=True) == drawn(1, of_all=True)
    assert len({drawn(0, of_all=False), drawn(1, of_all=False), drawn(0, of_all=True)}) == 3
    assert drawn(0, of_all=False) != drawn(0, of_all=False, step=1)


def test_outputs_need_a_row_for_each_image():
    steps = SharedSteps(Ranks(0, 2))
    steps.check_outputs({"logits": torch.ones(2, 7)}, 4)
    with pytest.raises(TypeError, match=r"'scale' of shape \(\): expected a row for each of 2 images"):
        steps.check_outputs({"scale": torch.ones(())}, 4)


def test_hashes_of_weights_are_of_names_and_values():
    one = {"a": torch.ones(2), "b": torch.zeros((), dtype=torch.int64)}
    assert state_sha256(one) == state_sha256({name: value.clone() for name, value in one.items()})
    assert state_sha256(one) != state_sha256({**one, "a": torch.tensor([1.0, 1.0001])})


def test_a_choice_in_several_processes_is_refused_before_any_starts(cli):
    assert cli("train", "-b", "convnext_nano", "--devices=2", "--choose", 2).refused("--choose trains in one process")


def test_numbers_of_processes_are_checked_for_trainings_too(cli):
    assert cli("train", "-b", "convnext_nano", "--devices=0").refused("--devices 0", "from 1 on, or auto")


@pytest.fixture
def train(folder_set, tmp_path):
    """Train on 11 images in so many processes; return what the command has said."""
    data = folder_set(train=11, val=3, test=3)
    plugin = tmp_path / "mixing.py"
    plugin.write_text(MIXING)

    def run(out, *options, devices=2, backbone="resnet_nano", recipe="mixing", killed="none", check=True):
        own = ["-b", backbone, "-r", recipe, "--plugin", plugin, "--input-size", 64, *options]
        several = ["--devices", devices] if devices > 1 else []
        command = [sys.executable, "-m", "wsolbench", "train", *own, *data.options, *several, "--out", tmp_path / out]
        environment = {**os.environ, "KILLED": killed, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=check, timeout=600, env=environment
        )

    return run


def errors(done):
    return [line for line in done.stderr.splitlines() if line.startswith("error")]


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(train, tmp_path):
    """The recipe mixes each image with another of the whole batch, and augments each; the network has no batch norm."""
    for name, devices in (("one", 1), ("two", 2)):
        options = ["--watch", "test", "--keep-every", 1]
        done = train(name, *options, devices=devices, backbone="convnextv2_atto")
        assert done.stdout.count("top-1 on test") == 1
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5
    logs = [pd.read_csv(tmp_path / name / "log.csv").drop(columns="seconds") for name in ("one", "two")]
    pd.testing.assert_frame_equal(*logs, rtol=1e-5)
    cards = [json.loads((tmp_path / name / "card.json").read_text()) for name in ("one", "two")]
    assert [card["processes"] for card in cards] == [None, 2]
    assert cards[0]["train_sha256"] == cards[1]["train_sha256"]
    assert (tmp_path / "two" / "weights-epoch-001.safetensors").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
@pytest.mark.parametrize("rank", ["1"])
def test_a_killed_process_ends_all_with_one_line_and_resume_goes_on(train, tmp_path, rank):
    """Batch norm, and two seeds; the fifth batch is the third epoch's."""
    options = ["--seed", 3, "--seed", 4, "--recipe-opt", "epochs=3"]
    train("whole", *options)
    done = train("again", *options, killed=rank, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    told = [line for line in done.stderr.splitlines() if not re.match(r"\[|seed |warning: the folder", line)]
    assert told == [
        f"error: process {rank} of 2 was ended by SIGKILL, and the run with it; the same command with --resume goes on"
    ]
    assert not (tmp_path / "again").exists()
    refused = train("again", *options, "--resume", devices=1, check=False)
    assert "--devices 2" in errors(refused)[0]
    train("again", *options, "--resume")
    bits = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "again")]
    assert bits[0] == bits[1]


@pytest.mark.slow
def test_systems_with_targets_and_draws_train_in_two_processes(train, tmp_path):
    """Targets are made once; the best epoch is of the first process's score."""
    options = ["--recipe-opt", "epochs=1", "--recipe-opt", "batch_size=4", "--checkpoint", "best-on-train-fullsup"]
    for name in ("f-cam", "cream", "adl"):
        train(name, *options, backbone=f"{name}:resnet_nano", recipe="plain")
        card = json.loads((tmp_path / name / "card.json").read_text())
        assert card["system"]["name"] == name
        assert card["best_epoch"]["epoch"] >= 1


@pytest.mark.slow
def test_a_batch_that_is_not_evenly_shared_is_refused(train):
    done = train("odd", "--recipe-opt", "batch_size=5", check=False)
    assert done.returncode == 2
    assert len(errors(done)) == 1
    assert "such as --recipe-opt batch_size=4" in errors(done)[0]
