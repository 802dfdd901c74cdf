"""``openimages``: OpenImages30k, 100 classes, scored by masks."""

from __future__ import annotations

from wsolbench.api import Dataset, DatasetRoots, DatasetSpec, Split, UsageError, hookimpl
from wsolbench.data import (
    DiskDataset,
    Download,
    KnownSplit,
    Preparation,
    folder_names,
    prepared_roots,
    published_lists,
    reference_splits,
    refuse_unused,
)

LABEL_FILES = ("image_ids.txt", "class_labels.txt")
"""The published lists of every split; masks need no sizes, and train-weaksup has no masks."""


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the data set."""
    source = "Benenson et al., OpenImages V5; the selection OpenImages30k of Choe et al., CVPR 2020"
    known = {
        Split.TRAIN_WEAKSUP: KnownSplit(29_819),
        Split.TRAIN_FULLSUP: KnownSplit(2_500, per_class=25),
        Split.TEST: KnownSplit(5_000, per_class=50),
    }
    drive = "https://drive.google.com/open?id="
    preparation = Preparation(
        (
            *published_lists("OpenImages", [Split.TRAIN_WEAKSUP], "metadata", files=LABEL_FILES),
            *published_lists(
                "OpenImages", [Split.TRAIN_FULLSUP, Split.TEST], "metadata", files=[*LABEL_FILES, "localization.txt"]
            ),
            Download("images", archive="OpenImages_images.zip", by_hand=f"{drive}1oOb4WQ-lb8SYppHEg3lWnpHk1X8WVO4e"),
            Download(
                "masks", archive="OpenImages_annotations.zip", by_hand=f"{drive}1eu1YvcZlsEalhXTS_5Ni5tkImCliIPie"
            ),
        ),
        terms="photos CC BY 2.0, as far as their authors said so; masks CC BY 4.0, Google",
    )
    return [
        DatasetSpec(
            "openimages",
            build,
            source,
            100,
            known,
            preparation,
            description="100 classes with masks, scored by PxAP. --data-root: train, val and test as published; "
            "--masks: where the masks are, if elsewhere. --metadata-root: the published lists.",
        )
    ]


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set; images and masks lie below one root or two, as they were unpacked.

    Raises:
        UsageError: The published metadata is not named, or a convention that the data set has no use for.
        DataError: It holds no split.
    """
    refuse_unused("openimages", roots)
    placed = prepared_roots("OpenImages", roots)
    if placed is None or placed.metadata is None:
        raise UsageError("'openimages' needs its published metadata; pass --metadata-root DIR/OpenImages")
    parts = reference_splits(placed.metadata, placed)
    return DiskDataset("openimages", folder_names(parts.values()), parts)
