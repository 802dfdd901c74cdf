"""The splits of ``imagefolder``: class folders listed, and boxes put to their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from wsolbench.api import Annotations, DataError, Dataset, DatasetRoots, ImageSplit, Split, UsageError
from wsolbench.data import (
    DiskDataset,
    DiskSplit,
    Finding,
    HeaderSizes,
    ImageFiles,
    NameIndex,
    Quad,
    Severity,
    SizedBoxes,
    common_front,
    find_split_folders,
    list_class_folders,
    match_categories,
    open_storage,
)
from wsolbench_plugins.datasets.imagefolder.box_files import read_box_files
from wsolbench_plugins.datasets.imagefolder.named_boxes import BoxFile, NamedBox, describe_rule

MOST_NAMED = 5
"""The most categories that one message names."""


@dataclass(frozen=True)
class Photos:
    """The images of one split, the class of each, and all class folders, with and without images."""

    files: ImageFiles
    classes: tuple[str, ...]
    folders: tuple[str, ...]


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set; class folders are listed now, boxes are read when they are asked for.

    Raises:
        DataError: A folder cannot be read; or it has no class folders, or one is empty, where that is not allowed.
    """
    assert roots.images is not None
    folders = _split_folders(roots.images, roots)
    photos = {split: _list_photos(split, folder, roots) for split, folder in folders.items()}
    classes = tuple(sorted({name for one in photos.values() for name in one.folders}))
    boxes = BoxesOfImages(roots, photos, classes)
    parts: dict[Split, DiskSplit] = {split: FolderSplit(split, boxes) for split in photos}
    inspections = (boxes.inspect,) if roots.metadata is not None else ()
    return DiskDataset("imagefolder", classes, parts, inspections)


def _split_folders(root: Path, roots: DatasetRoots) -> dict[Split, Path]:
    folders = find_split_folders(root, roots, _holds_folders) or {Split.TEST: root}
    return folders if roots.train is None else {**folders, Split.TRAIN_WEAKSUP: roots.train}


def _holds_folders(folder: Path) -> bool:
    try:
        return any(path.is_dir() for path in folder.iterdir())
    except OSError:  # a folder that may not be entered
        return False


def _list_photos(split: Split, folder: Path, roots: DatasetRoots) -> Photos:
    found = list_class_folders(folder, roots.on_fault, roots.on_finding)
    pairs = [(f"{name}/{image}", name) for name, images in found.items() for image in images]
    paths = tuple(path for path, _ in pairs)
    files = ImageFiles(open_storage(folder), tuple(f"{split.value}/{path}" for path in paths), paths, upright=True)
    return Photos(files, tuple(name for _, name in pairs), tuple(found))


@dataclass(frozen=True)
class FolderSplit:
    """One split; its images are known without the boxes."""

    split: Split
    boxes: BoxesOfImages

    def images(self) -> ImageSplit:
        """Return images and labels."""
        photos = self.boxes.photos[self.split]
        try:
            files = self.boxes.files(self.split)
        except (DataError, UsageError):  # which is reported when the boxes are asked for
            files = photos.files
        label_of = {name: label for label, name in enumerate(self.boxes.classes)}
        return files.split(np.array([label_of[name] for name in photos.classes], dtype=np.int64))

    def annotations(self) -> Annotations:
        """Return boxes and sizes; of train-weaksup, none. Raises ``DataError``, ``UsageError`` without a box file."""
        return Annotations() if self.split is Split.TRAIN_WEAKSUP else self.boxes.of_split(self.split)


