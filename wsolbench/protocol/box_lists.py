"""The boxes of many images in one array: an array for each image would take ten times the memory of its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoxLists", "BoxTable"]


class BoxLists(Sequence[NDArray[np.int64]]):
    """The boxes of images, in the order of the images; an element is what one image has, (n, 4).

    Args:
        corners: (M, 4) integers, all boxes of the first image first.
        counts: (N,) integers, how many boxes each image has.
    """

    def __init__(self, corners: NDArray[np.int64], counts: NDArray[np.integer[Any]]) -> None:
        self.corners, self.counts = corners, counts
        self._ends = np.cumsum(counts, dtype=np.int64)

    @classmethod
    def of(cls, boxes: Iterable[NDArray[np.integer[Any]]]) -> BoxLists:
        """Return boxes, (n, 4) integers for each image, in one array; what is so already is returned as it is."""
        if isinstance(boxes, cls):
            return boxes
        listed = list(boxes)
        corners = np.concatenate(listed) if listed else np.empty((0, 4), dtype=np.int64)
        return cls(corners, np.array([len(of_image) for of_image in listed], dtype=np.int64))

    def take(self, places: Sequence[int] | NDArray[np.integer[Any]]) -> BoxLists:
        """Return the boxes of the images at some places, in their order."""
        chosen = np.asarray(places, dtype=np.intp)
        counts, ends = self.counts[chosen], self._ends[chosen]
        rows = np.arange(counts.sum()) + np.repeat(ends - counts.cumsum(), counts)
        return BoxLists(self.corners[rows], counts)

    def __len__(self) -> int:
        return len(self.counts)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.int64]: ...
    @overload
    def __getitem__(self, index: slice) -> BoxLists: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.int64] | BoxLists:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        end = self._ends[index]
        return self.corners[end - self.counts[index] : end]


class BoxTable(Mapping[str, NDArray[np.int64]]):
    """The boxes of images by the images' ids.

    Args:
        image_ids: The images, in order; none is there twice.
        lists: The boxes of each.
    """

    def __init__(self, image_ids: Iterable[str], lists: BoxLists) -> None:
        self.lists = lists
        self._places = {image_id: place for place, image_id in enumerate(image_ids)}

    def __getitem__(self, image_id: str) -> NDArray[np.int64]:
        return self.lists[self._places[image_id]]

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
