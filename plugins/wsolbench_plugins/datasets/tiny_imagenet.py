"""``tiny-imagenet`` and ``tiny-imagenet-40``: 64×64 photos with one box each, to train and to localize on in minutes.

The public download has boxes for its training photos too, which nobody may train on here. Of the 500 training photos of
a class, by their number, 0 to 399 are train-weaksup (labels only), 400 to 424 train-fullsup and 425 to 499 test, where
the class's 50 official validation photos come after them. Photos whose box spans at most 1 pixel from corner to corner
in either direction are left out of train-fullsup and test.

``tiny-imagenet-40`` has the 40 classes with the smallest mean box area among those with a mean area of at least 0.1 of
the photo and at most 10 such boxes: there the centred box does not win.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wsolbench.api import DataError, Dataset, DatasetRoots, DatasetSpec, Split, UsageError, hookimpl
from wsolbench.data import (
    DiskDataset,
    Download,
    ImageFiles,
    KnownSplit,
    LazySplit,
    Line,
    ListedSplit,
    Preparation,
    folder_names,
    open_storage,
    parse_each,
    prepared_roots,
    read_lines,
    reference_splits,
    refuse_unused,
)

SIZE = 64
NUMBERS = {Split.TRAIN_WEAKSUP: range(400), Split.TRAIN_FULLSUP: range(400, 425), Split.TEST: range(425, 500)}
SMALLEST_SPAN = 2

FORTY = {
    "n01855672": "goose",
    "n01944390": "snail",
    "n01945685": "slug",
    "n02165456": "ladybug",
    "n02206856": "bee",
    "n02279972": "monarch",
    "n02793495": "barn",
    "n02814860": "beacon",
    "n02823428": "beer bottle",
    "n02837789": "bikini",
    "n02841315": "binoculars",
    "n02883205": "bow tie",
    "n02948072": "candle",
    "n03424325": "gasmask",
    "n03444034": "go-kart",
    "n03447447": "gondola",
    "n03733131": "maypole",
    "n03770439": "miniskirt",
    "n03804744": "nail",
    "n03814639": "neck brace",
    "n03837869": "obelisk",
    "n03838899": "oboe",
    "n03902125": "pay-phone",
    "n03937543": "pill bottle",
    "n03970156": "plunger",
    "n03983396": "pop bottle",
    "n04008634": "projectile",
    "n04023962": "punching bag",
    "n04067472": "reel",
    "n04251144": "snorkel",
    "n04259630": "sombrero",
    "n04356056": "sunglasses",
    "n04371430": "swimming trunks",
    "n04376876": "syringe",
    "n04456115": "torch",
    "n04487081": "trolleybus",
    "n04597913": "wooden spoon",
    "n07615774": "ice lolly",
    "n07749582": "lemon",
    "n12267677": "acorn",
}
"""WordNet id -> name of the classes of ``tiny-imagenet-40``, in the order of their labels."""


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer all 200 classes, and the 40 whose objects are small."""
    source = "Tiny-ImageNet, Stanford CS231n; splits of wsolbench's own"
    known_of_all = {Split.TRAIN_WEAKSUP: KnownSplit(80_000, per_class=400)}
    known = {Split.TRAIN_WEAKSUP: KnownSplit(16_000, per_class=400), Split.TRAIN_FULLSUP: KnownSplit(993, boxes=993)}
    preparation = Preparation(
        (
            Download(
                "tiny-imagenet-200",
                "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                archive="tiny-imagenet-200.zip",
                inside="tiny-imagenet-200",
                checksum="md5:90528d7ca1a48142e341f4ef8d21d0de",
            ),
        ),
        terms="photos of ImageNet: research and education, not commercial",
        copied_from=DatasetRoots,
    )
    return [
        DatasetSpec(
            "tiny-imagenet",
            partial(build, "tiny-imagenet"),
            source,
            200,
            known_of_all,
            preparation,
            description="200 classes of ImageNet at 64×64. --data-root: the download tiny-imagenet-200, or what "
            "'wsolbench data prepare tiny-imagenet' wrote.",
        ),
        DatasetSpec(
            "tiny-imagenet-40",
            partial(build, "tiny-imagenet-40"),
            source,
            len(FORTY),
            known,
            preparation,
            description="The 40 classes of Tiny-ImageNet with the smallest objects, 64×64. --data-root: the "
            "download tiny-imagenet-200, or what 'wsolbench data prepare tiny-imagenet-40' wrote.",
        ),
    ]


def build(name: str, roots: DatasetRoots) -> Dataset:
    """Return the data set in the public download's folder, or in a prepared one.

    Raises:
        UsageError: No folder is named, or one that the data set has no use for.
        DataError: The folder holds something else.
    """
    if roots.images is None:
        raise UsageError(
            f"'{name}' needs its folder; pass --data-root DIR, the folder tiny-imagenet-200 of the download"
        )
    if roots.masks is not None:
        raise UsageError(f"'{name}' has no masks; leave out --masks")
    refuse_unused(name, roots, "boxes", "first_pixel")
    prepared = prepared_roots(name, roots)
    if prepared is not None and prepared.metadata is not None:
        return _from_lists(name, prepared.metadata, prepared)
    for folder in (roots.images, roots.images / "tiny-imagenet-200"):
        if (folder / "wnids.txt").is_file():
            if roots.train is not None:
                raise UsageError(f"{folder} holds the images to train on; leave out --train-root")
            refuse_unused(name, roots)  # the boxes of the download are inside their photos
            return _from_download(name, folder, roots.on_fault)
    raise DataError(
        f"{roots.images} holds neither wnids.txt, as the folder tiny-imagenet-200 does, nor metadata/test/image_ids.txt"
    )


