"""Systems of two networks: boxes that one predicts, classes that the other predicts, scored as maps are."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Split
from wsolbench.contract.choices import Target
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.data.predictions import PredictedImages, read_predicted_boxes, read_predicted_classes
from wsolbench.engine.boxes import ImageBoxes
from wsolbench.engine.scoring import ScoredSplit
from wsolbench.engine.sources import MapBatch
from wsolbench.errors import DataError
from wsolbench.files import sha256
from wsolbench.progress import Reporter
from wsolbench.protocol import RawMapKind
from wsolbench.records import ClassifierInfo, ResultRecord
from wsolbench.records.store import LARGEST, is_record, read_file
from wsolbench.records.verify import parse_verified

__all__ = ["PredictedClasses", "PredictedFiles", "StoredBoxes", "read_classes", "unscored"]

FIVE = 5


@dataclass(frozen=True)
class PredictedClasses:
    """Classes that another network predicts.

    Attributes:
        hits: k -> whether an image's class is among the k best predictions, (N,).
        info: Whose they are.
    """

    hits: Mapping[int, NDArray[np.bool_]]
    info: ClassifierInfo


def read_classes(dataset: OpenDataset, evaluated: OpenSplit, path: Path | None) -> PredictedClasses | None:
    """Return the classes of another network for the evaluated split; None without a file of them.

    Raises:
        DataError: The file is of another form, or does not fit the images and classes.
    """
    if path is None:
        return None
    return PredictedFiles(dataset, evaluated, dataset.images(evaluated.split).ids).classes(path, "--classifier")


@dataclass(frozen=True)
class PredictedFiles:
    """The files of predictions of an evaluation, or of a run.

    Attributes:
        dataset: The data set.
        part: The evaluated split.
        whole: The ids of all its images.
    """

    dataset: OpenDataset
    part: OpenSplit
    whole: tuple[str, ...]

    def classes(self, path: Path | None, option: str) -> PredictedClasses | None:
        """Return the classes that a file predicts, or the network of a record; None without a file.

        Args:
            path: CSV, JSON or a record.
            option: The option that names it, for messages.

        Raises:
            DataError: The file is of another form, or does not fit the images and classes.
        """
        if path is None:
            return None
        record = _read_record(path)
        if record is not None:
            return PredictedClasses(self._hits_of(record, path, option), _describe(record, path))
        hits = self._hits(path, option)
        return PredictedClasses(hits, ClassifierInfo(file=path.name, network=None, sha256=sha256(path)))

    def _hits(self, path: Path, option: str) -> dict[int, NDArray[np.bool_]]:
        """Return the hits of a file of classes. Top-5 needs five classes an image, or all where there are fewer."""
        count = self.dataset.num_classes
        classes = read_predicted_classes(path, self._images, self.dataset.class_names, count, option)
        right = classes == self.part.images.labels[:, None]
        hits = {1: right[:, 0]}
        return hits if classes.shape[1] < min(FIVE, count) else {**hits, FIVE: right[:, :FIVE].any(axis=1)}

    def _hits_of(self, record: ResultRecord, path: Path, option: str) -> dict[int, NDArray[np.bool_]]:
        """Return the hits of a record on the images of the split, which are among its own and of the same classes."""
        told, ids, label = record.evaluated, self.part.images.ids, self.part.split.label
        if not told.hits:
            raise DataError(f"{option} {path}: the record has no classes: {record.missing.get('top1_acc', 'none')}")
        places = {image_id: place for place, image_id in enumerate(told.image_ids)}
        absent = [image_id for image_id in ids if image_id not in places]
        if absent:
            whose = f"{record.dataset.name}, {record.protocol.split}"
            raise DataError(
                f"{option} {path}: the record is of {len(places)} images of {whose}, and {len(absent)} of {len(ids)} "
                f"images of {label} are not among them, such as '{absent[0]}'"
            )
        order = [places[image_id] for image_id in ids]
        if told.labels is None:
            if told.annotations_sha256 != self.part.annotations_sha256:
                raise DataError(f"{option} {path}: the older record is of other annotations of {label}, or images")
        elif (other := np.flatnonzero(told.labels[order] != self.part.images.labels)).size:
            image_id = ids[other[0]]
            raise DataError(f"{option} {path}: in the record '{image_id}' is of another class than in {label}")
        return {k: hit[order] for k, hit in told.hits.items()}

    def boxes(self, path: Path, reporter: Reporter, option: str) -> Mapping[str, NDArray[np.int64]]:
        """Return the predicted boxes of every image, the best first; what was decided about them is shown.

        Args:
            path: CSV, JSON or COCO's results.
            reporter: Is told what was decided.
            option: The option that names the file, for messages.

        Raises:
            DataError: The file is of another form, or does not fit the images; or there are no true boxes.
        """
        if not self.part.has_boxes:
            raise DataError(f"the split {self.part.split.label} has no boxes to compare predicted boxes with")
        _refuse_record(path, option)
        predicted = read_predicted_boxes(path, self._images, self.part.annotations.image_sizes, option)
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


def _refuse_record(path: Path, option: str) -> None:
    """Refuse a record in place of boxes. Raises ``DataError``."""
    if _read_record(path) is not None:
        raise DataError(
            f"{option} {path}: it is a record; name a file of boxes, which 'wsolbench run --save-scoremaps DIR' writes "
            "to DIR/METHOD/test.csv, or the record beside one, for its classes: --classifier"
        )


def _read_record(path: Path) -> ResultRecord | None:
    """Return the record that a file is; None of another file."""
    if path.suffix.lower() not in (".json", ".jsonl") or not path.is_file() or path.stat().st_size > LARGEST:
        return None
    content = read_file(path)
    return parse_verified(content, path) if is_record(content) else None


def _describe(record: ResultRecord, path: Path) -> ClassifierInfo:
    """Say whose classes those of a record are."""
    network = None if record.backbone is None else record.backbone.label
    if record.classifier is not None:
        network = record.classifier.network
    return ClassifierInfo(file=path.name, network=network, sha256=record.outcomes_sha256)


@dataclass(frozen=True)
class StoredBoxes:
    """A source of boxes in place of maps: those of a file.

    Attributes:
        boxes: Image id -> (n, 4) inclusive corners in original pixels, the best first.
        methods: What they are called.
        hits: k -> whether an image's class is among the k best predictions, (N,).
    """

    boxes: Mapping[str, NDArray[np.int64]]
    methods: tuple[str]
    hits: Mapping[int, NDArray[np.bool_]]
    target: Target | None = None
    ahead: int = 64
    fate_of_constants: str = ""

    def stream(self, split: OpenSplit, positions: Sequence[int]) -> Generator[MapBatch, None, None]:
        """Yield the boxes of the images at some positions."""
        indices, remarks = np.array(positions, dtype=np.int64), split.images.remarks
        yield MapBatch(
            indices,
            {},
            hits={k: hit[indices] for k, hit in self.hits.items()},
            remarks=[] if remarks is None else [tuple(remarks(index)) for index in positions],
            boxes={self.methods[0]: [ImageBoxes(self.boxes[split.images.ids[index]]) for index in positions]},
        )

    def locate(self, split: OpenSplit, index: int) -> str:
        """Return the image's id."""
        return f"that of '{split.images.ids[index]}'"


def unscored(part: OpenSplit, frame: int) -> ScoredSplit:
    """Return a split of which no prediction is scored, as train-fullsup: boxes have no τ that it could choose.

    Args:
        part: The split.
        frame: Side of the evaluation frame in pixels.
    """
    bad: dict[RawMapKind, Sequence[int]] = {"nan": [], "constant": []}
    return ScoredSplit(part, frame, None, None, {}, {}, bad, None, {}, None, {}, of_maps=False)
