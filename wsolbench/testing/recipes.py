"""The checks of a recipe: its batches, its random draws, its optimizer and its saved state."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wsolbench.contract import Augmenting, Averaging, InputConfig, RecipeSpec
from wsolbench.testing.expectations import expect, expect_finite, seeded, skip
from wsolbench.testing.options import check_options
from wsolbench.testing.process import expect_process_kept
from wsolbench.testing.toys import CLASSES, ToyNetwork

__all__ = [
    "RECIPE_CHECKS",
    "check_recipe_augment",
    "check_recipe_average",
    "check_recipe_continues",
    "check_recipe_deterministic",
    "check_recipe_numbers",
    "check_recipe_prepare",
    "check_recipe_process",
    "check_recipe_step",
]


def check_recipe_numbers(spec: RecipeSpec) -> None:
    """Epochs and batch size are positive whole numbers."""
    recipe = spec.build()
    for what in ("epochs", "batch_size"):
        value = getattr(recipe, what)
        assert isinstance(value, int), f"{what}: expected a whole number, got {value!r}"
        assert value > 0, f"{what}: expected a positive number, got {value}"


def check_recipe_prepare(spec: RecipeSpec) -> None:
    """Prepared images keep shape and type, and are finite; targets that are a tensor have one entry an image."""
    images, labels = _batch()
    prepared, targets = _prepared(spec)
    expect("shape of prepared images", tuple(images.shape), tuple(prepared.shape))
    expect("type of prepared images", images.dtype, prepared.dtype)
    expect_finite("prepared images", prepared)
    if isinstance(targets, Tensor):
        expect("targets", len(labels), len(targets))


def check_recipe_deterministic(spec: RecipeSpec) -> None:
    """Every random draw comes from the given generator: the global one changes nothing."""
    logits = _logits()
    with seeded(1):
        first, first_targets = _prepared(spec)
        first_loss = spec.build().loss(logits, first_targets)
    with seeded(2):
        second, second_targets = _prepared(spec)
        second_loss = spec.build().loss(logits, second_targets)
    assert torch.equal(first, second), "prepared images: expected the same from an equal generator, got others"
    assert torch.equal(first_loss, second_loss), "loss: expected the same from an equal generator, got another"


def check_recipe_augment(spec: RecipeSpec) -> None:
    """Images that the recipe augments itself have the network's size, and depend on the given generator only."""
    recipe = spec.build()
    if not isinstance(recipe, Augmenting):
        skip("the recipe has no augment")
    config = InputConfig(size=32)
    for number, shape in enumerate(((48, 31, 3), (32, 32, 3), (9, 20, 3))):
        image = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
        before = image.copy()
        made = []
        for seed in (1, 2):
            with seeded(seed), _python_seeded(seed):
                made.append(recipe.augment(image, config, np.random.default_rng((0, number))))
        expect("shape of an augmented image", (config.size, config.size, 3), made[0].shape)
        expect("type of an augmented image", np.dtype(np.uint8), made[0].dtype)
        assert np.array_equal(made[0], made[1]), (
            "augmented image: expected the same from an equal generator, got another"
        )
        assert np.array_equal(image, before), "the image itself: expected no change, got another"


def check_recipe_average(spec: RecipeSpec) -> None:
    """The highest decay of an average of the weights, if there is one, lies between 0 and 1."""
    recipe = spec.build()
    if not isinstance(recipe, Averaging) or recipe.ema is None:
        skip("the recipe has no ema")
    assert 0 < recipe.ema < 1, f"ema: expected a number between 0 and 1, got {recipe.ema}"


def check_recipe_continues(spec: RecipeSpec) -> None:
    """A training that is rebuilt from its saved state half-way ends with the same parameters as one that is not."""
    expected, actual = (_parameters_after_training(spec, interrupted=interrupted) for interrupted in (False, True))
    for one, other in zip(expected, actual, strict=True):
        assert torch.equal(one, other), "parameters after a training cut in two: expected those of one, got others"


def check_recipe_step(spec: RecipeSpec) -> None:
    """The loss is one finite number, and steps of the optimizer and its schedule change the network."""
    steps = 4
    with seeded():
        network = ToyNetwork().train()
        before = [parameter.detach().clone() for parameter in network.parameters()]
        recipe = spec.build()
        optimizer, schedule = recipe.optimizer(network, steps)
        for _ in range(steps):
            prepared, targets = _prepared(spec)
            loss = recipe.loss(network(prepared), targets)
            expect("shape of the loss", (), tuple(loss.shape))
            expect_finite("loss", loss)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    parameters = list(network.parameters())
    for parameter in parameters:
        expect_finite("parameters after training", parameter)
    changed = any(not torch.equal(one, other) for one, other in zip(before, parameters, strict=True))
    assert changed, "parameters after training: expected a change, got none"


def check_recipe_process(spec: RecipeSpec) -> None:
    """A step leaves seeds, threads and settings of the process as they are, and prints nothing to stdout."""

    def act() -> None:
        recipe, network = spec.build(), ToyNetwork().train()
        optimizer, schedule = recipe.optimizer(network, 2)
        prepared, targets = _prepared(spec)
        recipe.loss(network(prepared), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if isinstance(recipe, Augmenting):
            recipe.augment(np.zeros((40, 40, 3), dtype=np.uint8), InputConfig(size=32), np.random.default_rng(0))

    expect_process_kept(act)


RECIPE_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_recipe_numbers,
    check_recipe_prepare,
    check_recipe_deterministic,
    check_recipe_augment,
    check_recipe_average,
    check_recipe_step,
    check_recipe_continues,
    check_recipe_process,
    check_options,
)


def _batch() -> tuple[Tensor, Tensor]:
    with seeded():
        return torch.randn(6, 3, 24, 32), torch.arange(6) % CLASSES


def _prepared(spec: RecipeSpec) -> tuple[Tensor, Tensor]:
    images, labels = _batch()
    return spec.build().prepare(images, labels, torch.Generator().manual_seed(0))


def _logits() -> Tensor:
    with seeded():
        return torch.randn(6, CLASSES)


@contextmanager
def _python_seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Python and numpy; the caller's keep their state."""
    before, numpy_before = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)  # noqa: NPY002


def _parameters_after_training(spec: RecipeSpec, *, interrupted: bool, steps: int = 4) -> list[Tensor]:
    """Return the parameters after some steps; if interrupted, network, optimizer and schedule are rebuilt half-way."""
    recipe = spec.build()
    with seeded():
        network = ToyNetwork().train()
        optimizer, schedule = recipe.optimizer(network, steps)
        for step in range(steps):
            if interrupted and step == steps // 2:
                saved = io.BytesIO()
                torch.save([part.state_dict() for part in (network, optimizer, schedule)], saved)
                saved.seek(0)
                states = torch.load(saved, weights_only=True)
                network = ToyNetwork().train()
                optimizer, schedule = recipe.optimizer(network, steps)
                for part, state in zip((network, optimizer, schedule), states, strict=True):
                    part.load_state_dict(state)
            prepared, targets = _prepared(spec)
            optimizer.zero_grad()
            recipe.loss(network(prepared), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return [parameter.detach() for parameter in network.parameters()]
