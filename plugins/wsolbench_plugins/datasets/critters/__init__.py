"""``critters``: the embedded data set. It is drawn, not stored: no files, no download."""

from __future__ import annotations

from dataclasses import replace

from wsolbench.api import Conventions, Dataset, DatasetRoots, DatasetSpec, UsageError, hookimpl
from wsolbench.data import refuse_unused


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the data set."""
    return [
        DatasetSpec(
            "critters",
            _build,
            "wsolbench's own: little animals, drawn with exact boxes and masks",
            description="Small animals on textured ground, drawn with exact boxes and masks: 8,000 images of "
            "train-weaksup, 300 of train-fullsup, 1,000 of test. Nothing is read from disk.",
        )
    ]


def _build(roots: DatasetRoots) -> Dataset:
    if replace(roots, conventions=Conventions()) != DatasetRoots():
        raise UsageError(
            "'critters' is drawn and reads nothing from disk; "
            "leave out --data-root, --metadata-root, --masks and --train-root"
        )
    if replace(roots.conventions, class_map=None) != Conventions():
        raise UsageError("'critters' is drawn and has no lists; leave out --boxes, --first-pixel and --unannotated")
    refuse_unused("critters", roots)
    from wsolbench_plugins.datasets.critters.dataset import Critters

    return Critters()
