"""The images of a training, and a hash of their content."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Annotations, ImageSplit
from wsolbench.data.fingerprint import annotations_hash, combine_digests, image_digest
from wsolbench.errors import DataError

DIGEST_BYTES = 16


class TrainingImages:
    """A split whose images are hashed the first time that they are loaded.

    Args:
        split: Images and labels.
        digests: (N, 16) uint8, the hashes from before an interruption; zeros for images not loaded then.
    """

    def __init__(self, split: ImageSplit, digests: NDArray[np.uint8] | None = None) -> None:
        self.split = split
        self.digests = np.zeros((len(split.ids), DIGEST_BYTES), dtype=np.uint8) if digests is None else digests
        self._seen = np.zeros(len(split.ids), dtype=np.bool_)

    def observe(self, index: int, image: NDArray[np.uint8]) -> None:
        """Hash an image the first time that it is loaded; may be called from several threads.

        Args:
            index: Its index in the split.
            image: (H, W, 3) uint8.

        Raises:
            DataError: The image has changed since the training started.
        """
        if self._seen[index]:
            return
        digest = np.frombuffer(bytes.fromhex(image_digest(image)), dtype=np.uint8)
        known = self.digests[index]
        if known.any() and not np.array_equal(known, digest):
            raise DataError(
                f"the image '{self.split.ids[index]}' has changed since this training started; "
                "restore it, or start again without --resume"
            )
        self.digests[index] = digest
        self._seen[index] = True

    @property
    def list_sha256(self) -> str:
        """The hash of ids and labels, in the order of the split."""
        return annotations_hash(self.split, Annotations())

    def content_sha256(self) -> str:
        """Return the hash of ids, labels and pixels; images that were not loaded yet are loaded now.

        Raises:
            DataError: An image cannot be read.
        """
        for index in np.flatnonzero(~self._seen):
            self.observe(int(index), self.split.load(int(index)))
        return combine_digests([self.list_sha256, *(digest.tobytes().hex() for digest in self.digests)])
