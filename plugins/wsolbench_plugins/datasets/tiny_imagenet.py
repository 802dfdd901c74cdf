"""``tiny-imagenet`` and ``tiny-imagenet-40``: 64×64 photos with one box each, to train and to localize on in minutes.

The public download has boxes for its training photos too, which nobody may train on here. Of the 500 training photos of
a class, by their number, 0 to 399 are train-weaksup (labels only), 400 to 424 train-fullsup and 425 to 499 test, where
the class's 50 official validation photos come after them. Photos whose box spans at most 1 pixel from corner to corner
in either direction are left out of train-fullsup and test.

``tiny-imagenet-40`` has the 40 classes with the smallest mean box area among those with a mean area of at least 0.1 of
the photo and at most 10 such boxes: there the centred box does not win.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wsolbench.api import (
    DataError,
    Dataset,
    DatasetRoots,
    DatasetSpec,
    DiskDataset,
    ImageFiles,
    LazySplit,
    Line,
    ListedSplit,
    ReferenceSplit,
    Split,
    UsageError,
    hookimpl,
    open_storage,
    prepared_roots,
    read_lines,
    reference_splits,
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
    return [
        DatasetSpec("tiny-imagenet", partial(build, "tiny-imagenet"), source),
        DatasetSpec("tiny-imagenet-40", partial(build, "tiny-imagenet-40"), source),
    ]


def build(name: str, roots: DatasetRoots) -> Dataset:
    """Return the data set in the public download's folder, or in a prepared one.

    Raises:
        UsageError: No folder is named, or one that the data set has no use for.
        DataError: The folder holds something else.
    """
    if roots.images is None:
        raise UsageError(f"'{name}' lies on disk; pass --data-root DIR, the folder tiny-imagenet-200 of the download")
    if roots.masks is not None:
        raise UsageError(f"'{name}' has no masks; leave out --masks")
    prepared = prepared_roots(name, roots)
    if prepared is not None and prepared.metadata is not None:
        return _from_lists(name, prepared.metadata, prepared)
    for folder in (roots.images, roots.images / "tiny-imagenet-200"):
        if (folder / "wnids.txt").is_file():
            if roots.train is not None:
                raise UsageError(f"{folder} holds the images to train on; leave out --train-root")
            return _from_download(name, folder)
    raise DataError(
        f"{roots.images} holds neither wnids.txt, as the folder tiny-imagenet-200 does, nor metadata/test/image_ids.txt"
    )


# -------------------------------------------------------------------------------------------------- the prepared folder


def _from_lists(name: str, metadata: Path, roots: DatasetRoots) -> Dataset:
    parts = reference_splits(metadata, roots)
    classes = _classes_of(parts.values())
    if name == "tiny-imagenet-40":
        if classes != tuple(FORTY):
            raise DataError(f"{metadata} lists other classes than the 40 of '{name}'; use --dataset folder for it")
        classes = tuple(FORTY.values())
    return DiskDataset(name, classes, parts)


def _classes_of(parts: Iterable[ReferenceSplit]) -> tuple[str, ...]:
    """Return the folder of each label, which must be the same for all its images."""
    folders: dict[int, str] = {}
    for part in parts:
        for image_id, label in zip(part.ids, part.labels.tolist(), strict=True):
            folder = image_id.partition("/")[0]
            if folders.setdefault(label, folder) != folder:
                raise DataError(f"{part.folder}: class {label} has images in {folders[label]}/ and in {folder}/")
    if sorted(folders) != list(range(len(folders))):
        raise DataError(f"{part.folder.parent}: labels are not 0 to {len(folders) - 1}")
    return tuple(folders[label] for label in range(len(folders)))


# --------------------------------------------------------------------------------------------------------- the download


def _from_download(name: str, folder: Path) -> Dataset:
    there = sorted(line.text.strip() for line in read_lines(folder / "wnids.txt"))
    if name == "tiny-imagenet":
        classes = names = tuple(there)
    else:
        classes, names = tuple(FORTY), tuple(FORTY.values())
        missing = sorted(FORTY.keys() - set(there))
        if missing:
            raise DataError(f"{folder / 'wnids.txt'} lacks {len(missing)} classes of '{name}', such as {missing[0]}")
    return DiskDataset(
        name, names, {split: LazySplit(partial(_read_split, folder, classes, split)) for split in NUMBERS}
    )


def _read_split(folder: Path, classes: Sequence[str], split: Split) -> ListedSplit:
    of_val: dict[str, list[_Photo]] = _validation_photos(folder) if split is Split.TEST else {}
    photos: list[_Photo] = []
    labels: list[int] = []
    for label, wnid in enumerate(classes):
        listed = _training_photos(folder, wnid)
        absent = [number for number in NUMBERS[split] if number not in listed]
        if absent:
            raise DataError(f"{_boxes_file(folder, wnid)} lacks {wnid}_{absent[0]}.JPEG: expected the numbers 0 to 499")
        chosen = [listed[number] for number in NUMBERS[split]] + of_val.get(wnid, [])
        if split is not Split.TRAIN_WEAKSUP:
            chosen = [photo for photo in chosen if photo.spans_an_area]
        photos += chosen
        labels += [label] * len(chosen)
    ids = tuple(photo.image_id for photo in photos)
    files = ImageFiles(open_storage(folder), ids, paths=tuple(photo.path for photo in photos))
    if split is Split.TRAIN_WEAKSUP:
        return ListedSplit(files, np.array(labels, dtype=np.int64))
    boxes = {photo.image_id: np.array([photo.box], dtype=np.int64) for photo in photos}
    return ListedSplit(files, np.array(labels, dtype=np.int64), boxes, dict.fromkeys(ids, (SIZE, SIZE)))


@dataclass(frozen=True)
class _Photo:
    image_id: str
    path: str
    box: tuple[int, int, int, int]

    @property
    def spans_an_area(self) -> bool:
        x0, y0, x1, y1 = self.box
        return min(x1 - x0, y1 - y0) >= SMALLEST_SPAN


def _boxes_file(folder: Path, wnid: str) -> Path:
    return folder / "train" / wnid / f"{wnid}_boxes.txt"


def _training_photos(folder: Path, wnid: str) -> dict[int, _Photo]:
    """Return the training photos of a class by their number."""
    photos = {}
    for line in read_lines(_boxes_file(folder, wnid)):
        file, *corners = line.split(5, None, "FILE X0 Y0 X1 Y1")
        number = _number(line, file, f"{wnid}_")
        photos[number] = _Photo(f"{wnid}/{file}", f"train/{wnid}/images/{file}", _box(line, corners))
    return photos


def _validation_photos(folder: Path) -> dict[str, list[_Photo]]:
    """Return the official validation photos of every class, in the order of their numbers."""
    numbered: dict[str, dict[int, _Photo]] = {}
    for line in read_lines(folder / "val" / "val_annotations.txt"):
        file, wnid, *corners = line.split(6, None, "FILE ID X0 Y0 X1 Y1")
        photo = _Photo(f"{wnid}/{file}", f"val/images/{file}", _box(line, corners))
        numbered.setdefault(wnid, {})[_number(line, file, "val_")] = photo
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
