"""``wsolbench evaluate``: scoremaps that somebody else computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsolbench.cli.arguments import (
    DataRoot,
    EvaluatedSplit,
    Interval,
    Limit,
    MaskRoot,
    MetadataRoot,
    SplitChoice,
    Workers,
    roots,
)
from wsolbench.cli.session import session_of
from wsolbench.errors import UsageError


def evaluate(
    context: typer.Context,
    scoremaps: Annotated[Path, typer.Option(metavar="DIR", help="Holds IMAGE.npy for every image of the split.")],
    dataset: Annotated[str | None, typer.Option(help="Data set that the maps were made for.")] = None,
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    fullsup_scoremaps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The same for train-fullsup, to choose τ on.")
    ] = None,
    masks: MaskRoot = None,
    split: EvaluatedSplit = SplitChoice.TEST,
    limit: Limit = None,
    interval: Interval = 0.001,
    workers: Workers = 2,
    json: Annotated[
        bool, typer.Option("--json", help="Print the record as one line of JSON, and nothing else.")
    ] = False,
) -> None:
    """Score stored scoremaps, without a network. --dataset NAME or --metadata-root DIR says for which images."""
    session = session_of(context)
    if dataset is None and metadata_root is None:
        raise UsageError("say what the scoremaps were made for: --dataset NAME or --metadata-root DIR")
    registry = session.load_plugins()
    from wsolbench.cli.tables import results_table
    from wsolbench.data.opened import open_dataset
    from wsolbench.engine.evaluate import EvaluationPlan
    from wsolbench.engine.evaluate import evaluate as carry_out

    with session.clean_stdout():
        offer = registry.datasets.get(dataset or "folder")
        plan = EvaluationPlan(
            dataset=open_dataset(offer, roots(data_root, metadata_root, masks)),
            scoremaps=scoremaps,
            fullsup_scoremaps=fullsup_scoremaps,
            split=split.part,
            limit=limit,
            interval=interval,
            workers=workers,
            strict=session.strict,
            command=session.command,
        )
        record = carry_out(plan, session.reporter())
    typer.echo(record.to_line() if json else results_table([record]))
