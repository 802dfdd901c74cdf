"""The same images across networks and methods: the maps behind several records, side by side."""

from __future__ import annotations

import glob
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from wsolbench.contract import Split
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.engine.fit import fit_methods, open_fit_images
from wsolbench.engine.localize import Localizer
from wsolbench.engine.methods import BuiltMethod
from wsolbench.errors import DataError, OutputError, UsageError, WeightsError
from wsolbench.figures.gallery import PREDICTED, draw_box, draw_image, scoremaps_of, short_id, true_boxes
from wsolbench.files import sha256, write_whole
from wsolbench.host.registry import Registry
from wsolbench.networks.load import Weights, load_network
from wsolbench.networks.network import Execution, Network
from wsolbench.progress import Reporter
from wsolbench.protocol import box_iou, boxes_at
from wsolbench.records import ResultRecord, SplitOutcomes, WeightsInfo

FORMATS = {".png": "Source", ".svg": "Description", ".pdf": "Subject"}
"""Endings of files that can be written, and the field of each in which the records are named."""


@dataclass(frozen=True)
class Measured:
    """A record, the hash of its file, and the method that made its maps, built as it was then."""

    record: ResultRecord
    sha256: str
    method: BuiltMethod


@dataclass(frozen=True)
class _Column:
    """The maps of one record and the τ at which its boxes are drawn."""

    network: str
    method: str
    threshold: float | None
    scoremaps: dict[int, NDArray[np.float32]]


def draw_side_by_side(
    path: Path,
    measured: Sequence[Measured],
    registry: Registry,
    dataset: OpenDataset,
    *,
    images: int | Sequence[str],
    weights_root: Path | None,
    device: torch.device,
    reporter: Reporter,
) -> None:
    """Draw a row for every image and a column for every record; networks are loaded and maps computed anew.

    A fitted method is fitted again, on the images that the seed and the limit of its record draw.

    Boxes are those of the largest contour at the τ that a record chose on train-fullsup, or, where it has none, at its
    oracle τ.

    Args:
        path: The file, .png, .svg or .pdf.
        measured: Records of one data set and split; those of one network stand together.
        registry: What the plugins offer.
        dataset: The data set that they were measured on.
        images: How many, chosen at random but always the same ones, or the ids of those to show.
        weights_root: Where weights files that records name lie.
        device: Where networks run.
        reporter: Told how far fitting is.

    Raises:
        UsageError: A record has no network, or an image is not in the split.
        DataError: Records were measured on different data, or the data at hand is not theirs.
        WeightsError: Weights cannot be found, or are not those of the record.
        OutputError: The file cannot be written.
    """
    check_format(path)
    part = _open_measured(measured, dataset)
    indices = _chosen(part, images)
    columns: list[_Column] = []
    for of_network in _by_network(measured):
        network = _load(of_network[0].record, registry, len(dataset.class_names), weights_root, device)
        for each in of_network:
            _fit_again(each, network, dataset, reporter)
        columns += _columns(of_network, network, part, indices)
    figure = _draw(columns, part, indices)
    _save(figure, path, [each.sha256 for each in measured])


def check_format(path: Path) -> None:
    """Refuse a file whose ending is not one of a picture.

    Raises:
        UsageError: It is not.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"--out {path}: name a file that ends in {', '.join(FORMATS)}")


def _scored(record: ResultRecord) -> SplitOutcomes:
    return next(part for part in record.outcomes if part.split == record.protocol.split)


def _open_measured(measured: Sequence[Measured], dataset: OpenDataset) -> OpenSplit:
    """Return the images that the records were measured on, and make sure that they are the same ones."""
    first = measured[0].record
    for each in measured:
        if each.record.backbone is None:
            raise UsageError(
                f"the maps of '{each.record.method.name}' were read from files; no network can redraw them"
            )
        if _scored(each.record).annotations_sha256 != _scored(first).annotations_sha256:
            raise DataError("the records were measured on different images or annotations; show them apart")
    split = next(split for split in Split if split.label == first.protocol.split)
    part = dataset.open(split, first.dataset.limit)
    if part.annotations_sha256 != _scored(first).annotations_sha256:
        raise DataError(f"{split.label} of '{dataset.name}' is not what the records were measured on")
    return part


def _chosen(part: OpenSplit, images: int | Sequence[str]) -> list[int]:
    """Return the places of the images to show; nobody's taste chooses them unless ids are named."""
    ids = part.images.ids
    if isinstance(images, int):
        count = min(images, len(ids))
        return sorted(np.random.default_rng(0).choice(len(ids), count, replace=False).tolist())
    place = {image_id: index for index, image_id in enumerate(ids)}
    unknown = [image_id for image_id in images if image_id not in place]
    if unknown:
        raise UsageError(f"--image {unknown[0]}: {part.split.label} has no such image")
    return [place[image_id] for image_id in images]


