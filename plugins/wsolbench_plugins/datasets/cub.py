"""``cub``: the birds of CUB-200-2011, with CUBV2 as train-fullsup.

The official folder has images, labels, boxes and the split into train-weaksup and test; the published metadata of the
reference evaluator has all three splits with sizes, and is what counts where both are given. CUBV2 is in the metadata
alone: its released list of boxes says corners, holds extents, and is a pixel off for half of its boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from wsolbench.api import DataError, Dataset, DatasetRoots, DatasetSpec, Split, UsageError, hookimpl
from wsolbench.data import (
    DiskDataset,
    DiskSplit,
    Download,
    Finding,
    HeaderSizes,
    ImageFiles,
    KnownSplit,
    LazySplit,
    Line,
    ListedSplit,
    Preparation,
    Quad,
    ReferenceSplit,
    SizedBoxes,
    compare_annotations,
    folder_names,
    lists_below,
    open_storage,
    parse_each,
    published_lists,
    read_lines,
    reference_splits,
    refuse_unused,
)

OFFICIAL = {"1": Split.TRAIN_WEAKSUP, "0": Split.TEST}
"""How train_test_split.txt marks the two splits of the official folder."""


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the data set."""
    source = "Wah et al., CUB-200-2011; CUBV2 and boxes as Choe et al., CVPR 2020, list them"
    known = {
        Split.TRAIN_WEAKSUP: KnownSplit(5_994),
        Split.TRAIN_FULLSUP: KnownSplit(1_000, boxes=1_000),
        Split.TEST: KnownSplit(5_794, boxes=5_794),
    }
    preparation = Preparation(
        (
            Download(
                "CUB_200_2011",
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                archive="CUB_200_2011.tgz",
                inside="CUB_200_2011",
                checksum="md5:97eceeb196236b17998738112f37df78",
            ),
            *published_lists("CUB", Split, "metadata"),
            Download(
                "CUBV2",
                archive="CUBV2.tar",
                by_hand="https://drive.google.com/open?id=1U6cwKHS65wayT9FFvoLIA8cn1k0Ot2M1",
            ),
        ),
        terms="CUB-200-2011: research and education, not commercial; CUBV2: each photo's own, its boxes CC BY 2.0",
    )
    return [
        DatasetSpec(
            "cub",
            build,
            source,
            200,
            known,
            preparation,
            description="200 kinds of birds, one box a photo. --data-root: the folder CUB_200_2011, with CUBV2 "
            "beside it for train-fullsup. --metadata-root: the published lists.",
        )
    ]


def build(roots: DatasetRoots) -> Dataset:
    """Return the data set in the official folder, with the published metadata, or both.

    Raises:
        UsageError: Neither is named.
        DataError: The folder is not the official one, and there is no metadata.
    """
    if roots.masks is not None:
        raise UsageError("'cub' is scored by boxes; leave out --masks")
    refuse_unused("cub", roots, "boxes", "first_pixel")
    if roots.images is None and roots.metadata is None:
        raise UsageError(
            "'cub' needs its folder; pass --data-root DIR, the folder CUB_200_2011, or --metadata-root DIR/CUB"
        )
    if roots.metadata is None and roots.images is not None:
        roots = replace(roots, metadata=lists_below(roots.images, "CUB"))
    official = _official_folder(roots)
    listed = {} if roots.metadata is None else _listed_splits(roots, official)
    if official is None and not listed:
        raise DataError(f"{roots.images} holds no images.txt, as CUB_200_2011 does; or pass --metadata-root DIR/CUB")
    if Split.TEST not in listed:
        refuse_unused("bounding_boxes.txt", roots)  # whose rule is known
    parts: dict[Split, DiskSplit] = {}
    if official is not None:
        parts |= {split: LazySplit(partial(_read_split, official, split, roots.train)) for split in OFFICIAL.values()}
    parts |= listed
    names = folder_names(listed.values()) if official is None else official.class_names
    inspections = []
    if official is not None and Split.TEST in listed:
        inspections.append(partial(_compare, listed[Split.TEST], official))
    return DiskDataset("cub", names, parts, tuple(inspections))


def _official_folder(roots: DatasetRoots) -> OfficialFolder | None:
    places = [] if roots.images is None else [roots.images, roots.images / "CUB_200_2011"]
    folder = next((place for place in places if (place / "images.txt").is_file()), None)
    return None if folder is None else OfficialFolder(folder, roots.on_fault)


# ----------------------------------------------------------------------------------------------- the published metadata


def _listed_splits(roots: DatasetRoots, official: OfficialFolder | None) -> dict[Split, ReferenceSplit]:
    assert roots.metadata is not None
    images = roots.images if official is None else official.folder / "images"
    parts = reference_splits(roots.metadata, replace(roots, images=images))
    fullsup = parts.get(Split.TRAIN_FULLSUP)
    if fullsup is not None and images is not None and fullsup.ids:
        places = [images, *(above / "CUBV2" for above in (images, images.parent, images.parent.parent))]
        found = next((place for place in places if (place / fullsup.ids[0]).is_file()), images)
        parts[Split.TRAIN_FULLSUP] = replace(fullsup, image_root=found)
    return parts


