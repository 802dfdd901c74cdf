"""The card of a training: how weights came about, kept beside them and told by every record of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from wsolbench.contract.choices import TrainingPrecision
from wsolbench.records import TrainingInfo, WeightsInfo

CARD = "card.json"


class SeedResult(BaseModel):
    """What training from one seed came to; accuracies in percent, reported and never chosen by."""

    seed: int
    final_loss: float
    train_fullsup_top1: float | None
    test_top1: float | None


class Card(BaseModel):
    """How a checkpoint was made; the weights are the first seed's at the end of training, whatever the others scored.

    `checkpoint` says which of the weights at the end: those after the ``last`` step or their average over the steps,
    ``ema``. `train_sha256` covers ids, labels and pixels of train-weaksup.
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
    """Return how weights were trained, if a card beside them says so: ``card.json``, or the file's name with ``.json``.

    A file that is no card, or the card of other weights, says nothing.
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
