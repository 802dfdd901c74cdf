"""The splits of ``imagefolder``: class folders listed, and boxes put to their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
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
    Storage,
    category_names,
    check_class_names,
    check_units,
    find_split_folders,
    findings_of_dummies,
    folder_title,
    list_class_folders,
    match_categories,
    open_storage,
    top_folder,
    visible_entries,
)
from wsolbench_plugins.datasets.imagefolder.box_files import read_box_files
from wsolbench_plugins.datasets.imagefolder.image_names import NamedImages
from wsolbench_plugins.datasets.imagefolder.named_boxes import BoxFile, Known, NamedBox, describe_rule

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
    storage = open_storage(roots.images)
    top = top_folder(storage)
    folders = find_split_folders(storage, roots, lambda folder: _holds_folders(storage, folder), top)
    option = "" if folders else "--data-root"
    places = folders or {Split.TEST: top}  # a folder of class folders alone is test
    photos = {split: _list_photos(split, storage, place, roots, option) for split, place in places.items()}
    if roots.train is not None:
        photos[Split.TRAIN_WEAKSUP] = _list_train(roots.train, roots)
    check_class_names({split: one.folders for split, one in photos.items()}, roots.on_fault)
    classes = tuple(sorted({name for one in photos.values() for name in one.folders}))
    root = "" if folders else roots.images.resolve().name
    boxes = BoxesOfImages(roots, photos, classes, root)
    parts: dict[Split, DiskSplit] = {split: FolderSplit(split, boxes) for split in photos}
    inspections = (boxes.inspect,) if roots.metadata is not None else ()
    return DiskDataset("imagefolder", classes, parts, inspections, folder_title(roots))


def _holds_folders(storage: Storage, folder: str) -> bool:
    with suppress(DataError):  # a folder that may not be entered
        return bool(visible_entries(storage, folder)[0])
    return False


def _list_train(root: Path, roots: DatasetRoots) -> Photos:
    """Return the images of a place of their own, in class folders."""
    storage = open_storage(root)
    return _list_photos(Split.TRAIN_WEAKSUP, storage, top_folder(storage), roots, "--train-root")


def _list_photos(split: Split, storage: Storage, folder: str, roots: DatasetRoots, option: str) -> Photos:
    found = list_class_folders(storage, folder, roots.on_fault, roots.on_finding, option)
    pairs = [(f"{name}/{image}", name) for name, images in found.items() for image in images]
    ids = tuple(f"{split.value}/{path}" for path, _ in pairs)
    paths = tuple(f"{folder}/{path}" if folder else path for path, _ in pairs)
    files = ImageFiles(storage, ids, paths, upright=True)
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
        root: The name of the folder that holds the class folders, where that is named after no split.
    """

    roots: DatasetRoots
    photos: Mapping[Split, Photos]
    classes: tuple[str, ...]
    root: str

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
        others = (
            (name, other, self._names.find(name), self._names.find(other))
            for name, other in self._file.other_names.items()
        )
        odd = [(name, other) for name, other, mine, its in others if mine and its and not set(mine) & set(its)]
        if odd:
            name, other = odd[0]
            text = f"{len(odd):,} files have another image as their <filename> than as their own name, which counts"
            yield Finding(Severity.WARNING, f"{self.path}: {text}, such as {name!r} with {other!r}")

    def of_split(self, split: Split) -> Annotations:
        """Return the boxes and sizes of a split. Raises ``DataError``, and ``UsageError`` without a file of boxes."""
        files = self.files(split)
        contradictions = files.contradictions()
        for image_id, problem in list(contradictions.items())[:1]:
            count = f"; so are {len(contradictions) - 1:,} more of {split.label}" if len(contradictions) > 1 else ""
            self.roots.on_fault(DataError(f"{self.path}: {image_id!r} {problem}{count}"))
        faulty = self._names.faulty | contradictions.keys()
        quads = {name: self._quads[name] for name in files.ids if name in self._quads and name not in contradictions}
        bare = [image_id for image_id in files.ids if image_id not in quads and image_id not in faulty]
        others = self._left_out(split)
        if bare and self.roots.conventions.unannotated == "error":
            images = (
                f"1 image of {split.label}," if len(bare) == 1 else f"{len(bare):,} images of {split.label}, such as"
            )
            message = f"has no box for {images} {bare[0]!r}"
            if others:
                message += f"; boxes of other categories than the class of the image do not count: {others}; "
                message += "--class-map FILE says which category is which class"
            message += "; --unannotated omit leaves such images out"
            self.roots.on_fault(DataError(f"{self.path} {message}"))
        elif bare:
            self._report_unscored(split, frozenset(bare), others)
        sizes, rule = HeaderSizes(files), self._file.rule
        source = f"{self.path}, {split.label}"
        if not check_units(quads, sizes, rule, source, self.roots.on_fault, self.roots.on_finding):
            return Annotations()
        for finding in findings_of_dummies(source, {} if rule.normalised else quads):
            self.roots.on_finding(finding)
        boxes = SizedBoxes(quads, sizes, str(self.path), rule, quads.keys() - files.sizes.keys())
        return Annotations(boxes, sizes, changes=boxes.changes)

    def _report_unscored(self, split: Split, bare: Collection[str], others: str) -> None:
        """Report the classes of a split all of whose images are left out, as they have no boxes that count."""
        photos = self.photos[split]
        of_image = dict(zip(photos.files.ids, photos.classes, strict=True))
        scored = {name for image_id, name in of_image.items() if image_id not in bare}
        lost = [name for name in dict.fromkeys(photos.classes) if name not in scored]
        if lost:
            named = ", ".join(map(repr, lost[:MOST_NAMED]))
            named += f" and {len(lost) - MOST_NAMED} more classes" if len(lost) > MOST_NAMED else ""
            text = f"{split.label}: no image of {named} is scored: none has a box that counts"
            text += (
                f"; boxes of other categories: {others}; --class-map FILE says which is which class" if others else ""
            )
            self.roots.on_finding(Finding(Severity.WARNING, text))

    def files(self, split: Split) -> ImageFiles:
        """Return the images of a split with what the boxes say of their sizes; of train-weaksup, nothing is read."""
        return self.photos[split].files if split is Split.TRAIN_WEAKSUP else self._sized_files[split]

    @cached_property
    def _sized_files(self) -> dict[Split, ImageFiles]:
        reach = {image_id: self._file.rule.reach(quads) for image_id, quads in self._quads.items()}
        known = {image_id: corner for image_id, corner in reach.items() if corner is not None}
        every = {
            split: replace(photos.files, sizes=self._names.sizes, reach=known) for split, photos in self.photos.items()
        }
        return {
            split: replace(files, beside=tuple(other for other in every.values() if other is not files))
            for split, files in every.items()
            if split is not Split.TRAIN_WEAKSUP
        }

    @cached_property
    def _file(self) -> BoxFile:
        classes = category_names(self.classes, self.roots.conventions.class_map)
        images = tuple(image_id for photos in self.photos.values() for image_id in photos.files.ids)
        find_image = NameIndex(images, ends=True, root=self.root).find
        return read_box_files(self.path, self.roots, Known(classes, find_image, self.path))

    @cached_property
    def _names(self) -> NamedImages:
        images = {split: photos.files.ids for split, photos in self.photos.items()}
        return NamedImages(self._file, images, self.classes, self.root, self.roots)

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
            image_id = self._names.ids[box.image]
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
        placed = ((box, self._names.ids[box.image]) for box in self._file.boxes)
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
