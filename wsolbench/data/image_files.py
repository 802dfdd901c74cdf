"""The image files of a split, read and decoded one at a time, and sizes that only the files have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import ImageSplit
from wsolbench.data.images import open_picture
from wsolbench.data.masks import MaskFiles
from wsolbench.data.sizes import (
    UPRIGHT,
    Header,
    Readings,
    Remark,
    SizeDecision,
    compare_mask,
    decide_size,
    find_reading,
    is_squashed,
    is_swapped,
    swapped_mask_problem,
)
from wsolbench.data.storage import Storage
from wsolbench.errors import DataError, MissingFileError, UsageError

__all__ = ["HeaderSizes", "ImageFiles"]

_HEAD = 64 * 1024
_RARE = 0.01
_Listed: TypeAlias = tuple[Header, tuple[int, int] | None, tuple[int, int] | None]


@dataclass(frozen=True)
class ImageFiles:
    """Image files in the order of a split; unlike closures over them they can be sent to another process.

    Args:
        storage: Their place; None where the user named none, so that loading an image raises ``UsageError``.
        ids: Image ids.
        paths: Their paths in the storage, as long as the ids; the ids themselves where empty.
        sizes: Image id -> (width, height) in the lists, as far as they have them.
        reach: Image id -> the largest x and y of its boxes, which decide where the lists have no size.
        upright: Whether images are turned upright by their EXIF orientation where neither sizes nor boxes of any image
            tell; see `wsolbench.data.sizes`.
        stated: Image id -> whether the lists state that it is upright (True) or as stored (False).
        beside: The images of other splits in the same lists, which are read in the same way.
        masks: Their masks, whose sizes decide where neither sizes nor boxes do, and are compared with the images.
    """

    storage: Storage | None
    ids: tuple[str, ...]
    paths: Sequence[str] = ()
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    reach: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    upright: bool = False
    stated: Mapping[str, bool] = field(default_factory=dict)
    beside: tuple[ImageFiles, ...] = ()
    masks: MaskFiles | None = None
    _decided: list[SizeDecision | None] = field(init=False, repr=False, compare=False, default_factory=list)
    _distinct: dict[SizeDecision, SizeDecision] = field(init=False, repr=False, compare=False, default_factory=dict)
    _respelled: dict[int, str] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._decided.extend([None] * len(self.ids))

    def split(self, labels: NDArray[np.int64]) -> ImageSplit:
        """Return the split that these images and labels, int64 (N,), make."""
        return ImageSplit(self.ids, labels, self.load, self.read, self.sizes, self.remarks, self.is_upright)

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return an image as RGB, uint8 (H, W, 3).

        Raises:
            UsageError: No place was named.
            DataError: The file is missing or damaged, or its width and height are swapped in the lists.
        """
        picture = open_picture(self.read(index), self._place(index))
        decision = self._decide(index, picture.header)
        if decision.problem is not None:
            raise DataError(f"{picture.place} {decision.problem}")
        return picture.rgb(upright=decision.upright)

    def read(self, index: int) -> bytes:
        """Return the content of an image's file.

        Raises:
            UsageError: No place was named.
            DataError: The file is missing or cannot be read.
        """
        try:
            return self._storage.read(self._path(index))
        except MissingFileError as error:
            return self._storage.read(self._respelled_path(index, error))

    def size(self, index: int) -> tuple[int, int]:
        """Return an image's (width, height) as stored, usually from its first bytes.

        Raises:
            UsageError: No place was named.
            DataError: The file is missing or damaged.
        """
        return self._header(index).size

    def decide(self, index: int) -> SizeDecision:
        """Return how an image is read, from its header.

        Raises:
            UsageError: No place was named.
            DataError: The file is missing or damaged.
        """
        known = self._decided[index]
        return self._decide(index, self._header(index)) if known is None else known

    def contradictions(self) -> dict[str, str]:
        """Return image id -> why its listed size and its boxes contradict each other, of the files that can be read.

        Only files are read whose boxes are not inside the listed size.
        """
        found: dict[str, str] = {}
        for index, image_id in enumerate(self.ids):
            listed, reach = self.sizes.get(image_id), self.reach.get(image_id)
            if listed is not None and reach is not None and (reach[0] > listed[0] or reach[1] > listed[1]):
                with suppress(DataError, UsageError):
                    problem = self.decide(index).problem
                    found |= {} if problem is None else {image_id: problem}
        return found

    def remarks(self, index: int) -> tuple[str, ...]:
        """Return what was decided about an image that was loaded or whose size was asked for; else nothing."""
        known = self._decided[index]
        remarks = () if known is None else known.remarks
        return tuple(remark.value for remark in ((*remarks, Remark.RESPELLED) if index in self._respelled else remarks))

    def is_upright(self, index: int) -> bool | None:
        """Return whether an image is turned upright by its EXIF orientation; None of one stored upright.

        Where no place was named, it is what the lists state.

        Raises:
            DataError: The file is missing or damaged.
        """
        if self.storage is None:
            return self.stated.get(self.ids[index])
        return None if self._header(index).orientation == UPRIGHT else self.decide(index).upright

    def _decide(self, index: int, header: Header) -> SizeDecision:
        mask = self._mask_size(index)
        decision = self._choose(index, header, mask)
        if mask is not None and decision.problem is None:
            decision = self._compare_mask(decision, mask)
        self._decided[index] = self._distinct.setdefault(decision, decision)  # one object for all that are equal
        return decision

    def _mask_size(self, index: int) -> tuple[int, int] | None:
        return None if self.masks is None else self.masks.size(self.ids[index])

    def _choose(self, index: int, header: Header, mask: tuple[int, int] | None) -> SizeDecision:
        """Return how an image is read, before it is compared with its mask."""
        image_id = self.ids[index]
        listed, reach, stated = self.sizes.get(image_id), self.reach.get(image_id), self.stated.get(image_id)
        told = [find_reading(header, listed, reach), find_reading(header, mask)]
        unclear = header.orientation != UPRIGHT and stated is None and told == [None, None]
        others = self._readings if unclear else None
        decision = decide_size(header, listed, reach, mask=mask, stated=stated, others=others, otherwise=self.upright)
        if decision.problem is not None and listed is not None and self._are_squashed(decision.size, listed):
            decision = replace(decision, remarks=(*decision.remarks, Remark.RESHAPED), problem=None)
        return decision

    def _compare_mask(self, decision: SizeDecision, mask: tuple[int, int]) -> SizeDecision:
        """Return a decision with what the mask's shape says: swapped sides are an error where they are no exception."""
        remark = compare_mask(decision.size, mask)
        if remark is Remark.MASKS_SWAPPED and self._are_squashed(decision.size, mask):
            remark = Remark.MASKS_RESHAPED
        if remark is Remark.MASKS_SWAPPED and not self._swapped_masks_are_rare:
            return replace(decision, problem=swapped_mask_problem(decision.size, mask))
        return decision if remark is None else replace(decision, remarks=(*decision.remarks, remark))

    @cached_property
    def _swapped_masks_are_rare(self) -> bool:
        """Whether so few masks are swapped that they are faults of a published data set, which is scored as it is."""
        swapped = 0
        for index in range(len(self.ids)):
            with suppress(DataError):
                mask = self._mask_size(index)
                swapped += mask is not None and is_swapped(self._choose(index, self._header(index), mask).size, mask)
        return swapped <= _RARE * len(self.ids)

    def _are_squashed(self, size: tuple[int, int], listed: tuple[int, int]) -> bool:
        """Whether a size that is that of a list with its sides exchanged is one to which all images were squashed.

        Another image of this size shows it, if it is listed with a shape that is neither this one nor the exchanged; so
        does one listed with this shape, if all images have this size and this one is a copy, not the listed photo.
        """
        if not is_swapped(size, listed):
            return False
        all_have_it = size != listed[::-1] and all(header.size == size for header, _, _ in self._all_headers)
        others = [other for header, other, _ in self._all_headers if header.size == size and other]
        return any(is_squashed(size, other) or (all_have_it and not is_swapped(size, other)) for other in others)

    @cached_property
    def _readings(self) -> Readings:
        """What the images of the lists, in all splits, tell of how they are listed."""
        told = [find_reading(header, listed, reach) for header, listed, reach in self._all_headers]
        return Readings(told.count(True), told.count(False))

    @cached_property
    def _all_headers(self) -> tuple[_Listed, ...]:
        return tuple(listed for files in (self, *self.beside) for listed in files._listed_headers())

    def _listed_headers(self) -> Iterator[_Listed]:
        """Yield header, size and reach of every image of which the lists or masks say either, if it can be read."""
        for index, image_id in enumerate(self.ids):
            listed, reach = self.sizes.get(image_id), self.reach.get(image_id)
            if listed is None and self.masks is not None:
                listed = self.masks.size(image_id)
            if listed is not None or reach is not None:
                with suppress(DataError):
                    yield self._header(index), listed, reach

    def _header(self, index: int) -> Header:
        try:
            head = self._storage.read_head(self._path(index), _HEAD)
        except MissingFileError as error:
            head = self._storage.read_head(self._respelled_path(index, error), _HEAD)
        try:
            return open_picture(head, self._place(index)).header
        except DataError:
            if len(head) < _HEAD:
                raise
        return open_picture(self.read(index), self._place(index)).header

    @property
    def _storage(self) -> Storage:
        if self.storage is None:
            raise UsageError("the images are needed; pass --data-root DIR")
        return self.storage

    def _place(self, index: int) -> str:
        return self._storage.place(self._path(index))

    def _path(self, index: int) -> str:
        known = self._respelled.get(index) if self._respelled else None
        return known or (self.paths[index] if self.paths else self.ids[index])

    def _respelled_path(self, index: int, missing: MissingFileError) -> str:
        """Return the path of the one file that is named as an image is, but for letter case or accents.

        Raises:
            MissingFileError: There is none that is not another image of the split.
            DataError: There are several.
        """
        path = self._path(index)
        found = [other for other in self._storage.similar(path) if other != path and other not in self._listed_paths]
        if not found:
            raise missing
        if len(found) > 1:
            raise DataError(f"{missing}; it may be {' or '.join(found)}: rename one of them")
        self._respelled[index] = found[0]
        return found[0]

    @cached_property
    def _listed_paths(self) -> frozenset[str]:
        return frozenset(self.paths or self.ids)


@dataclass(frozen=True, eq=False)
class HeaderSizes(Mapping[str, tuple[int, int]]):
    """Image id -> (width, height) as listed; of an image without a listed size, as its file is read.

    No pixel is decoded: the header of a file is read when its size is looked up.

    Args:
        files: The images, with a storage.
    """

    files: ImageFiles
    _index: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._index.update((image_id, index) for index, image_id in enumerate(self.files.ids))

    def __getitem__(self, image_id: str) -> tuple[int, int]:
        """Return the size of an image. Raises ``DataError`` where its file is missing or damaged."""
        listed = self.files.sizes.get(image_id)
        return self.files.decide(self._index[image_id]).size if listed is None else listed

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)
