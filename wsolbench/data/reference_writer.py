"""Lists of a data set in the reference metadata layout, written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from wsolbench.contract import Annotations, Dataset, ImageSplit, Split
from wsolbench.data.reference import CLASS_NAMES, IDS, LABELS, LOCALIZATION, ORIENTATIONS, SIZES, STORED, UPRIGHT
from wsolbench.errors import UsageError

__all__ = ["write_lists"]


def write_lists(dataset: Dataset, folder: Path) -> None:
    """Write the lists of every split of a data set with boxes into ``folder``/(train|val|test), and its class names.

    As in the published lists, train-weaksup has no sizes and boxes. Orientations are listed of photos that have one, so
    that their boxes are read as they were.

    Raises:
        UsageError: The data set is annotated with masks, whose files it does not name.
        DataError: A split is damaged.
        OSError: The files cannot be written.
    """
    for split in (split for split in Split if split in dataset.splits):
        images = dataset.images(split)
        truth = Annotations() if split is Split.TRAIN_WEAKSUP else dataset.annotations(split)
        if truth.load_mask is not None and not truth.boxes:
            raise UsageError(f"{split.label} of '{dataset.name}' has masks; its lists cannot be written")
        _write_split(images, truth, folder / split.value)
    names = tuple(map(str, dataset.class_names))
    if names != tuple(map(str, range(len(names)))):
        _write(folder / CLASS_NAMES, names)


def _write_split(images: ImageSplit, truth: Annotations, folder: Path) -> None:
    folder.mkdir(parents=True)
    labels = zip(images.ids, images.labels.tolist(), strict=True)
    scored = images.ids if truth.boxes else ()
    _write(folder / IDS, images.ids)
    _write(folder / LABELS, (f"{image_id},{label}" for image_id, label in labels))
    _write(folder / SIZES, (f"{image_id},{width},{height}" for image_id, (width, height) in _sizes(scored, truth)))
    boxes = (f"{image_id},{x0},{y0},{x1},{y1}" for image_id in scored for x0, y0, x1, y1 in truth.boxes[image_id])
    _write(folder / LOCALIZATION, boxes)
    orientations = list(_orientations(images))
    if orientations:
        _write(folder / ORIENTATIONS, orientations)


def _sizes(ids: Iterable[str], truth: Annotations) -> Iterable[tuple[str, tuple[int, int]]]:
    return ((image_id, truth.image_sizes[image_id]) for image_id in ids)


def _orientations(images: ImageSplit) -> Iterator[str]:
    """Yield the lines of the photos that are turned by their EXIF orientation, or would be."""
    for index, image_id in enumerate(images.ids if images.is_upright else ()):
        upright = images.is_upright and images.is_upright(index)
        if upright is not None:
            yield f"{image_id},{UPRIGHT if upright else STORED}"


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
