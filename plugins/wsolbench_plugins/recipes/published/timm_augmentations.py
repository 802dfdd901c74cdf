"""timm's RandAugment and random erasing, with every random draw from a given generator.

timm draws from the global generators. They are seeded just before a draw and restored after it, so that an image
depends neither on the order of the threads nor on other draws.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, Resampling
from timm.data.auto_augment import AugmentOp, rand_augment_transform
from timm.data.random_erasing import RandomErasing
from torch import Tensor

from wsolbench.api import InputConfig

_Change = Callable[[Image], Image]
_lent = threading.Lock()


def rand_augment(image: Image, magnitude: int, config: InputConfig, generator: np.random.Generator) -> Image:
    """Apply two random operations of a magnitude from 0 to 10 to an image.

    As in the training of large-kernel networks, each operation is applied with a probability of one half, its magnitude
    has a standard deviation of 0.5, and every operation grows stronger with it (timm's ``rand-m9-mstd0.5-inc1``).

    Source:
        Cubuk et al., NeurIPS 2020.
    """
    operations = _operations(magnitude, config)
    chosen = generator.integers(len(operations), size=2)
    with _drawing_from(generator):
        changes = [operations[index](_unchanged) for index in chosen]
    for change in changes:
        image = change(image)
    return image


def erase(images: Tensor, probability: float, generator: np.random.Generator) -> Tensor:
    """Fill a random rectangle in some of the normalised images (B, 3, H, W) with noise (Zhong et al., AAAI 2020)."""
    erasing = RandomErasing(probability, mode="pixel", device=images.device)
    with _drawing_from(generator), torch.random.fork_rng([images.device] if images.is_cuda else []):
        torch.manual_seed(random.getrandbits(62))
        erased: Tensor = erasing(images.clone())
    return erased


@cache
def _operations(magnitude: int, config: InputConfig) -> list[AugmentOp]:
    """Return timm's operations, changed so that a call draws at once and returns the change to apply to an image."""
    policy = rand_augment_transform(
        f"rand-m{magnitude}-mstd0.5-inc1",
        {
            "translate_const": int(0.45 * config.size),
            "img_mean": tuple(round(255 * mean) for mean in config.mean),
            "interpolation": Resampling[config.interpolation.upper()],
            "magnitude_max": 9.99,  # at 10 posterizing keeps no bit at all, which Pillow refuses since 13
        },
    )
    for operation in policy.ops:
        operation.aug_fn = partial(_deferred, operation.aug_fn)
    return list(policy.ops)


def _deferred(function: Callable[..., Image], _nothing: _Change, *arguments: Any, **options: Any) -> _Change:
    """Return the change that an operation makes, in place of making it."""
    return lambda image: function(image, *arguments, **options)


def _unchanged(image: Image) -> Image:
    """Return the image: the change of an operation that is not applied."""
    return image


@contextmanager
def _drawing_from(generator: np.random.Generator) -> Iterator[None]:
    """Seed Python's global generator by another for a while, and restore it."""
    with _lent:
        before = random.getstate()
        random.seed(int(generator.integers(2**62)))
        try:
            yield
        finally:
            random.setstate(before)
