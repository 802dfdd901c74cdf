"""``wsolbench compare``: two records of the same images, or many against those of one network or method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsolbench.cli.arguments import FurtherMetrics
from wsolbench.errors import UsageError
from wsolbench.escaping import finite_json


def compare(
    first: Annotated[Path, typer.Argument(metavar="RECORD", help="The record to compare with.")],
    second: Annotated[Path, typer.Argument(metavar="RECORD", help="The record that may be better.")],
    further: Annotated[list[Path] | None, typer.Argument(metavar="RECORD", help="More, with --against.")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Compare every network with this one, or every method with this one; as tables name it.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="With --against: the metric, as records name it.  [default: fullsup_box_acc_v2]"
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="With --against: networks × methods as a table in Markdown.")
    ] = False,
    all_metrics: FurtherMetrics = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Show how much better the second record is, with 95 % intervals, and on how many images the two disagree.

    With --against, show the difference of every record to that of one network with the same method, or to that of one
    method on the same network. Trainings that differ in their seeds alone count as one network.
    """
    if against is not None:
        typer.echo(_against([first, second, *(further or [])], against, metric, markdown, json))
        return
    if further:
        raise UsageError(f"expected two records, got {2 + len(further)}; name what to compare all with: --against NAME")
    if metric is not None or markdown:
        raise UsageError("--metric and --markdown need --against NAME")
    from wsolbench.records.compare import compare as carry_out
    from wsolbench.records.tables import comparison_table
    from wsolbench.records.verify import read_verified

    comparison = carry_out(read_verified(first), read_verified(second))
    typer.echo(finite_json(comparison.summary()) if json else comparison_table(comparison, further=all_metrics))


def _against(paths: list[Path], against: str, metric: str | None, markdown: bool, json: bool) -> str:
    from wsolbench.records.contrasts import contrast
    from wsolbench.records.tables import contrasts_markdown, contrasts_table
    from wsolbench.records.verify import read_verified

    contrasts = contrast([read_verified(path) for path in paths], against)
    if json:
        return finite_json(contrasts.summary())
    return contrasts_markdown(contrasts, metric) if markdown else contrasts_table(contrasts, metric)
