"""Training of a classifier from image labels, one seed after another, and the card that documents the weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save

from wsolbench import __version__
from wsolbench.contract import ImageSplit, Split, Stage
from wsolbench.data.opened import show_finding
from wsolbench.engine.provenance import describe_input, git_revision, package_versions
from wsolbench.errors import DataError, UsageError
from wsolbench.figures.training_curve import draw_curve
from wsolbench.files import sha256
from wsolbench.networks.card import CARD, LABELS_ALONE, LABELS_AND_BOXES, Card, SeedResult
from wsolbench.progress import Reporter
from wsolbench.records import StageInfo, SystemInfo, WeightsInfo
from wsolbench.training.images import TrainingImages
from wsolbench.training.kept_epochs import KeptEpochs
from wsolbench.training.loop import SeedTraining, forward_context
from wsolbench.training.plan import TrainingPlan
from wsolbench.training.shared_steps import SharedSteps
from wsolbench.training.stages import check_batches
from wsolbench.training.state import StateFile, TrainingState
from wsolbench.training.targets import targets_folder

WEIGHTS, LOG, CURVE = "weights.safetensors", "log.csv", "curve.png"


def carry_out(plan: TrainingPlan, folder: Path, reporter: Reporter, *, state_path: Path, resume: bool = False) -> Card:
    """Train once for every seed; write weights, log and curve of the first seed and a card about all into `folder`.

    Args:
        plan: What to train.
        folder: The folder for the results.
        reporter: Shows the progress.
        state_path: The state file. It is left in place at the end, because only the caller knows when the results are
            safe.
        resume: Whether to continue from the state file, if it exists.

    Raises:
        UsageError: The data set has no train-weaksup split, the recipe has no epoch or an empty batch, or the state
            belongs to another training.
        DataError: An image or a label list cannot be read, a label is out of range, or a class has no image.
        PluginError: The recipe or the network fails, or the loss is not finite.
        OutputError: The state cannot be written.
    """
    state, images, epochs = _train(plan, reporter, state_path=state_path, resume=resume)
    card = _write_results(plan, folder, state, images)
    epochs.publish(state.epochs, folder, card)
    for finding in images.findings():
        show_finding(finding, reporter)
    return card


def help_train(plan: TrainingPlan, *, state_path: Path, resume: bool = False) -> None:
    """Train beside the first process of several, which writes.

    Args:
        plan: What to train, as in the first process.
        state_path: The state file, beside which the first process keeps the targets of stages.
        resume: Whether the first process continues from the state file, if it exists.

    Raises:
        WsolbenchError: As for `carry_out`.
    """
    _train(plan, Reporter(), state_path=state_path, resume=resume)


def _train(
    plan: TrainingPlan, reporter: Reporter, *, state_path: Path, resume: bool
) -> tuple[TrainingState, TrainingImages, KeptEpochs]:
    """Train once for every seed; return the final state, the images and the weights that were kept on the way."""
    started = time.monotonic()
    _check_plan(plan)
    images = TrainingImages(plan.dataset.images(Split.TRAIN_WEAKSUP))
    state_file = StateFile(state_path, _identity(plan, images))
    state, epochs = TrainingState(), KeptEpochs(state_path, plan.keep_every)
    before_it = plan.ranks.from_first(lambda: _read_state(state_file, epochs) if resume else None)
    if before_it is not None:
        state = before_it
        assert state.digests is not None
        images = TrainingImages(images.split, state.digests.numpy())
        reporter.say(f"continued from {state_path}")
    shared = SharedSteps(plan.ranks, plan.device)
    before = state.seconds
    for seed in plan.seeds[len(state.results) :]:
        training = SeedTraining(plan, seed, images, targets_folder(state_path, seed), shared)
        if state.current is not None:
            training.load_state_dict(state.current)

        def save_state(training: SeedTraining = training, seed: int = seed) -> None:
            if not plan.ranks.is_first:
                return
            state.seconds = before + time.monotonic() - started
            if seed == plan.seeds[0] and epochs.due(training.log, state.epochs):
                line, speed = training.log[-1], training.images_per_second
                state.epochs.append(epochs.keep(training.weights(), line, state.seconds, speed))
            state.current, state.digests = training.state_dict(), torch.from_numpy(images.digests)
            state_file.write(state)

        training.run(reporter, save_state, lambda: plan.ranks.is_first and state_file.due)
        _finish_seed(state, plan, seed, training)
    state.seconds = before + time.monotonic() - started
    return state, images, epochs


def _read_state(state_file: StateFile, epochs: KeptEpochs) -> TrainingState | None:
    """Return the state of a training that was interrupted, with the weights that it kept; None where there is none."""
    if not state_file.path.exists():
        return None
    state = state_file.read()
    epochs.check(state.epochs, state_file.path)
    return state


def _check_plan(plan: TrainingPlan) -> None:
    """Check everything that would otherwise fail during training; one image of every split is loaded."""
    for name, value in (("epochs", plan.recipe.epochs), ("batch_size", plan.recipe.batch_size)):
        if value < 1:
            raise UsageError(f"the recipe '{plan.built_recipe.name}' needs {name} of at least 1, got {value}")
    if plan.system is not None:
        check_batches(plan.stages, plan.system.name, plan.recipe.batch_size)
    _check_processes(plan)
    if plan.keep_every is not None and plan.keep_every > plan.epochs:
        raise UsageError(
            f"--keep-every {plan.keep_every}: the training has {plan.epochs} epochs, so nothing would be kept; "
            "name a smaller number"
        )
    _check_precision(plan)
    for split in plan.watch:
        plan.dataset.images(split)
    for split in Split:
        if split is Split.TRAIN_WEAKSUP or split in plan.dataset.splits:
            images = plan.dataset.images(split)
            _check_labels(plan, split, images)
            images.load(0)


def _check_processes(plan: TrainingPlan) -> None:
    """Check that every batch can be divided among the processes."""
    size, count = plan.recipe.batch_size, plan.ranks.count
    if count == 1:
        return
    if size % count:
        below, above = size // count * count, -(-size // count) * count
        raise UsageError(
            f"{count} processes cannot share a batch of {size} images evenly; batch_size is that of all processes "
            f"together, choose a multiple of {count}, such as --recipe-opt batch_size={below or above}"
        )
    images = len(plan.dataset.images(Split.TRAIN_WEAKSUP).ids)
    if images < count:
        raise UsageError(f"{count} processes cannot share {images} images; use --devices {images} or fewer")
    for stage in plan.stages:
        if size // count % stage.pairs:
            raise UsageError(
                f"the stage '{stage.name}' of '{plan.trainer.name}' has {stage.pairs} images of a class one after "
                f"another, and each of {count} processes gets {size // count} images of a batch; choose a multiple "
                f"of {stage.pairs * count}: --recipe-opt batch_size=N"
            )


def _check_precision(plan: TrainingPlan) -> None:
    """Check that the device computes in bfloat16: torch would fail in the first step, or silently use float32."""
    why = "its matrix products stay in float32"
    try:
        with forward_context(plan.device, plan.precision):
            square = torch.ones(2, 2, device=plan.device)
            supported = plan.precision == "fp32" or (square @ square).dtype is torch.bfloat16
    except RuntimeError as error:
        supported, why = False, str(error).strip().partition("\n")[0]
    if not supported:
        raise UsageError(
            f"--precision {plan.precision}: the device '{plan.device}' does not support it ({why}); omit it"
        )


def _check_labels(plan: TrainingPlan, split: Split, images: ImageSplit) -> None:
    """Check that every label is a class, and that train-weaksup has an image of every class."""
    names = plan.dataset.class_names
    low, high = int(images.labels.min()), int(images.labels.max())
    if high >= len(names):
        raise DataError(
            f"labels in {split.label} of '{plan.dataset.name}' range from {low} to {high}, "
            f"but it has {len(names)} classes (0 to {len(names) - 1})"
        )
    absent = sorted(set(range(len(names))) - set(images.labels.tolist()))
    if split is Split.TRAIN_WEAKSUP and absent:
        raise DataError(
            f"train-weaksup of '{plan.dataset.name}' has no image of {len(absent)} of its {len(names)} classes; "
            f"the first is {absent[0]} ('{names[absent[0]]}'); add images of it, or omit the class in every split"
        )


def continued_facts(plan: TrainingPlan) -> dict[str, Any]:
    """Return everything that must be the same in a training and in its continuation."""
    return _identity(plan, TrainingImages(plan.dataset.images(Split.TRAIN_WEAKSUP)))


def _identity(plan: TrainingPlan, images: TrainingImages) -> dict[str, Any]:
    options = {f"the recipe's {name}": value for name, value in plan.built_recipe.options.items()}
    return {
        "backbone": f"{plan.backbone.name} of {plan.backbone.provider}",
        "options of the backbone": dict(plan.backbone_options),
        "initial weights": plan.initial.info.sha256 if plan.initial else "random",
        "state dict of the initial weights": plan.initial.info.key if plan.initial else None,
        **({"input": asdict(plan.backbone.spec.input)} if plan.changed_input else {}),  # older states have none
        "data set": f"{plan.dataset.name} {plan.dataset.version}".strip(),
        "list of images and labels": images.list_sha256[:16],
        "recipe": f"{plan.built_recipe.name} of {plan.built_recipe.offer.provider}",
        **options,
        **_identity_of_system(plan),
        **({f"the checkpoint's {name}": value for name, value in plan.scorer.facts.items()} if plan.scorer else {}),
        "seeds": ", ".join(str(seed) for seed in plan.seeds),
        "precision": plan.precision,
        **({"--keep-every": plan.keep_every} if plan.keep_every is not None else {}),
        "watched splits": ", ".join(split.label for split in plan.watch) or "none",
        "device": plan.device.type,
        "threads": torch.get_num_threads(),
        **({"--devices": plan.ranks.count} if plan.ranks.count > 1 else {}),
        "wsolbench": __version__,
        **package_versions(),
    }


def _identity_of_system(plan: TrainingPlan) -> dict[str, Any]:
    """Return what is said of the system; nothing where there is none, as in older states."""
    if plan.system is None:
        return {}
    return {
        "system": f"{plan.system.name} of {plan.system.offer.provider}",
        **{f"the system's {name}": value for name, value in plan.system.options.items()},
        "stages": "; ".join(_told(stage) for stage in plan.stages),
    }


def _system_info(plan: TrainingPlan, targets: Mapping[str, str]) -> SystemInfo | None:
    """Return what the card says of the system.

    Args:
        plan: The training.
        targets: Stage -> hash of its per-image targets.
    """
    if plan.system is None:
        return None
    stages = [
        StageInfo(
            name=stage.name,
            epochs=stage.epochs,
            trains=list(stage.trains),
            pairs=stage.pairs,
            targets_sha256=targets.get(stage.name),
        )
        for stage in plan.stages
    ]
    return SystemInfo(name=plan.system.name, options=plan.system.options, stages=stages)


def _told(stage: Stage) -> str:
    """Return a stage in words."""
    trains = "all" if "" in stage.trains else " and ".join(stage.trains)
    pairs = f", {stage.pairs} of a class together" if stage.pairs > 1 else ""
    return f"{stage.name} {stage.epochs} epochs, trains {trains}{pairs}"


def _finish_seed(state: TrainingState, plan: TrainingPlan, seed: int, training: SeedTraining) -> None:
    """Store the result of a seed; of the first seed also weights and log."""
    best = training.best_epoch()
    result = SeedResult(
        seed=seed,
        final_loss=training.log[-1].loss,
        train_fullsup_top1=plan.ranks.from_first(lambda: training.top1(Split.TRAIN_FULLSUP)),
        test_top1=plan.ranks.from_first(lambda: training.top1(Split.TEST)),
    )
    if seed == plan.seeds[0]:
        state.kept = {
            "weights": training.weights(),
            "log": [asdict(line) for line in training.log],
            "targets": training.targets_sha256,
            "best_epoch": best and best.model_dump(),
            "parameters": sum(parameter.numel() for parameter in training.kept.parameters()),
            "images_per_second": training.images_per_second,
        }
    state.results.append(result.model_dump())
    state.current = None


def _log_of(lines: list[dict[str, Any]], plan: TrainingPlan) -> pd.DataFrame:
    """Return the log as a table; where there is a system, with the stage and a column for each term of its loss."""
    unused = ["stage", "terms", *(["score"] if plan.scorer is None else [])]
    plain = pd.DataFrame(lines).drop(columns=unused, errors="ignore")
    plain = plain.rename(columns={"score": f"train_fullsup_{plan.scorer.metric}"} if plan.scorer else {})
    if plan.system is None:
        return plain
    terms = pd.DataFrame([line["terms"] for line in lines])
    return pd.concat([plain, pd.DataFrame({"stage": [line["stage"] for line in lines]}), terms], axis=1)


def _write_results(plan: TrainingPlan, folder: Path, state: TrainingState, images: TrainingImages) -> Card:
    """Write weights, log, curve and card into a folder."""
    assert state.kept is not None
    (folder / WEIGHTS).write_bytes(save(state.kept["weights"]))  # save_file makes files that only their owner can read
    log = _log_of(state.kept["log"], plan)
    log.to_csv(folder / LOG, index=False)
    draw_curve(log, f"{plan.backbone.name} on {plan.dataset.name}, {plan.built_recipe.name}", folder / CURVE)
    providers = [plan.backbone.provider, plan.dataset.provider, plan.built_recipe.offer.provider]
    providers += [] if plan.system is None else [plan.system.offer.provider]
    card = Card(
        backbone=plan.backbone.name,
        backbone_options=dict(plan.backbone_options),
        preprocessing=describe_input(plan.backbone.spec.input) if plan.changed_input else None,
        parameters=state.kept["parameters"],
        num_classes=len(plan.dataset.class_names),
        class_names=[str(name) for name in plan.dataset.class_names],
        initial_weights=plan.initial.info if plan.initial else WeightsInfo(source="random", file=None, sha256=None),
        dataset=plan.dataset.name,
        dataset_version=plan.dataset.version,
        train_images=len(images.split.ids),
        train_sha256=images.content_sha256(),
        supervision=LABELS_ALONE if plan.scorer is None else LABELS_AND_BOXES,
        recipe=plan.built_recipe.name,
        recipe_options=plan.built_recipe.options,
        system=_system_info(plan, state.kept.get("targets", {})),
        precision=plan.precision,
        checkpoint="last" if plan.ema is None else "ema",
        best_epoch=state.kept.get("best_epoch"),
        results=[SeedResult(**result) for result in state.results],
        command=plan.command,
        weights_sha256=sha256(folder / WEIGHTS),
        seconds=round(state.seconds, 1),
        images_per_second=state.kept["images_per_second"],
        device=str(plan.device),
        threads=torch.get_num_threads(),
        processes=plan.ranks.count if plan.ranks.count > 1 else None,
        wsolbench=__version__,
        plugins={provider.distribution: provider.recorded_version for provider in providers},
        packages=package_versions(),
        git_revision=git_revision(),
    )
    (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card
