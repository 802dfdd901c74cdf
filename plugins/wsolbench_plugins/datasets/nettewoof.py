"""``nettewoof``: twenty classes of ImageNet, ten things and ten dogs, to train on in an hour and to localize on.

The classes are those of Imagenette and Imagewoof. Its folder holds

- ``metadata/{train,val,test}``, the lists in the reference layout: train-weaksup is 23,390 training photos of ImageNet
  with labels alone; train-fullsup is 750 photos with boxes, test 1,428, most of them from ImageNet's validation set;
- ``metadata-small``, the same for the photos whose largest box covers less than half of the photo: 344 of
  train-fullsup, 699 of test. ``--metadata-root DIR/metadata-small`` chooses it;
- ``images.zip``, the photos with boxes, and ``train-128px.zip``, those to train on.
"""

from __future__ import annotations

from dataclasses import replace

from wsolbench.api import DataError, Dataset, DatasetRoots, DatasetSpec, Split, UsageError, hookimpl
from wsolbench.data import DiskDataset, KnownSplit, check_folders, prepared_roots, reference_splits, refuse_unused

CLASSES = {
    "n01440764": "tench",
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02102040": "English springer",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
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


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the data set."""
    source = "Howard, Imagenette and Imagewoof; boxes of ILSVRC 2012 and of Stanford Dogs; splits of wsolbench's own"
    return [
        DatasetSpec(
            "nettewoof",
            build,
            source,
            len(CLASSES),
            {Split.TRAIN_WEAKSUP: KnownSplit(23_390)},
            description="Ten things and ten dogs of ImageNet. --data-root: a folder with images.zip, "
            "train-128px.zip and metadata. --metadata-root: its metadata-small, objects below half of "
            "the photo.",
        )
    ]


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set in its folder.

    Raises:
        UsageError: No folder is named, or something that the data set has no use for.
        DataError: The folder holds something else.
    """
    if roots.images is None:
        raise UsageError("'nettewoof' needs its folder; pass --data-root DIR, which holds images.zip and metadata")
    if roots.masks is not None:
        raise UsageError("'nettewoof' has no masks; leave out --masks")
    refuse_unused("nettewoof", roots, "boxes", "first_pixel")
    prepared = prepared_roots("nettewoof", replace(roots, metadata=None))  # the ZIP files serve all lists
    if prepared is None or prepared.metadata is None:
        raise DataError(f"{roots.images} does not hold metadata/test/image_ids.txt, as the folder of 'nettewoof' does")
    parts = reference_splits(roots.metadata or prepared.metadata, prepared)
    for part in parts.values():
        check_folders(part, "nettewoof", tuple(CLASSES), prepared.on_fault)
    return DiskDataset("nettewoof", tuple(CLASSES.values()), parts)
