"""``wsolbench data``: checks, cuts and downloads of data sets."""

from __future__ import annotations

import shlex
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
from wsolbench.cli.command import Command, Group
from wsolbench.cli.session import session_of
from wsolbench.contract import Conventions, DatasetRoots, Severity
from wsolbench.contract.choices import LARGEST_SEED
from wsolbench.errors import DataError, UsageError
from wsolbench.files import atomic_folder, check_writable
from wsolbench.texts import counted

if TYPE_CHECKING:
    from wsolbench.data.check.report import CheckReport, SplitCounts

data = typer.Typer(
    cls=Group,
    help="Check, cut or download a data set.",
    epilog="wsolbench data check imagefolder --data-root photos --metadata-root boxes.csv",
    no_args_is_help=True,
)


@data.command(cls=Command)
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


@data.command(cls=Command)
def split(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Data set with boxes; see 'wsolbench list datasets'.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the lists.")],
    share: Annotated[float | None, typer.Option(help="The share of every class that becomes train-fullsup.")] = None,
    images_per_class: Annotated[int | None, typer.Option(help="As many images of every class instead.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the choice of images.")] = 0,
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    train_root: TrainRoot = None,
    boxes: Boxes = "inclusive",
    first_pixel: FirstPixel = None,
    unannotated: UnannotatedImages = "error",
    class_map: ClassMap = None,
    workers: Workers = 2,
) -> None:
    """Cut a train-fullsup, to choose τ on, off the test split of your own photos; photos stay where they are.

    Writes lists of both splits for --dataset folder, and split.json, which says how they were made.
    """
    session = session_of(context)
    registry = session.load_plugins()
    from wsolbench.data.cut import NOTE, Amount, cut_fullsup, write_cut
    from wsolbench.data.opened import open_dataset

    amount = Amount(share, images_per_class)
    check_writable(out, "--out")
    roots = DatasetRoots(
        data_root, metadata_root, None, train_root, Conventions(boxes, first_pixel, unannotated, class_map)
    )
    reporter = session.reporter()
    with session.clean_stdout(), atomic_folder(out) as draft:
        dataset = open_dataset(registry.datasets.get(name), roots, reporter)
        part, cut = cut_fullsup(dataset, amount, seed=seed, workers=workers, reporter=reporter)
        write_cut(dataset, part, cut, roots, draft)
    train = "" if train_root is None else f" --train-root {shlex.quote(str(train_root))}"
    places = shlex.join(["--data-root", str(data_root), "--metadata-root", str(out)]) + train
    sizes = f"train-fullsup: {counted(len(cut.fullsup), 'images')}; test: {counted(len(cut.test), 'images')}"
    typer.echo(f"{sizes}; lists and {NOTE}: {out}")
    typer.echo(f"check them: wsolbench data check folder {places}")
    typer.echo(f"run: wsolbench run --dataset folder {places} --backbone NAME --weights FILE --method NAME")


@data.command(cls=Command)
def prepare(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Data set; see 'wsolbench list datasets'.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Its folder; default data/NAME.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(metavar="DIR|ZIP|TAR", help="The images that you have; nothing is downloaded.")
    ] = None,
    metadata_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The lists or XML files of boxes that you have.")
    ] = None,
) -> None:
    """Download a data set, verify and unpack it, write its lists, and report what you have to download yourself.

    An interrupted download continues where it stopped. With --data-root, what you have is copied in place of downloads.
    """
    session = session_of(context)
    registry = session.load_plugins()
    from wsolbench.data.fetch.prepare import prepare_dataset

    offer = registry.datasets.get(name)
    folder = out or Path("data") / offer.name
    if metadata_root is not None and data_root is None:
        raise UsageError("--metadata-root goes with --data-root, the images that you have; pass both or neither")
    own = None if data_root is None else DatasetRoots(data_root, metadata_root)
    with session.clean_stdout():
        prepare_dataset(offer, folder, session.reporter(), own)
    typer.echo(f"ready: --dataset {name} --data-root {folder}")
    typer.echo(f"check it: wsolbench data check {name} --data-root {folder}")


def _as_text(report: CheckReport) -> str:
    from tabulate import tabulate

    version = f", version {report.version}" if report.version else ""
    headers = ("split", "images", "expected", "classes", "a class", "boxes", "masks", "missing", "damaged")
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
