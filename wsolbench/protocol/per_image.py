"""What many images have, in few arrays: an object for each image would take ten times the memory of its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoxLists", "ByImage", "Sizes"]

T = TypeVar("T")


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


class Sizes(Sequence[tuple[int, int]]):
    """The (width, height) of images in pixels, in the order of the images.

    Args:
        pixels: (N, 2) integers.
    """

    def __init__(self, pixels: NDArray[np.int64]) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, index: slice) -> Sizes: ...
    def __getitem__(self, index: int | slice) -> tuple[int, int] | Sizes:
        if isinstance(index, slice):
            return Sizes(self.pixels[index])
        width, height = self.pixels[index].tolist()
        return width, height


class ByImage(Mapping[str, T], Generic[T]):
    """What images have, by their ids.

    Args:
        places: Image id -> its place among all images; one such mapping serves for all that the images have.
        values: What the image at each place has.
        lacking: The images that have nothing, whatever is at their places.
    """

    def __init__(self, places: Mapping[str, int], values: Sequence[T], lacking: Iterable[str] = ()) -> None:
        self._values = values
        self._places, self._lacking = places, frozenset(lacking)

    def __getitem__(self, image_id: str) -> T:
        if image_id in self._lacking:
            raise KeyError(image_id)
        return self._values[self._places[image_id]]

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._places and image_id not in self._lacking

    def __iter__(self) -> Iterator[str]:
        return (image_id for image_id in self._places if image_id not in self._lacking)

    def __len__(self) -> int:
        return len(self._places) - len(self._lacking)
