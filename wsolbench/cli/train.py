"""``wsolbench train``: trains a classifier from image labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsolbench.cli.arguments import (
    BackboneOptions,
    Boxes,
    ClassMap,
    DataRoot,
    DatasetName,
    Device,
    FirstPixel,
    InputSize,
    Mean,
    MetadataRoot,
    PreprocessingOfName,
    Std,
    TrainRoot,
    UnannotatedImages,
    WarpFilter,
    WeightsKey,
    Workers,
    check_names,
    check_weights,
    parse_options,
    read_input,
    refuse_commas,
)
from wsolbench.cli.session import session_of
from wsolbench.contract.choices import LARGEST_SEED, TrainingPrecision
from wsolbench.errors import UsageError
from wsolbench.files import fresh_folder


def train(
    context: typer.Context,
    backbone: Annotated[str, typer.Option(metavar="NAME", help="Network to train; see 'wsolbench list backbones'.")],
    dataset: DatasetName = "critters",
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    train_root: TrainRoot = None,
    boxes: Boxes = "inclusive",
    first_pixel: FirstPixel = None,
    unannotated: UnannotatedImages = "error",
    class_map: ClassMap = None,
    backbone_opt: BackboneOptions = None,
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="Training recipe; see 'wsolbench list recipes'.")
    ] = "onecycle",
    recipe_opt: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the recipe; repeatable.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|SOURCE",
            help="Start from these weights; a classifier with another number of classes is left out.",
        ),
    ] = None,
    weights_key: WeightsKey = None,
    input_size: InputSize = None,
    preprocessing: PreprocessingOfName = None,
    mean: Mean = None,
    std: Std = None,
    interpolation: WarpFilter = None,
    seed: Annotated[
        list[str] | None,
        typer.Option(metavar="N", help="Repeatable: one training for each seed; the first one's weights are kept."),
    ] = None,
    device: Device = None,
    precision: Annotated[
        TrainingPrecision,
        typer.Option(help="bf16: torch's autocast, faster on processors that support it; weights are always fp32."),
    ] = "fp32",
    workers: Workers = 2,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="test|train-fullsup",
            help="Log the accuracy on this split after every epoch; repeatable. No choice depends on it.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training with the same command and --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder for weights, card, log and curve.")
    ] = None,
) -> None:
    """Train a classifier from image labels only; write its weights, a card, a log and a curve."""
    session = session_of(context)
    if out is None and resume:
        raise UsageError("--resume needs the --out of the training to continue")
    refuse_commas(watch or [], "--watch")
    from wsolbench.config import TrainConfig

    config = TrainConfig.of(
        backbone=backbone,
        dataset=dataset,
        data_root=data_root,
        metadata_root=metadata_root,
        train_root=train_root,
        boxes=boxes,
        first_pixel=first_pixel,
        unannotated=unannotated,
        class_map=class_map,
        recipe=recipe,
        recipe_options=parse_options(recipe_opt or [], "--recipe-opt"),
        backbone_options=parse_options(backbone_opt or [], "--backbone-opt"),
        weights=weights,
        weights_key=weights_key,
        **read_input(input_size, preprocessing, mean, std, interpolation),
        seeds=_read_seeds(seed or ["0"]),
        device=device,
        precision=precision,
        workers=workers,
        watch=tuple(watch or []),
        resume=resume,
        out=out or fresh_folder(f"train-{backbone}"),
    )
    registry = session.load_plugins()
    check_names(registry, dataset=dataset, backbone=backbone, recipe=recipe)
    check_weights(registry, backbone, weights)
    from wsolbench.training.job import train as carry_out

    with session.clean_stdout():
        trained = carry_out(config, registry, session.reporter(), command=session.command_without("--resume"))
    with session.recorded_in(trained.folder):
        for result in trained.card.results:
            accuracy = "not measured (no test split)" if result.test_top1 is None else f"{result.test_top1:.1f} %"
            typer.echo(f"seed {result.seed}: top-1 on test {accuracy}")
        typer.echo(f"weights, card, log and curve: {trained.folder}")


def _read_seeds(texts: list[str]) -> tuple[int, ...]:
    """Return the seeds. Raises ``UsageError`` where a text is none, or is several with commas between them."""
    refuse_commas(texts, "--seed")
    for text in texts:
        digits = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_SEED))
        if not digits or int(text) > LARGEST_SEED:
            raise UsageError(f"--seed {text}: expected a whole number from 0 to {LARGEST_SEED}")
    return tuple(map(int, texts))
