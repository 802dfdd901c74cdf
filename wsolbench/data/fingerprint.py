"""Hashes that show whether two runs saw the same images, labels and annotations, on whatever machine.

Every number is serialised as a little-endian 64-bit integer and every string behind its length, so that no two
different data sets have one serialisation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsolbench.contract import Annotations, Dataset, ImageSplit, Split
from wsolbench.data.sampling import in_order_of_ids
from wsolbench.errors import UsageError

__all__ = ["annotations_hash", "combine_digests", "content_version", "image_digest"]

_FORMAT = b"wsolbench annotations 1\n"
_ABSENT = -1


def annotations_hash(images: ImageSplit, annotations: Annotations) -> str:
    """Return the SHA-256, 64 hex digits, of a split's ids, labels, sizes, boxes and mask pixels, in the split's order.

    Images are not loaded; masks are, one after another. Annotations of images outside the split do not count.

    Raises:
        DataError: A mask cannot be read.
    """
    digest = hashlib.sha256(_FORMAT)
    digest.update(_integers(len(images.ids)))
    for image_id, label in zip(images.ids, images.labels, strict=True):
        for part in _record(image_id, int(label), annotations):
            digest.update(part)
    return digest.hexdigest()


def content_version(dataset: Dataset) -> str:
    """Return a version, 8 hex digits, for data sets that have none: a hash of ids, labels, sizes and boxes.

    It covers the splits that are scored on, so that it is the same with and without the images to train on. Masks count
    in a record's content hash alone: hashing them means loading them. Annotations whose place was not named do not
    count: nothing is scored on them.

    Raises:
        DataError: A split is damaged.
    """
    digests = []
    for split in (Split.TRAIN_FULLSUP, Split.TEST):
        if split in dataset.splits:
            try:
                annotations = dataset.annotations(split)
            except UsageError:
                annotations = Annotations()
            bare = Annotations(annotations.boxes, annotations.image_sizes)
            digests += [split.label, annotations_hash(in_order_of_ids(dataset.images(split)), bare)]
    return combine_digests(digests)[:8]


def image_digest(image: NDArray[np.uint8]) -> str:
    """Return a hash, 32 hex digits, of an image's pixels and shape, uint8 (H, W, 3)."""
    digest = hashlib.blake2b(_integers(image.shape), digest_size=16)
    digest.update(np.ascontiguousarray(image, dtype=np.uint8).data)
    return digest.hexdigest()


def combine_digests(digests: Iterable[str]) -> str:
    """Return one SHA-256, 64 hex digits, of many digests; their order counts."""
    digest = hashlib.sha256()
    for part in digests:
        digest.update(_text(part))
    return digest.hexdigest()


def _record(image_id: str, label: int, annotations: Annotations) -> Iterator[bytes]:
    yield _text(image_id)
    yield _integers(label)
    yield _integers(annotations.image_sizes.get(image_id, (_ABSENT, _ABSENT)))
    boxes = annotations.boxes.get(image_id)
    yield _integers(_ABSENT) if boxes is None else _integers(len(boxes)) + _integers(boxes)
    if annotations.load_mask is None:
        yield _bits(None) * 2
    else:
        masks = annotations.load_mask(image_id)
        yield _bits(masks.foreground)
        yield _bits(masks.ignore)


def _integers(values: ArrayLike) -> bytes:
    return np.asarray(values, dtype="<i8").tobytes()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _integers(len(encoded)) + encoded


def _bits(mask: NDArray[np.bool_] | None) -> bytes:
    if mask is None:
        return _integers((_ABSENT, _ABSENT))
    return _integers(mask.shape) + np.packbits(np.asarray(mask, dtype=np.bool_)).tobytes()
