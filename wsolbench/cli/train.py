"""``wsolbench train``: trains a classifier from image labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

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
    read_method_options,
    refuse_commas,
)
from wsolbench.cli.completion import backbones, recipes
from wsolbench.cli.processes import start_processes
from wsolbench.cli.session import session_of
from wsolbench.contract.choices import (
    CHOICE_METRICS,
    LARGEST_SEED,
    CheckpointRule,
    ChoiceMetric,
    SplitName,
    TrainingPrecision,
)
from wsolbench.errors import UsageError
from wsolbench.files import fresh_folder

if TYPE_CHECKING:
    from wsolbench.cli.session import Session
    from wsolbench.config import RunConfig, TrainConfig
    from wsolbench.host.registry import Registry
    from wsolbench.records import ChoiceInfo
    from wsolbench.training.job import TrainedClassifier


def train(
    context: typer.Context,
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone",
            "-b",
            metavar="[SYSTEM:]NAME",
            help="Network to train; see 'wsolbench list backbones'. Behind a system of 'wsolbench list systems', as in "
            "adl:resnet_nano, that system trains it.",
            autocompletion=backbones,
        ),
    ],
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
        str,
        typer.Option(
            "--recipe",
            "-r",
            metavar="NAME",
            help="Training recipe; see 'wsolbench list recipes'.",
            autocompletion=recipes,
        ),
    ] = "onecycle",
    recipe_opt: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the recipe; repeatable.")
    ] = None,
    system_opt: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of the system before the network; repeatable."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
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
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Share every batch among N processes of this machine, one for each GPU; auto: as many as it has GPUs.",
        ),
    ] = None,
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
    keep_every: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Also keep the weights after every N-th epoch: weights-epoch-NNN.safetensors."
        ),
    ] = None,
    choose: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Train N times with options drawn at random; keep the best on train-fullsup. The protocol's N is 30.",
        ),
    ] = None,
    checkpoint: Annotated[
        CheckpointRule,
        typer.Option(
            help="Keep the last weights, or those of the epoch that localizes best on train-fullsup. The latter uses "
            "its boxes or masks; card, records and tables say so."
        ),
    ] = "last",
    choose_by: Annotated[
        ChoiceMetric | None,
        typer.Option(help="Of a choice: the score on train-fullsup; default: V2, and PxAP of data sets with masks."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of a choice: the method whose maps are scored; default: as the system says, or else cam; grad-cam "
            "without class weights.",
        ),
    ] = None,
    method_opt: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD.NAME=VALUE", help="Of a choice: an option of the method; repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training with the same command and --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="New folder for weights, card, log and curve.")
    ] = None,
) -> None:
    """Train a classifier from image labels only; write its weights, a card, a log and a curve."""
    session = session_of(context)
    if out is None and resume:
        raise UsageError("--resume needs the --out of the training to continue")
    refuse_commas(watch or [], "--watch")
    for split in watch or []:
        if split not in get_args(SplitName):
            raise UsageError(f"--watch {split}: it takes {' or '.join(get_args(SplitName))}")
    if choose is None and checkpoint == "last":
        _refuse_without_choose({"--choose-by": choose_by, "--method": method, "--method-opt": method_opt})
    registry = session.load_plugins()
    scored_by = method or registry.usual_method(backbone)
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
        system_options=parse_options(system_opt or [], "--system-opt"),
        backbone_options=parse_options(backbone_opt or [], "--backbone-opt"),
        weights=weights,
        weights_key=weights_key,
        **read_input(input_size, preprocessing, mean, std, interpolation),
        seeds=_read_seeds(seed or ["0"]),
        device=device,
        precision=precision,
        workers=workers,
        watch=tuple(watch or []),
        keep_every=keep_every,
        choose=choose,
        checkpoint=checkpoint,
        choose_by=choose_by,
        method=scored_by,
        method_options=read_method_options([scored_by], method_opt or [])[scored_by],
        resume=resume,
        out=out or fresh_folder(f"train-{backbone}"),
    )
    check_names(
        registry,
        dataset=dataset,
        backbone=backbone,
        methods=[config.method] if choose or checkpoint != "last" else [],
        recipe=recipe,
    )
    check_weights(registry, backbone, weights)
    from wsolbench.networks.describe import usual_method

    with session.clean_stdout():
        if method is None:
            config = config.model_copy(update={"method": usual_method(registry, backbone)})
    trained = _train(config, registry, session, devices)
    if trained is None:
        return
    with session.recorded_in(trained.folder):
        for result in trained.card.results:
            accuracy = "not measured (no test split)" if result.test_top1 is None else f"{result.test_top1:.1f} %"
            typer.echo(f"seed {result.seed}: top-1 on test {accuracy}")
        if trained.card.best_epoch is not None:
            best = trained.card.best_epoch
            score = best.scores[best.epoch - best.first]
            metric = CHOICE_METRICS[best.metric]
            typer.echo(f"kept the weights after epoch {best.epoch}: {metric} {score:.1f} on train-fullsup")
        if trained.card.chosen is not None:
            typer.echo(_told(trained.card.chosen))
        typer.echo(f"weights, card, log and curve: {trained.folder}")
        if trained.card.system is not None or trained.card.chosen is not None:
            from wsolbench.sweeps.command import run_command

            files = [str(file.path) for file in session.files]
            typer.echo(f"run it with: {run_command(_run_of(trained, config), files, always=())}")


def _train(config: TrainConfig, registry: Registry, session: Session, devices: str | None) -> TrainedClassifier | None:
    """Train in this process, in several that are started, or as one of several; only the first has a result.

    Raises:
        UsageError: Several processes are asked for, and a choice.
    """
    from wsolbench.engine.ranks import is_started_by_torchrun, joined_ranks
    from wsolbench.training.choose import train_or_choose
    from wsolbench.training.job import help_train, train

    alone = "--choose trains in one process; omit --devices, or train with the options that it chose in several"
    if devices is not None and not is_started_by_torchrun():
        if config.choose is not None:
            raise UsageError(alone)
        raise typer.Exit(start_processes(session.arguments, devices, again="the same command with --resume"))
    command = session.command_without("--resume")
    with joined_ranks() as ranks, session.clean_stdout():
        if ranks.count == 1:
            return train_or_choose(config, registry, session.reporter(), command=command)
        if config.choose is not None:
            raise UsageError(alone)
        config = config.model_copy(update={"out": ranks.from_first(lambda: config.out)})  # a fresh name is the first's
        if ranks.is_first:
            return train(config, registry, session.reporter(), command=command, ranks=ranks)
        help_train(config, registry, ranks=ranks)
        return None


def _refuse_without_choose(given: Mapping[str, object]) -> None:
    """Refuse options of a choice where none is asked for.

    Raises:
        UsageError: There is one.
    """
    for option, value in given.items():
        if value is not None:
            raise UsageError(
                f"{option} is an option of a choice on train-fullsup; add --choose N or --checkpoint "
                "best-on-train-fullsup"
            )


def _run_of(trained: TrainedClassifier, config: TrainConfig) -> RunConfig:
    """Return the run of a network that was trained, on the data that it was trained on."""
    from wsolbench.config import DataConfig, RunConfig

    chosen = trained.card.chosen
    return RunConfig.of(
        **config.model_dump(include=set(DataConfig.model_fields)),
        backbone=config.backbone,
        backbone_options=trained.card.backbone_options,
        weights=str(trained.weights),
        methods={config.method: chosen.method_options if chosen else config.method_options},
    )


def _told(chosen: ChoiceInfo) -> str:
    """Say what was chosen."""
    best = chosen.draws[chosen.draw]
    options = ", ".join(f"{name}={value}" for name, value in best.options.items())
    metric = CHOICE_METRICS[chosen.metric]
    return f"chosen among {len(chosen.draws)} draws: {options} ({metric} {best.score:.1f} on train-fullsup)"


def _read_seeds(texts: list[str]) -> tuple[int, ...]:
    """Return the seeds. Raises ``UsageError`` where a text is none, or is several with commas between them."""
    refuse_commas(texts, "--seed")
    for text in texts:
        digits = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_SEED))
        if not digits or int(text) > LARGEST_SEED:
            raise UsageError(f"--seed {text}: expected a whole number from 0 to {LARGEST_SEED}")
    return tuple(map(int, texts))
