"""Data sets from the plugins that offer them."""

from __future__ import annotations

from wsolbench.engine.blame import blaming
from wsolbench.interfaces import Dataset, DatasetRoots, DatasetSpec
from wsolbench.registry import Offer


def build_dataset(offer: Offer[DatasetSpec], roots: DatasetRoots) -> Dataset:
    """Build a data set.

    Raises:
        UsageError: It needs a place that was not named, or is given one that it has no use for.
        DataError: Something is missing or damaged.
        PluginError: The plugin's own code fails.
    """
    with blaming(offer.provider, f"building the data set '{offer.name}'"):
        return offer.spec.build(roots)
