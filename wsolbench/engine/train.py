"""Training a classifier from image labels: the loop, its log, and the card that tells how the weights came about."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import BaseModel
from safetensors.torch import save
from torch import nn

from wsolbench import __version__
from wsolbench.engine.blame import blaming
from wsolbench.engine.files import sha256
from wsolbench.engine.provenance import git_revision, package_versions
from wsolbench.engine.reporter import Reporter
from wsolbench.engine.scoring import open_images
from wsolbench.engine.stream import stream_batches
from wsolbench.errors import DataError, UsageError
from wsolbench.interfaces import Backbone, BackboneSpec, Dataset, ImageSplit, InputConfig, Recipe, Split
from wsolbench.registry import Provider

WEIGHTS, CARD, LOG = "weights.safetensors", "card.json", "log.csv"


@dataclass(frozen=True)
class EpochLog:
    """One line of the log: losses are means over the epoch, accuracies percent; `val_top1` is on train-fullsup."""

    epoch: int
    learning_rate: float
    loss: float
    train_top1: float
    val_top1: float | None
    seconds: float


class SeedResult(BaseModel):
    """What training from one seed came to; accuracies in percent."""

    seed: int
    final_loss: float
    train_fullsup_top1: float | None
    test_top1: float | None


class Card(BaseModel):
    """How a checkpoint was made; the weights are the first seed's after the last epoch, whatever the others scored."""

    backbone: str
    parameters: int
    num_classes: int
    dataset: str
    dataset_version: str
    supervision: str = "image labels of train-weaksup"
    recipe: str
    recipe_options: dict[str, Any]
    results: list[SeedResult]
    command: str
    weights_sha256: str
    seconds: float
    device: str
    threads: int
    wsolbench: str
    packages: dict[str, str]
    git_revision: str | None


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that a training run is made of."""

    spec: BackboneSpec
    backbone_provider: Provider
    dataset: Dataset
    dataset_provider: Provider
    recipe_name: str
    recipe_provider: Provider
    recipe: Recipe
    recipe_options: dict[str, Any]
    seeds: tuple[int, ...]
    device: torch.device
    workers: int
    command: str


def train(plan: TrainingPlan, folder: Path, reporter: Reporter) -> Card:
    """Train once for every seed; write weights and log of the first and a card about all into `folder`.

    Raises:
        UsageError: There is no train-weaksup split, or the recipe trains on nothing.
        DataError: An image or a label list cannot be read, or a label is not a class.
        PluginError: The recipe or the network fails, or the loss is not finite.
    """
    started = time.monotonic()
    _check_plan(plan)
    results = []
    for seed in plan.seeds:
        network, log = _train_seed(plan, seed, reporter)
        results.append(
            SeedResult(
                seed=seed,
                final_loss=log[-1].loss,
                train_fullsup_top1=log[-1].val_top1,
                test_top1=_accuracy_where_present(network, plan, Split.TEST),
            )
        )
        if seed == plan.seeds[0]:
            state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
            (folder / WEIGHTS).write_bytes(save(state))  # save_file would let nobody else read it
            pd.DataFrame([asdict(line) for line in log]).to_csv(folder / LOG, index=False)
            parameters = sum(parameter.numel() for parameter in network.parameters())
    card = Card(
        backbone=plan.spec.name,
        parameters=parameters,
        num_classes=len(plan.dataset.class_names),
        dataset=plan.dataset.name,
        dataset_version=plan.dataset.version,
        recipe=plan.recipe_name,
        recipe_options=plan.recipe_options,
        results=results,
        command=plan.command,
        weights_sha256=sha256(folder / WEIGHTS),
        seconds=round(time.monotonic() - started, 1),
        device=str(plan.device),
        threads=torch.get_num_threads(),
        wsolbench=__version__,
        packages=package_versions(),
        git_revision=git_revision(),
    )
    (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card


def _check_plan(plan: TrainingPlan) -> None:
    """Refuse what would fail in the middle of training; one image of every split is loaded."""
    recipe = plan.recipe
    for name, value in (("epochs", recipe.epochs), ("batch_size", recipe.batch_size)):
        if value < 1:
            raise UsageError(f"the recipe '{plan.recipe_name}' needs {name} of at least 1, got {value}")
    classes = len(plan.dataset.class_names)
    for split in Split:
        if split is Split.TRAIN_WEAKSUP or split in plan.dataset.splits:
            images = _open(plan, split)
            images.load(0)
            low, high = int(images.labels.min()), int(images.labels.max())
            if high >= classes:
                raise DataError(
                    f"labels in {split.label} of '{plan.dataset.name}' go from {low} to {high}, "
                    f"but it has {classes} classes (0 to {classes - 1})"
                )


def _open(plan: TrainingPlan, split: Split) -> ImageSplit:
    return open_images(plan.dataset, plan.dataset_provider, split)


def _train_seed(plan: TrainingPlan, seed: int, reporter: Reporter) -> tuple[Any, list[EpochLog]]:
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    images = _open(plan, Split.TRAIN_WEAKSUP)
    with blaming(plan.backbone_provider, f"building '{plan.spec.name}'"):
        network: Any = plan.spec.build(len(plan.dataset.class_names))
        network = network.to(device=plan.device, memory_format=torch.channels_last)
    steps = max(len(images.ids) // plan.recipe.batch_size, 1)
    with blaming(plan.recipe_provider, f"in the recipe '{plan.recipe_name}'"):
        optimizer, schedule = plan.recipe.optimizer(network, steps * plan.recipe.epochs)
    step = _step(plan, network, optimizer, schedule, order)
    log: list[EpochLog] = []
    for epoch in range(1, plan.recipe.epochs + 1):
        started = time.monotonic()
        losses, hits, seen = 0.0, 0, 0
        used = torch.randperm(len(images.ids), generator=order).numpy()[: steps * plan.recipe.batch_size]
        rate = schedule.get_last_lr()[0]
        network.train()
        stream = stream_batches(
            images,
            plan.spec.input,
            batch_size=plan.recipe.batch_size,
            workers=plan.workers,
            device=plan.device,
            order=used,
        )
        name = f"seed {seed}, epoch {epoch}/{plan.recipe.epochs}"
        with reporter.phase(name, len(used)) as advance, closing(stream) as batches:
            for batch in batches:
                loss, correct = step(batch.images, batch.labels)
                losses, hits, seen = losses + loss, hits + correct, seen + len(batch.indices)
                advance(len(batch.indices))
        log.append(
            EpochLog(
                epoch=epoch,
                learning_rate=rate,
                loss=losses / steps,
                train_top1=100 * hits / seen,
                val_top1=_accuracy_where_present(network, plan, Split.TRAIN_FULLSUP),
                seconds=round(time.monotonic() - started, 1),
            )
        )
        reporter.say(_log_line(seed, log[-1]))
    return network, log


def _step(
    plan: TrainingPlan, network: Any, optimizer: torch.optim.Optimizer, schedule: Any, generator: torch.Generator
) -> Callable[[torch.Tensor, torch.Tensor], tuple[float, int]]:
    """Return the function that takes one optimizer step and gives the loss and the number of hits."""
    recipe = plan.recipe
    in_recipe, in_network = f"in the recipe '{plan.recipe_name}'", f"in '{plan.spec.name}' while training"

    def step(images: torch.Tensor, labels: torch.Tensor) -> tuple[float, int]:
        with blaming(plan.recipe_provider, in_recipe):
            inputs, targets = recipe.prepare(images, labels, generator)
        with blaming(plan.backbone_provider, in_network):
            logits = network.forward_head(network.forward_features(inputs))
        with blaming(plan.recipe_provider, in_recipe):
            loss = recipe.loss(logits, targets)
            if not loss.isfinite():
                raise FloatingPointError(f"the loss became {loss.item()}; a lower learning rate may help")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        return loss.item(), int((logits.argmax(dim=1) == labels).sum())

    return step


def _accuracy_where_present(network: Any, plan: TrainingPlan, split: Split) -> float | None:
    if split not in plan.dataset.splits:
        return None
    images = _open(plan, split)
    return top1_accuracy(network, images, plan.spec.input, device=plan.device, workers=plan.workers)


@torch.inference_mode()
def top1_accuracy(
    network: Backbone, images: ImageSplit, config: InputConfig, *, device: torch.device, workers: int
) -> float:
    """Return the share of images, in percent, whose highest logit is at their label."""
    assert isinstance(network, nn.Module)
    network.eval()
    hits = 0
    with closing(stream_batches(images, config, batch_size=64, workers=workers, device=device)) as batches:
        for batch in batches:
            logits = network.forward_head(network.forward_features(batch.images))
            hits += int((logits.argmax(dim=1) == batch.labels).sum())
    return 100 * hits / len(images.ids)


def _log_line(seed: int, line: EpochLog) -> str:
    val = "" if line.val_top1 is None else f", top-1 on train-fullsup {line.val_top1:.1f}"
    return (
        f"seed {seed} epoch {line.epoch}: loss {line.loss:.3f}, top-1 on train-weaksup {line.train_top1:.1f}{val}, "
        f"{line.seconds:.0f} s"
    )