# -------------------------------------------------------------------------------------------------- the prepared folder


def _from_lists(name: str, metadata: Path, roots: DatasetRoots) -> Dataset:
    parts = reference_splits(metadata, roots)
    classes = folder_names(parts.values())
    if name != "tiny-imagenet-40":
        return DiskDataset(name, classes, parts)
    if classes != tuple(FORTY):
        roots.on_fault(
            DataError(f"{metadata} lists other classes than the 40 of '{name}'; use --dataset folder for it")
        )
    return DiskDataset(name, tuple(FORTY.values()), parts)


# --------------------------------------------------------------------------------------------------------- the download


def _from_download(name: str, folder: Path, on_fault: Callable[[DataError], None]) -> Dataset:
    there = sorted(line.text.strip() for line in read_lines(folder / "wnids.txt", on_fault))
    if name == "tiny-imagenet":
        classes = names = tuple(there)
    else:
        classes, names = tuple(FORTY), tuple(FORTY.values())
        missing = sorted(FORTY.keys() - set(there))
        if missing:
            raise DataError(f"{folder / 'wnids.txt'} lacks {len(missing)} classes of '{name}', such as {missing[0]}")
    unpacked = Unpacked(folder, on_fault)
    return DiskDataset(
        name, names, {split: LazySplit(partial(unpacked.read_split, classes, split)) for split in NUMBERS}
    )


@dataclass(frozen=True)
class _Photo:
    image_id: str
    path: str
    box: tuple[int, int, int, int]

    @property
    def spans_an_area(self) -> bool:
        x0, y0, x1, y1 = self.box
        return min(x1 - x0, y1 - y0) >= SMALLEST_SPAN


@dataclass(frozen=True)
class Unpacked:
    """The folder tiny-imagenet-200."""

    folder: Path
    on_fault: Callable[[DataError], None]

    def read_split(self, classes: Sequence[str], split: Split) -> ListedSplit:
        """Return a split of some classes, in the order of their labels. Raises ``DataError``."""
        of_val = self._validation_photos() if split is Split.TEST else {}
        photos: list[_Photo] = []
        labels: list[int] = []
        for label, wnid in enumerate(classes):
            chosen = self._chosen(wnid, split) + of_val.get(wnid, [])
            if split is not Split.TRAIN_WEAKSUP:
                chosen = [photo for photo in chosen if photo.spans_an_area]
            photos += chosen
            labels += [label] * len(chosen)
        ids = tuple(photo.image_id for photo in photos)
        sizes = dict.fromkeys(ids, (SIZE, SIZE))
        files = ImageFiles(open_storage(self.folder), ids, paths=tuple(photo.path for photo in photos), sizes=sizes)
        if split is Split.TRAIN_WEAKSUP:
            return ListedSplit(files, np.array(labels, dtype=np.int64))
        boxes = {photo.image_id: np.array([photo.box], dtype=np.int64) for photo in photos}
        return ListedSplit(files, np.array(labels, dtype=np.int64), boxes, sizes)

    def _chosen(self, wnid: str, split: Split) -> list[_Photo]:
        """Return the training photos of a class that belong to a split, in the order of their numbers."""
        file = self.folder / "train" / wnid / f"{wnid}_boxes.txt"
        listed: dict[int, _Photo] = {}

        def parse(line: Line) -> None:
            name, *corners = line.split(5, None, "FILE X0 Y0 X1 Y1")
            number = _number(line, name, f"{wnid}_")
            listed[number] = _Photo(f"{wnid}/{name}", f"train/{wnid}/images/{name}", _box(line, corners))

        parse_each(read_lines(file, self.on_fault), parse, self.on_fault)
        absent = [number for number in NUMBERS[split] if number not in listed]
        if absent:
            self.on_fault(DataError(f"{file} lacks {wnid}_{absent[0]}.JPEG: expected the numbers 0 to 499"))
        return [listed[number] for number in NUMBERS[split] if number in listed]

    def _validation_photos(self) -> dict[str, list[_Photo]]:
        """Return the official validation photos of every class, in the order of their numbers."""
        numbered: dict[str, dict[int, _Photo]] = {}

        def parse(line: Line) -> None:
            name, wnid, *corners = line.split(6, None, "FILE ID X0 Y0 X1 Y1")
            photo = _Photo(f"{wnid}/{name}", f"val/images/{name}", _box(line, corners))
            numbered.setdefault(wnid, {})[_number(line, name, "val_")] = photo

        parse_each(read_lines(self.folder / "val" / "val_annotations.txt", self.on_fault), parse, self.on_fault)
        return {wnid: [photos[number] for number in sorted(photos)] for wnid, photos in numbered.items()}


def _number(line: Line, file: str, prefix: str) -> int:
    digits = file.removeprefix(prefix).removesuffix(".JPEG")
    if file != f"{prefix}{digits}.JPEG" or not digits.isdecimal():
        raise line.error(f"expected a file {prefix}NUMBER.JPEG")
    return int(digits)


def _box(line: Line, corners: list[str]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = line.whole_numbers(corners, "X0 Y0 X1 Y1")
    if min(x0, y0) < 0 or max(x1, y1) >= SIZE:
        raise line.error(f"expected a box inside its {SIZE}x{SIZE} photo, corners up to {SIZE - 1},{SIZE - 1}")
    return x0, y0, x1, y1
