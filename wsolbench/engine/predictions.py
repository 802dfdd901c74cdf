"""Systems of two networks: boxes that one predicts, classes that the other predicts, scored as maps are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Split
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.data.predictions import PredictedImages, read_predicted_boxes, read_predicted_classes
from wsolbench.engine.scoring import ScoredSplit
from wsolbench.errors import DataError
from wsolbench.progress import Reporter
from wsolbench.protocol import (
    FRAME,
    BoxEvaluator,
    IouCurves,
    RawMapKind,
    box_iou,
    cam_threshold_grid,
    pack_boxes,
    scale_boxes,
)

__all__ = ["PredictedFiles", "score_boxes", "unscored"]

FIVE = 5


@dataclass(frozen=True)
class PredictedFiles:
    """The files of predictions of an evaluation.

    Attributes:
        dataset: The data set.
        part: The evaluated split.
        whole: The ids of all its images.
    """

    dataset: OpenDataset
    part: OpenSplit
    whole: tuple[str, ...]

    def hits(self, path: Path | None) -> dict[int, NDArray[np.bool_]]:
        """Return k -> whether an image's class is among the k best predictions, (N,); empty without a file.

        Top-5 needs five classes an image, or all of a data set that has fewer.

        Raises:
            DataError: The file is of another form, or does not fit the images and classes.
        """
        if path is None:
            return {}
        count = self.dataset.num_classes
        classes = read_predicted_classes(path, self._images, self.dataset.class_names, count)
        right = classes == self.part.images.labels[:, None]
        hits = {1: right[:, 0]}
        return hits if classes.shape[1] < min(FIVE, count) else {**hits, FIVE: right[:, :FIVE].any(axis=1)}

    def boxes(self, path: Path, reporter: Reporter) -> Mapping[str, NDArray[np.int64]]:
        """Return the predicted boxes of every image, the best first; what was decided about them is shown.

        Raises:
            DataError: The file is of another form, or does not fit the images; or there are no true boxes.
        """
        if not self.part.has_boxes:
            raise DataError(f"the split {self.part.split.label} has no boxes to compare predicted boxes with")
        predicted = read_predicted_boxes(path, self._images, self.part.annotations.image_sizes)
        for note in predicted.notes:
            reporter.say(note)
        for doubt in predicted.doubts:
            reporter.warn(doubt)
        return predicted.boxes

    @property
    def _images(self) -> PredictedImages:
        return PredictedImages(self.part.split.label, self.part.images.ids, self.whole, self._others)

    def _others(self) -> list[str]:
        """Return the images of the other splits that are scored on."""
        splits = {Split.TEST, Split.TRAIN_FULLSUP} & self.dataset.splits - {self.part.split}
        return [image_id for split in splits for image_id in self.dataset.images(split).ids]


def score_boxes(
    part: OpenSplit,
    boxes: Mapping[str, NDArray[np.int64]],
    hits: Mapping[int, NDArray[np.bool_]],
    threshold_step: float,
) -> ScoredSplit:
    """Return the scores of predicted boxes, the same at every τ: of the best box, and of whichever fits best.

    Args:
        part: The split.
        boxes: Image id -> (n, 4) inclusive corners in original pixels, the best first; without any, the IoU is 0.
        hits: k -> whether an image's class is among the k best predictions, (N,).
        threshold_step: Step of the grid of τ.
    """
    annotations, every = part.annotations, np.ones(len(cam_threshold_grid(threshold_step)))
    true = {image_id: annotations.boxes[image_id] for image_id in part.images.ids}
    evaluator = BoxEvaluator(true, annotations.image_sizes, threshold_step)
    quality = np.zeros(len(part.images.ids))
    for index, image_id in enumerate(part.images.ids):
        scaled = scale_boxes(boxes[image_id], annotations.image_sizes[image_id], (FRAME, FRAME))
        ious = box_iou(scaled, evaluator.boxes_in_frame(image_id)).max(axis=1)
        quality[index] = ious[0] if len(ious) else 0.0
        best = np.repeat(pack_boxes(scaled[:1]), len(every)) if len(scaled) else None
        evaluator.add(image_id, IouCurves(quality[index] * every, ious.max(initial=0.0) * every, best))
    return replace(
        unscored(part),
        boxes=evaluator.compute(),
        hits=hits,
        quality=quality,
        remarks=_remarks(part),
    )


def unscored(part: OpenSplit) -> ScoredSplit:
    """Return a split of which no prediction is scored, as train-fullsup: boxes have no τ that it could choose."""
    bad: dict[RawMapKind, Sequence[int]] = {"nan": [], "constant": []}
    return ScoredSplit(part, None, None, {}, {}, bad, None, {}, None, {}, of_maps=False)


def _remarks(part: OpenSplit) -> dict[str, list[int]]:
    """Return what was decided about sizes that were read from the files of the images -> positions of the images."""
    found: dict[str, list[int]] = {}
    if part.images.remarks is not None:
        for index in range(len(part.images.ids)):
            for remark in part.images.remarks(index):
                found.setdefault(remark, []).append(index)
    return found
