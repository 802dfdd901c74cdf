"""``wsolbench gallery``: the maps behind several records, side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsolbench.cli.arguments import ClassMap, DataRoot, Device, MaskRoot, MetadataRoot
from wsolbench.cli.session import session_of
from wsolbench.contract import Conventions, DatasetRoots
from wsolbench.errors import UsageError
from wsolbench.host.registry import Registry
from wsolbench.progress import Reporter

if TYPE_CHECKING:
    from wsolbench.engine.redraw import RecordedRun
    from wsolbench.records import ResultRecord


def gallery(
    context: typer.Context,
    records: Annotated[list[Path], typer.Argument(help="Record files of one data set; a column each.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The picture: .png, .svg or .pdf.")],
    images: Annotated[
        int, typer.Option(metavar="N", min=1, help="So many, chosen at random, always the same ones.")
    ] = 6,
    image: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Show this image instead of a choice; repeatable.")
    ] = None,
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    masks: MaskRoot = None,
    weights_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Below which the weights files that records name lie.")
    ] = None,
    class_map: ClassMap = None,
    device: Device = None,
) -> None:
    """Show the same images across networks and methods: a row for an image, a column for a record.

    Lists are read as the first record says; --class-map names the class map where it is elsewhere now.
    """
    session = session_of(context)
    registry = session.load_plugins()
    from wsolbench.data.opened import open_dataset
    from wsolbench.engine.recorded import lacks_weights_root
    from wsolbench.engine.redraw import draw_side_by_side
    from wsolbench.figures.side_by_side import check_format
    from wsolbench.networks.devices import choose_device

    check_format(out)
    reporter = session.reporter()
    with session.clean_stdout():
        runs = [_rebuild(path, registry, reporter) for path in records]
        offer = registry.datasets.get(runs[0].record.dataset.name)
        roots = DatasetRoots(data_root, metadata_root, masks, conventions=_conventions(runs[0].record, class_map))
        try:
            dataset = open_dataset(offer, roots)
        except UsageError as error:  # what else has to be named is said at once
            lacking = lacks_weights_root([run.record for run in runs], weights_root)
            raise UsageError("; ".join(filter(None, [str(error), lacking]))) from error
        draw_side_by_side(
            out,
            runs,
            registry,
            dataset,
            images=image or images,
            weights_root=weights_root,
            device=choose_device(device),
            reporter=reporter,
        )
    typer.echo(out)


def _conventions(record: ResultRecord, class_map: Path | None) -> Conventions:
    """Return how the lists of a record's data set were read. Raises ``UsageError`` where its settings are damaged."""
    from wsolbench.config import DataConfig

    stored = {name: value for name, value in (record.config or {}).items() if name in DataConfig.model_fields}
    conventions = DataConfig.of(**stored).roots.conventions
    return replace(conventions, class_map=class_map or conventions.class_map)


def _rebuild(path: Path, registry: Registry, reporter: Reporter) -> RecordedRun:
    """Read a record and build its method with all options that it was measured with, whatever their defaults now."""
    from wsolbench.engine.methods import build_method
    from wsolbench.engine.redraw import RecordedRun
    from wsolbench.records.verify import read_verified

    record = read_verified(path)
    if record.backbone is None:
        raise UsageError(f"{path}: its maps were read from files; no network can draw them again")
    offer = registry.methods.get(record.method.name)
    method = build_method(offer, record.method.options)
    for name in method.options.keys() - record.method.options.keys():
        reporter.warn(
            f"{path} has no option {name} of '{offer.name}', which came later: it is {method.options[name]!r}"
        )
    return RecordedRun(record, method)
