"""A training that is cut short and continued is the one that was not cut short, or it is refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsolbench.contract import Split
from wsolbench.errors import DataError, OutputError, UsageError
from wsolbench.training.state import StateFile

EPOCHS, STEPS = 3, 2


pytestmark = pytest.mark.usefixtures("no_curve")


@pytest.fixture(autouse=True)
def no_revision(monkeypatch):
    """Start no other program in trainings of milliseconds."""
    monkeypatch.setattr("wsolbench.training.train.git_revision", lambda: None)


class Killed(KeyboardInterrupt):
    """Stands for the end of the process."""


class DiesAt:
    """A loss that takes the process with it at one call."""

    def __init__(self, loss, step):
        self.loss, self.left = loss, step

    def __call__(self, logits, targets):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.loss(logits, targets)


class Jitter:
    """Adds a random brightness to an image that has the network's size already."""

    def __call__(self, image, _config, generator):
        return image // 2 + generator.integers(100, dtype=np.uint8)


@pytest.fixture
def augmented(plan):
    """Make a plan with everything that has a state: augmentation, drop-out, batch norm, momentum, schedule, average."""

    def make(**changes):
        made = plan(epochs=EPOCHS, **changes)
        made.recipe.augment, made.recipe.ema = Jitter(), 0.8
        return made

    return make


def outcome(card, folder):
    """What must not differ: weights, log and card, but for the time that it took."""
    log = pd.read_csv(folder / "log.csv").drop(columns="seconds").to_csv()
    return (folder / "weights.safetensors").read_bytes(), log, card.model_dump(exclude={"seconds", "images_per_second"})


def kill(trained, made, name, step):
    made.recipe.loss = DiesAt(made.recipe.loss, step)
    with pytest.raises(Killed):
        trained(made, name)
    del made.recipe.loss


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=st.lists(st.integers(1, EPOCHS * STEPS), min_size=1, max_size=3),
    save_every=st.integers(1, 4),
    seeds=st.sampled_from([(0,), (5, 6)]),
    batch_size=st.sampled_from([4, 3]),
)
def test_killed_at_any_step_and_resumed_is_the_uninterrupted_one(
    augmented, trained, toys, monkeypatch, kills, save_every, seeds, batch_size
):
    """Saved after some of the steps and every epoch, killed some steps after the start or after the last resumption."""
    steps = iter(range(10_000))
    monkeypatch.setattr(StateFile, "due", property(lambda _: next(steps) % save_every == 0))
    expected = outcome(*trained(augmented(seeds=seeds, batch_size=batch_size), "whole"))
    for number, step in enumerate(kills):
        made = augmented(seeds=seeds, batch_size=batch_size)
        made.recipe.loss = DiesAt(made.recipe.loss, step)
        try:
            trained(made, "cut", resume=number > 0)
            break
        except Killed:
            pass
    else:
        assert outcome(*trained(augmented(seeds=seeds, batch_size=batch_size), "cut", resume=True)) == expected
    assert (toys.folder / "cut/weights.safetensors").read_bytes() == expected[0]


def test_a_state_is_written_at_the_end_of_every_epoch(augmented, trained, toys):
    kill(trained, augmented(), "out", STEPS + 1)
    toys.notes.said.clear()
    trained(augmented(), "out", resume=True)
    assert toys.notes.said[0] == f"continued from {toys.folder / 'out.state'}"
    assert [line.split(":")[0] for line in toys.notes.said[1:]] == ["seed 0 epoch 2/3", "seed 0 epoch 3/3"]


