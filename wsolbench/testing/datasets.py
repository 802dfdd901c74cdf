"""The checks of a data set: ids, labels, images, boxes and masks of every split."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from wsolbench.contract import Annotations, Dataset, ImageSplit, Split
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.host.provider import Provider
from wsolbench.testing.expectations import expect, skip
from wsolbench.testing.process import expect_process_kept

__all__ = [
    "DATASET_CHECKS",
    "check_dataset_boxes",
    "check_dataset_can_be_scored",
    "check_dataset_identity",
    "check_dataset_ids",
    "check_dataset_images",
    "check_dataset_labels",
    "check_dataset_masks",
    "check_dataset_pickles",
    "check_dataset_process",
]

T = TypeVar("T")

_SAMPLED = 5
"""Images of a split that are loaded."""


def check_dataset_identity(dataset: Dataset) -> None:
    """A data set has a name, a version (possibly empty), distinct classes and at least one split."""
    assert isinstance(dataset.name, str), f"name: expected text, got {dataset.name!r}"
    assert dataset.name, "name: expected text, got none"
    assert isinstance(dataset.version, str), f"version: expected text, got {dataset.version!r}"
    expect("distinct class names", len(dataset.class_names), len(set(dataset.class_names)))
    assert len(dataset.class_names) > 0, "class names: expected at least one, got none"
    assert dataset.splits, "splits: expected at least one, got none"
    strange = [split for split in dataset.splits if not isinstance(split, Split)]
    assert not strange, f"splits: expected members of Split, got {strange}"


def check_dataset_ids(dataset: Dataset) -> None:
    """Every split has images, and their ids are unique texts, across splits too."""
    seen: dict[str, Split] = {}
    for split, images in _splits(dataset):
        assert images.ids, f"images of {split.label}: expected at least one, got none"
        expect(f"unique ids of {split.label}", len(images.ids), len(set(images.ids)))
        strange = [image_id for image_id in images.ids if not isinstance(image_id, str) or not image_id]
        assert not strange, f"ids of {split.label}: expected text, got {strange[0]!r}"
        shared = [image_id for image_id in images.ids if image_id in seen]
        assert not shared, f"ids of {split.label}: expected none of another split, got {shared[0]!r}"
        seen.update(dict.fromkeys(images.ids, split))


def check_dataset_labels(dataset: Dataset) -> None:
    """Labels are int64, one an image, and name classes."""
    for split, images in _splits(dataset):
        expect(f"type of the labels of {split.label}", np.dtype(np.int64), images.labels.dtype)
        expect(f"shape of the labels of {split.label}", (len(images.ids),), images.labels.shape)
        low, high, classes = int(images.labels.min()), int(images.labels.max()), len(dataset.class_names)
        assert low >= 0, f"labels of {split.label}: expected 0 to {classes - 1}, got {low}"
        assert high < classes, f"labels of {split.label}: expected 0 to {classes - 1}, got {high}"


def check_dataset_images(dataset: Dataset) -> None:
    """Images load as RGB, uint8 (H, W, 3), the same twice, and their files, if any, as bytes. Some are loaded."""
    for split, images in _splits(dataset):
        for index in _sampled(len(images.ids)):
            image, what = images.load(index), f"image '{images.ids[index]}' of {split.label}"
            expect(f"type of {what}", np.dtype(np.uint8), image.dtype)
            assert image.ndim == 3, f"{what}: expected (H, W, 3), got {image.shape}"
            expect(f"channels of {what}", 3, image.shape[2])
            again = np.array_equal(image, images.load(index))
            assert again, f"{what}: expected the same pixels twice, got others the second time"
            if images.read is not None:
                expect(f"type of the file of {what}", bytes, type(images.read(index)))


def check_dataset_boxes(dataset: Dataset) -> None:
    """Where an evaluated split has boxes, every image has one, with x0 <= x1 and y0 <= y1 inside its size."""
    annotated = _annotated(dataset)
    if not any(truth.boxes for _, _, truth in annotated):
        skip("the data set has no boxes")
    for split, images, truth in annotated:
        if not truth.boxes:
            continue
        for image_id in images.ids:
            assert image_id in truth.boxes, f"boxes of {split.label}: expected some of '{image_id}', got none"
            assert image_id in truth.image_sizes, f"sizes of {split.label}: expected '{image_id}', got none"
            boxes = np.asarray(truth.boxes[image_id])
            what = f"boxes of '{image_id}'"
            assert boxes.ndim == 2, f"{what}: expected (n, 4), got {boxes.shape}"
            assert boxes.shape[0] > 0, f"{what}: expected at least one, got none"
            expect(f"numbers in a box of '{image_id}'", 4, boxes.shape[1])
            assert np.issubdtype(boxes.dtype, np.integer), f"{what}: expected whole numbers, got {boxes.dtype}"
            width, height = truth.image_sizes[image_id]
            inside = (boxes[:, :2] >= 0).all() and (boxes[:, 2:] < (width, height)).all()
            assert inside, f"{what}: expected corners inside {width}×{height}, got {boxes.tolist()}"
            assert (boxes[:, :2] <= boxes[:, 2:]).all(), f"{what}: expected x0 <= x1 and y0 <= y1, got {boxes.tolist()}"
        for index in _sampled(len(images.ids)):
            height, width = images.load(index).shape[:2]
            expect(f"size of '{images.ids[index]}'", truth.image_sizes[images.ids[index]], (width, height))


def check_dataset_masks(dataset: Dataset) -> None:
    """Where an evaluated split has masks, they are bool and two-dimensional, with some foreground."""
    annotated = _annotated(dataset)
    if all(truth.load_mask is None for _, _, truth in annotated):
        skip("the data set has no masks")
    for split, images, truth in annotated:
        if truth.load_mask is None:
            continue
        for index in _sampled(len(images.ids)):
            masks, what = truth.load_mask(images.ids[index]), f"mask of '{images.ids[index]}' of {split.label}"
            expect(f"type of the {what}", np.dtype(np.bool_), masks.foreground.dtype)
            expect(f"dimensions of the {what}", 2, masks.foreground.ndim)
            assert masks.foreground.any(), f"{what}: expected some foreground, got none"
            if masks.ignore is not None:
                expect(f"type of the ignore {what}", np.dtype(np.bool_), masks.ignore.dtype)
                expect(f"dimensions of the ignore {what}", 2, masks.ignore.ndim)


def check_dataset_can_be_scored(dataset: Dataset) -> None:
    """Every evaluated split has boxes or masks."""
    for split, _, truth in _annotated(dataset):
        there = bool(truth.boxes) or truth.load_mask is not None
        assert there, f"annotations of {split.label}: expected boxes or masks, got neither"


def check_dataset_pickles(dataset: Dataset) -> None:
    """Every split can be sent to another process, where it loads the same images, boxes and masks."""
    opened = OpenDataset(dataset, Provider("the distribution", "under test", dataset.name))
    for split in (split for split in Split if split in dataset.splits):
        if split is Split.TRAIN_WEAKSUP:
            images = opened.images(split)
            _expect_same_images(split, images, _sent(split, images))
        else:
            part = opened.open(split)
            sent = _sent(split, part)
            _expect_same_images(split, part.images, sent.images)
            _expect_same_annotations(part, sent)


def check_dataset_process(dataset: Dataset) -> None:
    """Loading images leaves seeds, threads and settings of the process as they are, and prints nothing to stdout."""

    def act() -> None:
        for _, images in _splits(dataset):
            for index in _sampled(len(images.ids)):
                images.load(index)

    expect_process_kept(act)


DATASET_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_dataset_identity,
    check_dataset_ids,
    check_dataset_labels,
    check_dataset_images,
    check_dataset_boxes,
    check_dataset_masks,
    check_dataset_can_be_scored,
    check_dataset_pickles,
    check_dataset_process,
)


def _splits(dataset: Dataset) -> list[tuple[Split, ImageSplit]]:
    return [(split, dataset.images(split)) for split in Split if split in dataset.splits]


def _annotated(dataset: Dataset) -> list[tuple[Split, ImageSplit, Annotations]]:
    """Return the splits that are evaluated."""
    evaluated = [(split, images) for split, images in _splits(dataset) if split is not Split.TRAIN_WEAKSUP]
    return [(split, images, dataset.annotations(split)) for split, images in evaluated]


def _sampled(count: int) -> list[int]:
    """Return a few positions of so many, the first and the last among them."""
    return sorted({round(position) for position in np.linspace(0, count - 1, min(count, _SAMPLED))})


def _sent(split: Split, part: T) -> T:
    """Return a copy of a split as another process gets it."""
    try:
        copy: T = pickle.loads(pickle.dumps(part))
    except Exception as error:  # pickle raises PicklingError, AttributeError, TypeError and what plugins raise
        raise AssertionError(
            f"{split.label} sent to another process: expected a copy, got {type(error).__name__}: {error}; "
            "use functions of a module, bound methods or functools.partial in place of lambdas and closures"
        ) from error
    return copy


def _expect_same_images(split: Split, images: ImageSplit, sent: ImageSplit) -> None:
    expect(f"ids of {split.label} sent to another process", images.ids, sent.ids)
    for index in _sampled(len(images.ids)):
        same = np.array_equal(images.load(index), sent.load(index))
        what = f"image '{images.ids[index]}' of {split.label} sent to another process"
        assert same, f"{what}: expected the same pixels, got others"


def _expect_same_annotations(part: OpenSplit, sent: OpenSplit) -> None:
    truth, copy = part.annotations, sent.annotations
    what = f"of {part.split.label} sent to another process"
    expect(f"images with boxes {what}", list(truth.boxes), list(copy.boxes))
    for image_id, boxes in truth.boxes.items():
        expect(f"boxes of '{image_id}' {what}", boxes.tolist(), copy.boxes[image_id].tolist())
        expect(f"size of '{image_id}' {what}", truth.image_sizes[image_id], copy.image_sizes[image_id])
    if truth.load_mask is None or copy.load_mask is None:
        expect(f"masks {what}", truth.load_mask, copy.load_mask)
        return
    for image_id in (part.images.ids[index] for index in _sampled(len(part.images.ids))):
        masks, others = truth.load_mask(image_id), copy.load_mask(image_id)
        for kind in ("foreground", "ignore"):
            one, other = getattr(masks, kind), getattr(others, kind)
            same = one is other is None or np.array_equal(one, other)
            assert same, f"{kind} mask of '{image_id}' {what}: expected the same pixels, got others"
