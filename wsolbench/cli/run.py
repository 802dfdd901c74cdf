"""``wsolbench run``: a backbone and methods on a data set."""

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
    EvaluatedSplit,
    FirstPixel,
    FurtherMetrics,
    InputSize,
    Limit,
    MaskRoot,
    Mean,
    MetadataRoot,
    PreprocessingOfName,
    Std,
    Tau,
    TauFrom,
    ThresholdStep,
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
    read_tau,
    refuse_commas,
)
from wsolbench.cli.completion import backbones, methods
from wsolbench.cli.processes import start_processes
from wsolbench.cli.session import session_of
from wsolbench.contract.choices import DEFAULT_THRESHOLD_STEP, LARGEST_SEED, Precision, Target
from wsolbench.errors import UsageError
from wsolbench.files import file_name, fresh_folder


def run(
    context: typer.Context,
    backbone: Annotated[
        list[str],
        typer.Option(
            "--backbone",
            "-b",
            metavar="[SYSTEM:]NAME",
            help="Network, family or timm:NAME; see 'wsolbench list backbones'. Behind a system, as in "
            "acol:resnet_nano, the network that it trained. Repeatable: one run after another.",
            autocompletion=backbones,
        ),
    ],
    method: Annotated[
        list[str],
        typer.Option(
            "--method",
            "-m",
            metavar="NAME",
            help="Repeatable: one forward pass serves all; see 'wsolbench list methods'.",
            autocompletion=methods,
        ),
    ],
    dataset: DatasetName = "critters",
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    masks: MaskRoot = None,
    train_root: TrainRoot = None,
    boxes: Boxes = "inclusive",
    first_pixel: FirstPixel = None,
    unannotated: UnannotatedImages = "error",
    class_map: ClassMap = None,
    backbone_opt: BackboneOptions = None,
    method_opt: Annotated[
        list[str] | None, typer.Option(metavar="METHOD.NAME=VALUE", help="An option of a method; repeatable.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            "-w",
            metavar="FILE|SOURCE|random",
            help="Default: those that ship for the data set. A SOURCE such as 'timm' fetches the network's own. Of "
            "several networks: once for all, or once for each, in their order.",
        ),
    ] = None,
    weights_key: WeightsKey = None,
    tap: Annotated[
        str | None,
        typer.Option(metavar="LAYER", help="Features are those of this layer; 'describe' lists the taps of a network."),
    ] = None,
    input_size: InputSize = None,
    preprocessing: PreprocessingOfName = None,
    mean: Mean = None,
    std: Std = None,
    interpolation: WarpFilter = None,
    split: EvaluatedSplit = "test",
    limit: Limit = None,
    target: Annotated[Target, typer.Option(help="The class to localize: the true or the predicted.")] = "gt",
    threshold_step: ThresholdStep = DEFAULT_THRESHOLD_STEP,
    tau: Tau = None,
    tau_from: TauFrom = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Images in a forward pass.")] = 32,
    device: Device = None,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Share the images among N processes of this machine, one for each GPU; auto: as many as it has GPUs.",
        ),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Of the network up to its features; less than fp32 moves scores.")
    ] = "fp32",
    compile: Annotated[
        bool, typer.Option("--compile", help="Let torch compile the network; pays off in long runs only.")
    ] = False,
    workers: Workers = 2,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=LARGEST_SEED, help="Of every random draw, such as random weights.")
    ] = 0,
    classifier: Annotated[
        Path | None,
        typer.Option(
            metavar="RECORD|FILE",
            help="Whose classes count for Top-k Loc: the record of another network, or CSV or JSON as for 'evaluate'.",
        ),
    ] = None,
    save_scoremaps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write maps as DIR/METHOD/(val|test)/IMAGE.npy, and boxes as DIR/METHOD/(val|test).csv."
        ),
    ] = None,
    gallery: Annotated[
        bool, typer.Option("--gallery/--no-gallery", help="Draw the best, median and worst images; takes seconds.")
    ] = True,
    cache: Annotated[
        bool,
        typer.Option("--cache/--no-cache", help="Take maps that were made before from the cache, and keep new ones."),
    ] = True,
    all_metrics: FurtherMetrics = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON record a line, and nothing else.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="New folder; default runs/<time>-<backbone>. Of several networks, one below it for each.",
        ),
    ] = None,
) -> None:
    """Score localization methods on a trained classifier; write a record and a gallery for each."""
    session = session_of(context)
    from wsolbench.config import RunConfig, weights_of_each

    refuse_commas(backbone, "--backbone")
    if len(set(backbone)) < len(backbone):
        raise UsageError(f"--backbone: {', '.join(backbone)} names a network twice; call 'wsolbench run' once for each")
    places = [file_name(name) if len(backbone) > 1 else "" for name in backbone]
    folders = [fresh_folder(name) if out is None else out / place for name, place in zip(backbone, places, strict=True)]
    configs = [
        RunConfig.of(
            backbone=name,
            methods=read_method_options(method, method_opt or []),
            dataset=dataset,
            data_root=data_root,
            metadata_root=metadata_root,
            masks=masks,
            train_root=train_root,
            boxes=boxes,
            first_pixel=first_pixel,
            unannotated=unannotated,
            class_map=class_map,
            backbone_options=parse_options(backbone_opt or [], "--backbone-opt"),
            weights=of_one,
            weights_key=weights_key,
            tap=tap,
            **read_input(input_size, preprocessing, mean, std, interpolation),
            split=split,
            limit=limit,
            target=target,
            threshold_step=threshold_step,
            tau=read_tau(tau or []),
            tau_from=tau_from,
            batch_size=batch_size,
            device=device,
            precision=precision,
            compile=compile,
            workers=workers,
            seed=seed,
            strict=session.strict,
            classifier=classifier,
            save_scoremaps=None if save_scoremaps is None else save_scoremaps / place,
            gallery=gallery,
            cache=cache,
            out=folder,
        )
        for name, of_one, place, folder in zip(
            backbone, weights_of_each(weights or [], len(backbone)), places, folders, strict=True
        )
    ]
    with session.uncollected():
        registry = session.load_plugins()
        from wsolbench.engine.finished import check_output

        for config in configs:
            check_output(config)
        for config in configs:
            check_names(registry, dataset=dataset, backbone=config.backbone, methods=config.methods)
            check_weights(registry, config.backbone, config.weights)
        from wsolbench.data.opened import ADVICE_WITHOUT_FULLSUP
        from wsolbench.engine.ranks import is_started_by_torchrun, joined_ranks
        from wsolbench.engine.run import run as carry_out
        from wsolbench.progress import Reporter
        from wsolbench.records.missing import NO_FULLSUP
        from wsolbench.records.tables import results_table, terminal_width

    is_own = registry.datasets.get(dataset).spec.classes is None  # others are published with their splits
    advice = {NO_FULLSUP: ADVICE_WITHOUT_FULLSUP} if is_own else {}
    if devices is not None and not is_started_by_torchrun():
        raise typer.Exit(start_processes(session.arguments, devices))
    with joined_ranks() as ranks:
        for number, (config, folder) in enumerate(zip(configs, folders, strict=True)):
            reporter = session.reporter() if ranks.is_first else Reporter()
            with session.clean_stdout():
                records = carry_out(config, registry, reporter, command=session.command, ranks=ranks)
            if not ranks.is_first:
                continue
            with session.recorded_in(folder):
                if json:
                    for record in records:
                        typer.echo(record.to_line())
                    continue
                text = results_table(records, advice, further=all_metrics, width=terminal_width())
                typer.echo(("\n" if number else "") + text)
                typer.echo(f"\n{'records and galleries' if gallery else 'records'}: {folder}")
