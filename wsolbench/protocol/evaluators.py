"""Accumulators over a data set: scoremaps are added one by one, and the protocol's numbers computed from all of them.

`score` is pure and may run in threads; `add` stores its result; `update` does both. Parts of a data set may be
evaluated separately and merged: every count is an integer, so the result is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError, ScoremapError, UsageError
from wsolbench.protocol.boxes import LARGEST_SIDE, check_boxes, object_sizes, scale_boxes
from wsolbench.protocol.grid import (
    DEFAULT_INTERVAL,
    FRAME,
    IOU_THRESHOLDS,
    MODES,
    Mode,
    cam_threshold_grid,
    check_iou_thresholds,
)
from wsolbench.protocol.iou_steps import IouSteps
from wsolbench.protocol.packed_rows import PackedRows
from wsolbench.protocol.per_image import BoxLists, Sizes
from wsolbench.protocol.scoremaps import check_scoremap, scoremap_in_frame
from wsolbench.protocol.sweep import AtOtsu, IouCurves, best_iou_curves

__all__ = [
    "BoxEvaluator",
    "BoxResult",
    "MaskEvaluator",
    "MaskResult",
    "OtsuResult",
    "ScoreHistograms",
    "mask_in_frame",
]

Frame: TypeAlias = tuple[int, int] | None
Outcomes: TypeAlias = dict[str, tuple[tuple[int, int], ...]]

_LONGEST_SIDE = 2**31 - 1
"""Of an original image, in pixels."""

_BUILD_FROM_ALL = "build each from the annotations of all images, and update it with those of its part"


@dataclass(frozen=True, eq=False)
class OtsuResult:
    """What scoremaps score that are cut by Otsu's method, each at a τ of its own.

    Attributes:
        thresholds: (N,) τ of every image.
        ious: `ious[mode]` is (N,) the best IoU of every image.
    """

    thresholds: NDArray[np.float64]
    ious: dict[Mode, NDArray[np.float64]]

    @classmethod
    def of(cls, found: Sequence[AtOtsu]) -> OtsuResult:
        """Collect the results of images."""
        thresholds, single, multi = np.array([[of.threshold, of.single, of.multi] for of in found]).T
        return cls(thresholds, {"single": single, "multi": multi})

    def is_correct(self, mode: Mode, iou_threshold: float) -> NDArray[np.bool_]:
        """Return whether every image is correct: (N,) bool."""
        return self.ious[mode] >= iou_threshold


@dataclass(frozen=True, eq=False)
class BoxResult:
    """The result of a set of scoremaps that were evaluated against boxes.

    Attributes:
        image_ids: N ids, in the order of the evaluator's boxes.
        thresholds: (T,) the grid of τ.
        counts: `counts[mode][δ]` is (T,) int64: the images whose best IoU reaches δ at each τ.
        runs: `runs[mode][δ]` is (R, 3) int32. A row (image, start, stop) says that the image with this index in
            `image_ids` is correct at the threshold indices from start to stop - 1. Rows are ordered by image, then by
            start.
        iou_steps: How the best IoU of the largest contour's box changes with τ, for every image.
        sizes: (N,) the share of the frame that the largest true box covers; see `object_sizes`.
        true_boxes: The true boxes of every image, (n, 4) each, in pixels of the frame or, without one, of the image.
        otsu: What the maps score that are cut by Otsu's method; None where that was not asked for.
    """

    image_ids: tuple[str, ...]
    thresholds: NDArray[np.float64]
    counts: dict[Mode, dict[float, NDArray[np.int64]]]
    runs: dict[Mode, dict[float, NDArray[np.int32]]]
    iou_steps: IouSteps
    sizes: NDArray[np.float64]
    true_boxes: BoxLists
    otsu: OtsuResult | None = None

    @property
    def num_images(self) -> int:
        """The denominator of every accuracy: the number of all images."""
        return len(self.image_ids)

    @property
    def iou_thresholds(self) -> tuple[float, ...]:
        """The δ, ascending."""
        return tuple(self.counts["multi"])

    @property
    def max_box_acc(self) -> float:
        """MaxBoxAcc in percent: the largest contour's box, δ = 0.5, at the best τ."""
        return float(self.box_acc("single", 0.5).max())

    @property
    def max_box_acc_by_iou(self) -> dict[float, float]:
        """For each δ, the percentage of images correct at the best τ for this δ, with the boxes of all contours."""
        return {iou: float(self.box_acc("multi", iou).max()) for iou in self.iou_thresholds}

    @property
    def max_box_acc_v2(self) -> float:
        """MaxBoxAccV2 in percent: the mean of `max_box_acc_by_iou`."""
        return float(np.mean(list(self.max_box_acc_by_iou.values())))

    @cached_property
    def outcomes(self) -> dict[Mode, dict[float, Outcomes]]:
        """`outcomes[mode][δ][image_id]`: the (start, stop) runs of threshold indices at which the image is correct."""
        return {mode: {iou: self._by_image(runs) for iou, runs in by_iou.items()} for mode, by_iou in self.runs.items()}

    def box_acc(self, mode: Mode, iou_threshold: float) -> NDArray[np.float64]:
        """Return BoxAcc(τ, δ) for every τ: (T,) percent of images.

        Raises:
            UsageError: If mode or δ is not one of the evaluator's.
        """
        self._check_outcome(mode, iou_threshold)
        return self.counts[mode][iou_threshold] * 100.0 / self.num_images

    def is_correct(self, mode: Mode, iou_threshold: float, threshold_index: int) -> NDArray[np.bool_]:
        """Return, for every image in the order of `image_ids`, whether it is correct at one τ: (N,) bool.

        Raises:
            UsageError: If mode, δ or the index of τ is not one of the evaluator's.
        """
        self._check_outcome(mode, iou_threshold)
        if not 0 <= threshold_index < len(self.thresholds):
            raise UsageError(f"threshold index {threshold_index}: expected 0 to {len(self.thresholds) - 1}")
        image, start, stop = self.runs[mode][iou_threshold].T
        correct = np.zeros(self.num_images, dtype=np.bool_)
        correct[image[(start <= threshold_index) & (threshold_index < stop)]] = True
        return correct

    def iou(self, threshold_index: int) -> NDArray[np.float64]:
        """Return the best IoU of the largest contour's box at one τ, for every image: (N,)."""
        return self.iou_steps.at(threshold_index, self.image_ids, self.true_boxes)

    def boxes_at(self, threshold_index: int) -> NDArray[np.int64]:
        """Return the box of the largest contour at one τ, for every image: (N, 4), `NO_BOX` where none is predicted."""
        return self.iou_steps.boxes_at(threshold_index, self.image_ids)

    def _check_outcome(self, mode: str, iou_threshold: float) -> None:
        if mode not in MODES or iou_threshold not in self.iou_thresholds:
            expected = f"mode one of {MODES} and IoU threshold one of {self.iou_thresholds}"
            raise UsageError(f"expected {expected}, got '{mode}' and {iou_threshold}")

    def _by_image(self, runs: NDArray[np.int32]) -> Outcomes:
        pairs: list[list[tuple[int, int]]] = [[] for _ in self.image_ids]
        for image, start, stop in runs.tolist():
            pairs[image].append((start, stop))
        return {image_id: tuple(found) for image_id, found in zip(self.image_ids, pairs, strict=True)}