@dataclass(frozen=True)
class BoxesOfImages:
    """The boxes of a file, put to the images that it names.

    Args:
        roots: ``metadata`` is the file, or a folder of files; an entry or an image with a fault has no boxes where
            ``on_fault`` returns.
        photos: The images of every split.
        classes: The class folders, in the order of their labels.
    """

    roots: DatasetRoots
    photos: Mapping[Split, Photos]
    classes: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file of boxes, or the folder of files. Raises ``UsageError`` where none is named."""
        if self.roots.metadata is None:
            raise UsageError("'imagefolder' needs boxes; pass --metadata-root FILE, a CSV, COCO or VOC file of them")
        return self.roots.metadata

    def inspect(self) -> Iterable[Finding]:
        """Yield what the numbers of the boxes are taken for, and names that contradict. Raises ``DataError``."""
        categories = "" if self._file.categories else "; no categories are named, so that all boxes count"
        rule = describe_rule(self._file.rule)
        yield Finding(Severity.NOTE, f"{self.path}: {self._file.form} in {rule}{categories}")
        others = ((name, other, self._find(name), self._find(other)) for name, other in self._file.other_names.items())
        odd = [(name, other) for name, other, mine, its in others if mine and its and not set(mine) & set(its)]
        if odd:
            name, other = odd[0]
            text = f"{len(odd):,} files have another image as their <filename> than as their own name, which counts"
            yield Finding(Severity.WARNING, f"{self.path}: {text}, such as {name!r} with {other!r}")

    def of_split(self, split: Split) -> Annotations:
        """Return the boxes and sizes of a split. Raises ``DataError``, and ``UsageError`` without a file of boxes."""
        files = self.files(split)
        quads = {image_id: self._quads[image_id] for image_id in files.ids if image_id in self._quads}
        bare = [image_id for image_id in files.ids if image_id not in quads and image_id not in self._faulty]
        others = self._left_out(split)
        if bare and self.roots.conventions.unannotated == "error":
            message = f"has no box for {len(bare)} images of {split.label}, such as {bare[0]!r}"
            if others:
                message += f"; boxes of other categories than the class of the image do not count: {others}; "
                message += "--class-map FILE says which category is which class"
            message += "; --unannotated omit leaves such images out"
            self.roots.on_fault(DataError(f"{self.path} {message}"))
        sizes = HeaderSizes(files)
        boxes = SizedBoxes(quads, sizes, str(self.path), self._file.rule, quads.keys() - files.sizes.keys())
        return Annotations(boxes, sizes, changes=boxes.changes)

    def files(self, split: Split) -> ImageFiles:
        """Return the images of a split with what the boxes say of their sizes; of train-weaksup, nothing is read."""
        return self.photos[split].files if split is Split.TRAIN_WEAKSUP else self._sized_files[split]

    @cached_property
    def _sized_files(self) -> dict[Split, ImageFiles]:
        reach = {image_id: self._file.rule.reach(quads) for image_id, quads in self._quads.items()}
        known = {image_id: corner for image_id, corner in reach.items() if corner is not None}
        return {split: replace(photos.files, sizes=self._sizes, reach=known) for split, photos in self.photos.items()}

    @cached_property
    def _file(self) -> BoxFile:
        return read_box_files(self.path, self.roots)

    @cached_property
    def _quads(self) -> dict[str, list[Quad]]:
        """Image id -> its boxes. Raises ``DataError`` where the file names an image that is not there."""
        class_of = {
            image_id: name
            for photos in self.photos.values()
            for image_id, name in zip(photos.files.ids, photos.classes, strict=True)
        }
        quads: dict[str, list[Quad]] = {}
        for box in self._file.boxes:
            image_id = self._ids[box.image]
            if image_id is not None and self._counts(box, class_of[image_id]):
                quads.setdefault(image_id, []).append(box.quad)
        return quads

    def _counts(self, box: NamedBox, folder: str) -> bool:
        """Return whether a box counts in the images of a class folder; one without category always does."""
        return box.category is None or folder in self._folders_of[box.category]

    @cached_property
    def _folders_of(self) -> Mapping[str, frozenset[str]]:
        """Category -> the class folders in whose images its boxes count. Raises ``DataError``."""
        return match_categories(
            self.classes,
            (box.category for box in self._file.boxes if box.category is not None),
            self._file.categories,
            self.path,
            self.roots,
        )

    def _left_out(self, split: Split) -> str:
        """Report the boxes of a split whose category is not that of their image; return which they are, as text."""
        photos = self.photos[split]
        class_of = dict(zip(photos.files.ids, photos.classes, strict=True))
        placed = ((box, self._ids[box.image]) for box in self._file.boxes)
        counts = Counter(
            box.category
            for box, image_id in placed
            if image_id in class_of and image_id is not None and not self._counts(box, class_of[image_id])
        )
        if not counts:
            return ""
        named = ", ".join(f"{category!r} ({count:,})" for category, count in counts.most_common(MOST_NAMED))
        named += f" and {len(counts) - MOST_NAMED} more" if len(counts) > MOST_NAMED else ""
        boxes = "1 box is" if counts.total() == 1 else f"{counts.total():,} boxes are"
        text = f"{split.label}: {boxes} left out, of another category than the class of the image: {named}"
        self.roots.on_finding(Finding(Severity.NOTE, text))
        return named

    @cached_property
    def _ids(self) -> dict[str, str | None]:
        """What the file calls an image with boxes -> its id; None where that is at fault."""
        ids: dict[str, str | None] = {}
        name_of: dict[str, str] = {}
        for box in (box for box in self._file.boxes if box.image not in ids):
            found = self._named(box.image)
            ids[box.image] = found[0] if len(found) == 1 else None
            if len(found) > 1:
                named = ", ".join(found[:MOST_NAMED]) + (", ..." if len(found) > MOST_NAMED else "")
                message = f"{box.image!r} names more than one image below the data root: {named}"
                self.roots.on_fault(DataError(f"{box.place}: {message}; write SPLIT/CLASS/IMAGE"))
            elif not found:
                message = f"{box.image!r} names no image below the data root, whatever its case and accents"
                self.roots.on_fault(DataError(f"{box.place}: {message}; expected a path such as CLASS/IMAGE"))
            elif name_of.setdefault(found[0], box.image) != box.image:
                message = f"{name_of[found[0]]!r} and {box.image!r} are names of one image, {found[0]}; use one of them"
                self.roots.on_fault(DataError(f"{box.place}: {message}"))
        return ids

    @cached_property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        named = ((self._named(name), size) for name, size in self._file.sizes.items())
        return {found[0]: size for found, size in named if len(found) == 1}

    @cached_property
    def _faulty(self) -> frozenset[str]:
        """The images that entries may mean which are at fault."""
        return frozenset(image_id for name in self._file.faulty for image_id in self._named(name))

    def _named(self, name: str) -> tuple[str, ...]:
        """Return the images that a name of the file may mean, or else its other name."""
        return self._find(name) or self._find(self._file.other_names.get(name, ""))

    def _find(self, name: str) -> tuple[str, ...]:
        return self._index.find(name)

    @cached_property
    def _index(self) -> NameIndex:
        """The images by every end of their paths, with and without ending."""
        named = {box.image for box in self._file.boxes} | self._file.sizes.keys() | self._file.faulty
        ids = tuple(image_id for photos in self.photos.values() for image_id in photos.files.ids)
        return NameIndex(ids, ends=True, front=common_front(named))
