"""``wsolbench data``: checks and downloads of data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsolbench.cli.arguments import (
    Boxes,
    ClassMap,
    DataRoot,
    FirstPixel,
    MaskRoot,
    MetadataRoot,
    TrainRoot,
    UnannotatedImages,
    Workers,
)
from wsolbench.cli.session import EVERYWHERE, session_of
from wsolbench.contract import Conventions, DatasetRoots, Severity
from wsolbench.errors import DataError

if TYPE_CHECKING:
    from wsolbench.data.check.report import CheckReport, SplitCounts

data = typer.Typer(help="Check or download a data set.", no_args_is_help=True)


@data.command(epilog=EVERYWHERE)
def check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Data set; see 'wsolbench list datasets'.")],
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    masks: MaskRoot = None,
    train_root: TrainRoot = None,
    boxes: Boxes = "inclusive",
    first_pixel: FirstPixel = None,
    unannotated: UnannotatedImages = "error",
    class_map: ClassMap = None,
    workers: Workers = 2,
) -> None:
    """Read every list and every image of a data set, and report what is wrong.

    The exit code is 2 if a run would fail or violate the protocol.
    """
    session = session_of(context)
    registry = session.load_plugins()
    conventions = Conventions(boxes, first_pixel, unannotated, class_map)
    from wsolbench.data.check.report import check_dataset

    with session.clean_stdout():
        report = check_dataset(
            registry.datasets.get(name),
            DatasetRoots(data_root, metadata_root, masks, train_root, conventions),
            workers=workers,
            reporter=session.reporter(),
        )
    typer.echo(_as_text(report))
    errors = len(report.of(Severity.ERROR))
    if errors:
        count = "1 error" if errors == 1 else f"{errors} errors"
        raise DataError(f"{count} in the data set '{name}': a run would fail or violate the protocol")


@data.command(epilog=EVERYWHERE)
def prepare(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Data set; see 'wsolbench list datasets'.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Its folder; default data/NAME.")] = None,
) -> None:
    """Download a data set, verify and unpack it, write its lists, and report what you have to download yourself.

    An interrupted download continues where it stopped.
    """
    session = session_of(context)
    registry = session.load_plugins()
    from wsolbench.data.fetch.prepare import prepare_dataset

    offer = registry.datasets.get(name)
    folder = out or Path("data") / offer.name
    with session.clean_stdout():
        prepare_dataset(offer, folder, session.reporter())
    typer.echo(f"ready: --dataset {name} --data-root {folder}")
    typer.echo(f"check it: wsolbench data check {name} --data-root {folder}")


def _as_text(report: CheckReport) -> str:
    from tabulate import tabulate

    version = f", version {report.version}" if report.version else ""
    headers = ("split", "images", "known", "classes", "a class", "boxes", "masks", "missing", "damaged")
    table = tabulate([_row(counts) for counts in report.splits], headers, disable_numparse=True, stralign="right")
    sections = [f"{report.dataset}{version}", "", table]
    for severity in Severity:
        texts = report.of(severity)
        if texts:
            sections += ["", f"{severity.value}s", *(f"  {text}" for text in texts)]
    if not report.of(Severity.ERROR):
        sections += ["", "no error; see the warnings" if report.of(Severity.WARNING) else "no error and no warning"]
    return "\n".join(sections)


def _row(counts: SplitCounts) -> list[str]:
    fewest, most = counts.per_class
    missing = _number(counts.missing) if counts.available or counts.missing is None else "not available"
    return [
        counts.split.label,
        _number(counts.images),
        _number(counts.known),
        _number(counts.classes),
        f"{fewest}" if fewest == most else f"{fewest}–{most}",
        _number(counts.boxes),
        _number(counts.masks),
        missing,
        _number(counts.damaged),
    ]


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
