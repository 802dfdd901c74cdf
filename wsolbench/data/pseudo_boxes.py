"""Pseudo boxes: boxes that no person drew, of images that choose τ in place of train-fullsup.

Source: Murtaza et al., "A Realistic Protocol for Evaluation of Weakly Supervised Object Localization", WACV 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Annotations, ImageSplit, Split
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.data.reference import IDS, ReferenceSplit
from wsolbench.data.sampling import in_order_of_ids, limit_split, select_images
from wsolbench.errors import DataError, UsageError

__all__ = ["open_pseudo_boxes"]

_SPLITS = (Split.TRAIN_FULLSUP, Split.TRAIN_WEAKSUP)
"""Where the images may be; those of test are for scoring alone."""


def open_pseudo_boxes(
    folder: Path, dataset: OpenDataset, evaluated: OpenSplit, limit: int | None, *, maps_are_stored: bool = False
) -> OpenSplit:
    """Return the images of some lists in the reference layout, with their boxes.

    The images are those of train-fullsup or of train-weaksup, perhaps not all of them. Where maps are stored and a data
    set has neither split, they are any images. The lists are read with the conventions of the data set.

    Args:
        folder: Holds the lists of one split, or a folder ``val`` that does.
        dataset: The data set.
        evaluated: The split that is scored.
        limit: At most so many images.
        maps_are_stored: Whether no image will be loaded.

    Raises:
        UsageError: The folder has no lists of boxes, or an image is evaluated, or is none of the data set.
        DataError: The lists are damaged, or an image has no box.
    """
    lists = _lists(folder, dataset)
    annotations = lists.annotations() if not lists.localization.masks else None
    if annotations is None:
        raise UsageError(f"--tau-from {folder}: its lists are of masks; τ is chosen on boxes (path,x0,y0,x1,y1)")
    ids = [image_id for image_id in lists.ids if image_id in annotations.boxes]
    _check_apart(folder, ids, evaluated)
    split, images = _images(folder, ids, dataset, maps_are_stored=maps_are_stored)
    kept = limit_split(in_order_of_ids(images), limit)
    boxes = {image_id: annotations.boxes[image_id] for image_id in kept.ids}
    return OpenSplit(split, kept, Annotations(boxes, annotations.image_sizes), is_pseudo=True)


def _lists(folder: Path, dataset: OpenDataset) -> ReferenceSplit:
    """Return the lists in a folder, or in its folder ``val``.

    Raises:
        UsageError: There are none.
    """
    inside = folder / Split.TRAIN_FULLSUP.value
    place = next((each for each in (folder, inside) if (each / IDS).is_file()), None)
    if place is None:
        raise UsageError(
            f"--tau-from {folder}: expected a folder with {IDS}, image_sizes.txt and localization.txt "
            "(path,x0,y0,x1,y1), or one with these in its folder val"
        )
    return ReferenceSplit(Split.TRAIN_FULLSUP, place, conventions=dataset.conventions, on_finding=dataset.on_finding)


def _check_apart(folder: Path, ids: Sequence[str], evaluated: OpenSplit) -> None:
    """Check that no image chooses τ and is scored.

    Raises:
        UsageError: One does.
    """
    scored = set(evaluated.images.ids)
    shared = [image_id for image_id in ids if image_id in scored]
    if shared:
        images = "1 of its images is" if len(shared) == 1 else f"{len(shared):,} of its images are"
        raise UsageError(
            f"--tau-from {folder}: {images} evaluated, the first is '{shared[0]}'; no image serves for both: list "
            "images of train-fullsup or train-weaksup"
        )


def _images(
    folder: Path, ids: Sequence[str], dataset: OpenDataset, *, maps_are_stored: bool
) -> tuple[Split, ImageSplit]:
    """Return the listed images, from the split that has all of them.

    Raises:
        UsageError: No split has.
    """
    candidates = [split for split in _SPLITS if split in dataset.splits]
    if not candidates and maps_are_stored:
        return Split.TRAIN_FULLSUP, ImageSplit(tuple(ids), np.zeros(len(ids), dtype=np.int64), _load_nothing)
    unknown = list(ids)
    for split in candidates:
        images = dataset.images(split)
        places = {image_id: place for place, image_id in enumerate(images.ids)}
        absent = [image_id for image_id in ids if image_id not in places]
        if not absent:
            return split, select_images(images, [places[image_id] for image_id in ids])
        unknown = absent if len(absent) < len(unknown) else unknown
    there = " or ".join(split.label for split in candidates) or "no split with images to choose τ on"
    raise UsageError(
        f"--tau-from {folder}: {len(unknown):,} of its {len(ids):,} images are not in {there} of '{dataset.name}', the "
        f"first is '{unknown[0]}'; list images of one of these splits, as their ids are there"
    )


def _load_nothing(index: int) -> NDArray[np.uint8]:
    raise DataError(f"image {index} of lists of pseudo boxes cannot be loaded: the data set does not have it")
