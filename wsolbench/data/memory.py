"""Data sets in memory: annotations without images, for maps that were computed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Annotations, ImageSplit, MaskPair, Split
from wsolbench.data.fingerprint import content_version
from wsolbench.errors import DataError

__all__ = ["Keyed", "MemoryDataset", "MemorySplit", "keyed"]

Keyed: TypeAlias = Mapping[str, Any] | Sequence[Any] | NDArray[Any]
"""One entry an image: by image id, or in order, where the ids are the positions."""


def keyed(entries: Keyed, what: str) -> dict[str, Any]:
    """Return entries by image id; those of a sequence or an array are called ``0``, ``1`` ...

    Args:
        entries: One an image.
        what: What they are, for messages.

    Raises:
        DataError: They are neither, or an image id is no text.
    """
    if isinstance(entries, Mapping):
        strange = next((key for key in entries if not isinstance(key, str)), None)
        if strange is not None:
            raise DataError(f"{what}: image ids have to be text, got {strange!r}; str() makes it one")
        return dict(sorted(entries.items()))  # the order of a mapping is no part of what is scored
    if hasattr(entries, "to_numpy"):  # of a data frame a row is an image
        entries = entries.to_numpy()
    if not hasattr(entries, "__len__") or isinstance(entries, str):
        raise DataError(
            f"{what}: expected one entry an image, by image id or in a list or array, got {type(entries).__name__}"
        )
    width = len(str(max(len(entries) - 1, 0)))
    return {str(position).zfill(width): entry for position, entry in enumerate(entries)}


@dataclass(frozen=True)
class MemorySplit:
    """The annotations of one split.

    Attributes:
        ids: Image ids.
        boxes: Image id -> boxes (n, 4) in original pixels, inclusive corners.
        sizes: Image id -> (width, height) of the original.
        masks: Image id -> masks.
    """

    ids: tuple[str, ...]
    boxes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    masks: Mapping[str, MaskPair] | None = None

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        boxes: Keyed | None,
        image_sizes: Keyed | None,
        masks: Keyed | None,
        *,
        ordered: bool,
    ) -> MemorySplit:
        """Build a split from arrays, which are checked.

        Args:
            ids: The images.
            boxes: One box (4,) or several (n, 4) an image, whole pixels of the original, corners inclusive.
            image_sizes: (width, height) of each original; needed with boxes.
            masks: A bool array (h, w), or a `MaskPair`, an image.
            ordered: Whether the images are known by their order alone, so that the others may be too.

        Raises:
            DataError: An image has no entry, or one of a wrong form, or a box leaves its image.
        """
        if boxes is not None and image_sizes is None:
            raise DataError("boxes are in pixels of the original images; pass their image_sizes (width, height) too")

        def of_all(entries: Keyed | None, what: str) -> list[tuple[str, Any]]:
            return [] if entries is None else _of_all(ids, entries, what, ordered=ordered)

        sizes = {image_id: _size(image_id, size) for image_id, size in of_all(image_sizes, "image_sizes")}
        return cls(
            tuple(ids),
            {image_id: _boxes(image_id, entry, sizes[image_id]) for image_id, entry in of_all(boxes, "boxes")},
            sizes,
            None if masks is None else {image_id: _mask(image_id, entry) for image_id, entry in of_all(masks, "masks")},
        )


@dataclass(frozen=True)
class MemoryDataset:
    """A data set of annotations; its images cannot be loaded."""

    name: str
    parts: Mapping[Split, MemorySplit]
    class_names: Sequence[str] = ()

    @property
    def splits(self) -> frozenset[Split]:
        """The available splits."""
        return frozenset(self.parts)

    @cached_property
    def version(self) -> str:
        """A hash of ids, sizes and boxes."""
        return content_version(self)

    def images(self, split: Split) -> ImageSplit:
        """Return ids; every label is 0."""
        ids = self.parts[split].ids
        return ImageSplit(ids, np.zeros(len(ids), dtype=np.int64), self._load)

    def annotations(self, split: Split) -> Annotations:
        """Return boxes and masks."""
        part = self.parts[split]
        return Annotations(part.boxes, part.sizes, None if part.masks is None else part.masks.__getitem__)

    def _load(self, _index: int) -> NDArray[np.uint8]:
        raise DataError(f"the data set '{self.name}' is of annotations in memory; it has no images")


def _of_all(ids: Sequence[str], entries: Keyed, what: str, *, ordered: bool) -> list[tuple[str, Any]]:
    """Return the entry of every image.

    Raises:
        DataError: An image has none, or entries in order are not as many as the maps, or those have ids.
    """
    by_id = keyed(entries, what)
    if not isinstance(entries, Mapping):
        if not ordered:
            raise DataError(f"{what}: given in order, but the scoremaps by image id; give both in one way")
        if len(by_id) != len(ids):
            raise DataError(f"{what}: expected one for each of {len(ids)} scoremaps, got {len(by_id)}")
    surplus = sorted(set(by_id) - set(ids))
    if surplus and what != "image_sizes":
        images = f"1 image of {what} has" if len(surplus) == 1 else f"{len(surplus):,} images of {what} have"
        raise DataError(f"{images} no scoremap; the first is '{surplus[0]}'")
    missing = [image_id for image_id in ids if image_id not in by_id]
    if missing:
        raise DataError(f"{len(missing)} of {len(ids)} images have no entry in {what}; the first is '{missing[0]}'")
    return [(image_id, by_id[image_id]) for image_id in ids]


def _array(value: Any, what: str) -> NDArray[Any]:
    """Return a value as an array.

    Raises:
        DataError: It is none, or a masked one, whose mask would be lost.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise DataError(f"{what}: expected a plain array, got a masked one; fill it first")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors that need a gradient ...
        raise DataError(f"{what}: expected an array ({str(error).partition('.')[0]})") from None


def _size(image_id: str, size: Any) -> tuple[int, int]:
    numbers = _array(size, f"size of '{image_id}'")
    if numbers.shape != (2,) or numbers.dtype.kind not in "iuf" or (numbers != numbers.astype(np.int64)).any():
        raise DataError(f"size of '{image_id}': expected (width, height) in whole pixels, got {size!r}")
    return int(numbers[0]), int(numbers[1])


def _boxes(image_id: str, boxes: Any, size: tuple[int, int]) -> NDArray[np.int64]:
    numbers = np.atleast_2d(_array(boxes, f"boxes of '{image_id}'"))
    if numbers.ndim != 2 or numbers.shape[1:] != (4,) or numbers.dtype.kind not in "iuf":
        raise DataError(f"boxes of '{image_id}': expected numbers (n, 4), got {numbers.dtype} {numbers.shape}")
    whole = numbers.astype(np.int64)
    if (whole != numbers).any():
        raise DataError(f"boxes of '{image_id}': expected whole pixels, got {numbers.tolist()}; round or truncate them")
    if (whole < 0).any() or (whole[:, 2::2] >= size[0]).any() or (whole[:, 3::2] >= size[1]).any():
        raise DataError(
            f"boxes of '{image_id}': {whole.tolist()} leaves the image of {size[0]}×{size[1]} pixels; corners "
            "(x0, y0, x1, y1) count from 0 and belong to the box"
        )
    return whole


def _mask(image_id: str, mask: Any) -> MaskPair:
    if isinstance(mask, MaskPair):
        return mask
    array = _array(mask, f"mask of '{image_id}'")
    if array.ndim != 2 or array.dtype != np.bool_:
        raise DataError(
            f"mask of '{image_id}': expected bool (h, w), such as mask > 0, got {array.dtype} {array.shape}"
        )
    return MaskPair(array)
