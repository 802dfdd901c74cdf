"""Where scoremaps come from: a network with methods, a folder of stored maps, or arrays in memory.

A source streams the maps of a split in batches; nothing that scores them knows which source it is. A map is made or
read when it is asked for, by the threads that score: resizing and normalising happen here, in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Split
from wsolbench.contract.choices import STORED_MAPS, Target
from wsolbench.data.opened import OpenSplit
from wsolbench.data.predictions import write_predicted_boxes
from wsolbench.engine.boxes import ImageBoxes
from wsolbench.engine.scoremap_files import ScoremapFolder, save_scoremap
from wsolbench.errors import ScoremapError
from wsolbench.protocol import RawMapKind, scoremap_in_frame

__all__ = ["LazyScoremap", "MapBatch", "MapSource", "MemoryMaps", "SavedMaps", "StoredMaps"]

Scoremap: TypeAlias = NDArray[np.floating[Any]]
LazyScoremap: TypeAlias = Callable[[tuple[int, int]], tuple[RawMapKind, Scoremap]]
"""Makes a scoremap of the (width, height) of a frame and says whether its raw map held a score.

It is called once, by any thread."""

FATE_OF_CONSTANTS = (
    "count as zero maps, unless they have the frame's size: those are scored as they are, "
    "and above 0 their box is the whole image"
)
"""What becomes of maps of one value that no network of ours made, for messages."""


@dataclass(frozen=True)
class MapBatch:
    """The maps of some images of a split, and what was found out while they were made.

    Attributes:
        indices: Positions in the split, (B,).
        scoremaps: Method -> one map an image.
        statistics: Method -> name -> one number a map, (B,).
        hits: k -> whether an image's class is among the k best predictions, bool (B,); empty without a classifier.
        digests: A hash of every image's pixels; empty where no image was read.
        remarks: What was decided about every image's size and orientation, as records have it; empty where no image was
            read.
        boxes: Method -> the boxes of every image, of methods that make boxes in place of maps.
    """

    indices: NDArray[np.int64]
    scoremaps: Mapping[str, Sequence[LazyScoremap]]
    statistics: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    hits: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)
    digests: Sequence[str] = ()
    remarks: Sequence[Sequence[str]] = ()
    boxes: Mapping[str, Sequence[ImageBoxes]] = field(default_factory=dict)


class MapSource(Protocol):
    """Something that has a scoremap of every image of a split, from one method or several."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods."""
        ...

    @property
    def target(self) -> Target | None:
        """Whose maps they are: the true class's or the predicted one's; None where nobody knows."""
        ...

    @property
    def ahead(self) -> int:
        """How many maps may be in work at a time, which bounds the memory."""
        ...

    def stream(self, split: OpenSplit, positions: Sequence[int]) -> Generator[MapBatch, None, None]:
        """Yield the maps of the images at some positions of a split, each image once."""
        ...

    def locate(self, split: OpenSplit, index: int) -> str:
        """Say where the map of an image is to be found, for messages."""
        ...

    @property
    def fate_of_constants(self) -> str:
        """What becomes of maps of one value, for messages."""
        ...


@dataclass(frozen=True)
class StoredMaps:
    """Scoremaps that lie in folders, one for each split; maps of the frame's size are scored as they are."""

    folders: Mapping[Split, ScoremapFolder]
    methods: tuple[str, ...] = (STORED_MAPS,)
    target: Target | None = None
    ahead: int = 64
    fate_of_constants: str = FATE_OF_CONSTANTS
    hits: Mapping[Split, Mapping[int, NDArray[np.bool_]]] = field(default_factory=dict)
    """Split -> k -> whether an image's class is among the k best predictions, (N,), where predictions were given."""

    def stream(self, split: OpenSplit, positions: Sequence[int]) -> Generator[MapBatch, None, None]:
        """Yield the maps of the images at some positions.

        Raises:
            ScoremapError: When a map is asked for whose file is damaged or is no scoremap.
        """
        folder, hits = self.folders[split.split], self.hits.get(split.split, {})
        for index in positions:
            load = partial(_load, folder, split.images.ids[index])
            remarks = split.images.remarks  # of sizes that were read from the files of the images
            yield MapBatch(
                np.array([index]),
                {self.methods[0]: [load]},
                hits={k: hit[[index]] for k, hit in hits.items()},
                remarks=[] if remarks is None else [tuple(remarks(index))],
            )

    def locate(self, split: OpenSplit, index: int) -> str:
        """Return the file of an image's map."""
        return str(self.folders[split.split].path(split.images.ids[index]))


