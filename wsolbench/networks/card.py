"""The card of a training: how weights were made. It stands beside them, and every record of them repeats it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from wsolbench.contract.choices import TrainingPrecision
from wsolbench.records import TrainingInfo, WeightsInfo

CARD = "card.json"


class SeedResult(BaseModel):
    """The result of training with one seed; accuracies are in percent, for information: no choice depends on them."""

    seed: int
    final_loss: float
    train_fullsup_top1: float | None
    test_top1: float | None


class Card(BaseModel):
    """How a checkpoint was made. The weights are those of the first seed at the end of training, whatever its scores.

    `checkpoint` is ``last`` for the weights after the last step and ``ema`` for their average over the steps.
    `train_sha256` covers ids, labels and pixels of train-weaksup.
    """

    backbone: str
    parameters: int
    num_classes: int
    initial_weights: WeightsInfo
    dataset: str
    dataset_version: str
    train_images: int
    train_sha256: str
    supervision: str = "image labels of train-weaksup"
    recipe: str
    recipe_options: dict[str, Any]
    precision: TrainingPrecision = "fp32"
    checkpoint: Literal["last", "ema"]
    results: list[SeedResult]
    command: str
    weights_sha256: str
    seconds: float
    images_per_second: float
    device: str
    threads: int
    wsolbench: str
    plugins: dict[str, str]
    packages: dict[str, str]
    git_revision: str | None


def read_training(weights: Path, weights_sha256: str) -> TrainingInfo | None:
    """Return how weights were trained, from the card beside them, or None if there is no card of these weights.

    The card is the file ``card.json``, or has the name of the weights with the suffix ``.json``.

    Args:
        weights: The weights file.
        weights_sha256: Hex SHA-256 of its content, which the card must state.
    """
    for path in (weights.with_suffix(".json"), weights.with_name(CARD)):
        try:
            card = Card.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        if card.weights_sha256 == weights_sha256:
            return TrainingInfo(
                dataset=card.dataset,
                recipe=card.recipe,
                recipe_options=card.recipe_options,
                precision=card.precision,
                seed=card.results[0].seed,
                initial_weights=card.initial_weights,
                command=card.command,
            )
    return None
