"""The images of a training, and a hash of their content."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Annotations, Finding, ImageSplit, Split
from wsolbench.data.fingerprint import annotations_hash, combine_digests, image_digest
from wsolbench.data.remarks import findings_of_remarks, remarks_on
from wsolbench.engine.ranks import Ranks
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
        self._remarks: dict[int, tuple[str, ...]] = {}

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
            raise self._changed(index)
        self.digests[index] = digest
        self._remarks[index] = remarks_on(self.split, index, (image.shape[1], image.shape[0]))
        self._seen[index] = True

    def _changed(self, index: int) -> DataError:
        return DataError(
            f"the image '{self.split.ids[index]}' has changed since this training started; "
            "restore it, or start again without --resume"
        )

    def share(self, ranks: Ranks) -> None:
        """Exchange the hashes of images with the processes that load others.

        Raises:
            DataError: An image has changed since the training started.
        """
        if ranks.count == 1:
            return
        for digests, seen, remarks in ranks.gathered_everywhere(lambda: (self.digests, self._seen, self._remarks)):
            differs = seen & self.digests.any(axis=1) & (self.digests != digests).any(axis=1)
            if differs.any():
                raise self._changed(int(differs.argmax()))
            self.digests[seen] = digests[seen]
            self._seen |= seen
            self._remarks.update(remarks)

    def findings(self) -> Iterator[Finding]:
        """Yield what was decided about the sizes and orientations of the images that were loaded."""
        named: dict[str, list[str]] = {}
        for index in sorted(self._remarks):
            for remark in self._remarks[index]:
                named.setdefault(remark, []).append(self.split.ids[index])
        yield from findings_of_remarks(Split.TRAIN_WEAKSUP.label, named)

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
