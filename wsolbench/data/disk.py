"""Data sets on disk, composed of splits in any layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Annotations, Finding, ImageSplit, Split
from wsolbench.data.fingerprint import content_version
from wsolbench.data.image_files import ImageFiles
from wsolbench.data.sampling import select_images
from wsolbench.errors import DataError

__all__ = ["DiskDataset", "DiskSplit", "LazySplit", "ListedSplit", "PickedSplit", "PlacedSplit"]


class DiskSplit(Protocol):
    """One split of a data set on disk."""

    def images(self) -> ImageSplit:
        """Return images and labels. Raises ``DataError``."""
        ...

    def annotations(self) -> Annotations:
        """Return boxes or masks. Raises ``DataError``."""
        ...


@dataclass(frozen=True)
class ListedSplit:
    """A split whose lists are in memory.

    Args:
        files: The images.
        labels: Class indices, int64 (N,).
        boxes: Image id -> boxes (n, 4) in original pixels, inclusive corners.
        sizes: Image id -> (width, height) of the original, for every image with boxes.
    """

    files: ImageFiles
    labels: NDArray[np.int64]
    boxes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def images(self) -> ImageSplit:
        """Return images and labels."""
        return self.files.split(self.labels)

    def annotations(self) -> Annotations:
        """Return boxes and sizes."""
        return Annotations(self.boxes, self.sizes)


@dataclass(frozen=True)
class PlacedSplit:
    """A split with the labels and annotations of another one, and its own image files."""

    files: ImageFiles
    listed: DiskSplit

    def images(self) -> ImageSplit:
        """Return images and labels. Raises ``DataError``."""
        return self.files.split(self.listed.images().labels)

    def annotations(self) -> Annotations:
        """Return boxes or masks. Raises ``DataError``."""
        return self.listed.annotations()


@dataclass(frozen=True)
class PickedSplit:
    """Some images of another split, in their own order."""

    whole: DiskSplit
    ids: tuple[str, ...]

    def images(self) -> ImageSplit:
        """Return images and labels. Raises ``DataError`` where the other split lacks one."""
        whole = self.whole.images()
        places = {image_id: place for place, image_id in enumerate(whole.ids)}
        absent = [image_id for image_id in self.ids if image_id not in places]
        if absent:
            count = "1 photo is" if len(absent) == 1 else f"{len(absent):,} photos are"
            raise DataError(f"{count} not among the {len(places):,} that are listed, such as {absent[0]}")
        return select_images(whole, [places[image_id] for image_id in self.ids])

    def annotations(self) -> Annotations:
        """Return the boxes of these images. Raises ``DataError``."""
        whole, ids = self.whole.annotations(), frozenset(self.ids)
        return replace(
            whole,
            boxes={image_id: boxes for image_id, boxes in whole.boxes.items() if image_id in ids},
            image_sizes={image_id: size for image_id, size in whole.image_sizes.items() if image_id in ids},
            unannotated=whole.unannotated & ids,
            changes={image_id: changes for image_id, changes in whole.changes.items() if image_id in ids},
        )


@dataclass(frozen=True)
class LazySplit:
    """A split that is read when it is first asked for, by a function that may raise ``DataError``."""

    read: Callable[[], DiskSplit]

    def images(self) -> ImageSplit:
        """Return images and labels. Raises ``DataError``."""
        return self._part.images()

    def annotations(self) -> Annotations:
        """Return boxes or masks. Raises ``DataError``."""
        return self._part.annotations()

    @cached_property
    def _part(self) -> DiskSplit:
        return self.read()


@dataclass(frozen=True)
class DiskDataset:
    """A data set on disk, whose splits may come from different places and layouts.

    Args:
        name: The name that checkpoints and records refer to.
        class_names: One a class, in the order of the labels.
        parts: The available splits.
        inspections: Checks of its own, beside those of every data set.
        title: What people call it, where `name` is that of a layout; None where it is `name`.
    """

    name: str
    class_names: tuple[str, ...]
    parts: Mapping[Split, DiskSplit]
    inspections: tuple[Callable[[], Iterable[Finding]], ...] = ()
    title: str | None = None

    @property
    def splits(self) -> frozenset[Split]:
        """The available splits."""
        return frozenset(self.parts)

    @cached_property
    def version(self) -> str:
        """A hash of ids, labels, sizes and boxes of the evaluated splits: equal content, equal version."""
        return content_version(self)

    def images(self, split: Split) -> ImageSplit:
        """Return the images of a split. Raises ``DataError``."""
        return self._part(split).images()

    def annotations(self, split: Split) -> Annotations:
        """Return the boxes or masks of a split. Raises ``DataError``."""
        return self._part(split).annotations()

    def inspect(self) -> Iterator[Finding]:
        """Yield the findings of its own checks. Raises ``DataError``."""
        for inspection in self.inspections:
            yield from inspection()

    def _part(self, split: Split) -> DiskSplit:
        if split not in self.parts:
            raise DataError(f"there is no {split.label} split of {self.name!r} here")
        return self.parts[split]
