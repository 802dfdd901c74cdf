"""``wsolbench evaluate``: scoremaps that somebody else computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from wsolbench.cli.arguments import (
    ClassMap,
    DataRoot,
    EvaluatedSplit,
    FirstPixel,
    Frame,
    FurtherMetrics,
    IouThresholds,
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
from wsolbench.cli.session import session_of
from wsolbench.contract.choices import DEFAULT_THRESHOLD_STEP, BoxConvention
from wsolbench.errors import UsageError

REFERENCE_LAYOUT = "folder"
"""The data set that is meant where only lists in the reference layout are named."""


def evaluate(
    context: typer.Context,
    scoremaps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Holds IMAGE.npy for every image of the split.")
    ] = None,
    predicted_boxes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Boxes of every image in place of maps: CSV or JSON.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|RECORD",
            help="What a system predicts. Alone: its boxes, as --predicted-boxes. Beside maps or boxes: the classes, "
            "as --classifier.",
        ),
    ] = None,
    classifier: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|RECORD",
            help="Class of every image, or the five best: CSV or JSON; or a network's record. For Top-k Loc.",
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Data set that the maps were made for.")] = None,
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    fullsup_scoremaps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The same for train-fullsup, to choose τ on.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the maps or boxes are called in the record, in place of a method."),
    ] = None,
    origin: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RECORD",
            help="The record of the run that saved the maps or boxes: the new record is of its network and method.",
        ),
    ] = None,
    masks: MaskRoot = None,
    boxes: Annotated[
        str,
        typer.Option(
            metavar="inclusive|half-open|clip|FILE",
            help="Second corners in the lists of the data set; or, for short, the file of --predicted-boxes.",
        ),
    ] = "inclusive",
    first_pixel: FirstPixel = None,
    unannotated: UnannotatedImages = "error",
    class_map: ClassMap = None,
    split: EvaluatedSplit = "test",
    limit: Limit = None,
    threshold_step: ThresholdStep = DEFAULT_THRESHOLD_STEP,
    frame: Frame = None,
    iou: IouThresholds = None,
    tau: Tau = None,
    tau_from: TauFrom = None,
    workers: Workers = 2,
    all_metrics: FurtherMetrics = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the record as one line of JSON, and nothing else.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="New folder for the record.")] = None,
) -> None:
    """Score stored scoremaps or boxes, without a network. --dataset NAME or --metadata-root DIR names their images."""
    session = session_of(context)
    convention, predicted_boxes = _boxes(boxes, predicted_boxes)
    if dataset is None and metadata_root is None:
        what = "scoremaps were made" if predicted_boxes is None and scoremaps is not None else "boxes were predicted"
        raise UsageError(f"say what the {what} for: --dataset NAME or --metadata-root DIR")
    from wsolbench.config import EvaluateConfig

    config = EvaluateConfig.of(
        scoremaps=scoremaps,
        fullsup_scoremaps=fullsup_scoremaps,
        predicted_boxes=predicted_boxes,
        predictions=predictions,
        classifier=classifier,
        name=name,
        origin=origin,
        dataset=dataset or REFERENCE_LAYOUT,
        data_root=data_root,
        metadata_root=metadata_root,
        masks=masks,
        boxes=convention,
        first_pixel=first_pixel,
        unannotated=unannotated,
        class_map=class_map,
        split=split,
        limit=limit,
        threshold_step=threshold_step,
        frame=frame,
        iou_thresholds=iou or None,
        tau=read_tau(tau or []),
        tau_from=tau_from,
        workers=workers,
        strict=session.strict,
        out=out,
    )
    with session.uncollected():
        registry = session.load_plugins()
        check_names(registry, dataset=config.dataset)
        from wsolbench.engine.evaluate import evaluate as carry_out
        from wsolbench.records.tables import results_table, terminal_width

    with session.clean_stdout():
        record = carry_out(config, registry, session.reporter(), command=session.command)
    with session.recorded_in(out):
        if json:
            typer.echo(record.to_line())
            return
        typer.echo(results_table([record], further=all_metrics, width=terminal_width()))
        if out is not None:
            typer.echo(f"\nrecord: {out}")


def _boxes(text: str, predicted: Path | None) -> tuple[BoxConvention, Path | None]:
    """Return the convention of the lists, and the file of predicted boxes, which --boxes may name too.

    Raises:
        UsageError: The text is neither, or two files are named.
    """
    conventions: tuple[BoxConvention, ...] = get_args(BoxConvention)
    for convention in conventions:
        if text == convention:
            return convention, predicted
    if predicted is not None:
        raise UsageError(f"--boxes {text}: expected {', '.join(conventions)}, as --predicted-boxes names the file")
    if not Path(text).exists():
        raise UsageError(f"--boxes {text}: neither {', '.join(conventions)} nor a file of predicted boxes")
    return "inclusive", Path(text)
