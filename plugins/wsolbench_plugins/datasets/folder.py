"""Any data set that lies on disk in the reference metadata layout: CUB, ILSVRC, OpenImages30k, or your own."""

from wsolbench.api import Dataset, DatasetRoots, DatasetSpec, hookimpl
from wsolbench.data import ReferenceDataset


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set below ``roots``.

    Raises:
        UsageError: No metadata root is given.
        DataError: The metadata root holds no split.
    """
    return ReferenceDataset("folder", roots)


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the layout under one name; the folders come from the command line."""
    return [
        DatasetSpec(
            name="folder",
            build=build,
            source="Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020",
        )
    ]
