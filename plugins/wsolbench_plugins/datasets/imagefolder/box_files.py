"""Files of boxes as other tools write them: CSV, COCO's JSON, VOC's XML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias, TypeVar

from wsolbench.api import DataError, DatasetRoots, Split
from wsolbench.data import Finding, Severity, common_front, find_fractions, open_storage, split_named, tidy_path
from wsolbench_plugins.datasets.imagefolder.coco_files import read_coco
from wsolbench_plugins.datasets.imagefolder.csv_files import read_csv
from wsolbench_plugins.datasets.imagefolder.named_boxes import BoxFile, Known, NamedBox, NamedSize
from wsolbench_plugins.datasets.imagefolder.voc_files import read_voc

_Named = TypeVar("_Named", NamedBox, NamedSize)
_Reader: TypeAlias = Callable[[Path, Sequence[Path], DatasetRoots, Known], BoxFile]

_HEAD = 1024
_ADVICE = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "; save the table as CSV"),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".7z", ".tar", ".tgz"), "; unpack it"),
}
"""Ending of files that hold what could be read -> what to do."""
_READERS: dict[str, _Reader] = {".csv": read_csv, ".json": read_coco, ".tsv": read_csv, ".xml": read_voc}


def read_box_files(path: Path, roots: DatasetRoots, known: Known) -> BoxFile:
    """Read a file of boxes, or all those below a folder, which must be of one kind; hidden files are not read.

    Args:
        path: The file or folder.
        roots: The conventions, and who gets the faults and findings; an entry with a fault is left out where
            ``on_fault`` returns.
        known: What the data set knows of classes and images.

    Raises:
        DataError: There is none, one is damaged as a whole, or they are of several kinds.
    """
    files = _files_below(path) if path.is_dir() else [path]
    if not path.exists():
        raise DataError(f"{path} does not exist; name a file of boxes, or a folder of them, with --metadata-root")
    kind_of = {file: file.suffix.lower() for file in files if file.suffix.lower() in _READERS}
    kind_of = kind_of or {file: ".xml" for file in files if not file.suffix and _holds_annotation(file)}
    kinds = sorted(set(kind_of.values()))
    if len(kinds) != 1:
        others = sorted({file.suffix.lower() or "no ending" for file in files})
        found = (
            f"; it has files of the kinds {', '.join(others[:10])}" if others and path.is_dir() and not kinds else ""
        )
        message = f"holds files of the kinds {', '.join(kinds)}" if kinds else f"is or holds no file of boxes{found}"
        advice = next((advice for ending, advice in _ADVICE.items() if not kinds and ending in others), "")
        yolo = "; YOLO's text files have to be exported as COCO, VOC or CSV" if not kinds and ".txt" in others else ""
        raise DataError(f"{path} {message}; expected one kind of {', '.join(_READERS)}{yolo}{advice}")
    return _checked(_with_splits(_READERS[kinds[0]](path, list(kind_of), roots, known), known), path, roots)


def _with_splits(found: BoxFile, known: Known) -> BoxFile:
    """Return names with the split of their file in front, where names do not tell the photos of splits apart.

    They do not where one is that of several images, or is in files of two splits.
    """
    splits_of: dict[str, set[Split]] = {}
    for box in found.boxes:
        if box.split is not None:
            splits_of.setdefault(box.image, set()).add(box.split)
    front = "/".join(takewhile(lambda folder: not known.is_class(folder), common_front(splits_of).split("/")))
    short = {name: tidy_path(name).removeprefix(f"{front}/" if front else "") for name in splits_of}
    if all(len(splits) == 1 and len(known.find_image(short[name])) < 2 for name, splits in splits_of.items()):
        return found

    def named(item: _Named) -> _Named:
        if item.split is None or any(map(split_named, tidy_path(item.image).split("/")[:-1])):
            return item
        return replace(item, image=f"{item.split.value}/{short.get(item.image, item.image)}")

    return replace(found, boxes=tuple(map(named, found.boxes)), sizes=tuple(map(named, found.sizes)))


def _checked(found: BoxFile, path: Path, roots: DatasetRoots) -> BoxFile:
    """Return boxes without those that have no area or no category where others have one, which are reported.

    Raises:
        DataError: The numbers are fractions in a format that has none.
    """
    rule = found.rule
    empty = [box for box in found.boxes if rule.is_empty(box.quad)]
    boxes = [box for box in found.boxes if not rule.is_empty(box.quad)]
    if empty:
        numbers = " ".join(f"{value:g}" for value in empty[0].quad)
        text = f"{_count(empty)} left out, without an area: {numbers}, first {empty[0].place}"
        roots.on_finding(Finding(Severity.WARNING, f"{path}: {text}"))
    if not rule.normalised and find_fractions([box.quad for box in boxes], lambda position: boxes[position].place):
        text = f"all numbers are from 0 to 1: they are fractions, but {found.form} are pixels"
        table = "or write a CSV file with the header image,x0,y0,x1,y1 or image,x,y,width,height"
        raise DataError(f"{path}: {text}; multiply them by width and height, {table}")
    nameless = [box for box in boxes if box.category is None]
    if nameless and (len(nameless) < len(boxes) or found.categories):
        text = f"{len(nameless):,} of {len(boxes):,} boxes have no category, so that nobody knows whether they count"
        roots.on_fault(DataError(f"{path}: {text}; name it, first {nameless[0].place}"))
        boxes = [box for box in boxes if box.category is not None]
    return replace(found, boxes=tuple(boxes))


def _count(boxes: Sequence[NamedBox]) -> str:
    return "1 box is" if len(boxes) == 1 else f"{len(boxes):,} boxes are"


def _holds_annotation(file: Path) -> bool:
    """Whether a file begins as VOC's do: some data sets have them without an ending."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            return b"<annotation" in stream.read(_HEAD)
    except OSError:
        return False


def _files_below(folder: Path) -> list[Path]:
    paths = sorted(open_storage(folder).paths())
    return [folder / path for path in paths if not any(part.startswith(".") for part in path.split("/"))]
