"""Recipes: how a classifier is trained from image labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
        """How often train-weaksup is gone through."""
        ...

    @property
    def batch_size(self) -> int:
        """Images in a training step."""
        ...

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:
        """Augment normalised images (B, 3, H, W) with labels (B,); targets are whatever `loss` takes."""
        ...

    def loss(self, logits: Tensor, targets: Any) -> Tensor:
        """Return the scalar loss of logits (B, C)."""
        ...

    def optimizer(self, network: torch.nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Return the optimizer and its learning-rate scheduler, which is stepped after every batch.

        The network may be set up for its training here, as in `StochasticDepth`. Both have torch's ``state_dict`` and
        ``load_state_dict``, which an interrupted training is continued from.
        """
        ...


@runtime_checkable
class Augmenting(Protocol):
    """A recipe that turns every image into the network's input itself, where others get it warped."""

    def augment(
        self, image: NDArray[np.uint8], config: InputConfig, generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return an image (H, W, 3), which stays as it is, as another of (size, size, 3).

        Called from several threads. All that is random comes from the generator, whose numbers depend on seed, epoch
        and image alone.
        """
        ...


@runtime_checkable
class Averaging(Protocol):
    """A recipe that may keep an average of the weights in place of those after the last step."""

    @property
    def ema(self) -> float | None:
        """The highest decay of an exponential moving average over the steps; None keeps the last weights."""
        ...


@dataclass(frozen=True)
class RecipeSpec:
    """A training recipe that a plugin offers; ``build`` takes its options by keyword, as in `MethodSpec`."""

    name: str
    build: Callable[..., Recipe]
    source: str
