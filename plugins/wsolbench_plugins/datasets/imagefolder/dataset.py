"""The splits of ``imagefolder``: class folders listed, and boxes put to their images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.api import (
    DataError,
    Dataset,
    DatasetRoots,
    DiskDataset,
    DiskSplit,
    HeaderSizes,
    ImageFiles,
    LazySplit,
    ListedSplit,
    Quad,
    SizedBoxes,
    Split,
    UsageError,
    list_class_folders,
    open_storage,
)
from wsolbench_plugins.datasets.imagefolder.box_files import BoxFile, read_box_files


@dataclass(frozen=True)
class Photos:
    """The images of one split and the class of each."""

    files: ImageFiles
    classes: tuple[str, ...]


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set; class folders are listed now, boxes are read when they are asked for.

    Raises:
        UsageError: No box file is named, though there is something to score.
        DataError: There are no class folders, or one is empty.
    """
    assert roots.images is not None
    photos = {split: _list_photos(split, folder) for split, folder in _split_folders(roots.images, roots.train).items()}
    if roots.metadata is None and photos.keys() != {Split.TRAIN_WEAKSUP}:
        raise UsageError("'imagefolder' needs boxes; pass --metadata-root FILE, a CSV, COCO or VOC file of them")
    classes = tuple(sorted({name for one in photos.values() for name in one.classes}))
    boxes = BoxesOfImages(roots.metadata or Path(), photos, classes)
    parts: dict[Split, DiskSplit] = {split: LazySplit(partial(boxes.read_split, split)) for split in photos}
    return DiskDataset("imagefolder", classes, parts)


def _split_folders(root: Path, train: Path | None) -> dict[Split, Path]:
    folders = {split: root / split.value for split in Split if (root / split.value).is_dir()}
    folders = folders or {Split.TEST: root}
    return folders if train is None else {**folders, Split.TRAIN_WEAKSUP: train}


def _list_photos(split: Split, folder: Path) -> Photos:
    pairs = [(f"{name}/{image}", name) for name, images in list_class_folders(folder).items() for image in images]
    paths = tuple(path for path, _ in pairs)
    files = ImageFiles(open_storage(folder), tuple(f"{split.value}/{path}" for path in paths), paths)
    return Photos(files, tuple(name for _, name in pairs))


@dataclass(frozen=True)
class BoxesOfImages:
    """The boxes of a file, put to the images that it names.

    Args:
        path: The file, or a folder of files.
        photos: The images of every split.
        classes: The class folders, in the order of their labels.
    """

    path: Path
    photos: Mapping[Split, Photos]
    classes: tuple[str, ...]

    def read_split(self, split: Split) -> ListedSplit:
        """Return a split with its boxes. Raises ``DataError``."""
        photos = self.photos[split]
        label_of = {name: label for label, name in enumerate(self.classes)}
        labels: NDArray[np.int64] = np.array([label_of[name] for name in photos.classes], dtype=np.int64)
        if split is Split.TRAIN_WEAKSUP:
            return ListedSplit(photos.files, labels)
        quads = {image_id: self._quads[image_id] for image_id in photos.files.ids if image_id in self._quads}
        bare = [image_id for image_id in photos.files.ids if image_id not in quads]
        if bare:
            raise DataError(f"{self.path} has no box for {len(bare)} images of {split.label}, such as {bare[0]!r}")
        sizes = self._sizes or HeaderSizes(photos.files)
        boxes = SizedBoxes(quads, sizes, str(self.path), self._file.corners)
        return ListedSplit(photos.files, labels, boxes, sizes)

    @cached_property
    def _file(self) -> BoxFile:
        return read_box_files(self.path)

    @cached_property
    def _quads(self) -> dict[str, list[Quad]]:
        """Image id -> its boxes. Raises ``DataError`` where the file names an image that is not there."""
        class_of = {
            image_id: name
            for photos in self.photos.values()
            for image_id, name in zip(photos.files.ids, photos.classes, strict=True)
        }
        unnamed = self._file.categories.isdisjoint(self.classes)
        quads: dict[str, list[Quad]] = {}
        for box in self._file.boxes:
            image_id = self._id(box.image, box.place)
            if unnamed or box.category in (class_of[image_id], None):
                quads.setdefault(image_id, []).append(box.quad)
        return quads

    @cached_property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        named = {box.image for box in self._file.boxes}
        return {self._id(name, str(self.path)): size for name, size in self._file.sizes.items() if name in named}

    def _id(self, name: str, place: str) -> str:
        found = self._ids_by_name.get(name.removeprefix("./"), ())
        if len(found) != 1:
            told = "more than one image" if found else "no image"
            raise DataError(f"{place}: {name!r} names {told} below the data root; expected a path such as CLASS/IMAGE")
        return found[0]

    @cached_property
    def _ids_by_name(self) -> dict[str, tuple[str, ...]]:
        """Every end of an image's path, with and without its suffix -> the images that end so."""
        found: dict[str, tuple[str, ...]] = {}
        for photos in self.photos.values():
            for image_id in photos.files.ids:
                for name in _ends(image_id):
                    found[name] = (*found.get(name, ()), image_id)
        return found


def _ends(image_id: str) -> Iterable[str]:
    parts = image_id.split("/")
    for start in range(len(parts)):
        end = "/".join(parts[start:])
        yield end
        yield end.rpartition(".")[0]
