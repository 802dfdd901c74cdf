"""Recipes: how a classifier is trained from image labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract.backbones import InputConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "Augmenting",
    "Averaging",
    "Recipe",
    "RecipeSpec",
]


class Recipe(Protocol):
    """How a classifier is trained from image labels."""

    @property
    def epochs(self) -> int:
        """Number of passes over train-weaksup."""
        ...

    @property
    def batch_size(self) -> int:
        """Images in a training step."""
        ...

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:
        """Augment a batch, after it is normalised.

        Args:
            images: Normalised images (B, 3, H, W).
            labels: Class indices, int64 (B,).
            generator: The source of all randomness.

        Returns:
            Images of the same shape, and targets in whatever form `loss` takes.
        """
        ...

    def loss(self, logits: Tensor, targets: Any) -> Tensor:
        """Return the scalar loss of logits (B, C) and the targets that `prepare` returned."""
        ...

    def optimizer(self, network: torch.nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Return the optimizer and its learning-rate scheduler, which steps after every batch.

        The network may be prepared for training here, for example by `StochasticDepth`.

        Args:
            network: The network.
            total_steps: Number of batches in the whole training.

        Returns:
            Optimizer and scheduler. Both have torch's ``state_dict`` and ``load_state_dict``, so that an interrupted
            training can continue.
        """
        ...


@runtime_checkable
class Augmenting(Protocol):
    """A recipe that resizes and augments each image itself; for other recipes the core warps the images."""

    def augment(
        self, image: NDArray[np.uint8], config: InputConfig, generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return an augmented copy of an image; called from several threads.

        Args:
            image: RGB, uint8 (H, W, 3); not to be changed.
            config: The network's input configuration.
            generator: The source of all randomness; its numbers depend on seed, epoch and image only.

        Returns:
            RGB, uint8 (size, size, 3).
        """
        ...


@runtime_checkable
class Averaging(Protocol):
    """A recipe that can average the weights over the steps."""

    @property
    def ema(self) -> float | None:
        """The highest decay of the exponential moving average, above 0 and below 1; None keeps the last weights."""
        ...


@dataclass(frozen=True)
class RecipeSpec:
    """A training recipe that a plugin offers.

    Args:
        name: What users type.
        build: Class or function that takes the recipe's options by keyword and returns the recipe; see `MethodSpec`.
        source: Paper or repository.
        known_failures: Conformance check that it fails, such as ``check_recipe_deterministic``, -> the reason.
    """

    name: str
    build: Callable[..., Recipe]
    source: str
    known_failures: Mapping[str, str] = field(default_factory=dict, hash=False)
