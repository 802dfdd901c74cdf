"""``wsolbench schema``: the JSON Schema of result records."""

from __future__ import annotations

import typer


def schema() -> None:
    """Print the JSON Schema of result records."""
    from wsolbench.records import record_schema

    typer.echo(record_schema(), nl=False)
