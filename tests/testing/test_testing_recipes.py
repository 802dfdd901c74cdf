"""The checks of recipes: each notices what it is there for."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conformance import check_of, fails
from torch import nn

from wsolbench.api import RecipeSpec


def recipe(**changes):
    def optimizer(network, steps):
        chosen = torch.optim.SGD(network.parameters(), lr=0.1)
        return chosen, torch.optim.lr_scheduler.LinearLR(chosen, total_iters=steps)

    parts = {
        "epochs": 1,
        "batch_size": 2,
        "prepare": lambda images, labels, generator: (images + torch.rand(1, generator=generator), labels),
        "loss": nn.functional.cross_entropy,
        "optimizer": optimizer,
    }
    return RecipeSpec("r", lambda: SimpleNamespace(**{**parts, **changes}), "s")


def augment(image, config, generator):
    return np.full((config.size, config.size, 3), generator.integers(256), dtype=np.uint8) | image[:1, :1]


def spoil(image, config, generator):
    image[0] = 0
    return augment(image, config, generator)


def forgetful(network, steps):
    """Return an optimizer whose momentum is in no saved state."""
    chosen, schedule = recipe().build().optimizer(network, steps)
    chosen.param_groups[0]["momentum"] = 0.9
    chosen.state_dict = lambda: {"state": {}, "param_groups": type(chosen).state_dict(chosen)["param_groups"]}
    return chosen, schedule


@pytest.mark.parametrize("changes", [{}, {"augment": augment, "ema": 0.9}, {"ema": None}])
def test_a_recipe_that_keeps_every_rule(changes):
    assert fails(recipe(**changes)) == set()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"epochs": 0}, "recipe_numbers"),
        ({"batch_size": 2.0}, "recipe_numbers"),
        ({"prepare": lambda images, labels, _: (images[:, :, 1:], labels)}, "recipe_prepare"),
        ({"prepare": lambda images, labels, _: (images.double(), labels)}, "recipe_prepare"),
        ({"prepare": lambda images, labels, _: (images + torch.rand(1), labels)}, "recipe_deterministic"),
        ({"loss": lambda logits, _: logits.sum(dim=1)}, "recipe_step"),
        ({"loss": lambda logits, _: logits.sum() / 0}, "recipe_step"),
        ({"loss": lambda logits, _: 0 * logits.sum()}, "recipe_step"),
        ({"augment": lambda image, _config, _generator: image}, "recipe_augment"),
        ({"augment": lambda *given: augment(*given).astype(np.float32)}, "recipe_augment"),
        ({"augment": lambda *given: augment(*given) + np.uint8(np.random.randint(99))}, "recipe_augment"),  # noqa: NPY002
        ({"augment": spoil}, "recipe_augment"),
        ({"ema": 1.0}, "recipe_average"),
        ({"optimizer": forgetful}, "recipe_continues"),
    ],
)
def test_a_recipe_that_breaks_a_rule(changes, rule):
    check = check_of(recipe(**changes), rule)
    with pytest.raises(AssertionError):
        check()
