"""The one scorer: maps or boxes of a split, from whatever source, against its annotations."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import MaskPair
from wsolbench.data.fingerprint import combine_digests
from wsolbench.data.opened import OpenSplit, show_finding
from wsolbench.data.remarks import findings_of_readings, findings_of_remarks
from wsolbench.engine.boxes import ImageBoxes
from wsolbench.engine.sources import LazyScoremap, MapBatch, MapSource
from wsolbench.errors import DataError, ScoremapError, UsageError
from wsolbench.progress import Reporter
from wsolbench.protocol import (
    BoxEvaluator,
    BoxResult,
    IouCurves,
    MaskEvaluator,
    MaskResult,
    Pointing,
    RawMapKind,
    ScoreHistograms,
    Scoring,
    box_iou,
    mask_in_frame,
    pack_boxes,
    point_at_boxes,
    point_at_mask,
    scale_boxes,
)
from wsolbench.protocol.sweep import AtOtsu
from wsolbench.records.missing import why_undefined
from wsolbench.records.outcomes import DECIMALS
from wsolbench.texts import counted
from wsolbench.threads import ordered_map

__all__ = [
    "BAD_MAPS",
    "ScoredSplit",
    "SplitScore",
    "report_bad_maps",
    "report_boxes",
    "report_readings",
    "report_remarks",
    "score_maps",
]

BAD_MAPS: Mapping[RawMapKind, str] = {"nan": "NaN or infinity", "constant": "one value only"}
"""Kinds of maps that hold no score, and what they hold instead."""

POINTING: Mapping[str, str] = {
    "pointing_game": "near",
    "pointing_game_exact": "exact",
    "energy_pointing_game": "energy",
}
"""The metrics of the pointing games, and the parts of `Pointing` of which they are means."""


@dataclass(frozen=True)
class Score:
    """What one scoremap scored, or the boxes of one image."""

    kind: RawMapKind
    curves: IouCurves | None
    histograms: ScoreHistograms | None = None
    pointing: Pointing | None = None
    boxes: ImageBoxes | None = None


@dataclass(frozen=True)
class ScoredSplit:
    """The scores of one method's maps on one split, and what is known of its images besides.

    Attributes:
        part: The split.
        frame: Side of the evaluation frame in pixels.
        boxes: None without boxes.
        masks: None without masks.
        hits: k -> whether an image's class is among the k best predictions, bool (N,); empty without a classifier.
        statistics: Name -> one number a map, (N,); NaN where the method reported none.
        bad: Kind of bad map -> positions of the images that have one.
        images_sha256: Of the pixels of all images, in their order; None where no image was read.
        pointing: Name of a metric of the pointing games -> its value for each map, (N,) in [0, 1].
        quality: How well every image is localized, (N,): the IoU of the largest contour's box; None without boxes.
        remarks: What was decided about sizes and orientations -> positions of the images.
        of_maps: Whether maps were scored; otherwise boxes were.
        without_box: Positions of the images for which no box is predicted, of boxes.
        cut: The number of boxes that are partly or wholly outside their image.
        boxes_per_image: The mean number of boxes, of boxes.
    """

    part: OpenSplit
    frame: int
    boxes: BoxResult | None
    masks: MaskResult | None
    hits: Mapping[int, NDArray[np.bool_]]
    statistics: Mapping[str, NDArray[np.float64]]
    bad: Mapping[RawMapKind, Sequence[int]]
    images_sha256: str | None
    pointing: Mapping[str, NDArray[np.float64]]
    quality: NDArray[np.float64] | None
    remarks: Mapping[str, Sequence[int]]
    of_maps: bool = True
    without_box: Sequence[int] = ()
    cut: int = 0
    boxes_per_image: float | None = None

    @property
    def undefined(self) -> str | None:
        """Why the method has no map of any image, or None where it has one."""
        return why_undefined([self.statistics])

    def without_scores(self) -> ScoredSplit:
        """Return the split of a method that has no maps, or train-fullsup where boxes have no τ to choose."""
        return replace(self, boxes=None, masks=None, pointing={}, quality=None)


class SplitScore:
    """What the maps or boxes of one method score on a split, image by image.

    `score` is pure and may run in threads; `add` and `note` store. Parts of a split that were scored apart, perhaps in
    other processes, are merged: the result is that of the whole to the last bit.

    Args:
        part: The whole split, whichever images are scored.
        scoring: The grid of τ, the frame and the δ.
        quality_index: The place of the τ in the grid at which `ScoredSplit.quality` is taken; None for the best τ of
            every image.
        otsu: Whether every map is also cut by Otsu's method.

    Raises:
        DataError: The split has neither boxes nor masks.
    """

    def __init__(
        self, part: OpenSplit, scoring: Scoring, quality_index: int | None = None, *, otsu: bool = False
    ) -> None:
        self._part, self._scoring = part, scoring
        ids, annotations = part.images.ids, part.annotations
        self._boxes: BoxEvaluator | None = None
        self._masks: MaskEvaluator | None = None
        if part.has_boxes:
            boxes = {image_id: annotations.boxes[image_id] for image_id in ids}
            self._boxes = BoxEvaluator(
                *(boxes, annotations.image_sizes, scoring.threshold_step, scoring.size),
                otsu=otsu,
                iou_thresholds=scoring.iou_thresholds,
            )
        if annotations.load_mask is not None:
            self._masks = MaskEvaluator(ids, scoring.threshold_step, scoring.size)
        if self._boxes is None and self._masks is None:
            raise DataError(f"the split {part.split.label} has neither boxes nor masks to evaluate against")
        self._quality_index = quality_index
        self._quality = np.full(len(ids), np.nan)
        self._pointing = {name: np.full(len(ids), np.nan) for name in POINTING}
        self._bad: dict[RawMapKind, set[int]] = {kind: set() for kind in BAD_MAPS}
        self._hits: dict[int, NDArray[np.bool_]] = {}
        self._statistics: dict[str, NDArray[np.float64]] = {}
        self._digests = np.zeros(len(ids), dtype="S32")
        self._remarks: dict[int, Sequence[str]] = {}
        self._noted = np.zeros(len(ids), dtype=np.bool_)
        self._predicted: dict[int, tuple[int, int]] = {}

    def score(self, index: int, made: LazyScoremap | ImageBoxes) -> Score:
        """Make the map of the image at a position, and score it; or score its boxes."""
        if isinstance(made, ImageBoxes):
            return self._score_boxes(index, made)
        image_id = self._part.images.ids[index]
        kind, scoremap = made(self._scoring.size)
        curves = histograms = pointing = None
        if self._boxes:
            curves = self._boxes.score(scoremap, image_id)
            pointing = point_at_boxes(scoremap, self._boxes.boxes_in_frame(image_id))
        load_mask = self._part.annotations.load_mask
        if self._masks and load_mask:
            foreground, ignore = _masks_in_frame(load_mask(image_id), image_id, self._scoring.size)
            histograms = self._masks.score(scoremap, image_id, foreground, ignore)
            pointing = pointing or point_at_mask(scoremap, foreground, ignore)
        return Score(kind, curves, histograms, pointing)

    def _score_boxes(self, index: int, predicted: ImageBoxes) -> Score:
        """Score boxes, the same at every τ: the best box alone, and whichever fits best; without any, the IoU is 0."""
        if self._boxes is None:
            return Score("ok", None, boxes=predicted)
        image_id, every = self._part.images.ids[index], np.ones(len(self._boxes.thresholds))
        scaled = scale_boxes(predicted.corners, self._part.annotations.image_sizes[image_id], self._scoring.size)
        ious = box_iou(scaled, self._boxes.boxes_in_frame(image_id)).max(axis=1)
        single, multi = (float(ious[0]), float(ious.max())) if len(ious) else (0.0, 0.0)
        best = np.repeat(pack_boxes(scaled[:1]), len(every)) if len(scaled) else None
        curves = IouCurves(single * every, multi * every, best, AtOtsu(0.0, single, multi))
        return Score("ok", curves, boxes=predicted)

    def add(self, index: int, score: Score) -> None:
        """Store the score of the image at a position."""
        image_id = self._part.images.ids[index]
        self._noted[index] = True
        if self._boxes and score.curves:
            self._boxes.add(image_id, score.curves)
            curve = score.curves.single
            self._quality[index] = curve.max() if self._quality_index is None else curve[self._quality_index]
        if self._masks and score.histograms:
            self._masks.add(image_id, score.histograms)
        if score.kind in self._bad:
            self._bad[score.kind].add(index)
        if score.boxes is not None:
            self._predicted[index] = len(score.boxes.corners), score.boxes.cut
        for name, values in self._pointing.items() if score.pointing else ():
            values[index] = getattr(score.pointing, POINTING[name])

    def note(self, batch: MapBatch, method: str) -> None:
        """Store what a batch says of its images besides their maps."""
        self._noted[batch.indices] = True
        self._store(batch.indices, batch.hits, batch.statistics.get(method, {}))
        if batch.digests:  # images were read
            self._digests[batch.indices] = batch.digests
        if batch.remarks:
            pairs = zip(batch.indices.tolist(), batch.remarks, strict=True)
            self._remarks.update((index, of_image) for index, of_image in pairs if of_image)

    def merge(self, other: SplitScore) -> SplitScore:
        """Take over the scores of other images of the split, and return this object.

        Raises:
            UsageError: The other one's split, settings or kinds of annotations differ, or both have scored an image.
        """
        if self._settings() != other._settings():
            raise UsageError("scores can be merged only if they are of one split with the same settings")
        if (self._noted & other._noted).any():
            twice = self._part.images.ids[int(np.flatnonzero(self._noted & other._noted)[0])]
            raise UsageError(f"image '{twice}' has already been evaluated; give each image one scoremap, once")
        if self._boxes and other._boxes:
            self._boxes.merge(other._boxes)
        if self._masks and other._masks:
            self._masks.merge(other._masks)
        scored = other._noted
        self._noted |= scored
        self._quality[scored] = other._quality[scored]
        for name, values in self._pointing.items():
            values[scored] = other._pointing[name][scored]
        for kind, indices in other._bad.items():
            self._bad[kind] |= indices
        self._store(
            scored,
            {k: hit[scored] for k, hit in other._hits.items()},
            {name: values[scored] for name, values in other._statistics.items()},
        )
        self._predicted.update(other._predicted)
        self._digests[scored] = other._digests[scored]
        self._remarks.update(other._remarks)
        return self

    def _store(
        self,
        where: NDArray[Any],
        hits: Mapping[int, NDArray[np.bool_]],
        statistics: Mapping[str, NDArray[np.float64]],
    ) -> None:
        """Store hits and statistics of the images at some positions, or of those that a mask (N,) selects."""
        for k, hit in hits.items():
            self._hits.setdefault(k, np.zeros(len(self._noted), dtype=np.bool_))[where] = hit
        for name, values in statistics.items():
            self._statistics.setdefault(name, np.full(len(self._noted), np.nan))[where] = values

    def _settings(self) -> tuple[object, ...]:
        kinds = (self._boxes is None, self._masks is None)
        return self._part.split, self._part.annotations_sha256, self._scoring, self._quality_index, kinds

    def result(self) -> ScoredSplit:
        """Return the scores of all maps or boxes of the split.

        Raises:
            ScoremapError: An image has no map yet; none is left out of the denominator.
            DataError: No mask has a foreground pixel.
        """
        count = len(self._part.images.ids)
        digests = map(bytes.decode, self._digests) if self._digests.all() else None  # one by one: they are many
        remarks: dict[str, list[int]] = {}
        for index in sorted(self._remarks):
            for remark in self._remarks[index]:
                remarks.setdefault(remark, []).append(index)
        boxes, of_maps = self._boxes.compute() if self._boxes else None, not self._predicted
        return ScoredSplit(
            part=self._part,
            frame=self._scoring.frame,
            boxes=boxes if of_maps or boxes is None else replace(boxes, otsu=None),
            masks=self._masks.compute() if self._masks and of_maps else None,
            hits=self._hits,
            statistics=dict(sorted(self._statistics.items())),
            bad={kind: sorted(indices) for kind, indices in self._bad.items()},
            images_sha256=None if digests is None else combine_digests(digests),
            pointing={name: np.round(values, DECIMALS) for name, values in self._pointing.items() if of_maps},
            quality=self._quality if self._boxes else None,
            remarks=remarks,
            of_maps=of_maps,
            without_box=[index for index, (count, _) in sorted(self._predicted.items()) if count == 0],
            cut=sum(cut for _, cut in self._predicted.values()),
            boxes_per_image=None if of_maps else round(sum(each for each, _ in self._predicted.values()) / count, 4),
        )


def score_maps(
    source: MapSource,
    part: OpenSplit,
    *,
    scoring: Scoring,
    workers: int,
    reporter: Reporter,
    quality_indices: Mapping[str, int | None] | None = None,
    positions: Sequence[int] | None = None,
    otsu: bool = False,
) -> dict[str, SplitScore]:
    """Score the maps of a split in threads, while the source computes the next ones.

    Args:
        source: Where the maps come from.
        part: The split, with its annotations.
        scoring: The grid of τ, the frame and the δ.
        workers: Threads that score.
        reporter: Shows the progress.
        quality_indices: Method -> where the quality of localization is taken; see `SplitScore`.
        positions: The images to score, for a part of a split; all by default.
        otsu: Whether every map is also cut by Otsu's method.

    Returns:
        Method -> the scores of its maps.

    Raises:
        DataError: An image or a mask cannot be read, or there is nothing to score against.
        PluginError: A network or a method fails.
        ScoremapError: A stored map is damaged.
    """
    indices = quality_indices or {}
    scores = {method: SplitScore(part, scoring, indices.get(method), otsu=otsu) for method in source.methods}
    where = range(len(part.images.ids)) if positions is None else positions

    def maps() -> Generator[tuple[str, int, LazyScoremap | ImageBoxes], None, None]:
        with closing(source.stream(part, where)) as batches:
            for batch in batches:
                made: Mapping[str, Sequence[LazyScoremap | ImageBoxes]] = {**batch.scoremaps, **batch.boxes}
                for method, of_images in made.items():
                    scores[method].note(batch, method)
                    yield from zip([method] * len(of_images), batch.indices.tolist(), of_images, strict=True)

    def score(item: tuple[str, int, LazyScoremap | ImageBoxes]) -> tuple[str, int, Score]:
        method, index, made = item
        return method, index, scores[method].score(index, made)

    beside = counted(len(scores), "methods") if len(scores) > 1 else ""
    with (
        reporter.phase(part.label, len(where), beside=beside) as advance,
        closing(maps()) as work,
        closing(ordered_map(score, work, workers=workers, ahead=source.ahead)) as results,
    ):
        for done, (method, index, scored) in enumerate(results, start=1):
            scores[method].add(index, scored)
            advance(done % len(scores) == 0)
    return scores


def report_bad_maps(
    scored: Mapping[str, ScoredSplit], source: MapSource, *, strict: bool, warn: Callable[[str], None]
) -> None:
    """Warn of maps of NaN or of one value, once a method and kind.

    Raises:
        ScoremapError: There are such maps, and `strict` is set.
    """
    for method, split in scored.items():
        for kind, holds in BAD_MAPS.items():
            bad = split.bad[kind]
            if not bad:
                continue
            total, where = len(split.part.images.ids), source.locate(split.part, bad[0])
            message = f"{len(bad)} of {total} maps of '{method}' on {split.part.label} hold {holds}"
            if strict:
                raise ScoremapError(f"{message}; the first is {where}")
            fate = source.fate_of_constants if kind == "constant" else "count as zero maps"
            because = f": {split.undefined}" if split.undefined else f" and {fate}"
            warn(f"{message}{because}; the first is {where}")


def report_boxes(scored: Mapping[str, ScoredSplit], reporter: Reporter) -> None:
    """Show how many boxes reach beyond their image, and how many images have no box, of methods that make boxes."""
    for method, split in scored.items():
        total, label = len(split.part.images.ids), split.part.label
        if split.cut:
            reporter.say(f"{counted(split.cut, 'boxes')} of '{method}' on {label} outside the image, cut at its border")
        if split.without_box:
            first = split.part.images.ids[split.without_box[0]]
            without = len(split.without_box)
            have, count = ("has", "counts") if without == 1 else ("have", "count")
            reporter.say(
                f"{without} of {total} images of {label} {have} no box of '{method}' and {count} as wrong; "
                f"the first is '{first}'"
            )


def report_remarks(scored: ScoredSplit, reporter: Reporter) -> None:
    """Show what was decided about the sizes and orientations of the images, a line for every kind of decision."""
    for finding in findings_of_remarks(scored.part.label, _named_remarks(scored)):
        show_finding(finding, reporter)


def report_readings(parts: Sequence[ScoredSplit], reporter: Reporter) -> None:
    """Show where the lists of some splits have photos upright, and others as stored."""
    for finding in findings_of_readings({scored.part.split.label: _named_remarks(scored) for scored in parts}):
        show_finding(finding, reporter)


def _named_remarks(scored: ScoredSplit) -> dict[str, list[str]]:
    ids = scored.part.images.ids
    return {remark: [ids[index] for index in indices] for remark, indices in scored.remarks.items()}


def _masks_in_frame(
    masks: MaskPair, image_id: str, frame: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Return the union of the masks of an image in the frame, and its ignore mask.

    Nearest-neighbour resizing picks single pixels, so that masks of one size may be united before; those of several
    sizes are united in the frame.
    """
    layers = [mask_in_frame(each, frame, f"mask of '{image_id}'") for each in masks.layers or (masks.foreground,)]
    foreground: NDArray[np.bool_] = np.logical_or.reduce(layers)
    ignore = None if masks.ignore is None else mask_in_frame(masks.ignore, frame, f"ignore mask of '{image_id}'")
    return foreground, ignore