def _compare(listed: ReferenceSplit, official: OfficialFolder) -> Iterable[Finding]:
    ours = _read_split(official, Split.TEST, None).annotations()
    return compare_annotations(listed.annotations(), ours, f"test: {listed.folder} and bounding_boxes.txt")


# -------------------------------------------------------------------------------------------------- the official folder


@dataclass(frozen=True)
class Bird:
    """One image of CUB-200-2011: its path below ``images``, label from 0, extent of its box, and split."""

    image_id: str
    label: int
    extent: Quad
    split: Split


@dataclass(frozen=True)
class OfficialFolder:
    """The folder CUB_200_2011: lists of a number and what is said of the image of that number, and ``images``."""

    folder: Path
    on_fault: Callable[[DataError], None]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The names of classes.txt, which numbers them from 1. Raises ``DataError``."""
        names = self._list("classes.txt", "NUMBER NAME")
        if list(names) != [str(number + 1) for number in range(len(names))]:
            raise DataError(f"{self.folder / 'classes.txt'}: expected the numbers 1 to {len(names)} in their order")
        return tuple(name for _, (name,) in names.values())

    @cached_property
    def birds(self) -> tuple[Bird, ...]:
        """All images, in the order of images.txt. Raises ``DataError``."""
        paths = self._list("images.txt", "NUMBER PATH")
        labels = self._list("image_class_labels.txt", "NUMBER CLASS")
        extents = self._list("bounding_boxes.txt", "NUMBER X Y WIDTH HEIGHT")
        marks = self._list("train_test_split.txt", "NUMBER 0|1")
        for file, entries in (("image_class_labels", labels), ("bounding_boxes", extents), ("train_test_split", marks)):
            for number in sorted(entries.keys() ^ paths.keys()):
                message = f"{self.folder / file}.txt and images.txt differ: image {number} is in one of them alone"
                self.on_fault(DataError(message))
        birds: dict[str, Bird] = {}
        line_of: dict[str, int] = {}
        for number in (number for number in paths if number in labels and number in extents and number in marks):
            try:
                path, label = _path(*paths[number]), self._label(*labels[number])
                bird = Bird(path, label, _extent(*extents[number]), _split(*marks[number]))
                line = paths[number][0]
                if path in birds:
                    raise line.error(f"expected each image once, this one is on line {line_of[path]} too")
                birds[path], line_of[path] = bird, line.number
            except DataError as fault:
                self.on_fault(fault)
        return tuple(birds.values())

    def _list(self, file: str, layout: str) -> dict[str, tuple[Line, list[str]]]:
        entries: dict[str, tuple[Line, list[str]]] = {}

        def parse(line: Line) -> None:
            number, *fields = line.split(len(layout.split()), None, layout)
            if number in entries:
                raise line.error("expected each number once, this one was there before")
            entries[number] = (line, fields)

        parse_each(read_lines(self.folder / file, self.on_fault), parse, self.on_fault)
        return entries

    def _label(self, line: Line, fields: list[str]) -> int:
        (label,) = line.whole_numbers(fields, "NUMBER CLASS")
        if not 1 <= label <= len(self.class_names):
            raise line.error(f"expected a class from 1 to {len(self.class_names)}")
        return label - 1


def _path(line: Line, fields: list[str]) -> str:
    line.check_path(fields[0])
    return fields[0]


def _extent(line: Line, fields: list[str]) -> Quad:
    x, y, width, height = line.numbers(fields, "NUMBER X Y WIDTH HEIGHT")
    if min(x, y) < 0 or min(width, height) <= 0:
        raise line.error("expected X and Y of 0 or more, WIDTH and HEIGHT above 0")
    return x, y, width, height


def _split(line: Line, fields: list[str]) -> Split:
    if fields[0] not in OFFICIAL:
        raise line.error("expected 1 for the images to train on and 0 for those to test")
    return OFFICIAL[fields[0]]


def _read_split(official: OfficialFolder, split: Split, train_root: Path | None) -> ListedSplit:
    birds = [bird for bird in official.birds if bird.split is split]
    labels = np.array([bird.label for bird in birds], dtype=np.int64)
    root = train_root if split is Split.TRAIN_WEAKSUP else None
    files = ImageFiles(open_storage(root or official.folder / "images"), tuple(bird.image_id for bird in birds))
    if split is Split.TRAIN_WEAKSUP:
        return ListedSplit(files, labels)
    sizes = HeaderSizes(files)
    extents = {bird.image_id: (bird.extent,) for bird in birds}
    return ListedSplit(
        files,
        labels,
        SizedBoxes(extents, sizes, str(official.folder / "bounding_boxes.txt"), unlisted=extents.keys()),
        sizes,
    )
