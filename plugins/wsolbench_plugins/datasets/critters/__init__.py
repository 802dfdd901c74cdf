"""``critters``: the embedded data set. It is drawn, not stored: no files, no download."""

from __future__ import annotations

from dataclasses import replace

from wsolbench.api import Conventions, Dataset, DatasetRoots, DatasetSpec, UsageError, hookimpl


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the data set."""
    return [DatasetSpec("critters", _build, "wsolbench's own: little animals, drawn with exact boxes and masks")]


def _build(roots: DatasetRoots) -> Dataset:
    if replace(roots, conventions=Conventions()) != DatasetRoots():
        raise UsageError(
            "'critters' is drawn and reads nothing from disk; "
            "leave out --data-root, --metadata-root, --masks and --train-root"
        )
    if roots.conventions != Conventions():
        raise UsageError(
            "'critters' is drawn and has no lists; leave out --boxes, --first-pixel, --unannotated and --class-map"
        )
    from wsolbench_plugins.datasets.critters.dataset import Critters

    return Critters()