class BoxEvaluator:
    """Counts the images that scoremaps localize, at every τ and δ, in single- and multi-contour mode.

    Args:
        boxes: For each image id its true boxes, (n, 4) integers in original pixels, corners inclusive. Its order is
            the order of all per-image results.
        image_sizes: For each of these ids the original (width, height) in pixels.
        interval: Step of the grid of τ.
        frame: Width and height in pixels at which maps and annotations are compared. A map of this size is scored as it
            is and has to be in [0, 1]; any other one is a raw map, which is resized and normalised. None compares each
            map at its own size, which is not the protocol's.
        otsu: Whether every map is also cut by Otsu's method.
        iou_thresholds: The δ, ascending, 0.5 among them; V2 is the mean over them.

    Raises:
        DataError: If there is no image, or an image's boxes or size are missing or malformed.
        UsageError: If the interval is not above 0 and at most 1, the frame is empty or too large, or the δ are not
            what records can have (see `check_iou_thresholds`).

    Source: protocol, "IoU and counting".
    """

    def __init__(
        self,
        boxes: Mapping[str, NDArray[np.integer[Any]]],
        image_sizes: Mapping[str, tuple[int, int]],
        interval: float = DEFAULT_INTERVAL,
        frame: Frame = (FRAME, FRAME),
        *,
        otsu: bool = False,
        iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    ) -> None:
        deltas = check_iou_thresholds(iou_thresholds)
        self._outcomes: list[tuple[Mode, float]] = [(mode, iou) for mode in MODES for iou in deltas]
        self._frame = _check_frame(frame)
        corner = np.uint16 if frame is None or max(frame) > 2**8 else np.uint8
        self._otsu: dict[str, AtOtsu] | None = {} if otsu else None
        self.thresholds = cam_threshold_grid(interval)
        self._ledger = _Ledger(boxes)
        sizes = [_check_size(image_sizes.get(image_id), image_id) for image_id in boxes]
        self._sizes = Sizes(np.array(sizes, dtype=np.int64))
        checked = (check_boxes(of_image, image_id) for image_id, of_image in boxes.items())
        self._boxes = BoxLists.of(map(self._in_frame, checked, sizes))
        place = np.min_scalar_type(len(self.thresholds))
        columns = [("outcome", np.min_scalar_type(len(self._outcomes))), ("start", place), ("stop", place)]
        self._runs = PackedRows(np.dtype(columns), ordered=("outcome", "start", "stop"))
        self._steps = IouSteps(len(self.thresholds), corner, with_ious=frame is None)

    def update(self, scoremap: NDArray[np.floating[Any]], image_id: str) -> None:
        """Score one image's scoremap and store the result; see `score` and `add`."""
        self._ledger.check_awaited(image_id)
        self.add(image_id, self.score(scoremap, image_id))

    def score(self, scoremap: NDArray[np.floating[Any]], image_id: str) -> IouCurves:
        """Return the best IoU of one image at every τ, without storing it.

        Args:
            scoremap: A scoremap of the frame's size, or a raw map of another size.
            image_id: The image it was made for.

        Raises:
            ScoremapError: If the map cannot be scored (see `scoremap_in_frame`).
            UsageError: If the image is unknown.
        """
        place = self._ledger.place_of(image_id)
        scoremap = _in_frame(scoremap, image_id, self._frame)
        boxes = self._boxes[place]
        if self._frame is None:
            height, width = scoremap.shape
            boxes = scale_boxes(boxes, self._sizes[place], (width, height))
        return best_iou_curves(scoremap, boxes, self.thresholds, otsu=self._otsu is not None)

    def boxes_in_frame(self, image_id: str) -> NDArray[np.int64]:
        """Return the true boxes of an image in pixels of the frame, (n, 4).

        Raises:
            UsageError: If the image is unknown, or there is no frame.
        """
        place = self._ledger.place_of(image_id)
        if self._frame is None:
            raise UsageError("without a frame, boxes have the size of each map")
        return self._boxes[place]

    def _in_frame(self, boxes: NDArray[np.int64], image_size: tuple[int, int]) -> NDArray[np.int64]:
        """Return the true boxes of an image in pixels of the frame or, without one, as they are."""
        return boxes if self._frame is None else scale_boxes(boxes, image_size, self._frame)

    def add(self, image_id: str, curves: IouCurves) -> None:
        """Store the result of `score` for one image.

        Raises:
            UsageError: If the image is unknown or already stored, or the curves are not of this grid.
        """
        self._ledger.check_awaited(image_id)
        expected = self.thresholds.shape
        shapes = [each.shape for each in (curves.single, curves.multi, curves.boxes) if each is not None]
        if set(shapes) != {expected}:
            told = " and ".join(map(str, shapes))
            raise UsageError(f"IoU curves of '{image_id}': expected shape {expected}, got {told}")
        if self._otsu is not None:
            if curves.otsu is None:
                raise UsageError(f"IoU curves of '{image_id}' lack the IoU at the τ of Otsu's method")
            self._otsu[image_id] = curves.otsu
        self._runs.add(image_id, _correct_runs(curves, self._outcomes, self._runs.kind))
        self._steps.add(image_id, curves.single, curves.boxes)
        self._ledger.tick(image_id)

    def merge(self, other: BoxEvaluator) -> BoxEvaluator:
        """Add the results of another evaluator, which has seen other images, and return this one.

        Build both evaluators from the annotations of all images, in any order, and update each with its own part.

        Raises:
            UsageError: If the other one's boxes, sizes, grid or δ differ, or both have seen an image.
        """
        if not isinstance(other, BoxEvaluator) or not self._same_settings(other):
            told = "evaluators can be merged only if they have the same boxes, image sizes, interval, frame and δ"
            raise UsageError(f"{told}; {_BUILD_FROM_ALL}")
        self._ledger.merge(other._ledger)
        self._runs.merge(other._runs)
        self._steps.merge(other._steps)
        if self._otsu is not None and other._otsu is not None:
            self._otsu.update(other._otsu)
        return self

    def compute(self) -> BoxResult:
        """Return the result over all images.

        Raises:
            ScoremapError: If an image has no scoremap yet, since every image counts in the denominator.
        """
        self._ledger.check_complete()
        image_ids, outcomes, length = self._ledger.image_ids, self._outcomes, len(self.thresholds)
        found = [_by_outcome(images, rows, len(outcomes)) for images, rows in self._runs.read(image_ids)]
        runs: dict[Mode, dict[float, NDArray[np.int32]]] = {mode: {} for mode in MODES}
        for (mode, iou), parts in zip(outcomes, zip(*found, strict=True), strict=True):
            joined = np.concatenate(parts)
            runs[mode][iou] = joined[joined[:, 0].argsort(kind="stable")]  # parts that were merged have any order
        counts = {mode: {iou: _count_runs(of, length) for iou, of in by_iou.items()} for mode, by_iou in runs.items()}
        frames = self._sizes.pixels if self._frame is None else np.tile(self._frame, (len(image_ids), 1))
        sizes = object_sizes(self._boxes, frames)
        otsu = None if self._otsu is None else OtsuResult.of([self._otsu[image_id] for image_id in image_ids])
        return BoxResult(image_ids, self.thresholds, counts, runs, self._steps, sizes, self._boxes, otsu)

    def _same_settings(self, other: BoxEvaluator) -> bool:
        return (
            np.array_equal(self.thresholds, other.thresholds)
            and self._frame == other._frame
            and self._outcomes == other._outcomes
            and (self._otsu is None) == (other._otsu is None)
            and self._ledger.expects_the_same(other._ledger)
            and self._has_boxes_of(other)
        )

    def _has_boxes_of(self, other: BoxEvaluator) -> bool:
        """Whether boxes and sizes of the same images are the same, in whatever order the images are."""
        theirs = [other._ledger.place_of(image_id) for image_id in self._ledger.image_ids]
        boxes = other._boxes.take(theirs)
        return all(
            np.array_equal(mine, other)
            for mine, other in (
                (self._sizes.pixels, other._sizes.pixels[theirs]),
                (self._boxes.counts, boxes.counts),
                (self._boxes.corners, boxes.corners),
            )
        )