def _load(folder: ScoremapFolder, image_id: str, frame: tuple[int, int]) -> tuple[RawMapKind, Scoremap]:
    scoremap = folder.load(image_id, frame)  # in the frame, and checked
    return ("constant" if scoremap.min() == scoremap.max() else "ok"), scoremap


@dataclass(frozen=True)
class MemoryMaps:
    """Maps in memory: those of the frame's size are scored as they are, others are raw maps of any range.

    Args:
        maps: Split -> image id -> map (h, w).
    """

    maps: Mapping[Split, Mapping[str, NDArray[Any]]]
    methods: tuple[str, ...] = (STORED_MAPS,)
    target: Target | None = None
    ahead: int = 64
    fate_of_constants: str = FATE_OF_CONSTANTS

    def stream(self, split: OpenSplit, positions: Sequence[int]) -> Generator[MapBatch, None, None]:
        """Yield the maps of the images at some positions.

        Raises:
            ScoremapError: When a map is asked for that is none, or of the frame's size and not in [0, 1].
        """
        for index in positions:
            image_id = split.images.ids[index]
            made = partial(_in_frame, self.maps[split.split][image_id], image_id)
            yield MapBatch(np.array([index]), {self.methods[0]: [made]})

    def locate(self, split: OpenSplit, index: int) -> str:
        """Return the image's id."""
        return f"that of '{split.images.ids[index]}'"


def _in_frame(scoremap: NDArray[Any], image_id: str, frame: tuple[int, int]) -> tuple[RawMapKind, Scoremap]:
    if isinstance(scoremap, np.ma.MaskedArray):
        raise ScoremapError(f"the map of '{image_id}' is a masked array, whose mask would be lost; fill it first")
    try:
        array = np.asarray(scoremap)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors that need a gradient ...
        raise ScoremapError(f"the map of '{image_id}' is no array ({str(error).partition('.')[0]})") from None
    return scoremap_in_frame(array, image_id, frame)


@dataclass(frozen=True)
class SavedMaps:
    """The maps or boxes of another source, written to disk as they are scored.

    Args:
        source: Where the maps come from.
        folders: Method -> the folder that its maps go to, below it ``<split>/<image id>.npy``; boxes ``<split>.csv``.
    """

    source: MapSource
    folders: Mapping[str, Path]

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods."""
        return self.source.methods

    @property
    def target(self) -> Target | None:
        """Whose maps they are."""
        return self.source.target

    @property
    def ahead(self) -> int:
        """How many maps may be in work at a time."""
        return self.source.ahead

    @property
    def fate_of_constants(self) -> str:
        """What becomes of maps of one value."""
        return self.source.fate_of_constants

    def locate(self, split: OpenSplit, index: int) -> str:
        """Say where the map of an image is to be found."""
        return self.source.locate(split, index)

    def stream(self, split: OpenSplit, positions: Sequence[int]) -> Generator[MapBatch, None, None]:
        """Yield the other source's maps, which are written when they are asked for; boxes when all are known."""
        found: dict[str, dict[str, ImageBoxes]] = {}
        with closing(self.source.stream(split, positions)) as batches:
            for batch in batches:
                ids = [split.images.ids[index] for index in batch.indices]
                scoremaps = {
                    method: _saving(maps, self.folders[method] / split.split.value, ids)
                    for method, maps in batch.scoremaps.items()
                }
                for method, boxes in batch.boxes.items():
                    found.setdefault(method, {}).update(zip(ids, boxes, strict=True))
                yield replace(batch, scoremaps=scoremaps)
        for method, of_method in found.items():
            _save_boxes(self.folders[method] / f"{split.split.value}.csv", of_method)


def _save_boxes(path: Path, boxes: Mapping[str, ImageBoxes]) -> None:
    scores = {image_id: each.scores for image_id, each in boxes.items() if each.scores is not None}
    write_predicted_boxes(path, {image_id: each.corners for image_id, each in boxes.items()}, scores or None)


def _saving(maps: Iterable[LazyScoremap], folder: Path, ids: Iterable[str]) -> list[LazyScoremap]:
    return [partial(_make_and_save, make, folder, image_id) for make, image_id in zip(maps, ids, strict=True)]


def _make_and_save(
    make: LazyScoremap, folder: Path, image_id: str, frame: tuple[int, int]
) -> tuple[RawMapKind, Scoremap]:
    kind, scoremap = make(frame)
    save_scoremap(folder, image_id, scoremap)
    return kind, scoremap
