"""``imagenette``: ten easy classes of ImageNet, with boxes for the photos that come from ImageNet's validation set.

The download mixes 50 photos a class of ImageNet's validation set with some 1,300 of its training set and splits them
anew, which is not kept here: the boxes of the first are known, so that those are train-fullsup (the first ten of each
class, by their number) and test (the rest). All others are train-weaksup, in whichever of ``train`` and ``val`` they
lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.api import DataError, Dataset, DatasetRoots, DatasetSpec, Split, UsageError, hookimpl
from wsolbench.data import (
    DiskDataset,
    Download,
    ImageFiles,
    KnownSplit,
    LazySplit,
    ListedSplit,
    Preparation,
    ReferenceSplit,
    check_folders,
    list_class_folders,
    open_storage,
    prepared_roots,
    published_lists,
    reference_splits,
    refuse_unused,
)

CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
"""WordNet id -> name, in the order of the labels."""
FULLSUP_PER_CLASS = 10
BOXED = "ILSVRC2012_val_"


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the data set, at whatever size its photos are."""
    source = "Howard, Imagenette; boxes of ILSVRC 2012 as Choe et al., CVPR 2020, list them"
    known = {Split.TRAIN_WEAKSUP: KnownSplit(12_894), Split.TRAIN_FULLSUP: KnownSplit(100, FULLSUP_PER_CLASS)}
    preparation = Preparation(
        (
            Download(
                "imagenette2-320",
                "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
                archive="imagenette2-320.tgz",
                inside="imagenette2-320",
                checksum="md5:3df6f0d01a2c9592104656642f5e78a3",
            ),
            *published_lists("ILSVRC", [Split.TEST], "ILSVRC"),
        ),
        terms="photos of ImageNet: research and education, not commercial",
        copied_from=lambda folder: DatasetRoots(folder / "imagenette2-320", folder / "ILSVRC"),
    )
    return [
        DatasetSpec(
            "imagenette",
            build,
            source,
            len(CLASSES),
            known,
            preparation,
            description="Ten classes of ImageNet. --data-root: the folder imagenette2 of the download at any "
            "size, with the published lists of ILSVRC as --metadata-root; or what 'wsolbench data "
            "prepare imagenette' wrote.",
        )
    ]


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set in the folder that the download unpacks to, or in a prepared one.

    Raises:
        UsageError: No folder is named, or none with the boxes.
        DataError: The folder holds something else.
    """
    if roots.images is None:
        raise UsageError("'imagenette' needs its folder; pass --data-root DIR, the folder imagenette2 of the download")
    if roots.masks is not None:
        raise UsageError("'imagenette' has no masks; leave out --masks")
    refuse_unused("imagenette", roots, "boxes", "first_pixel")
    if (roots.images / "train").is_dir() and (roots.images / "val").is_dir():
        return _from_download(roots.images, roots)
    prepared = prepared_roots("imagenette", roots)
    if prepared is None or prepared.metadata is None:
        raise DataError(f"{roots.images} holds neither train/ and val/ nor metadata/imagenette/test/image_ids.txt")
    parts = reference_splits(prepared.metadata, prepared)
    for part in parts.values():
        check_folders(part, "imagenette", tuple(CLASSES), prepared.on_fault)
    return DiskDataset("imagenette", tuple(CLASSES.values()), parts)


# --------------------------------------------------------------------------------------------------------- the download


def _from_download(folder: Path, roots: DatasetRoots) -> Dataset:
    metadata = roots.metadata
    if metadata is None:
        raise UsageError("the boxes of 'imagenette' are those of ILSVRC; pass --metadata-root DIR/ILSVRC, as published")
    storage = open_storage(folder)
    found = {place: list_class_folders(storage, place, roots.on_fault, roots.on_finding) for place in ("train", "val")}
    for place, classes in found.items():
        if tuple(classes) != tuple(CLASSES):
            raise DataError(f"{folder / place} holds other classes than the {len(CLASSES)} of 'imagenette'")
    paths = {
        f"{wnid}/{name}": f"{place}/{wnid}/{name}"
        for place, classes in found.items()
        for wnid, names in classes.items()
        for name in names
    }
    ilsvrc = ReferenceSplit(Split.TEST, metadata / Split.TEST.value, conventions=roots.conventions)
    if not ilsvrc.is_there:
        raise DataError(f"{metadata} holds no test/image_ids.txt; pass the published metadata of ILSVRC")
    parts = {split: LazySplit(partial(_read_split, folder, paths, ilsvrc, split)) for split in Split}
    return DiskDataset("imagenette", tuple(CLASSES.values()), parts)


def _read_split(folder: Path, paths: Mapping[str, str], ilsvrc: ReferenceSplit, split: Split) -> ListedSplit:
    of_class = [_chosen(paths, wnid, split) for wnid in CLASSES]
    ids = tuple(image_id for chosen in of_class for image_id in chosen)
    labels = np.repeat(np.arange(len(of_class)), [len(chosen) for chosen in of_class])
    boxes, sizes = ({}, {}) if split is Split.TRAIN_WEAKSUP else _look_up(ids, ilsvrc)
    files = ImageFiles(open_storage(folder), ids, paths=tuple(paths[image_id] for image_id in ids), sizes=sizes)
    return ListedSplit(files, labels, boxes, sizes)


def _chosen(paths: Mapping[str, str], wnid: str, split: Split) -> list[str]:
    """Return the ids of a class that belong to a split, by number: ILSVRC's have leading zeros."""
    ids = sorted(image_id for image_id in paths if image_id.startswith(f"{wnid}/"))
    boxed = [image_id for image_id in ids if image_id.startswith(f"{wnid}/{BOXED}")]
    if split is Split.TRAIN_WEAKSUP:
        return [image_id for image_id in ids if not image_id.startswith(f"{wnid}/{BOXED}")]
    return boxed[:FULLSUP_PER_CLASS] if split is Split.TRAIN_FULLSUP else boxed[FULLSUP_PER_CLASS:]


def _look_up(
    ids: tuple[str, ...], ilsvrc: ReferenceSplit
) -> tuple[dict[str, NDArray[np.int64]], dict[str, tuple[int, int]]]:
    """Return boxes and sizes of photos that ILSVRC lists under their bare names. Raises ``DataError``."""
    listed = ilsvrc.annotations()
    theirs = {image_id: f"val/{image_id.partition('/')[2]}" for image_id in ids}
    absent = [image_id for image_id in ids if theirs[image_id] not in listed.boxes]
    if absent and ilsvrc.conventions.unannotated == "error":
        message = f"{ilsvrc.folder} has no boxes for {len(absent)} photos, such as {theirs[absent[0]]}"
        raise DataError(f"{message}; --unannotated omit leaves such images out")
    there = [image_id for image_id in ids if theirs[image_id] in listed.boxes]
    boxes = {image_id: listed.boxes[theirs[image_id]] for image_id in there}
    return boxes, {image_id: listed.image_sizes[theirs[image_id]] for image_id in there}