@dataclass(frozen=True, eq=False)
class ScoreHistograms:
    """The numbers of pixels whose score lies between two neighbouring edges.

    Attributes:
        foreground: (T + 2,) int64, pixels of the object.
        background: (T + 2,) int64, pixels outside object and ignored region.
    """

    foreground: NDArray[np.int64]
    background: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MaskResult:
    """The result of a set of scoremaps that were evaluated against masks.

    Attributes:
        num_images: The number of all images.
        thresholds: (T + 2,) float64, descending; a pixel with at least this score is predicted. The first two, 2 and
            1, lie above the grid.
        precision: (T + 2,) fractions, NaN if no pixel is predicted.
        recall: (T + 2,) fractions, ascending to 1.
        pxap: The area under precision over recall, in percent.
        histograms: The numbers of pixels that all of it follows from, summed over the images.
    """

    num_images: int
    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    pxap: float
    histograms: ScoreHistograms


class MaskEvaluator:
    """Accumulates pixel precision and recall of scoremaps against masks (PxAP).

    Args:
        image_ids: The images of the data set.
        interval: Step of the grid of τ.
        frame: Width and height in pixels at which maps and annotations are compared. A map of this size is scored as it
            is and has to be in [0, 1]; any other one is a raw map, which is resized and normalised. None compares each
            map at its own size, which is not the protocol's.

    Raises:
        DataError: If there is no image, or one is listed twice.
        UsageError: If the interval is not above 0 and at most 1, or the frame is empty or too large.

    Source: protocol, "Masks: PxAP".
    """

    def __init__(
        self, image_ids: Iterable[str], interval: float = DEFAULT_INTERVAL, frame: Frame = (FRAME, FRAME)
    ) -> None:
        self._frame = _check_frame(frame)
        self._interval = interval
        self._edges = np.append(cam_threshold_grid(interval), [1.0, 2.0, 3.0])
        self._ledger = _Ledger(image_ids)
        self._foreground = np.zeros(len(self._edges) - 1, dtype=np.int64)
        self._background = self._foreground.copy()

    def update(
        self,
        scoremap: NDArray[np.floating[Any]],
        image_id: str,
        mask: NDArray[np.bool_],
        ignore: NDArray[np.bool_] | None = None,
    ) -> None:
        """Score one image's scoremap and store the result; see `score` and `add`."""
        self._ledger.check_awaited(image_id)
        self.add(image_id, self.score(scoremap, image_id, mask, ignore))

    def score(
        self,
        scoremap: NDArray[np.floating[Any]],
        image_id: str,
        mask: NDArray[np.bool_],
        ignore: NDArray[np.bool_] | None = None,
    ) -> ScoreHistograms:
        """Return the score histograms of one image, without storing them.

        Args:
            scoremap: A scoremap of the frame's size, or a raw map of another size.
            image_id: The image it was made for.
            mask: (h, w) bool of any size: the union of the image's instances.
            ignore: (h', w') bool of any size: pixels that do not count, unless they are foreground.

        Raises:
            ScoremapError: If the map cannot be scored (see `scoremap_in_frame`).
            DataError: If a mask is not a non-empty 2-D bool array.
            UsageError: If the image is unknown.
        """
        self._ledger.place_of(image_id)
        scoremap = _in_frame(scoremap, image_id, self._frame)
        height, width = scoremap.shape
        foreground = mask_in_frame(mask, (width, height), f"mask of '{image_id}'")
        background = ~foreground
        if ignore is not None:
            background &= ~mask_in_frame(ignore, (width, height), f"ignore mask of '{image_id}'")
        kind = np.float32 if scoremap.dtype == np.float32 else np.float64
        scores = np.ascontiguousarray(scoremap, dtype=kind)
        foreground, background = np.ascontiguousarray(foreground), np.ascontiguousarray(background)
        return ScoreHistograms(*_count_scores()(scores, foreground, background, self._interval, self._edges))

    def add(self, image_id: str, histograms: ScoreHistograms) -> None:
        """Store the result of `score` for one image.

        Raises:
            UsageError: If the image is unknown or already stored, or the histograms are not of this grid.
        """
        self._ledger.check_awaited(image_id)
        expected = self._foreground.shape
        if not histograms.foreground.shape == histograms.background.shape == expected:
            shapes = f"{histograms.foreground.shape} and {histograms.background.shape}"
            raise UsageError(f"score histograms of '{image_id}': expected shape {expected}, got {shapes}")
        self._foreground += histograms.foreground
        self._background += histograms.background
        self._ledger.tick(image_id)

    def merge(self, other: MaskEvaluator) -> MaskEvaluator:
        """Add the histograms of another evaluator, which has seen other images, and return this one.

        Build both evaluators from the ids of all images, in any order, and update each with its own part.

        Raises:
            UsageError: If the other one's images or grid differ, or both have seen an image.
        """
        if (
            not isinstance(other, MaskEvaluator)
            or not np.array_equal(self._edges, other._edges)
            or self._frame != other._frame
            or not self._ledger.expects_the_same(other._ledger)
        ):
            told = "evaluators can be merged only if they have the same images, interval and frame"
            raise UsageError(f"{told}; {_BUILD_FROM_ALL}")
        self._ledger.merge(other._ledger)
        self._foreground += other._foreground
        self._background += other._background
        return self

    def compute(self) -> MaskResult:
        """Return the result over all images.

        Raises:
            ScoremapError: If an image has no scoremap yet.
            DataError: If no image has a foreground pixel.
        """
        self._ledger.check_complete()
        true_positives = self._foreground[::-1].cumsum()
        predicted = true_positives + self._background[::-1].cumsum()
        if true_positives[-1] == 0:
            raise DataError("the masks of the whole set hold no foreground pixel: PxAP is not defined")
        precision = np.full(predicted.shape, np.nan)
        np.divide(true_positives, predicted, out=precision, where=predicted > 0)
        recall = true_positives / true_positives[-1]
        steps = (precision[1:] * np.diff(recall))[predicted[1:] > 0]
        return MaskResult(
            num_images=self._ledger.size,
            thresholds=self._edges[-2::-1],
            precision=precision,
            recall=recall,
            pxap=float(steps.sum()) * 100,
            histograms=ScoreHistograms(self._foreground.copy(), self._background.copy()),
        )


