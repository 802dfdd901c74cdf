"""``ilsvrc``: ImageNet's 1,000 classes; its validation set is test, ImageNetV2 (threshold 0.7) is train-fullsup.

Lists come from the published metadata of the reference evaluator. Without it, test comes from the official XML files,
and there is no train-fullsup. ``ilsvrc-photos`` is a small part of its validation set; see `photos`.
"""

from __future__ import annotations

from wsolbench.api import Dataset, DatasetRoots, DatasetSpec, Split, UsageError, hookimpl
from wsolbench.data import Download, KnownSplit, Preparation, published_lists, refuse_unused
from wsolbench_plugins.datasets.ilsvrc import photos
from wsolbench_plugins.datasets.ilsvrc.imagenet_v2 import MAPPING

MAPPING_COMMIT = "e9972606b18064ea886f098f2b5b29b9ade75f09"
"""The commit of the reference evaluator that added the new names of ImageNetV2's files."""

SITE = "https://image-net.org/download-images, after registering,"
VALIDATION_IMAGES = Download(
    "val",
    archive="ILSVRC2012_img_val.tar",
    checksum="md5:29b22e2961454d5413ddabcf34fc5622",
    by_hand=f"{SITE} 'Validation images (all tasks)', 6.3 GB",
)


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the data set, and the part of its validation set that is quick to evaluate on."""
    return [_ilsvrc(), _photos()]


def _ilsvrc() -> DatasetSpec:
    source = "Russakovsky et al., ILSVRC 2012; Recht et al., ImageNetV2; boxes as Choe et al., CVPR 2020, list them"
    known = {
        Split.TRAIN_WEAKSUP: KnownSplit(1_281_167),
        Split.TRAIN_FULLSUP: KnownSplit(10_000, per_class=10, boxes=18_532),
        Split.TEST: KnownSplit(50_000, per_class=50, boxes=80_477),
    }
    preparation = Preparation(
        (
            *published_lists("ILSVRC", (Split.TRAIN_FULLSUP, Split.TEST), "metadata"),
            *published_lists("ILSVRC", [Split.TRAIN_FULLSUP], "metadata", files=[MAPPING], commit=MAPPING_COMMIT),
            Download(
                "imagenetv2-threshold0.7-format-val",
                "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-threshold0.7.tar.gz",
                archive="imagenetv2-threshold0.7.tar.gz",
                inside="imagenetv2-threshold0.7-format-val",
            ),
            VALIDATION_IMAGES,
            Download(
                "train",
                by_hand=f"{SITE} 'Training images (Task 1 & 2)', 138 GB: a tar file for each class, each unpacked to a "
                "folder of its name",
                needed=False,
            ),
        ),
        terms="ImageNet: research and education, not commercial; ImageNetV2: MIT; its boxes: CC BY 2.0",
    )
    return DatasetSpec(
        "ilsvrc",
        _build,
        source,
        1_000,
        known,
        preparation,
        description="ImageNet's 1,000 classes. --data-root: a folder with val, val2 (ImageNetV2, "
        "train-fullsup) and train. --metadata-root: the published lists, or ImageNet's XML files.",
    )


def _photos() -> DatasetSpec:
    source = "Russakovsky et al., ILSVRC 2012; boxes as Choe et al., CVPR 2020, list them; splits of wsolbench's own"
    return DatasetSpec(
        photos.NAME,
        photos.build,
        source,
        1_000,
        preparation=photos.preparation(VALIDATION_IMAGES),
        description="1,677 photos of ImageNet's validation set, for pretrained networks; no train-weaksup. "
        "--data-root: what 'wsolbench data prepare ilsvrc-photos' wrote. --metadata-root: its "
        "metadata-small, objects below half of the photo.",
    )


def _build(roots: DatasetRoots) -> Dataset:
    if roots.masks is not None:
        raise UsageError("'ilsvrc' is scored by boxes; leave out --masks")
    refuse_unused("ilsvrc", roots, "boxes", "first_pixel")
    if roots.images is None and roots.metadata is None:
        raise UsageError(
            "'ilsvrc' needs its folder; pass --data-root DIR, which holds val, val2 and train, "
            "and its published lists with --metadata-root DIR/ILSVRC"
        )
    from wsolbench_plugins.datasets.ilsvrc.dataset import build

    return build(roots)
