"""Localization on train-fullsup, for choices that a user asks for by name: among trainings, and among their epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from wsolbench.config import RunConfig, TrainConfig
from wsolbench.contract import Split
from wsolbench.contract.choices import ChoiceMetric
from wsolbench.data.opened import ADVICE_WITHOUT_FULLSUP, OpenSplit, open_dataset
from wsolbench.engine.run import RunPlan, carry_out, plan_run
from wsolbench.errors import UsageError
from wsolbench.host.registry import Registry
from wsolbench.progress import Reporter
from wsolbench.records import BestEpochInfo

__all__ = ["FullsupScorer", "fullsup_scorer", "open_fullsup", "plan_scoring"]


def open_fullsup(config: TrainConfig, registry: Registry, option: str) -> tuple[OpenSplit, ChoiceMetric]:
    """Return train-fullsup, and the score by which something is chosen on it.

    Args:
        config: What is trained; `TrainConfig.choose_by` names the score.
        registry: The installed plugins.
        option: The option that asks for the choice, for messages.

    Raises:
        UsageError: The data set has no train-fullsup, or this lacks what the score needs, or the method does not fit.
        DataError: train-fullsup has no annotations.
    """
    dataset = open_dataset(registry.datasets.get(config.dataset), config.roots)
    if Split.TRAIN_FULLSUP not in dataset.splits:
        raise UsageError(
            f"{option} needs train-fullsup, which the data set '{dataset.name}' does not have{ADVICE_WITHOUT_FULLSUP}"
        )
    part = dataset.open(Split.TRAIN_FULLSUP)
    needs = "masks" if config.choose_by == "pxap" else "boxes" if config.choose_by else None
    has = {"masks": part.annotations.load_mask is not None, "boxes": part.has_boxes, None: True}
    if not has[needs]:
        raise UsageError(f"--choose-by {config.choose_by}: train-fullsup has no {needs}")
    plan_scoring(config, registry, None)
    return part, config.choose_by or ("max_box_acc_v2" if part.has_boxes else "pxap")


def plan_scoring(
    config: TrainConfig,
    registry: Registry,
    weights: Path | None,
    *,
    method_options: Mapping[str, Any] | None = None,
    backbone_options: Mapping[str, Any] | None = None,
) -> RunPlan:
    """Return the plan of scoring weights on train-fullsup.

    Args:
        config: What is trained, and the method whose maps are scored.
        registry: The installed plugins.
        weights: The file; None for random ones, for checks alone.
        method_options: Options of the method beside those of the configuration.
        backbone_options: The same of the network.
    """
    names = RunConfig.model_fields.keys() & TrainConfig.model_fields.keys() - {"out", "precision"}
    settings: dict[str, Any] = {
        **{name: getattr(config, name) for name in names},
        "methods": {config.method: {**config.method_options, **(method_options or {})}},
        "backbone_options": {**config.backbone_options, **(backbone_options or {})},
        "weights": "random" if weights is None else str(weights),
        "weights_key": None,
        "split": Split.TRAIN_FULLSUP.label,
        "seed": config.seeds[0],
    }
    return plan_run(RunConfig.of(**settings), registry, Reporter())


@dataclass(frozen=True)
class FullsupScorer:
    """Scores weights on train-fullsup, whose boxes or masks are used for it: the one exception, and only by name.

    Args:
        config: What is trained, and the method whose maps are scored.
        registry: The installed plugins.
        part: Train-fullsup.
        metric: The score.
    """

    config: TrainConfig
    registry: Registry
    part: OpenSplit
    metric: ChoiceMetric

    def score(self, weights: Mapping[str, Tensor]) -> float | None:
        """Return the score of weights in percent, None where no map has scores; random numbers stay as they were."""
        with TemporaryDirectory() as folder, torch.random.fork_rng():
            path = Path(folder) / "weights.safetensors"
            path.write_bytes(save(dict(weights)))
            (record,) = carry_out(plan_scoring(self.config, self.registry, path), Reporter(), command="")
        score: float | None = getattr(record.metrics, self.metric)
        return score

    def info(self, first: int, scores: list[float | None], epoch: int) -> BestEpochInfo:
        """Return what the card says.

        Args:
            first: The first epoch that was scored.
            scores: The scores from then on.
            epoch: The epoch whose weights are kept.
        """
        return BestEpochInfo(first=first, scores=scores, epoch=epoch, **self.facts)

    @property
    def facts(self) -> dict[str, Any]:
        """What is asked for: by which score, of which method, on which images."""
        return {
            "images": len(self.part.images.ids),
            "annotations_sha256": self.part.annotations_sha256,
            "metric": self.metric,
            "method": self.config.method,
            "method_options": dict(self.config.method_options),
        }


def fullsup_scorer(config: TrainConfig, registry: Registry) -> FullsupScorer:
    """Return what scores the epochs of a training. Raises what `open_fullsup` raises."""
    part, metric = open_fullsup(config, registry, "--checkpoint best-on-train-fullsup")
    return FullsupScorer(config, registry, part, metric)
