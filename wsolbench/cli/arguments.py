"""Options that several subcommands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from wsolbench.contract.choices import FINEST_THRESHOLD_STEP, BoxConvention, SplitName, Unannotated
from wsolbench.errors import UsageError

DatasetName = Annotated[str, typer.Option(help="Data set; see 'wsolbench list datasets'.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder of the data set, or that image ids are relative to.")]
MetadataRoot = Annotated[
    Path | None, typer.Option(help="Folder of the split folders train, val and test, or a data set's file of boxes.")
]
MaskRoot = Annotated[Path | None, typer.Option(help="Folder that mask paths are relative to; default --data-root.")]
TrainRoot = Annotated[
    Path | None, typer.Option(metavar="DIR|ZIP", help="Where the train-weaksup images lie when elsewhere.")
]
Boxes = Annotated[
    BoxConvention, typer.Option(help="Second corners in the lists: the last pixel, the one after it, or clipped.")
]
FirstPixel = Annotated[
    int | None,
    typer.Option(min=0, max=1, help="Number of the first pixel in lists of corners; default: see docs."),
]
UnannotatedImages = Annotated[
    Unannotated, typer.Option("--unannotated", help="Images without box and mask where others have one.")
]
ClassMap = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="CSV of class folders, categories of boxes and rows of the head."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...; default: a GPU where there is one.")]
WeightsKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Which state dict of a weights file that holds several, as state_dict_ema."),
]
Workers = Annotated[int, typer.Option(min=1, help="Threads that load images and score maps.")]
ThresholdStep = Annotated[
    float,
    typer.Option(
        "--threshold-step",
        "--interval",
        min=FINEST_THRESHOLD_STEP,
        max=1,
        help="Step of the grid of CAM thresholds τ from 0 to 1.",
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many images of each split, always the same ones.")]
EvaluatedSplit = Annotated[SplitName, typer.Option(help="The split that is scored.")]


def parse_options(texts: Sequence[str], option: str) -> dict[str, str]:
    """Read texts of the form ``name=value``.

    Raises:
        UsageError: A text has another form.
    """
    parsed: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} {text}: expected NAME=VALUE")
        if name in parsed:
            raise UsageError(f"{option} {text}: {name} is given twice")
        parsed[name] = value
    return parsed