def _by_network(measured: Sequence[Measured]) -> list[list[Measured]]:
    """Group records of one network with one set of weights, in the order in which they first appear."""
    groups: dict[tuple[Any, ...], list[Measured]] = {}
    for each in measured:
        record, network = each.record, each.record.backbone
        assert network is not None
        seed = record.environment.seed if network.weights.source == "random" else None
        key = (
            *(network.provider, network.name, network.weights.sha256, seed),
            *(network.precision, record.protocol.target),
        )
        groups.setdefault(key, []).append(each)
    return list(groups.values())


def _load(
    record: ResultRecord, registry: Registry, num_classes: int, weights_root: Path | None, device: torch.device
) -> Network:
    """Load the network of a record with the very weights that it was measured with."""
    backbone = record.backbone
    assert backbone is not None
    weights: Weights = "random" if backbone.weights.source == "random" else None
    if backbone.weights.source == "file":
        if weights_root is None:
            raise UsageError(
                f"'{backbone.name}' was measured with the file {backbone.weights.file}; "
                "say where it lies: --weights-root DIR"
            )
        weights = _find_weights(weights_root, backbone.weights)
    if backbone.weights.source == "pretrained":
        weights = Path(str(backbone.weights.file).partition(":")[0])
    network = load_network(
        registry,
        backbone.name,
        dataset=record.dataset.name,
        num_classes=num_classes,
        weights=weights,
        device=device,
        seed=record.environment.seed or 0,
        execution=Execution(backbone.precision),
    )
    if network.weights.sha256 != backbone.weights.sha256:
        raise WeightsError(f"{network.weights.file} is not the file that '{backbone.name}' was measured with")
    return network


def _find_weights(root: Path, weights: WeightsInfo) -> Path:
    """Return the weights file of a record: that of its name and hash below a folder, or of its name in it."""
    same_name = sorted(root.rglob(glob.escape(str(weights.file))))
    return next((path for path in same_name if sha256(path) == weights.sha256), root / str(weights.file))


def _fit_again(each: Measured, network: Network, dataset: OpenDataset, reporter: Reporter) -> None:
    """Fit a record's method as it was fitted then, if it was."""
    record = each.record
    images = open_fit_images([each.method], dataset, record.dataset.limit)
    if images is None:
        return
    environment = record.environment
    fitted = fit_methods(
        [each.method],
        network,
        images,
        seed=environment.seed or 0,
        batch_size=environment.batch_size or 1,
        workers=1,
        reporter=reporter,
    )
    if fitted[each.method.name] != record.method.fitted_images:
        raise DataError(
            f"'{record.method.name}' was measured after a fit on {record.method.fitted_images} images, and "
            f"train-weaksup of '{dataset.name}' now gives {fitted[each.method.name]}"
        )


