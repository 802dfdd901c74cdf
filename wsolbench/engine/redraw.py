"""Maps of a few images, computed again and drawn: the gallery of a run, and records side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wsolbench.contract import Split
from wsolbench.contract.inputs import shown_input
from wsolbench.data.images import warp
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.engine.assembly import Scored
from wsolbench.engine.fit import fit_methods, open_fit_images
from wsolbench.engine.localize import NetworkMaps
from wsolbench.engine.methods import BuiltMethod
from wsolbench.engine.recorded import load_recorded
from wsolbench.errors import DataError, UsageError
from wsolbench.figures.gallery import Case, draw_gallery
from wsolbench.figures.panels import Picture, is_no_box
from wsolbench.figures.side_by_side import Column, check_format, draw_columns, save_figure
from wsolbench.files import file_name
from wsolbench.host.registry import Registry
from wsolbench.networks.network import LoadedNetwork
from wsolbench.progress import Reporter
from wsolbench.protocol import FRAME, boxes_at, cam_threshold_grid, scale_boxes, select_threshold
from wsolbench.records import ResultRecord, identity_of, network_label
from wsolbench.records.labels import facts_of, tell_apart

__all__ = ["RecordedRun", "choose_images", "draw_galleries", "draw_side_by_side", "drawn_threshold", "picture"]

CASES = 3
"""How many of the best, of the median and of the worst localized images a gallery shows."""


def picture(part: OpenSplit, index: int, frame: int = FRAME) -> Picture:
    """Return an image of a split in an evaluation frame, with its true boxes where the data set has any."""
    image_id = part.images.ids[index]
    boxes = np.zeros((0, 4), dtype=np.int64)
    if part.has_boxes:
        size = part.annotations.image_sizes[image_id]
        boxes = scale_boxes(part.annotations.boxes[image_id], size, (frame, frame))
    return Picture(image_id, warp(part.images.load(index), frame, "bilinear"), boxes)


# ------------------------------------------------------------------------------------------------ the gallery of a run


def draw_galleries(
    folder: Path, maps: NetworkMaps, part: OpenSplit, scored: Mapping[str, Scored], reporter: Reporter
) -> None:
    """Write ``gallery-<method>.png`` for every method: its best, median and worst localized images."""
    with reporter.phase("galleries", len(scored), "galleries") as advance:
        for method, of_method in scored.items():
            draw_gallery(
                folder / f"gallery-{file_name(method)}.png",
                _cases(maps.only(method), part, of_method),
                _title(f"{_name(maps.network)}, {method}", of_method),
            )
            advance(1)


def _cases(maps: NetworkMaps, part: OpenSplit, scored: Scored) -> list[list[Case]]:
    quality, threshold = scored.evaluated.quality, scored.threshold
    rows = {"": _evenly(len(part.images.ids))} if quality is None else _best_median_worst(quality)
    boxes = scored.evaluated.boxes
    own_boxes = None if boxes is None or scored.evaluated.of_maps else boxes.boxes_at(0)  # the same at every τ
    scoremaps: dict[int, NDArray[np.float32]] = {}
    if scored.evaluated.of_maps:
        (scoremaps,) = maps.scoremaps(part.images, [index for row in rows.values() for index in row]).values()

    def predicted(index: int) -> NDArray[np.int64] | None:
        if own_boxes is not None:
            return np.array(own_boxes[index])
        return None if threshold is None else boxes_at(scoremaps[index], threshold[0])[0]

    def case(label: str, index: int) -> Case:
        box, text = predicted(index), "" if quality is None else f"{label}: IoU {quality[index]:.2f}"
        if box is not None and is_no_box(box):
            box, text = None, f"{label}: no box"
        return Case(picture(part, index), scoremaps.get(index), box, text)

    return [[case(label, index) for index in row] for label, row in rows.items()]


def _best_median_worst(quality: NDArray[np.float64]) -> dict[str, list[int]]:
    """Return the positions of the best, median and worst images; an image is in one row only."""
    order = [int(index) for index in np.argsort(-quality, kind="stable")]
    count = max(min(CASES, len(order) // 3), 1)
    middle = (len(order) - count) // 2
    rows = {"best": order[:count], "median": order[middle : middle + count], "worst": order[-count:]}
    seen: set[int] = set()
    for label, row in rows.items():
        rows[label] = [index for index in row if index not in seen]
        seen.update(row)
    return {label: row for label, row in rows.items() if row}


def _evenly(total: int) -> list[int]:
    count = min(CASES, total)
    return [position * total // count for position in range(count)]


def _title(title: str, scored: Scored) -> str:
    if scored.undefined is not None:
        return f"{title} — {scored.undefined}"
    if not scored.evaluated.of_maps:
        return f"{title} — true box green, predicted box red"
    if scored.threshold is None:
        return title
    threshold, selection = scored.threshold
    where = "chosen on train-fullsup" if selection == "fullsup" else "best on this split (oracle)"
    return f"{title} — true box green, predicted box red at τ = {threshold:g}, {where}"


# ------------------------------------------------------------------------------------------------- records side by side


@dataclass(frozen=True)
class RecordedRun:
    """A record, and the method that made its maps, built as it was then."""

    record: ResultRecord
    method: BuiltMethod


def draw_side_by_side(
    path: Path,
    runs: Sequence[RecordedRun],
    registry: Registry,
    dataset: OpenDataset,
    *,
    images: int | Sequence[str],
    weights_root: Path | None,
    device: torch.device,
    reporter: Reporter,
) -> None:
    """Draw a row for every image and a column for every record; networks are loaded and maps computed again.

    A fitted method is fitted again, on the images that the seed and the limit of its record draw.

    Boxes are those of the largest contour at the τ that a record chose on train-fullsup, or, where it has none, at its
    oracle τ.

    Args:
        path: The file, .png, .svg or .pdf.
        runs: Records of one data set and split; those of one network stand together.
        registry: What the plugins offer.
        dataset: The data set that they were measured on.
        images: How many, chosen at random but always the same ones, or the ids of those to show.
        weights_root: The folder below which weights files that records name are found.
        device: Where networks run.
        reporter: Shows the progress of fitting.

    Raises:
        UsageError: A record has no network, or an image is not in the split.
        DataError: Records were measured on different data, or the data set here is not theirs.
        WeightsError: Weights cannot be found, or are not those of the record.
        OutputError: The file cannot be written.
    """
    check_format(path)
    part = _open_measured(runs, dataset)
    indices = choose_images(part, images)
    columns: list[Column] = []
    groups = _by_network(runs)
    for of_network in groups:
        network = load_recorded(of_network[0].record, registry, len(dataset.class_names), weights_root, device)
        for each in of_network:
            if each.record.protocol.scored == "maps":
                _fit_again(each, network, dataset, reporter)
        columns += [_column(each, network, part, indices) for each in of_network]
    columns = _named_apart(columns, [each.record for of_network in groups for each in of_network])
    frame = runs[0].record.protocol.frame
    figure = draw_columns([picture(part, index, frame) for index in indices], columns)
    save_figure(figure, path, [each.record.outcomes_sha256 for each in runs])


def _open_measured(runs: Sequence[RecordedRun], dataset: OpenDataset) -> OpenSplit:
    """Return the images that the records were measured on, and make sure that they are the same ones."""
    first = runs[0].record
    for each in runs:
        if each.record.backbone is None:
            raise UsageError(
                f"the maps of '{each.record.method.name}' were read from files; no network can redraw them"
            )
        if _annotations_sha256(each.record) != _annotations_sha256(first):
            raise DataError("the records were measured on different images or annotations; show them apart")
        if each.record.protocol.frame != first.protocol.frame:
            sides = f"{first.protocol.frame} and {each.record.protocol.frame}"
            raise DataError(f"the records were measured in frames of {sides} pixels; show them apart")
    split = Split.labelled(first.protocol.split)
    part = dataset.open(split, first.dataset.limit)
    if part.annotations_sha256 != _annotations_sha256(first):
        raise DataError(f"{split.label} of '{dataset.name}' is not what the records were measured on")
    return part


def _annotations_sha256(record: ResultRecord) -> str:
    return next(part.annotations_sha256 for part in record.splits if part.split == record.protocol.split)


def choose_images(part: OpenSplit, images: int | Sequence[str]) -> list[int]:
    """Return the positions of the images to show: a random choice, or those that are named.

    Raises:
        UsageError: An image is not in the split.
    """
    ids = part.images.ids
    if isinstance(images, int):
        count = min(images, len(ids))
        return sorted(np.random.default_rng(0).choice(len(ids), count, replace=False).tolist())
    place = {image_id: index for index, image_id in enumerate(ids)}
    unknown = [image_id for image_id in images if image_id not in place]
    if unknown:
        raise UsageError(
            f"--image {unknown[0]}: {part.split.label} has no such image among the {len(ids)} that are used"
        )
    return [place[image_id] for image_id in images]


def _by_network(runs: Sequence[RecordedRun]) -> list[list[RecordedRun]]:
    """Group records of one network with one set of weights, in the order in which they first appear."""
    groups: dict[object, list[RecordedRun]] = {}
    for each in runs:
        network = each.record.backbone
        # A training repeated elsewhere is the same measurement, but its weights draw other maps.
        key = (identity_of(each.record).network, network and network.weights.sha256, each.record.protocol.target)
        groups.setdefault(key, []).append(each)
    return list(groups.values())


def _fit_again(each: RecordedRun, network: LoadedNetwork, dataset: OpenDataset, reporter: Reporter) -> None:
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
        class_rows=record.backbone.class_rows if record.backbone else None,
        seed=environment.seed or 0,
        batch_size=environment.batch_size or 1,
        workers=1,
        reporter=reporter,
    )
    if fitted[each.method.name].images != record.method.fitted_images:
        raise DataError(
            f"'{record.method.name}' was measured after a fit on {record.method.fitted_images} images, and "
            f"train-weaksup of '{dataset.name}' now gives {fitted[each.method.name].images}"
        )


def _column(each: RecordedRun, network: LoadedNetwork, part: OpenSplit, indices: list[int]) -> Column:
    """Compute the maps of one record; one by one, as two records may be of one method with different options.

    Boxes of a method that makes boxes are those of the record.
    """
    network_label, method_label = _network_label(network), _method_label(each.record)
    if each.record.protocol.scored == "boxes":
        outcomes = each.record.evaluated
        assert outcomes.predicted_boxes is not None  # records of methods that make boxes have them
        boxes = dict(zip(outcomes.image_ids, outcomes.predicted_boxes, strict=True))
        return Column(network_label, method_label, None, None, [boxes[part.images.ids[index]] for index in indices])
    target = each.record.protocol.target or "gt"
    maps = NetworkMaps(
        network,
        (each.method,),
        target,
        batch_size=len(indices),
        workers=1,
        seed=each.record.environment.seed or 0,
        class_rows=each.record.backbone.class_rows if each.record.backbone else None,
    )
    (scoremaps,) = maps.scoremaps(part.images, indices, each.record.protocol.frame).values()
    threshold = drawn_threshold(each.record)
    return Column(network_label, method_label, threshold, [scoremaps[index] for index in indices])


def _named_apart(columns: Sequence[Column], records: Sequence[ResultRecord]) -> list[Column]:
    """Return columns of which no two have the same names: headings of two networks, and of two methods, differ."""
    told = tell_apart([(column.network, column.method) for column in columns], lambda place: facts_of(records[place]))
    return [
        replace(column, method="\n".join([column.method, *(f"{name} {value}" for name, value in facts)]))
        for column, facts in zip(columns, told, strict=True)
    ]


def _name(network: LoadedNetwork) -> str:
    """Return the name of a network with its tap, and with its input where that is not its own."""
    changed = {name: getattr(network.spec.input, name) for name in network.changed_input}
    tapped = {} if network.tap is None else {"tap": network.tap}
    return network_label(network.spec.name, tapped, shown_input(changed))


def _network_label(network: LoadedNetwork) -> str:
    label = _name(network) + (" (random)" if network.weights.source == "random" else "")
    if network.weights.key is not None:
        label += f" ({network.weights.key})"
    if network.weights.source == "file" and network.weights.training is not None:
        label += f" (seed {network.weights.training.seed})"
    if network.execution.precision != "fp32":
        label += f" ({network.execution.precision})"
    return label


def _method_label(record: ResultRecord) -> str:
    changed = (f"{name}={value}" for name, value in record.method.changed_options.items())
    return "\n".join([record.method.name, *changed, *(["not defined"] if record.undefined else [])])


def drawn_threshold(record: ResultRecord) -> float | None:
    """Return the τ from train-fullsup, the oracle's where there is none, or None without boxes."""
    chosen = record.metrics.fullsup_cam_threshold_single
    if chosen is not None or record.metrics.max_box_acc is None:
        return chosen
    grid = cam_threshold_grid(record.protocol.threshold_step)
    return float(grid[select_threshold(record.evaluated.box_acc("single", 0.5))])
