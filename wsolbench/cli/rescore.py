"""``wsolbench rescore``: other settings of the evaluation for the maps of a record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsolbench.cli.arguments import (
    ClassMap,
    DataRoot,
    Frame,
    FurtherMetrics,
    IouThresholds,
    MaskRoot,
    MetadataRoot,
    Tau,
    TauFrom,
    TrainRoot,
    read_tau,
)
from wsolbench.cli.session import session_of
from wsolbench.contract.choices import FINEST_THRESHOLD_STEP, SplitName
from wsolbench.files import check_writable, fresh_folder


def rescore(
    context: typer.Context,
    record: Annotated[Path, typer.Argument(help="The record-METHOD.json of a run whose maps are in the cache.")],
    threshold_step: Annotated[
        float | None,
        typer.Option(
            "--threshold-step",
            "--interval",
            metavar="STEP",
            min=FINEST_THRESHOLD_STEP,
            max=1,
            help="Step of the grid of τ; default: the record's.",
        ),
    ] = None,
    frame: Frame = None,
    iou: IouThresholds = None,
    tau: Tau = None,
    tau_from: TauFrom = None,
    split: Annotated[
        SplitName | None, typer.Option("--split", "--target-split", help="The split to score; default: the record's.")
    ] = None,
    classifier: Annotated[
        Path | None,
        typer.Option(metavar="RECORD|FILE", help="Whose classes count for Top-k Loc; default: as in the record."),
    ] = None,
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    masks: MaskRoot = None,
    train_root: TrainRoot = None,
    class_map: ClassMap = None,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Threads; default: as in the record.")] = None,
    all_metrics: FurtherMetrics = False,
    json: Annotated[bool, typer.Option("--json", help="Print the JSON record in one line, and nothing else.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="New folder; default runs/<time>-rescore.")
    ] = None,
) -> None:
    """Score the maps of a record again from the cache, without a network: other τ, frame, δ or split."""
    session = session_of(context)
    folder = fresh_folder("rescore") if out is None else out
    given = {
        "threshold_step": threshold_step,
        "frame": frame,
        "iou_thresholds": iou or None,
        "tau": read_tau(tau) if tau else None,
        "tau_from": tau_from,
        "split": split,
        "classifier": classifier,
        "data_root": data_root,
        "metadata_root": metadata_root,
        "masks": masks,
        "train_root": train_root,
        "class_map": class_map,
        "workers": workers,
        "strict": session.strict or None,
    }
    with session.uncollected():
        registry = session.load_plugins()
        check_writable(folder, "--out")
        from wsolbench.engine.rescore import rescore as score_again
        from wsolbench.records.store import read_summary
        from wsolbench.records.tables import results_table, terminal_width

    changes = {name: value for name, value in given.items() if value is not None}
    with session.clean_stdout():
        again = score_again(
            read_summary(record), str(record), changes, folder, registry, session.reporter(), command=session.command
        )
    with session.recorded_in(folder):
        if json:
            typer.echo(again.to_line())
            return
        typer.echo(results_table([again], {}, further=all_metrics, width=terminal_width()))
        typer.echo(f"\nrecord: {folder}")
