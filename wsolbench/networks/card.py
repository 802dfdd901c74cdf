"""The card of a training: how weights were made. It stands beside them, and every record of them repeats it."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from wsolbench.contract.choices import TrainingPrecision
from wsolbench.errors import WeightsError
from wsolbench.escaping import visible
from wsolbench.files import read_regular
from wsolbench.networks.pickles import shown
from wsolbench.records import (
    BestEpochInfo,
    ChoiceInfo,
    Preprocessing,
    SystemInfo,
    TrainingInfo,
    TrainingTime,
    WeightsInfo,
)

CARD = "card.json"
LABELS_ALONE = "image labels of train-weaksup"
LABELS_AND_BOXES = f"{LABELS_ALONE}; boxes or masks of train-fullsup chose the epoch"
_MOST_BYTES = 2**20
_LONGEST = 20_000
"""Characters of a text in a card; a command with many options is long."""


class SeedResult(BaseModel):
    """The result of training with one seed; accuracies are in percent, for information: no choice depends on them.

    A card does not have those that were not measured.
    """

    seed: int
    final_loss: float
    train_fullsup_top1: float | None = None
    test_top1: float | None = None

    @model_serializer(mode="wrap")
    def _without_unmeasured(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


class Card(BaseModel):
    """How a checkpoint was made. The weights are those of the first seed at the end of training, whatever its scores.

    Only `best_epoch` says otherwise: then they are those of the epoch that localizes best on train-fullsup.

    `checkpoint` is ``last`` for the weights after the last step and ``ema`` for their average over the steps. Of those
    that were kept after an epoch it is ``epoch`` or ``epoch-ema``, and `results` and `seconds` are those until then.
    `chosen` says how the training was chosen among several, if it was; their scores are on train-fullsup.
    `train_sha256` covers ids, labels and pixels of train-weaksup. `class_names` are those of the rows of the head, in
    their order. `epoch` is that after which the weights were kept, null for those at the end. `preprocessing` is how
    images became the network's input; null where as the network itself has it. `processes` is how many trained
    together; null for one.
    """

    backbone: str
    backbone_options: dict[str, Any] = {}
    preprocessing: Preprocessing | None = None
    parameters: int
    num_classes: int
    class_names: list[str] = Field(default_factory=list)
    initial_weights: WeightsInfo
    dataset: str
    dataset_version: str
    train_images: int
    train_sha256: str
    supervision: str = LABELS_ALONE
    recipe: str
    recipe_options: dict[str, Any]
    system: SystemInfo | None = None
    precision: TrainingPrecision = "fp32"
    checkpoint: Literal["last", "ema", "epoch", "epoch-ema"]
    epoch: int | None = None
    results: Annotated[list[SeedResult], Field(min_length=1)]
    command: str
    chosen: ChoiceInfo | None = None
    best_epoch: BestEpochInfo | None = None
    weights_sha256: str
    seconds: float
    images_per_second: float
    device: str
    threads: int
    processes: int | None = None
    wsolbench: str
    plugins: dict[str, str]
    packages: dict[str, str]
    git_revision: str | None

    @property
    def training(self) -> TrainingInfo:
        """What every record of the weights repeats."""
        return TrainingInfo(
            dataset=self.dataset,
            recipe=self.recipe,
            recipe_options=self.recipe_options,
            system=self.system,
            precision=self.precision,
            preprocessing=self.preprocessing,
            seed=self.results[0].seed,
            initial_weights=self.initial_weights,
            command=self.command,
            chosen=self.chosen,
            best_epoch=self.best_epoch,
            epoch=self.epoch,
            processes=self.processes,
            time=TrainingTime(seconds=self.seconds, device=self.device, threads=self.threads),
        )


def read_card(weights: Path, weights_sha256: str) -> Card | None:
    """Return the card beside weights, or None if there is no card of these weights.

    The card is the file ``card.json``, or has the name of the weights with the suffix ``.json``.

    Args:
        weights: The weights file.
        weights_sha256: Hex SHA-256 of its content, which the card must state.

    Raises:
        WeightsError: A card is no regular file, or the card of these weights holds what no record can repeat.
    """
    for path in (weights.with_suffix(".json"), weights.with_name(CARD)):
        card = _read(path)
        if card is not None and card.weights_sha256 == weights_sha256:
            problem = _problem(card.model_dump())
            if problem is not None:
                raise WeightsError(f"the card {path} is damaged: {problem}; remove it or train again")
            return card
    return None


def _read(path: Path) -> Card | None:
    """Return the card in a file; None for a file that is missing, too large, or something else."""
    try:
        return Card.model_validate_json(read_regular(path, _MOST_BYTES))
    except ValidationError:
        return None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EFBIG):
            return None
        raise WeightsError(f"the card {path} cannot be read ({error.strerror}); remove it") from error


def _problem(value: object) -> str | None:
    """Return what in a card no record can repeat: an unprintable text or a number that is not finite."""
    if isinstance(value, str):
        sound = len(value) <= _LONGEST and visible(value) == value
        return None if sound else f"expected texts of one line, got '{shown(value)}'"
    if isinstance(value, float):
        return None if math.isfinite(value) else "a number is not finite"
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return next(filter(None, map(_problem, parts)), None)
