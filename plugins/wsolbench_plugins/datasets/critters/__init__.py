"""``critters``: the embedded data set. It is drawn, not stored: no files, no download."""

from __future__ import annotations

from wsolbench.api import Dataset, DatasetRoots, DatasetSpec, UsageError, hookimpl


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the data set."""
    return [DatasetSpec("critters", _build, "wsolbench's own: little animals, drawn with exact boxes and masks")]


def _build(roots: DatasetRoots) -> Dataset:
    if roots != DatasetRoots():
        raise UsageError(
            "'critters' is drawn and reads nothing from disk; "
            "leave out --data-root, --metadata-root, --masks and --train-root"
        )
    from wsolbench_plugins.datasets.critters.dataset import Critters

    return Critters()
