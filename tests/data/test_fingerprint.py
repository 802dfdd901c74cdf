import dataclasses
import hashlib
import struct

import numpy as np
import pytest

from wsolbench.contract import Annotations, ImageSplit, MaskPair
from wsolbench.data.fingerprint import annotations_hash, combine_digests, image_digest


def no_image(index):
    raise AssertionError(f"image {index} must not be loaded")


IMAGES = ImageSplit(("a.jpg", "b.jpg"), np.array([3, 1]), no_image)
BOXES = Annotations(
    boxes={"a.jpg": np.array([[0, 1, 2, 3]]), "b.jpg": np.array([[4, 5, 6, 7], [0, 0, 1, 1]])},
    image_sizes={"a.jpg": (10, 20), "b.jpg": (30, 40)},
)


def masks(foreground, ignore=None):
    pair = MaskPair(np.array(foreground, dtype=bool), None if ignore is None else np.array(ignore, dtype=bool))
    return Annotations(load_mask=lambda _: pair)


def test_serialisation_is_little_endian_on_every_machine():
    first = struct.pack("<q5sq2qq4q", 5, b"a.jpg", 3, 10, 20, 1, 0, 1, 2, 3)
    second = struct.pack("<q5sq2qq8q", 5, b"b.jpg", 1, 30, 40, 2, 4, 5, 6, 7, 0, 0, 1, 1)
    no_masks = struct.pack("<4q", -1, -1, -1, -1)
    serialised = b"wsolbench annotations 1\n" + struct.pack("<q", 2) + first + no_masks + second + no_masks
    assert annotations_hash(IMAGES, BOXES) == hashlib.sha256(serialised).hexdigest()


def test_equal_annotations_hash_equal_whatever_their_form():
    narrow = dataclasses.replace(
        BOXES,
        boxes={name: np.asfortranarray(box.astype(">i2")) for name, box in reversed(BOXES.boxes.items())},
        image_sizes=BOXES.image_sizes | {"other.jpg": (1, 1)},
    )
    assert annotations_hash(dataclasses.replace(IMAGES, labels=np.int32([3, 1])), narrow) == annotations_hash(
        IMAGES, BOXES
    )


def box(**boxes):
    return dataclasses.replace(BOXES, boxes=BOXES.boxes | {"b.jpg": np.array(boxes["b"])})


CHANGES = {
    "id": (dataclasses.replace(IMAGES, ids=("a.jpg", "c.jpg")), BOXES),
    "label": (dataclasses.replace(IMAGES, labels=np.array([3, 2])), BOXES),
    "order": (ImageSplit(("b.jpg", "a.jpg"), np.array([1, 3]), no_image), BOXES),
    "fewer": (ImageSplit(("a.jpg",), np.array([3]), no_image), BOXES),
    "size": (IMAGES, dataclasses.replace(BOXES, image_sizes={"a.jpg": (10, 20), "b.jpg": (40, 30)})),
    "box": (IMAGES, box(b=[[4, 5, 6, 8], [0, 0, 1, 1]])),
    "box_order": (IMAGES, box(b=[[0, 0, 1, 1], [4, 5, 6, 7]])),
    "one_box_less": (IMAGES, box(b=[[4, 5, 6, 7]])),
    "no_boxes": (IMAGES, Annotations()),
    "masks": (IMAGES, masks([[0, 1]])),
}


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_changes_the_hash(name):
    assert annotations_hash(*CHANGES[name]) != annotations_hash(IMAGES, BOXES)


def test_every_mask_bit_counts():
    several = [
        masks([[0, 1, 1]]),
        masks([[0, 1, 0]]),
        masks([[0], [1], [1]]),
        masks([[0, 1, 1, 0]]),
        masks([[0, 1, 1]], [[0, 0, 0]]),
        masks([[0, 1, 1]], [[1, 0, 0]]),
    ]
    assert len({annotations_hash(IMAGES, annotations) for annotations in several}) == len(several)


def test_image_digest_sees_pixels_and_shape():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    changed = image.copy()
    changed[1, 1, 1] += 1
    digests = {image_digest(image), image_digest(changed), image_digest(image.reshape(4, 2, 3))}
    assert len(digests) == 3
    assert image_digest(np.asfortranarray(image)) == image_digest(image)
    assert all(len(digest) == 32 for digest in digests)


def test_combined_digest_depends_on_order_and_borders():
    combined = {combine_digests(parts) for parts in ([], ["a"], ["a", "b"], ["b", "a"], ["ab"], ["ab", ""])}
    assert len(combined) == 6
    assert combine_digests(iter(["a", "b"])) == combine_digests(["a", "b"])
