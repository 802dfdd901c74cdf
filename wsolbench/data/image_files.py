"""The image files of a split, read and decoded one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.images import decode_rgb
from wsolbench.data.storage import Storage
from wsolbench.errors import UsageError
from wsolbench.interfaces import ImageSplit

__all__ = ["ImageFiles"]


@dataclass(frozen=True)
class ImageFiles:
    """Image files in the order of a split; unlike closures over them they can be sent to another process.

    Args:
        storage: Where they lie; None where the user named no place, which is told when an image is asked for.
        ids: Image ids.
        paths: Their paths in the storage, as long as the ids; the ids themselves where empty.
        sizes: Image id -> (width, height) as the metadata has it, for turning what lies sideways.
    """

    storage: Storage | None
    ids: tuple[str, ...]
    paths: Sequence[str] = ()
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def split(self, labels: NDArray[np.int64]) -> ImageSplit:
        """Return the split that these images and labels, int64 (N,), make."""
        return ImageSplit(self.ids, labels, self.load, self.read)

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return an image as RGB, uint8 (H, W, 3).

        Raises:
            UsageError: No place was named.
            DataError: The file is missing or damaged.
        """
        content = self.read(index)
        assert self.storage is not None
        return decode_rgb(content, self.storage.place(self._path(index)), self.sizes.get(self.ids[index]))

    def read(self, index: int) -> bytes:
        """Return what an image's file holds.

        Raises:
            UsageError: No place was named.
            DataError: The file is missing or cannot be read.
        """
        if self.storage is None:
            raise UsageError("the images are needed; pass --data-root DIR")
        return self.storage.read(self._path(index))

    def _path(self, index: int) -> str:
        return self.paths[index] if self.paths else self.ids[index]
