"""The images that a training sees, and a hash of what was in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Annotations, ImageSplit
from wsolbench.data.fingerprint import annotations_hash, combine_digests, image_digest
from wsolbench.errors import DataError

DIGEST_BYTES = 16


class TrainingImages:
    """A split whose images are hashed when they are loaded for the first time.

    Args:
        split: Images and labels.
        digests: What is known of the images from before, uint8 (N, 16), zeros for those not yet seen.
    """

    def __init__(self, split: ImageSplit, digests: NDArray[np.uint8] | None = None) -> None:
        self.split = split
        self.digests = np.zeros((len(split.ids), DIGEST_BYTES), dtype=np.uint8) if digests is None else digests
        self._seen = np.zeros(len(split.ids), dtype=np.bool_)

    def observe(self, index: int, image: NDArray[np.uint8]) -> None:
        """Hash an image, uint8 (H, W, 3), that is seen for the first time; called from several threads.

        Raises:
            DataError: It is not what it was.
        """
        if self._seen[index]:
            return
        digest = np.frombuffer(bytes.fromhex(image_digest(image)), dtype=np.uint8)
        known = self.digests[index]
        if known.any() and not np.array_equal(known, digest):
            raise DataError(
                f"the image '{self.split.ids[index]}' is not what it was when this training began; "
                "put the old one back, or start anew without --resume"
            )
        self.digests[index] = digest
        self._seen[index] = True

    @property
    def list_sha256(self) -> str:
        """The hash of ids and labels, in their order."""
        return annotations_hash(self.split, Annotations())

    def content_sha256(self) -> str:
        """Return the hash of ids, labels and pixels; images that were never seen are loaded.

        Raises:
            DataError: An image cannot be read.
        """
        for index in np.flatnonzero(~self._seen):
            self.observe(int(index), self.split.load(int(index)))
        return combine_digests([self.list_sha256, *(digest.tobytes().hex() for digest in self.digests)])
