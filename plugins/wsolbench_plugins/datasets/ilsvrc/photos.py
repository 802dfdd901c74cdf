"""``ilsvrc-photos``: 1,677 photos of ImageNet's validation set with boxes, to compare pretrained networks in minutes.

The photos are those of the validation set that small public collections hold too: the acuity model zoo of VeriSilicon,
Imagenette and Imagewoof. Labels are ImageNet's 1,000 classes; boxes and sizes are those of ILSVRC 2012. train-fullsup
has 319 photos, test 1,358. The photos cannot be published again: ImageNet's terms do not allow it.

Its folder holds

- ``images.zip`` or ``images``, the photos, warped to squares of 224 to 227 pixels;
- ``metadata/{val,test}``, the lists in the reference layout;
- ``metadata-small``, the same for the photos whose largest box covers less than half of the photo: 182 of
  train-fullsup, 726 of test. ``--metadata-root DIR/metadata-small`` chooses it.
"""

from __future__ import annotations

from dataclasses import replace

from wsolbench.api import DataError, Dataset, DatasetRoots, UsageError
from wsolbench.data import DiskDataset, prepared_roots, reference_splits, refuse_unused
from wsolbench_plugins.datasets.ilsvrc.xml_files import CLASSES

NAME = "ilsvrc-photos"


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set in its folder.

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
        raise DataError(f"{roots.images} does not hold metadata/test/image_ids.txt, as the folder of '{NAME}' does")
    parts = reference_splits(roots.metadata or prepared.metadata, prepared)
    for part in parts.values():
        highest = int(part.labels.max(initial=-1))
        if highest >= CLASSES:
            message = f"{part.folder} lists label {highest}, but '{NAME}' has {CLASSES:,} classes, from 0"
            roots.on_fault(DataError(f"{message}; use --dataset folder for it"))
    return DiskDataset(NAME, tuple(map(str, range(CLASSES))), parts)
