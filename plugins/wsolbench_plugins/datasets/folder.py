"""Any data set that lies on disk in the reference metadata layout: CUB, ILSVRC, OpenImages30k, or your own."""

from wsolbench.api import Dataset, DatasetRoots, DatasetSpec, hookimpl
from wsolbench.data import ReferenceDataset, folder_title, refuse_unused


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set below ``roots``.

    Raises:
        UsageError: No metadata root is given, or a convention that the layout has no use for.
        DataError: The metadata root holds no split.
    """
    refuse_unused("folder", roots, "boxes", "first_pixel")
    return ReferenceDataset("folder", roots, title=folder_title(roots))


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the layout under one name; the folders come from the command line."""
    return [
        DatasetSpec(
            name="folder",
            build=build,
            source="Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020",
            description="Your own images, with lists in the layout of the reference evaluator. --metadata-root: a "
            "folder with train, val (train-fullsup) and test, each with image_ids.txt, class_labels.txt, "
            "localization.txt and image_sizes.txt. --data-root: where the images are. --masks: the same of masks.",
        )
    ]
