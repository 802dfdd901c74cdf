"""The image files of a split, read and decoded one at a time, and sizes that only the files have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import ImageSplit
from wsolbench.data.images import decode_rgb, probe
from wsolbench.data.storage import Storage
from wsolbench.errors import DataError, UsageError

__all__ = ["HeaderSizes", "ImageFiles"]

_HEAD = 64 * 1024


@dataclass(frozen=True)
class ImageFiles:
    """Image files in the order of a split; unlike closures over them they can be sent to another process.

    Args:
        storage: Their place; None where the user named none, so that loading an image raises ``UsageError``.
        ids: Image ids.
        paths: Their paths in the storage, as long as the ids; the ids themselves where empty.
        sizes: Image id -> (width, height) as the metadata has it, to turn images that are stored sideways.
    """

    storage: Storage | None
    ids: tuple[str, ...]
    paths: Sequence[str] = ()
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def split(self, labels: NDArray[np.int64]) -> ImageSplit:
        """Return the split that these images and labels, int64 (N,), make."""
        return ImageSplit(self.ids, labels, self.load, self.read, self.sizes)

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
        """Return the content of an image's file.

        Raises:
            UsageError: No place was named.
            DataError: The file is missing or cannot be read.
        """
        if self.storage is None:
            raise UsageError("the images are needed; pass --data-root DIR")
        return self.storage.read(self._path(index))

    def size(self, index: int) -> tuple[int, int]:
        """Return an image's (width, height) as stored, usually from its first bytes.

        Raises:
            UsageError: No place was named.
            DataError: The file is missing or damaged.
        """
        if self.storage is None:
            raise UsageError("the images are needed; pass --data-root DIR")
        path = self._path(index)
        head = self.storage.read_head(path, _HEAD)
        try:
            return probe(head, self.storage.place(path))[0]
        except DataError:
            if len(head) < _HEAD:
                raise
        return probe(self.storage.read(path), self.storage.place(path))[0]

    def _path(self, index: int) -> str:
        return self.paths[index] if self.paths else self.ids[index]


@dataclass(frozen=True, eq=False)
class HeaderSizes(Mapping[str, tuple[int, int]]):
    """Image id -> (width, height), read from the image's file when it is looked up; no pixel is decoded.

    Args:
        files: The images, with a storage.
    """

    files: ImageFiles
    _index: dict[str, int] = field(init=False, default_factory=dict)
    _known: dict[str, tuple[int, int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._index.update((image_id, index) for index, image_id in enumerate(self.files.ids))

    def __getitem__(self, image_id: str) -> tuple[int, int]:
        """Return the size of an image. Raises ``DataError`` where its file is missing or damaged."""
        if image_id not in self._known:
            self._known[image_id] = self.files.size(self._index[image_id])
        return self._known[image_id]

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)
