"""``wsolbench compare``: two records of the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsolbench.escaping import finite_json


def compare(
    first: Annotated[Path, typer.Argument(metavar="RECORD", help="The record to compare with.")],
    second: Annotated[Path, typer.Argument(metavar="RECORD", help="The record that may be better.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Show how much better the second record is, with 95 % intervals, and on how many images the two disagree."""
    from wsolbench.records.compare import compare as carry_out
    from wsolbench.records.tables import comparison_table
    from wsolbench.records.verify import read_verified

    comparison = carry_out(read_verified(first), read_verified(second))
    typer.echo(finite_json(comparison.summary()) if json else comparison_table(comparison))
