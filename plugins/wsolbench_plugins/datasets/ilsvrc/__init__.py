"""``ilsvrc``: ImageNet's 1,000 classes; its validation set is test, ImageNetV2 (threshold 0.7) is train-fullsup.

Lists come from the published metadata of the reference evaluator. Without it, test comes from the official XML files,
and there is no train-fullsup.
"""

from __future__ import annotations

from wsolbench.api import Dataset, DatasetRoots, DatasetSpec, KnownSplit, Split, UsageError, hookimpl


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the data set."""
    source = "Russakovsky et al., ILSVRC 2012; Recht et al., ImageNetV2; boxes as Choe et al., CVPR 2020, list them"
    known = {
        Split.TRAIN_WEAKSUP: KnownSplit(1_281_167),
        Split.TRAIN_FULLSUP: KnownSplit(10_000, per_class=10, boxes=18_532),
        Split.TEST: KnownSplit(50_000, per_class=50, boxes=80_477),
    }
    return [DatasetSpec("ilsvrc", _build, source, classes=1_000, known=known)]


def _build(roots: DatasetRoots) -> Dataset:
    if roots.masks is not None:
        raise UsageError("'ilsvrc' is scored by boxes; leave out --masks")
    if roots.images is None and roots.metadata is None:
        raise UsageError(
            "'ilsvrc' lies on disk; pass --data-root DIR, which holds val, val2 and train, "
            "and its published lists with --metadata-root DIR/ILSVRC"
        )
    from wsolbench_plugins.datasets.ilsvrc.dataset import build

    return build(roots)