class _Ledger:
    """Tracks which of the expected images have been seen.

    Raises:
        DataError: If there is no image, or one is listed twice.
    """

    def __init__(self, image_ids: Iterable[str]) -> None:
        listed = list(image_ids)
        self._places = {image_id: place for place, image_id in enumerate(listed)}
        self._seen = np.zeros(len(listed), dtype=np.bool_)
        if not listed:
            raise DataError("the data set holds no image to evaluate")
        if len(self._places) < len(listed):
            twice = next(image_id for image_id in self._places if listed.count(image_id) > 1)
            raise DataError(f"image '{twice}' is listed twice")

    @property
    def size(self) -> int:
        return len(self._seen)

    @property
    def image_ids(self) -> tuple[str, ...]:
        return tuple(self._places)

    def place_of(self, image_id: str) -> int:
        """Return the place of an image in the order of all. Raises ``UsageError`` where it is unknown."""
        if image_id not in self._places:
            told = f"image '{image_id}' is not one of the {self.size} images to evaluate"
            raise UsageError(f"{told}; name one of those that the evaluator was built from")
        return self._places[image_id]

    def check_awaited(self, image_id: str) -> None:
        if self._seen[self.place_of(image_id)]:
            raise UsageError(f"image '{image_id}' has already been evaluated; give each image one scoremap, once")

    def check_complete(self) -> None:
        if not self._seen.all():
            missing = [image_id for image_id, place in self._places.items() if not self._seen[place]]
            first = ", ".join(f"'{image_id}'" for image_id in missing[:3])
            more = ", ..." if len(missing) > 3 else ""
            told = f"{len(missing)} of {self.size} images have no scoremap: {first}{more}"
            raise ScoremapError(f"{told}; update with theirs too, with maps of zeros where there is none")

    def tick(self, image_id: str) -> None:
        self._seen[self._places[image_id]] = True

    def expects_the_same(self, other: _Ledger) -> bool:
        return self._places.keys() == other._places.keys()

    def merge(self, other: _Ledger) -> None:
        """Mark the images that the other has seen.

        Raises:
            UsageError: If both have seen an image; then no image is marked.
        """
        theirs = [image_id for image_id, place in other._places.items() if other._seen[place]]
        for image_id in theirs:
            self.check_awaited(image_id)
        for image_id in theirs:
            self.tick(image_id)