def test_a_training_killed_before_its_first_save_starts_anew(augmented, trained, toys):
    expected = outcome(*trained(augmented(), "whole"))
    kill(trained, augmented(), "out", 1)
    assert not (toys.folder / "out.state").exists()
    assert outcome(*trained(augmented(), "out", resume=True)) == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"options": {"epochs": 30}}, "and this one has --recipe-opt epochs=30; type --recipe-opt epochs=3, or delete"),
        ({"options": {}}, "and this one has --recipe-opt epochs=none; type --recipe-opt epochs=3, or delete"),
        ({"name": "fancy"}, "with --recipe plain, and this one has --recipe fancy; type --recipe plain, or delete"),
        ({"seeds": (0, 1)}, "with --seed 0, and this one has --seed 0 --seed 1; type --seed 0, or delete"),
        ({"watch": (Split.TEST,)}, "without --watch, and this one has --watch test; omit --watch, or delete"),
        ({"precision": "bf16"}, "and this one has --precision bf16; type --precision fp32, or delete"),
    ],
)
def test_another_training_is_refused(augmented, trained, toys, changes, words):
    kill(trained, augmented(), "out", STEPS + 1)
    changes, built = dict(changes), augmented().built_recipe
    options = {**built.options, **changes.pop("options", {})}
    if "epochs=none" in words:
        del options["epochs"]
    offer = replace(built.offer, spec=replace(built.offer.spec, name=changes.pop("name", built.name)))
    other = replace(built, offer=offer, options=options)
    with pytest.raises(UsageError) as refused:
        trained(replace(augmented(), built_recipe=other, **changes), "out", resume=True)
    assert words in str(refused.value)
    assert str(refused.value).endswith("the file to start again")
    assert (toys.folder / "out.state").exists()


def test_other_code_threads_or_data_are_refused(augmented, trained, monkeypatch):
    kill(trained, augmented(), "out", STEPS + 1)
    with monkeypatch.context() as patched:
        patched.setattr("wsolbench.training.train.package_versions", lambda: {"torch": "1.0"})
        with pytest.raises(UsageError, match=r"with torch \S+, and this one has 1.0"):
            trained(augmented(), "out", resume=True)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with pytest.raises(UsageError, match=f"with threads {before}, and this one has {before + 1}"):
            trained(augmented(), "out", resume=True)
    finally:
        torch.set_num_threads(before)
    made = augmented()
    made.dataset.dataset.sizes[Split.TRAIN_WEAKSUP] = 9
    with pytest.raises(UsageError, match="with list of images and labels"):
        trained(made, "out", resume=True)


def test_an_image_that_changed_meanwhile_is_told(augmented, trained):
    kill(trained, augmented(), "out", STEPS + 1)
    made = augmented()
    images = made.dataset.dataset.images

    def spoilt(split):
        part = images(split)
        return replace(part, load=lambda index: part.load(index) | np.uint8(64 * (index == 5)))

    made.dataset.dataset.images = spoilt
    with pytest.raises(DataError, match="the image 'train/5' has changed since this training started"):
        trained(made, "out", resume=True)


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04 cut short"])
def test_a_damaged_state_is_refused(augmented, trained, toys, content):
    (toys.folder / "out.state").write_bytes(content)
    with pytest.raises(UsageError, match=r"out\.state is not a training state; delete it to start again"):
        trained(augmented(), "out", resume=True)


def test_a_state_that_would_run_code_is_not_loaded(augmented, trained, toys):
    class Code:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"format": 1, "identity": json.dumps({}), "current": Code()}, toys.folder / "out.state")
    with pytest.raises(UsageError, match="is not a training state"):
        trained(augmented(), "out", resume=True)


def test_a_state_of_another_version_is_refused(augmented, trained, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("wsolbench.training.state.FORMAT", 0)
        kill(trained, augmented(), "out", STEPS + 1)
    with pytest.raises(UsageError, match="was written by another version"):
        trained(augmented(), "out", resume=True)


def test_a_full_disk_is_one_line_and_leaves_the_state_before(augmented, trained, toys, monkeypatch):
    kill(trained, augmented(), "out", STEPS + 1)
    before = (toys.folder / "out.state").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wsolbench.training.state.atomic_write", full)
    with pytest.raises(OutputError, match=r"out.state cannot be written \(No space left on device\)"):
        trained(augmented(), "out", resume=True)
    assert (toys.folder / "out.state").read_bytes() == before
