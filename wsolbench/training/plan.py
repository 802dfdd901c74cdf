"""What a training is: the network, the data, the recipe, perhaps a system, and how they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from wsolbench.contract import Averaging, BackboneSpec, Recipe, Split, Stage, System
from wsolbench.contract.choices import TrainingPrecision
from wsolbench.contract.inputs import InputSetting
from wsolbench.data.opened import OpenDataset
from wsolbench.engine.ranks import ALONE, Ranks
from wsolbench.host.registry import Offer
from wsolbench.networks.known_weights import KnownWeights
from wsolbench.training.built import Built
from wsolbench.training.fullsup import FullsupScorer
from wsolbench.training.initial_weights import has_classifier
from wsolbench.training.stages import Start, stages_of

__all__ = ["TrainingPlan"]


@dataclass(frozen=True)
class TrainingPlan:
    """The inputs of a training.

    Args:
        backbone: The network.
        dataset: The data set, opened.
        built_recipe: The recipe.
        seeds: One training runs for each.
        device: Where the network is trained.
        workers: Number of threads that load images.
        command: The command or call that started the training, for the card.
        initial: Initial weights; None for random ones.
        watch: Splits whose accuracy is logged after every epoch; no choice depends on it.
        precision: bf16 for torch's autocast; weights and loss are always float32.
        backbone_options: Options that the network is built with, those that were given.
        changed_input: Settings of the network's input that are not its own.
        keep_every: The weights of the first seed are kept after every so many epochs; None for the end only.
        system: The system that trains the network; None for the recipe alone.
        scorer: What scores the weights after every epoch of the last stage, of which the best are kept; None keeps the
            last ones.
        ranks: The processes that train together, each with its part of every batch.
    """

    backbone: Offer[BackboneSpec]
    dataset: OpenDataset
    built_recipe: Built[Recipe]
    seeds: tuple[int, ...]
    device: torch.device
    workers: int
    command: str
    initial: KnownWeights | None = None
    watch: tuple[Split, ...] = ()
    precision: TrainingPrecision = "fp32"
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    changed_input: tuple[InputSetting, ...] = ()
    keep_every: int | None = None
    system: Built[System] | None = None
    scorer: FullsupScorer | None = None
    ranks: Ranks = ALONE

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the training; without a system there is one. Raises what `stages_of` raises."""
        return stages_of(self.system, self.recipe.epochs, start=self._start)

    @property
    def _start(self) -> Start:
        """What the training starts from."""
        if self.initial is None:
            return "random"
        spec, classes = self.backbone.spec, len(self.dataset.class_names)
        return "classifier" if has_classifier(self.initial, spec, classes) else "body"

    @property
    def epochs(self) -> int:
        """Number of epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def trainer(self) -> Built[System | Recipe]:
        """Whose loss it is: the system's, or the recipe's where there is none."""
        return self.system or self.built_recipe

    @property
    def recipe(self) -> Recipe:
        """The recipe object."""
        return self.built_recipe.made

    @property
    def ema(self) -> float | None:
        """The final decay of the average of the weights; None if the weights after the last step are kept."""
        return self.recipe.ema if isinstance(self.recipe, Averaging) else None
