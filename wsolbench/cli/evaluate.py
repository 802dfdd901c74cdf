"""``wsolbench evaluate``: scoremaps that somebody else computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsolbench.cli.arguments import (
    Boxes,
    ClassMap,
    DataRoot,
    EvaluatedSplit,
    FirstPixel,
    Limit,
    MaskRoot,
    MetadataRoot,
    Tau,
    TauFrom,
    ThresholdStep,
    UnannotatedImages,
    Workers,
    check_names,
    read_tau,
)
from wsolbench.cli.session import session_of, uncollected
from wsolbench.contract.choices import DEFAULT_THRESHOLD_STEP, STORED_MAPS
from wsolbench.errors import UsageError

REFERENCE_LAYOUT = "folder"
"""The data set that is meant where only lists in the reference layout are named."""


def evaluate(
    context: typer.Context,
    scoremaps: Annotated[Path, typer.Option(metavar="DIR", help="Holds IMAGE.npy for every image of the split.")],
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Data set that the maps were made for.")] = None,
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    fullsup_scoremaps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The same for train-fullsup, to choose τ on.")
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What the maps are called in the record, in place of a method.")
    ] = STORED_MAPS,
    masks: MaskRoot = None,
    boxes: Boxes = "inclusive",
    first_pixel: FirstPixel = None,
    unannotated: UnannotatedImages = "error",
    class_map: ClassMap = None,
    split: EvaluatedSplit = "test",
    limit: Limit = None,
    threshold_step: ThresholdStep = DEFAULT_THRESHOLD_STEP,
    tau: Tau = None,
    tau_from: TauFrom = None,
    workers: Workers = 2,
    json: Annotated[
        bool, typer.Option("--json", help="Print the record as one line of JSON, and nothing else.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="New folder for the record.")] = None,
) -> None:
    """Score stored scoremaps, without a network. --dataset NAME or --metadata-root DIR says for which images."""
    session = session_of(context)
    if dataset is None and metadata_root is None:
        raise UsageError("say what the scoremaps were made for: --dataset NAME or --metadata-root DIR")
    from wsolbench.config import EvaluateConfig

    config = EvaluateConfig.of(
        scoremaps=scoremaps,
        fullsup_scoremaps=fullsup_scoremaps,
        name=name,
        dataset=dataset or REFERENCE_LAYOUT,
        data_root=data_root,
        metadata_root=metadata_root,
        masks=masks,
        boxes=boxes,
        first_pixel=first_pixel,
        unannotated=unannotated,
        class_map=class_map,
        split=split,
        limit=limit,
        threshold_step=threshold_step,
        tau=read_tau(tau or []),
        tau_from=tau_from,
        workers=workers,
        strict=session.strict,
        out=out,
    )
    with uncollected():
        registry = session.load_plugins()
        check_names(registry, dataset=config.dataset)
        from wsolbench.engine.evaluate import evaluate as carry_out
        from wsolbench.records.tables import results_table

    with session.clean_stdout():
        record = carry_out(config, registry, session.reporter(), command=session.command)
    with session.recorded_in(out):
        typer.echo(record.to_line() if json else results_table([record]))
        if out is not None and not json:
            typer.echo(f"\nrecord: {out}")