def _columns(measured: Sequence[Measured], network: Network, part: OpenSplit, indices: list[int]) -> list[_Column]:
    target: Literal["gt", "predicted"] = "predicted" if measured[0].record.protocol.target == "predicted" else "gt"
    name = network.spec.name + (" (random)" if network.weights.source == "random" else "")
    if network.weights.source == "file" and network.weights.training is not None:
        name += f" (seed {network.weights.training.seed})"
    if network.execution.precision != "fp32":
        name += f" ({network.execution.precision})"
    columns = []
    for each in measured:  # one by one: two records may be of one method with different options
        localizer = Localizer(network, (each.method,), target, batch_size=len(indices), workers=1)
        scoremaps = scoremaps_of(localizer, part.images, indices)[each.method.name]
        columns.append(_Column(name, _method_label(each.record), _threshold(each.record), scoremaps))
    return columns


def _method_label(record: ResultRecord) -> str:
    changed = record.method.changed_options.items()
    return "\n".join([record.method.name, *(f"{name}={value}" for name, value in changed)])


def _threshold(record: ResultRecord) -> float | None:
    """Return the τ from train-fullsup, the oracle's where there is none, or None without boxes."""
    chosen = record.metrics.fullsup_cam_threshold_single
    curves = _scored(record).box_acc
    if chosen is not None or curves is None:
        return chosen
    return float(np.arange(0, 1, record.protocol.interval)[np.argmax(curves["single"]["0.5"])])


def _draw(columns: Sequence[_Column], part: OpenSplit, indices: list[int]) -> Figure:
    figure = Figure(figsize=(1.3 * (len(columns) + 1), 1.3 * len(indices) + 0.6), dpi=120)
    grid = figure.add_gridspec(len(indices), len(columns) + 1, wspace=0.04, hspace=0.04)
    top = 1 - 0.56 / figure.get_size_inches()[1]
    grid.update(left=0.01, right=0.99, bottom=0.01, top=top)
    for row, index in enumerate(indices):
        panel = _panel(figure, grid[row, 0])
        draw_image(panel, part, index)
        _caption(panel, short_id(part.images.ids[index], 18))
        for number, column in enumerate(columns, start=1):
            panel = _panel(figure, grid[row, number])
            _draw_map(panel, part, index, column)
            if row == 0:
                panel.set_title(column.method, fontsize=8, parse_math=False)
    _name_networks(figure, columns)
    return figure


def _panel(figure: Figure, place: Any) -> Axes:
    panel: Axes = figure.add_subplot(place)
    panel.axis("off")
    return panel


def _draw_map(panel: Axes, part: OpenSplit, index: int, column: _Column) -> None:
    scoremap = column.scoremaps[index]
    draw_image(panel, part, index, scoremap)
    if column.threshold is None:
        return
    predicted = boxes_at(scoremap, column.threshold)[0]
    draw_box(panel, predicted, PREDICTED)
    _caption(panel, f"{box_iou(predicted[None], true_boxes(part, index)).max():.2f}")


def _caption(panel: Axes, text: str) -> None:
    backdrop = {"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 1}
    panel.text(0.03, 0.04, text, transform=panel.transAxes, fontsize=6, color="white", bbox=backdrop, parse_math=False)


def _name_networks(figure: Figure, columns: Sequence[_Column]) -> None:
    """Write each network's name over its columns, with a line that spans them."""
    panels = figure.axes[1 : len(columns) + 1]
    height = 1 - 0.27 / figure.get_size_inches()[1]
    start = 0
    for stop in range(1, len(columns) + 1):
        if stop < len(columns) and columns[stop].network == columns[start].network:
            continue
        left, right = panels[start].get_position().x0, panels[stop - 1].get_position().x1
        figure.text((left + right) / 2, height + 0.005, columns[start].network, ha="center", va="bottom", fontsize=9)
        figure.add_artist(Line2D([left, right], [height, height], color="0.6", linewidth=0.8))
        start = stop


def _save(figure: Figure, path: Path, records: Sequence[str]) -> None:
    """Write the picture whole, with the hashes of its records in it."""
    metadata: dict[str, str | None] = {FORMATS[path.suffix]: "records:" + ",".join(records)}
    metadata |= {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[path.suffix]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # ids may be in any script
        figure.savefig(buffer, format=path.suffix[1:], metadata=metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise OutputError(f"--out {path}: cannot be written ({error.strerror})") from error