def _check_frame(frame: Frame) -> Frame:
    if frame is not None and not all(1 <= side <= LARGEST_SIDE for side in frame):
        width, height = frame
        raise UsageError(f"evaluation frame: expected sides of 1 to {LARGEST_SIDE} pixels, got {width}×{height}")
    return frame


def _in_frame(scoremap: NDArray[np.floating[Any]], image_id: str, frame: Frame) -> NDArray[np.floating[Any]]:
    """Return a map as it is scored."""
    if frame is None or np.shape(scoremap) == frame[::-1]:
        return check_scoremap(scoremap, image_id)
    return scoremap_in_frame(scoremap, image_id, frame)[1]


def _check_size(size: tuple[int, int] | None, image_id: str) -> tuple[int, int]:
    if size is None:
        raise DataError(f"size of '{image_id}': missing")
    width, height = size
    if not all(1 <= side <= _LONGEST_SIDE and side == int(side) for side in size):
        raise DataError(
            f"size of '{image_id}': expected whole pixels from 1 to {_LONGEST_SIDE:,}, got {width}×{height}"
        )
    return int(width), int(height)


def _correct_runs(
    curves: IouCurves, outcomes: Sequence[tuple[Mode, float]], kind: np.dtype[np.void]
) -> NDArray[np.void]:
    """Return (R,) rows (index in `outcomes`, start, stop): the runs of threshold indices that are correct."""
    curve_of: dict[Mode, NDArray[np.float64]] = {"single": curves.single, "multi": curves.multi}
    correct = np.zeros((len(outcomes), len(curves.single) + 2), dtype=np.bool_)
    for number, (mode, iou_threshold) in enumerate(outcomes):
        np.greater_equal(curve_of[mode], iou_threshold, out=correct[number, 1:-1])
    row = correct.ravel()  # every outcome begins and ends with an index at which it is not correct
    edges = (row[1:] != row[:-1]).nonzero()[0]  # start, stop, start, stop ... of each outcome
    outcome, edge = np.divmod(edges, correct.shape[1])
    runs = np.empty(len(edge) // 2, dtype=kind)
    runs["outcome"], runs["start"], runs["stop"] = outcome[::2], edge[::2], edge[1::2]
    return runs


def _by_outcome(images: NDArray[np.intp], rows: NDArray[np.void], outcomes: int) -> list[NDArray[np.int32]]:
    """Return for every outcome its runs, (R, 3) rows (image, start, stop), of the rows of some images."""
    table = np.stack([images, rows["start"], rows["stop"]], axis=1, dtype=np.int32, casting="unsafe")
    return [table[rows["outcome"] == outcome] for outcome in range(outcomes)]


def _count_runs(runs: NDArray[np.int32], length: int) -> NDArray[np.int64]:
    """Return (length,) the number of runs that cover each index."""
    starts = np.bincount(runs[:, 1], minlength=length + 1)
    stops = np.bincount(runs[:, 2], minlength=length + 1)
    covering: NDArray[np.int64] = (starts - stops).cumsum()[:length]
    return covering


def mask_in_frame(mask: NDArray[np.bool_], frame: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """Resize to (width, height) with nearest neighbour."""
    mask = np.asarray(mask)
    if mask.dtype != np.bool_ or mask.ndim != 2 or mask.size == 0:
        raise DataError(f"{name}: expected a non-empty 2-D bool array, got {mask.dtype} {mask.shape}")
    if mask.shape == frame[::-1]:
        return mask
    resized = cv2.resize(mask.astype(np.float32, order="C"), frame, interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized > 0.5)


@cache
def _count_scores() -> Any:
    from wsolbench.protocol.score_counts import count_scores  # not at the top: importing numba takes long

    return count_scores
