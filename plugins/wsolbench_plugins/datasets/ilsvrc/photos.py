"""``ilsvrc-photos``: 1,677 photos of ImageNet's validation set with boxes, to compare pretrained networks in minutes.

The photos are those of the validation set that small public collections hold too: the acuity model zoo of VeriSilicon,
Imagenette and Imagewoof. Labels are ImageNet's 1,000 classes; boxes and sizes are those of ILSVRC 2012. train-fullsup
has 319 photos, test 1,358. ImageNet's terms do not allow to publish photos and lists again, so that only the numbers of
the photos are here, in ``photos.csv``; whoever has the validation set has them too.

Its folder holds

- ``images.zip`` or ``images``, the photos, warped to squares of 224 to 227 pixels;
- ``metadata/{val,test}``, the lists in the reference layout;
- ``metadata-small``, the same for the photos whose largest box covers less than half of the photo: 182 of
  train-fullsup, 726 of test. ``--metadata-root DIR/metadata-small`` chooses it.

``wsolbench data prepare ilsvrc-photos`` writes it from ImageNet's validation set. Another compression gives other
pixels: rows that were measured on them stand in a table of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.api import DataError, Dataset, DatasetRoots, Split, UsageError
from wsolbench.data import (
    DiskDataset,
    DiskSplit,
    Download,
    LazySplit,
    PickedSplit,
    Preparation,
    prepared_roots,
    published_lists,
    read_lines,
    reference_splits,
    refuse_unused,
)
from wsolbench_plugins.datasets.ilsvrc import dataset as ilsvrc
from wsolbench_plugins.datasets.ilsvrc.folders import TEST_PREFIX
from wsolbench_plugins.datasets.ilsvrc.xml_files import CLASSES

NAME = "ilsvrc-photos"
SMALL = "metadata-small"
SIDE = 224
NUMBERS = Path(__file__).with_name("photos.csv")
"""The number of each photo in the validation set, and its split."""


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set in its folder, or in ImageNet's validation set.

    Raises:
        UsageError: No folder is named, or something that the data set has no use for.
        DataError: The folder holds something else.
    """
    if roots.images is None:
        raise UsageError(f"'{NAME}' needs its folder; pass --data-root DIR, which holds images.zip and metadata")
    if roots.masks is not None:
        raise UsageError(f"'{NAME}' has no masks; leave out --masks")
    refuse_unused(NAME, roots, "boxes", "first_pixel")
    prepared = prepared_roots(NAME, replace(roots, metadata=None))  # the photos serve all lists
    if prepared is None or prepared.metadata is None:
        return _from_validation_set(roots)
    parts = reference_splits(roots.metadata or prepared.metadata, prepared)
    for part in parts.values():
        highest = int(part.labels.max(initial=-1))
        if highest >= CLASSES:
            message = f"{part.folder} lists label {highest}, but '{NAME}' has {CLASSES:,} classes, from 0"
            roots.on_fault(DataError(f"{message}; use --dataset folder for it"))
    return _of_splits(parts)


def preparation(image_tar: Download) -> Preparation:
    """Return how the data set is made of ImageNet's validation set and the published lists of its boxes.

    Args:
        image_tar: The images of the validation set.
    """
    return Preparation(
        (*published_lists("ILSVRC", [Split.TEST], "metadata"), image_tar),
        terms="photos of ImageNet: research and education, not commercial",
        copied_from=lambda folder: DatasetRoots(folder / image_tar.place, folder / "metadata"),
        side=SIDE,
        selections={SMALL: covers_less_than_half},
    )


def covers_less_than_half(boxes: NDArray[np.int64], size: tuple[int, int]) -> bool:
    """Return whether the largest of the boxes (n, 4) covers less than half of an image of that width and height."""
    width, height = size
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return 2 * int(areas.max()) < width * height


def _of_splits(parts: Mapping[Split, DiskSplit]) -> DiskDataset:
    return DiskDataset(NAME, tuple(map(str, range(CLASSES))), parts)


# --------------------------------------------------------------------------------------------------- the validation set


def _from_validation_set(roots: DatasetRoots) -> Dataset:
    try:
        whole = ilsvrc.build(roots).parts.get(Split.TEST)
    except DataError as error:
        raise _not_found(roots, f": {error}") from error
    if whole is None:
        raise _not_found(roots, " with its boxes; pass --metadata-root DIR, the lists of ILSVRC or its XML files")
    return _of_splits({split: LazySplit(partial(PickedSplit, whole, ids)) for split, ids in _chosen().items()})


def _not_found(roots: DatasetRoots, what: str) -> DataError:
    folder = f"{roots.images} does not hold metadata/test/image_ids.txt, as the folder of '{NAME}' does"
    return DataError(f"{folder}; nor is it ImageNet's validation set{what}")


@cache
def _chosen() -> dict[Split, tuple[str, ...]]:
    """Return the ids of each split, as the lists of ILSVRC have them."""
    ids: dict[Split, list[str]] = {Split.TRAIN_FULLSUP: [], Split.TEST: []}
    for line in read_lines(NUMBERS):
        number, split = line.split(2, ",", "NUMBER,SPLIT")
        ids[Split.labelled(split)].append(f"{TEST_PREFIX}ILSVRC2012_val_{int(number):08d}.JPEG")
    return {split: tuple(names) for split, names in ids.items()}
